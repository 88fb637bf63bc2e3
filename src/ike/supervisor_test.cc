#include "ike/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace merlon::ike {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

policy::Connection connection_named(const std::string& name, std::vector<std::string> remotes = {"192.0.2.1"}) {
  policy::Connection connection;
  connection.name = name;
  connection.source = "test.toml:3";
  connection.remote_addresses = std::move(remotes);
  policy::ChildConfig child;
  child.name = "net";
  connection.children.push_back(child);
  return connection;
}

policy::ConnectionPtr shared(policy::Connection connection) {
  return std::make_shared<const policy::Connection>(std::move(connection));
}

// A supervisor, a clock, and an engine that does what the test says.
class Bench : public testing::Test {
 protected:
  void configure(policy::Connection connection) { supervisor_.configure(now_, {shared(std::move(connection))}); }

  template <class T>
  std::vector<T> take() {
    std::vector<T> found;
    for (auto& command : supervisor_.drain())
      if (auto* one = std::get_if<T>(&command)) found.push_back(std::move(*one));
    return found;
  }
  std::vector<Initiate> initiates() { return take<Initiate>(); }

  void wait(Duration span) {
    const Instant until = now_.monotonic + span;
    while (supervisor_.next_deadline() <= until) {
      now_.monotonic = std::max(now_.monotonic, supervisor_.next_deadline());
      supervisor_.advance(now_);
      if (supervisor_.next_deadline() <= now_.monotonic) break;
    }
    now_.monotonic = until;
    supervisor_.advance(now_);
  }
  // How long until the next attempt; 0 when there is none within a day.
  Duration until_initiate() {
    const Instant start = now_.monotonic;
    while (now_.monotonic - start < std::chrono::hours(24)) {
      if (!initiates().empty()) return now_.monotonic - start;
      wait(milliseconds(50));
    }
    return Duration{0};
  }

  IkeSaId ike_up(const std::string& connection = "office") {
    const IkeSaId id{{++last_}, {1}};
    IkeSaEstablished event;
    event.connection = connection;
    event.id = id;
    event.local = {IpAddress::v4(0x0a000001), 4500};
    event.remote = {IpAddress::v4(0xc0000201), 4500};
    supervisor_.handle(now_, event);
    return id;
  }
  policy::ChildSaId child_up(const IkeSaId& ike, const std::string& child = "net") {
    ChildSaEstablished event;
    event.connection = "office";
    event.child = child;
    event.ike_sa = ike;
    event.id = {++last_};
    supervisor_.handle(now_, event);
    return event.id;
  }
  void child_closed(policy::ChildSaId id, bool replaced = false, const std::string& child = "net") {
    ChildSaClosed event;
    event.connection = "office";
    event.child = child;
    event.id = id;
    event.replaced = replaced;
    event.reason = "deleted by the peer";
    supervisor_.handle(now_, event);
  }
  void ike_closed(const IkeSaId& id, FailureKind kind = FailureKind::kLiveness) {
    IkeSaClosed event{"office", id, {}};
    event.reason.kind = kind;
    event.reason.sentence = "gone";
    supervisor_.handle(now_, event);
  }
  void failed(const std::string& child = {}, FailureKind kind = FailureKind::kTimeout) {
    NegotiationFailed event;
    event.connection = "office";
    event.child = child;
    event.failure.kind = kind;
    event.failure.sentence = "no luck";
    supervisor_.handle(now_, event);
  }
  SupervisorStatus status() { return *supervisor_.status("office"); }

