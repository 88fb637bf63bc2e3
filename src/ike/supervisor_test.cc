#include "ike/supervisor.h"

#include "ike/supervisor_test_bench.h"

namespace merlon::ike {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::connection_named;
using test::shared;
using testing::ElementsAre;
using testing::HasSubstr;

class Supervising : public test::SupervisorBench {};

TEST_F(Supervising, AlwaysStartsAtOnceAndStaysQuietWhileUp) {
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

TEST_F(Supervising, AlwaysComesBackForEverWithABackoffThatGrowsToItsCap) {
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

TEST_F(Supervising, AChildThatVanishesAloneIsMadeAgainOverTheSameIkeSa) {
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

TEST_F(Supervising, RekeysDoNotLookLikeLosses) {
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

TEST_F(Supervising, TheWholeIkeSaLostIsOneAttemptNotMany) {
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

TEST_F(Supervising, OneChildRefusedIsRetriedWhileTheOtherIsUp) {
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

TEST_F(Supervising, APeerThatAcceptsAndClosesAtOnceDoesNotMakeUsSpin) {
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

TEST_F(Supervising, DownHoldsUntilUp) {
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

TEST_F(Supervising, DownDuringAnAttemptEndsItAndUpRightAfterBringsItBack) {
  configure(connection_named("office"));
  (void)initiates();
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  EXPECT_EQ(take<Terminate>().size(), 1U);
  failed();  // the engine's word on the attempt that it aborted
  EXPECT_EQ(status().phase, SupervisorPhase::kDown);
  ASSERT_TRUE(supervisor_.up(now_, "office", "net"));
  EXPECT_EQ(initiates().size(), 1U);
}

TEST_F(Supervising, UpWhileTheOldSaIsStillClosingBringsAWaitingConnectionBack) {
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

// A person who restarts a tunnel is told that it is up only when the new one is, and does not wait for a backoff.
TEST_F(Supervising, UpRightAfterDownWaitsForTheOldSaToGoAndThenBeginsAtOnce) {
  configure(connection_named("office"));
  (void)initiates();
  const auto ike = ike_up();
  const auto child = child_up(ike);
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  ASSERT_TRUE(supervisor_.up(now_, "office", ""));
  EXPECT_EQ(status().phase, SupervisorPhase::kTrying);
  EXPECT_TRUE(status().children_up.empty());
  EXPECT_TRUE(initiates().empty()) << "over an IKE SA that is being deleted";
  child_closed(child);
  EXPECT_TRUE(initiates().empty()) << "over an IKE SA that is being deleted";
  EXPECT_EQ(status().phase, SupervisorPhase::kTrying);
  ike_closed(ike, FailureKind::kDeletedByUs);
  EXPECT_EQ(initiates().size(), 1U);
  EXPECT_EQ(status().failures, 0U);
  EXPECT_FALSE(status().last_error.has_value());
  child_up(ike_up());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
}

TEST_F(Supervising, UpOfOneChildRightAfterItsDownIsTheSame) {
  configure(connection_named("office"));
  (void)initiates();
  const auto child = child_up(ike_up());
  ASSERT_TRUE(supervisor_.down(now_, "office", "net"));
  ASSERT_TRUE(supervisor_.up(now_, "office", "net"));
  EXPECT_EQ(status().phase, SupervisorPhase::kTrying);
  child_closed(child);
  EXPECT_EQ(initiates().size(), 1U);
  EXPECT_EQ(status().failures, 0U);
}

TEST_F(Supervising, ThePeerMayComeWhileTheOldSaIsStillClosing) {
  configure(connection_named("office"));
  (void)initiates();
  const auto ike = ike_up();
  const auto child = child_up(ike);
  ASSERT_TRUE(supervisor_.down(now_, "office", ""));
  ASSERT_TRUE(supervisor_.up(now_, "office", ""));
  child_up(ike_up());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  child_closed(child);
  ike_closed(ike, FailureKind::kDeletedByUs);
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  EXPECT_TRUE(initiates().empty());
}

TEST_F(Supervising, OneChildDownLeavesTheOthersAlone) {
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

TEST_F(Supervising, OnTrafficTriesOncePerPacketAndNotInTheBackoff) {
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

TEST_F(Supervising, APacketThatTheSaDoesNotCarryAsksForOneMore) {
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

TEST_F(Supervising, WaitNeverStartsByItselfButUpTriesOnce) {
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

TEST_F(Supervising, NetworkChangeRetriesNow) {
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

TEST_F(Supervising, AnAttemptThatNobodyReportsOnEndsByItself) {
  configure(connection_named("office"));
  ASSERT_EQ(initiates().size(), 1U);
  wait(std::chrono::hours(1));
  EXPECT_GE(initiates().size(), 1U);
  supervisor_.refused(now_, "office", Error{ErrorCode::kExhausted, "too many IKE SAs"});
  EXPECT_THAT(status().last_error->sentence, HasSubstr("too many IKE SAs"));
}

TEST_F(Supervising, ThePeerBringingTheChildEndsOurWaiting) {
  configure(connection_named("office"));
  (void)initiates();
  failed();
  child_up(ike_up());
  EXPECT_EQ(status().phase, SupervisorPhase::kUp);
  wait(std::chrono::hours(1));
  EXPECT_TRUE(initiates().empty());
}

TEST_F(Supervising, AnUnchangedConnectionIsLeftAloneByAReload) {
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

}  // namespace
}  // namespace merlon::ike