  SeededRng rng_{7};
  Supervisor supervisor_{rng_};
  Now now_{Instant(seconds(1000)), UnixTime(seconds(1'790'000'000))};
  std::uint64_t last_ = 0;
};

TEST_F(Bench, AlwaysStartsAtOnceAndStaysQuietWhileUp) {
  configure(connection_named("office"));
  const auto begun = initiates();
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].remote.to_string(), "192.0.2.1:500");
  EXPECT_TRUE(begun[0].local.address.is_unspecified());
  EXPECT_THAT(begun[0].children, ElementsAre("net"));
  EXPECT_EQ(status().phase, SupervisorPhase::kTrying);
  child_up(ike_up());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  wait(std::chrono::hours(2));
  EXPECT_TRUE(supervisor_.drain().empty());
}

TEST_F(Bench, AlwaysComesBackForEverWithABackoffThatGrowsToItsCap) {
  auto connection = connection_named("office");
  connection.backoff_initial = seconds(1);
  connection.backoff_max = seconds(8);
  configure(std::move(connection));
  ASSERT_EQ(initiates().size(), 1U);
  const std::vector<int> expected = {1, 2, 4, 8, 8, 8, 8, 8, 8, 8};
  for (const int cap : expected) {
    failed({}, FailureKind::kAuthentication);  // even what cannot succeed by itself
    EXPECT_EQ(status().phase, SupervisorPhase::kBackingOff);
    EXPECT_THAT(status().last_error->sentence, "no luck");
    const auto waited = until_initiate();
    EXPECT_GE(waited, milliseconds(cap * 500));
    EXPECT_LE(waited, milliseconds(cap * 1000 + 100));
  }
  EXPECT_EQ(status().failures, 10U);
}

TEST_F(Bench, AChildThatVanishesAloneIsMadeAgainOverTheSameIkeSa) {
  configure(connection_named("office"));
  ASSERT_EQ(initiates().size(), 1U);
  const auto ike = ike_up();
  const auto child = child_up(ike);
  wait(seconds(100));
  child_closed(child);
  EXPECT_EQ(status().phase, SupervisorPhase::kBackingOff);
  wait(seconds(2));
  const auto again = initiates();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].remote.to_string(), "192.0.2.1:4500");  // where the IKE SA lives now
  child_up(ike);
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  EXPECT_TRUE(status().last_error_is_over);
}

TEST_F(Bench, RekeysDoNotLookLikeLosses) {
  configure(connection_named("office"));
  (void)initiates();
  const auto ike = ike_up();
  const auto child = child_up(ike);
  const auto rekeyed_child = child_up(ike);
  child_closed(child, true);
  const auto rekeyed_ike = ike_up();
  ike_closed(ike, FailureKind::kDeletedByUs);
  wait(seconds(300));
  EXPECT_TRUE(initiates().empty());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  child_closed(rekeyed_child);
  ike_closed(rekeyed_ike);
  wait(seconds(5));
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Bench, TheWholeIkeSaLostIsOneAttemptNotMany) {
  auto connection = connection_named("office");
  policy::ChildConfig second;
  second.name = "voice";
  connection.children.push_back(second);
  configure(std::move(connection));
  EXPECT_THAT(initiates().at(0).children, ElementsAre("net", "voice"));
  const auto ike = ike_up();
  const auto net = child_up(ike, "net");
  EXPECT_EQ(status().phase, SupervisorPhase::kTrying);  // voice is still to come
  const auto voice = child_up(ike, "voice");
  wait(seconds(1000));
  child_closed(net, false, "net");
  child_closed(voice, false, "voice");
  ike_closed(ike);
  EXPECT_EQ(status().last_error->kind, FailureKind::kLiveness);
  wait(seconds(2));
  const auto again = initiates();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_THAT(again[0].children, ElementsAre("net", "voice"));
}

TEST_F(Bench, OneChildRefusedIsRetriedWhileTheOtherIsUp) {
  auto connection = connection_named("office");
  policy::ChildConfig second;
  second.name = "voice";
  connection.children.push_back(second);
  configure(std::move(connection));
  (void)initiates();
  const auto ike = ike_up();
  child_up(ike, "net");
  failed("voice", FailureKind::kTrafficSelectors);
  EXPECT_THAT(status().children_up, ElementsAre("net"));
  EXPECT_THAT(status().children_missing, ElementsAre("voice"));
  EXPECT_EQ(status().phase, SupervisorPhase::kBackingOff);
  wait(seconds(2));
  EXPECT_THAT(initiates().at(0).children, ElementsAre("voice"));
}

TEST_F(Bench, APeerThatAcceptsAndClosesAtOnceDoesNotMakeUsSpin) {
  configure(connection_named("office"));
  Duration waited{0};
  (void)initiates();
  for (int round = 0; round < 8; ++round) {
    const auto ike = ike_up();
    child_closed(child_up(ike));
    ike_closed(ike, FailureKind::kDeletedByPeer);
    waited = until_initiate();
  }
  EXPECT_GE(waited, seconds(30));
}

TEST_F(Bench, DownHoldsUntilUp) {
  configure(connection_named("office"));
  (void)initiates();
  const auto ike = ike_up();
  const auto child = child_up(ike);
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  const auto ended = take<Terminate>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].child, "");
  child_closed(child);
  ike_closed(ike, FailureKind::kDeletedByUs);
  supervisor_.network_changed(now_);
  supervisor_.acquire(now_, "office", "net", std::nullopt);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(supervisor_.drain().empty());
  EXPECT_EQ(status().phase, SupervisorPhase::kDown);

  // What the peer builds meanwhile is closed again, and a reload changes nothing.
  ike_up();
  EXPECT_EQ(take<Terminate>().size(), 1U);
  configure(connection_named("office"));
  EXPECT_TRUE(initiates().empty());

  ike_closed({{last_}, {1}}, FailureKind::kDeletedByUs);
  ASSERT_TRUE(supervisor_.up(now_, "office", ""));
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Bench, DownDuringAnAttemptEndsItAndUpRightAfterBringsItBack) {
  configure(connection_named("office"));
  (void)initiates();
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  EXPECT_EQ(take<Terminate>().size(), 1U);
  failed();  // the engine's word on the attempt that it aborted
  EXPECT_EQ(status().phase, SupervisorPhase::kDown);
  ASSERT_TRUE(supervisor_.up(now_, "office", "net"));
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Bench, UpWhileTheOldSaIsStillClosingBringsAWaitingConnectionBack) {
  auto connection = connection_named("office");
  connection.start = policy::StartMode::kWait;
  configure(std::move(connection));
  const auto ike = ike_up();
  const auto child = child_up(ike);
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  ASSERT_TRUE(supervisor_.up(now_, "office", ""));
  EXPECT_TRUE(initiates().empty());
  child_closed(child);
  ike_closed(ike, FailureKind::kDeletedByUs);
  wait(seconds(2));
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Bench, OneChildDownLeavesTheOthersAlone) {
  auto connection = connection_named("office");
  policy::ChildConfig second;
  second.name = "voice";
  connection.children.push_back(second);
  configure(std::move(connection));
  (void)initiates();
  const auto ike = ike_up();
  child_up(ike, "net");
  const auto voice = child_up(ike, "voice");
  ASSERT_TRUE(supervisor_.down(now_, "office", "voice"));
  EXPECT_EQ(take<Terminate>().at(0).child, "voice");
  child_closed(voice, false, "voice");
  wait(seconds(600));
  EXPECT_TRUE(initiates().empty());
  ASSERT_TRUE(supervisor_.up(now_, "office", "voice"));
  EXPECT_THAT(initiates().at(0).children, ElementsAre("voice"));
  EXPECT_FALSE(supervisor_.up(now_, "office", "video"));
  EXPECT_FALSE(supervisor_.down(now_, "nowhere", ""));
}

TEST_F(Bench, OnTrafficTriesOncePerPacketAndNotInTheBackoff) {
  auto connection = connection_named("office");
  connection.start = policy::StartMode::kOnTraffic;
  configure(std::move(connection));
  EXPECT_TRUE(initiates().empty());
  TriggeringPacket packet;
  packet.local.start_port = packet.local.end_port = 1234;
  supervisor_.acquire(now_, "office", "net", packet);
  const auto begun = initiates();
  ASSERT_EQ(begun.size(), 1U);
  ASSERT_TRUE(begun[0].packet.has_value());
  EXPECT_EQ(begun[0].packet->local.start_port, 1234);
  supervisor_.acquire(now_, "office", "net", packet);  // more packets, while it goes on
  EXPECT_TRUE(initiates().empty());
  failed();
  supervisor_.acquire(now_, "office", "net", packet);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());  // no retry by itself
  EXPECT_EQ(status().phase, SupervisorPhase::kIdle);
  supervisor_.acquire(now_, "office", "net", packet);
  EXPECT_EQ(initiates().size(), 1U);
  const auto ike = ike_up();
  child_closed(child_up(ike));
  ike_closed(ike);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
}

TEST_F(Bench, APacketThatTheSaDoesNotCarryAsksForOneMore) {
  auto connection = connection_named("office");
  connection.start = policy::StartMode::kOnTraffic;
  configure(std::move(connection));
  supervisor_.acquire(now_, "office", "net", TriggeringPacket{});
  ASSERT_EQ(initiates().size(), 1U);
  const auto ike = ike_up();
  child_up(ike);
  supervisor_.acquire(now_, "office", "net", TriggeringPacket{});
  ASSERT_EQ(initiates().size(), 1U);
  child_up(ike);
  supervisor_.acquire(now_, "office", "net", TriggeringPacket{});
  EXPECT_TRUE(initiates().empty());  // not at once again
  wait(seconds(2));
  supervisor_.acquire(now_, "office", "net", TriggeringPacket{});
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Bench, WaitNeverStartsByItselfButUpTriesOnce) {
  auto connection = connection_named("office");
  connection.children[0].start = policy::StartMode::kWait;
  configure(std::move(connection));
  supervisor_.acquire(now_, "office", "net", std::nullopt);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
  ASSERT_TRUE(supervisor_.up(now_, "office", ""));
  EXPECT_EQ(initiates().size(), 1U);
  failed();
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
}

TEST_F(Bench, EveryAddressIsTriedInTurnAndNamesAreResolvedAnew) {
  configure(connection_named("office", {"192.0.2.1", "gw.example.com", "198.51.100.0/24"}));
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "192.0.2.1");
  const std::vector<IpAddress> two = {*IpAddress::parse("203.0.113.1"), *IpAddress::parse("2001:db8::1")};
  const std::vector<IpAddress> moved = {*IpAddress::parse("203.0.113.99")};
  for (const auto* expected : {"203.0.113.1", "2001:db8::1"}) {
    failed();
    wait(seconds(60));
    const auto asked = take<ResolveName>();
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].host, "gw.example.com");
    EXPECT_EQ(status().phase, SupervisorPhase::kResolving);
    supervisor_.resolved(now_, asked[0].request, two);
    EXPECT_EQ(initiates().at(0).remote.address.to_string(), expected);
  }
  failed();
  wait(seconds(60));
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "192.0.2.1");
  failed();
  wait(seconds(60));
  supervisor_.resolved(now_, take<ResolveName>().at(0).request, moved);
  EXPECT_EQ(initiates().at(0).remote.address.to_string(), "203.0.113.99");
}

TEST_F(Bench, ANameThatDoesNotResolveIsAFailureLikeAnyOther) {
  configure(connection_named("office", {"gw.example.com"}));
  const auto asked = take<ResolveName>();
  ASSERT_EQ(asked.size(), 1U);
  supervisor_.resolved(now_, asked[0].request, fail(ErrorCode::kNotFound, "no such name"));
  EXPECT_EQ(status().last_error->kind, FailureKind::kUnreachable);
  EXPECT_THAT(status().last_error->sentence, HasSubstr("gw.example.com"));
  wait(seconds(2));
  const auto again = take<ResolveName>();
  ASSERT_EQ(again.size(), 1U);
  supervisor_.resolved(now_, asked[0].request, std::vector<IpAddress>{IpAddress::v4(1)});  // the old question
  EXPECT_TRUE(initiates().empty());
  wait(seconds(61));  // the resolver never answers
  EXPECT_THAT(status().last_error->sentence, HasSubstr("60 s"));
}

TEST_F(Bench, LocalAddressesChooseTheFamily) {
  auto connection = connection_named("office", {"gw.example.com"});
  connection.local_addresses = {"2001:db8::2"};
  configure(std::move(connection));
  supervisor_.resolved(now_, take<ResolveName>().at(0).request,
                       std::vector<IpAddress>{*IpAddress::parse("203.0.113.1"), *IpAddress::parse("2001:db8::1")});
  const auto begun = initiates();
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].remote.to_string(), "[2001:db8::1]:500");
  EXPECT_EQ(begun[0].local.to_string(), "[2001:db8::2]:500");
}

TEST_F(Bench, NobodyToCallIsSaidAndDoesNotSpin) {
  configure(connection_named("office", {"198.51.100.0/24"}));
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
  EXPECT_LT(status().attempts, 200U);
  EXPECT_THAT(status().last_error->sentence, HasSubstr("remote_addresses"));
}

TEST_F(Bench, NetworkChangeRetriesNow) {
  configure(connection_named("office"));
  (void)initiates();
  for (int i = 0; i < 6; ++i) {
    failed();
    if (i == 5) break;
    ASSERT_GT(until_initiate(), Duration{0});
  }
  supervisor_.network_changed(now_);
  EXPECT_EQ(initiates().size(), 1U);
  supervisor_.network_changed(now_);
  EXPECT_TRUE(initiates().empty());  // never two at once
}

TEST_F(Bench, AnAttemptThatNobodyReportsOnEndsByItself) {
  configure(connection_named("office"));
  ASSERT_EQ(initiates().size(), 1U);
  wait(std::chrono::hours(1));
  EXPECT_GE(initiates().size(), 1U);
  supervisor_.refused(now_, "office", Error{ErrorCode::kExhausted, "too many IKE SAs"});
  EXPECT_THAT(status().last_error->sentence, HasSubstr("too many IKE SAs"));
}

TEST_F(Bench, ThePeerBringingTheChildEndsOurWaiting) {
  configure(connection_named("office"));
  (void)initiates();
  failed();
  child_up(ike_up());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
}

TEST_F(Bench, AnUnchangedConnectionIsLeftAloneByAReload) {
  const auto same = shared(connection_named("office"));
  supervisor_.configure(now_, {same});
  (void)initiates();
  child_up(ike_up());
  supervisor_.configure(now_, {same, shared(connection_named("branch"))});
  const auto begun = initiates();
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].connection, "branch");
  supervisor_.configure(now_, {same});
  EXPECT_EQ(supervisor_.status().size(), 1U);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(supervisor_.drain().empty());
}

// Whatever happens to an "always" connection: never two attempts at once, and in the end it is up.
TEST(SupervisorProperty, AlwaysConvergesAndNeverTriesTwiceAtOnce) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng script(seed), jitter(seed + 1);
    Supervisor supervisor(jitter);
    Now now{Instant(seconds(50)), UnixTime(seconds(1))};
    supervisor.configure(now, {shared(connection_named("office", {"192.0.2.1", "gw.example.com"}))});
    bool trying = false;
    std::uint64_t last = 0;
    std::set<std::uint64_t> ike_sas, children;
    std::optional<RequestId> question;
    const auto close_ike = [&](std::uint64_t id) {
      for (const auto child : std::exchange(children, {}))
        supervisor.handle(now, ChildSaClosed{"office", "net", {child}, {}, {}, false, "lost"});
      ike_sas.erase(id);
      supervisor.handle(now, IkeSaClosed{"office", {{id}, {1}}, {}});
    };
    const auto drain = [&] {
      for (const auto& command : supervisor.drain()) {
        if (std::holds_alternative<Initiate>(command)) {
          RC_ASSERT(!trying);
          trying = true;
        } else if (const auto* resolve = std::get_if<ResolveName>(&command)) {
          RC_ASSERT(!question.has_value());
          question = resolve->request;
        }
      }
    };
    const auto establish = [&] {
      if (ike_sas.empty()) {
        ike_sas.insert(++last);
        supervisor.handle(now, IkeSaEstablished{"office", {{last}, {1}}, true, false, {}, {}, false, {}, {}, {}, {}, {}});
      }
      children.insert(++last);
      trying = false;
      supervisor.handle(now, ChildSaEstablished{"office", "net", {}, {last}, {}, {}, false, false, {}, {}, {}});
    };
    for (int step = 0; step < 200; ++step) {
      drain();
      const auto dice = script.below(6);
      if (question && dice < 3) {
        const RequestId request = *std::exchange(question, std::nullopt);
        if (script.below(2) == 0)
          supervisor.resolved(now, request, std::vector<IpAddress>{IpAddress::v4(5)});
        else
          supervisor.resolved(now, request, fail(ErrorCode::kNotFound, "no"));
      } else if (trying && dice == 0) {
        establish();
      } else if (trying && dice == 1) {
        trying = false;
        supervisor.handle(now, NegotiationFailed{"office", ike_sas.empty() ? "" : "net", {}, {}});
      } else if (!trying && dice == 2 && !ike_sas.empty()) {
        close_ike(*ike_sas.begin());
      } else if (!trying && dice == 3 && !children.empty()) {
        const auto child = *children.begin();
        children.erase(child);
        supervisor.handle(now, ChildSaClosed{"office", "net", {child}, {}, {}, false, "lost"});
      } else if (dice == 4) {
        supervisor.network_changed(now);
      } else {
        now.monotonic += milliseconds(script.below(5000));
        if (!trying && !question) supervisor.advance(now);
      }
    }
    // The network heals: every question and every attempt succeeds.
    for (int step = 0; step < 200 && children.empty(); ++step) {
      drain();
      if (question) supervisor.resolved(now, *std::exchange(question, std::nullopt), std::vector<IpAddress>{IpAddress::v4(5)});
      drain();
      if (trying) establish();
      now.monotonic += seconds(5);
      if (!trying && !question) supervisor.advance(now);
    }
    drain();
    RC_ASSERT(!children.empty());
    RC_ASSERT(supervisor.status("office")->phase == SupervisorPhase::kUp);
  }));
}

}  // namespace
}  // namespace merlon::ike
