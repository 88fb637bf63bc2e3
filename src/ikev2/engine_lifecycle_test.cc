// CREATE_CHILD_SA and INFORMATIONAL between two engines: rekeys, deletes, their collisions, liveness,
// lifetimes.
#include <gmock/gmock.h>

#include "ikev2/collision.h"
#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using ike::FailureKind;
using wire::ExchangeType;

void rekey_child(Host& host) {
  ASSERT_TRUE(host.engine.rekey_child_sa(host.network.time(), "office", "net"));
  host.drain();
}
void rekey_ike(Host& host) {
  ASSERT_TRUE(host.engine.rekey_ike_sa(host.network.time(), "office"));
  host.drain();
}
void terminate(Host& host, const std::string& child = "") {
  ASSERT_TRUE(host.engine.terminate(host.network.time(), "office", child));
  host.drain();
}
// One SA pair is left on each side, and it is the same one.
void expect_one_child(Pair& pair) {
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  EXPECT_EQ(pair.a.spis.held(), 1U);
  EXPECT_EQ(pair.b.spis.held(), 1U);
}
void expect_one_ike(Pair& pair) {
  ASSERT_EQ(pair.a.engine.status().size(), 1U);
  ASSERT_EQ(pair.b.engine.status().size(), 1U);
  EXPECT_EQ(pair.a.engine.status().front().id, pair.b.engine.status().front().id);
  EXPECT_EQ(pair.a.engine.status().front().phase, "established");
}
std::uint64_t collisions(const Host& host, std::string_view row_name) {
  for (std::size_t row = 0; row < ike::Counters::kMaxCollisionRows; ++row)
    if (collision_row_name(row) == row_name) return host.engine.counters().collisions(row);
  ADD_FAILURE() << "no row " << row_name;
  return 0;
}

class Rekeys : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam())
      for (auto* connection : {&pair.at_a(), &pair.at_b()})
        connection->children.front().proposals = {
            value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
    pair.up();
  }
  Pair pair;
};
INSTANTIATE_TEST_SUITE_P(Pfs, Rekeys, testing::Bool());

TEST_P(Rekeys, ChildFromEachSide) {
  for (auto* host : {&pair.a, &pair.b, &pair.a}) {
    const auto before = pair.a.outbound("net")->sa->id;
    rekey_child(*host);
    pair.network.run_for(5s);
    EXPECT_NE(pair.a.outbound("net")->sa->id.value, before.value);
    expect_one_child(pair);
  }
  EXPECT_EQ(pair.a.count<ike::ChildSaEstablished>(), 4U);
  for (const auto* closed : pair.a.events_of<ike::ChildSaClosed>()) EXPECT_TRUE(closed->replaced);
}

// At every single moment of a rekey, both directions have an SA that both ends know.
TEST_P(Rekeys, NoPacketIsLostAtAnyMoment) {
  for (auto* host : {&pair.a, &pair.b}) {
    rekey_child(*host);
    const auto end = pair.network.now + 5s;
    for (;;) {
      expect_in_step(pair.a, pair.b, "net");
      if (!pair.network.step(end)) break;
    }
  }
}

TEST_P(Rekeys, TheResponderMovesWhenPacketsCome) {
  rekey_child(pair.a);
  pair.network.drop = [](const Packet& packet) {
    return packet.header().exchange_type == ExchangeType::kInformational;
  };
  pair.network.run_for(500ms);
  const auto* next = pair.a.outbound("net");
  const auto* at_b = pair.b.by_inbound(next->sa->outbound_spi);
  EXPECT_FALSE(at_b->use_outbound);
  pair.b.packet_arrived(*at_b);
  EXPECT_TRUE(at_b->use_outbound);
  expect_in_step(pair.a, pair.b, "net");
  pair.network.drop = nullptr;
  pair.network.run_for(10s);
  expect_one_child(pair);
}

TEST_P(Rekeys, BothAtOnceLeaveOne) {
  rekey_child(pair.a);
  rekey_child(pair.b);
  const auto end = pair.network.now + 8s;
  for (;;) {
    expect_in_step(pair.a, pair.b, "net");
    if (!pair.network.step(end)) break;
  }
  expect_one_child(pair);
  EXPECT_EQ(collisions(pair.a, "rekey-child/rekeying-it"), 1U);
  EXPECT_EQ(collisions(pair.b, "rekey-child/rekeying-it"), 1U);
}

TEST_P(Rekeys, BothAtOnceWithEachMessageLost) {
  for (std::size_t lost = 0; lost < 10; ++lost) {
    std::size_t seen = 0;
    pair.network.drop = [&seen, lost](const Packet&) { return seen++ == lost; };
    rekey_child(pair.a);
    rekey_child(pair.b);
    pair.network.run_for(30s);
    pair.network.drop = nullptr;
    SCOPED_TRACE(lost);
    expect_one_child(pair);
    expect_one_ike(pair);
  }
}

TEST_P(Rekeys, RekeyAgainstDelete) {
  rekey_child(pair.a);
  terminate(pair.b, "net");
  pair.network.run_for(60s);
  // The delete wins, or the child is made anew; what never happens is that the two ends disagree.
  EXPECT_EQ(pair.a.installed.size(), pair.b.installed.size());
  EXPECT_EQ(pair.a.spis.held(), pair.a.installed.size());
  EXPECT_EQ(pair.b.spis.held(), pair.b.installed.size());
  if (!pair.a.installed.empty()) expect_one_child(pair);
  expect_one_ike(pair);
}

TEST(Lifecycle, IkeSaFromEachSide) {
  Pair pair;
  pair.up();
  for (auto* host : {&pair.a, &pair.b, &pair.a}) {
    const auto before = pair.a.established().front().id;
    const auto child = pair.a.outbound("net")->sa->id;
    rekey_ike(*host);
    pair.network.run_for(5s);
    expect_one_ike(pair);
    EXPECT_NE(pair.a.established().front().id, before);
    EXPECT_EQ(pair.a.outbound("net")->sa->id.value, child.value) << "the child must not notice";
    expect_one_child(pair);
    rekey_child(host == &pair.a ? pair.b : pair.a);
    pair.network.run_for(5s);
    expect_one_child(pair);
  }
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kIkeSasRekeyed), 3U);
  EXPECT_EQ(pair.a.count<ike::ChildSaClosed>(), 3U);
}

TEST(Lifecycle, IkeSaFromBothSidesAtOnce) {
  Pair pair;
  pair.up();
  rekey_ike(pair.a);
  rekey_ike(pair.b);
  pair.network.run_for(8s);
  expect_one_ike(pair);
  expect_one_child(pair);
  EXPECT_EQ(collisions(pair.a, "rekey-ike/rekeying-ike"), 1U);
  terminate(pair.a);
  pair.network.run_for(30s);
  pair.expect_clean();
}

TEST(Lifecycle, IkeSaFromBothSidesWithEachMessageLost) {
  for (std::size_t lost = 0; lost < 12; ++lost) {
    SCOPED_TRACE(lost);
    Pair pair;
    pair.up();
    std::size_t seen = 0;
    pair.network.drop = [&seen, lost](const Packet&) { return seen++ == lost; };
    rekey_ike(pair.a);
    rekey_ike(pair.b);
    pair.network.run_for(90s);
    expect_one_ike(pair);
    expect_one_child(pair);
  }
}

TEST(Lifecycle, IkeAndChildRekeyCross) {
  for (const auto delay : {0ms, 5ms, 15ms, 25ms}) {
    Pair pair;
    pair.up();
    rekey_ike(pair.a);
    pair.network.run_for(delay);
    rekey_child(pair.b);
    pair.network.run_for(60s);
    SCOPED_TRACE(delay.count());
    expect_one_ike(pair);
    expect_one_child(pair);
    EXPECT_GE(pair.b.engine.counters().value(Counter::kChildSasRekeyed), 1U);
  }
}

TEST(Lifecycle, EverythingAtOnceUnderLoss) {
  std::size_t lost_altogether = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    if (const char* only = std::getenv("MERLON_TEST_SEED"); only && std::to_string(seed) != only) continue;
    EngineOptions options;
    options.trace_all = std::getenv("MERLON_TEST_TRACE") != nullptr;
    Pair pair(options, options);
    pair.network.slow_actions = seed % 2 == 0 ? Duration(0) : Duration(7ms);
    pair.up();
    SeededRng chaos(seed);
    pair.network.drop = [&](const Packet&) { return chaos.below(100) < 25; };
    for (int i = 0; i < 12; ++i) {
      auto& host = chaos.below(2) == 0 ? pair.a : pair.b;
      if (chaos.below(3) == 0)
        (void)host.engine.rekey_ike_sa(pair.network.time(), "office");
      else
        (void)host.engine.rekey_child_sa(pair.network.time(), "office", "net");
      host.drain();
      pair.network.run_for(std::chrono::milliseconds(chaos.below(400)));
    }
    pair.network.drop = nullptr;
    pair.network.run_for(150s);
    if (pair.a.established().empty() || pair.b.established().empty()) {  // seven losses in a row do happen
      ++lost_altogether;
      continue;
    }
    expect_one_ike(pair);
    expect_one_child(pair);
  }
  EXPECT_LT(lost_altogether, 40U);
}

TEST(Lifecycle, ADeletedChildGoesOnBothSides) {
  Pair pair;
  pair.up();
  terminate(pair.b, "net");
  pair.network.run_for(5s);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.a.spis.held() + pair.b.spis.held(), 0U);
  expect_one_ike(pair);
  EXPECT_FALSE(pair.a.events_of<ike::ChildSaClosed>().front()->replaced);
  // And comes back on request.
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(5s);
  expect_one_child(pair);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kIkeSasEstablished), 1U);
}

TEST(Lifecycle, BothDeleteTheChildAtOnce) {
  Pair pair;
  pair.up();
  terminate(pair.a, "net");
  terminate(pair.b, "net");
  pair.network.run_for(5s);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
  expect_one_ike(pair);
  EXPECT_EQ(collisions(pair.a, "delete-child/deleting-it"), 1U);
}

TEST(Lifecycle, BothDeleteTheIkeSaAtOnce) {
  Pair pair;
  pair.up();
  terminate(pair.a);
  terminate(pair.b);
  pair.network.run_for(30s);
  pair.expect_clean();
}

TEST(Lifecycle, SeveralChildrenShareOneIkeSa) {
  Pair pair;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) {
    auto more = connection->children.front();
    more.name = "phones";
    const bool is_a = connection == &pair.at_a();
    more.local_ts = value(policy::parse_traffic_selectors(is_a ? "10.3.0.0/16" : "10.4.0.0/16"));
    more.remote_ts = value(policy::parse_traffic_selectors(is_a ? "10.4.0.0/16" : "10.3.0.0/16"));
    connection->children.push_back(more);
  }
  pair.up();
  expect_in_step(pair.a, pair.b, "phones");
  EXPECT_EQ(pair.a.installed.size(), 2U);
  // One delete message for both.
  const auto before = pair.network.sent.size();
  terminate(pair.a, "net");
  ASSERT_TRUE(pair.a.engine.acquire(pair.network.time(), "office", "phones", {}, {}, std::nullopt));
  pair.network.run_for(5s);
  EXPECT_EQ(pair.network.sent.size(), before + 2);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  expect_in_step(pair.a, pair.b, "phones");
}

TEST(Lifecycle, APacketAsksForItsChild) {
  Pair pair;
  pair.configure();
  const Engine::TriggeringPacket packet{value(policy::parse_traffic_selector("10.1.0.7[tcp/40000]")),
                                        value(policy::parse_traffic_selector("10.2.0.9[tcp/22]"))};
  ASSERT_TRUE(
      pair.a.engine.acquire(pair.network.time(), "office", "net", {pair.a.ip, 0}, {pair.b.ip, 500}, packet));
  pair.a.drain();
  pair.network.run_for(2s);
  expect_in_step(pair.a, pair.b, "net");
}

// It asked before a reload, and the child's selectors are others now: nothing wider than these may be negotiated.
TEST(Lifecycle, APacketOutsideOfTheChildWidensNothing) {
  Pair pair;
  pair.at_b().children.front().local_ts = value(policy::parse_traffic_selectors("10.0.0.0/8"));
  pair.at_b().children.front().remote_ts = value(policy::parse_traffic_selectors("10.0.0.0/8"));
  pair.configure();
  const Engine::TriggeringPacket packet{value(policy::parse_traffic_selector("10.8.0.7[tcp/40000]")),
                                        value(policy::parse_traffic_selector("10.9.0.9[tcp/22]"))};
  ASSERT_TRUE(
      pair.a.engine.acquire(pair.network.time(), "office", "net", {pair.a.ip, 0}, {pair.b.ip, 500}, packet));
  pair.a.drain();
  pair.network.run_for(2s);
  ASSERT_NE(pair.a.outbound("net"), nullptr);
  EXPECT_EQ(pair.a.outbound("net")->sa->local_ts, pair.at_a().children.front().local_ts);
  EXPECT_EQ(pair.a.outbound("net")->sa->remote_ts, pair.at_a().children.front().remote_ts);
}

// RFC 7296 2.9: the peer takes less than we want. Packets that it does not take must not have one Child SA after the other made.
TEST(Lifecycle, PacketsThatThePeerDoesNotTakeAskSeldom) {
  Pair pair;
  pair.at_b().children.front().local_ts = value(policy::parse_traffic_selectors("10.2.0.0/17"));
  pair.up();
  const Engine::TriggeringPacket packet{value(policy::parse_traffic_selector("10.1.0.7[tcp/40000]")),
                                        value(policy::parse_traffic_selector("10.2.200.9[tcp/22]"))};
  const auto ask = [&] {
    EXPECT_TRUE(pair.a.engine.acquire(pair.network.time(), "office", "net", {pair.a.ip, 0}, {pair.b.ip, 500},
                                      packet));
    pair.a.drain();
    pair.network.run_for(1s);
  };
  for (int i = 0; i < 60; ++i) ask();
  EXPECT_EQ(pair.a.count<ike::ChildSaEstablished>(), 2U) << "one for trying";
  EXPECT_EQ(pair.a.installed.size(), 1U) << "which is no use";
  EXPECT_EQ(pair.b.installed.size(), 1U);
  pair.network.run_for(600s);
  ask();
  EXPECT_EQ(pair.a.count<ike::ChildSaEstablished>(), 3U) << "the peer's configuration may have changed";
  // What lies within is not concerned.
  EXPECT_NE(pair.a.outbound("net"), nullptr);
}

// The one that stands may have been begun by the peer: then both know which of the two goes, and never both.
TEST(Lifecycle, OfTwoThatAPacketMadeOneIsAlwaysLeft) {
  for (std::size_t seed = 1; seed <= 8; ++seed) {
    Pair pair;
    (void)pair.b.rng.bytes(seed);  // other nonces
    pair.at_b().children.front().local_ts = value(policy::parse_traffic_selectors("10.2.0.0/17"));
    pair.configure();
    ASSERT_TRUE(pair.b.initiate("office", pair.a));
    pair.network.run_for(2s);
    const Engine::TriggeringPacket packet{value(policy::parse_traffic_selector("10.1.0.7[tcp/40000]")),
                                          value(policy::parse_traffic_selector("10.2.200.9[tcp/22]"))};
    ASSERT_TRUE(pair.a.engine.acquire(pair.network.time(), "office", "net", {pair.a.ip, 0}, {pair.b.ip, 500},
                                      packet));
    pair.a.drain();
    for (int i = 0; i < 400; ++i) {
      pair.network.run_for(1ms);
      ASSERT_NE(pair.a.outbound("net"), nullptr);
      ASSERT_NE(pair.b.outbound("net"), nullptr);
    }
    pair.network.run_for(40s);
    EXPECT_EQ(pair.a.installed.size(), 1U);
    EXPECT_EQ(pair.b.installed.size(), 1U);
    expect_in_step(pair.a, pair.b, "net");
  }
}

TEST(Lifecycle, SoftLifetimesRekeyHardOnesEnd) {
  Pair pair;
  auto& lifetime = pair.at_a().children.front().lifetime;
  lifetime.soft = 100s;
  lifetime.jitter = 20s;
  lifetime.hard = 150s;
  pair.at_a().ike_lifetime.soft = 250s;
  pair.at_a().ike_lifetime.hard = 300s;
  pair.up();
  pair.network.run_for(1000s);
  expect_one_ike(pair);
  expect_one_child(pair);
  EXPECT_GE(pair.a.engine.counters().value(Counter::kChildSasRekeyed), 9U);
  EXPECT_GE(pair.a.engine.counters().value(Counter::kIkeSasRekeyed), 3U);
}

TEST(Lifecycle, HardLifetimeWithoutARekeyEndsTheChild) {
  Pair pair;
  pair.at_a().children.front().lifetime.hard = 60s;
  pair.up();
  pair.network.run_for(70s);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
  expect_one_ike(pair);
}

// It is replaced, and its hard lifetime ends while late packets are still taken on it.
TEST(Lifecycle, NoReplacedChildOutlivesItsHardLifetime) {
  Pair pair;
  pair.at_a().children.front().lifetime.hard = 60s;
  pair.up();  // two seconds
  const auto first = pair.a.outbound("net")->sa->id;
  pair.network.run_for(57s);
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(500ms);
  ASSERT_EQ(pair.a.installed.size(), 2U) << "late packets are taken";
  pair.network.run_for(1s);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_NE(pair.a.outbound("net")->sa->id.value, first.value);
  EXPECT_GT(pair.a.engine.next_deadline(), pair.network.time().monotonic);
}

TEST(Lifecycle, ThePacketEngineReportsExpiry) {
  Pair pair;
  pair.up();
  const auto first = pair.b.outbound("net")->sa->id;
  pair.b.report(ike::ChildSaSoftExpired{first});
  pair.network.run_for(5s);
  expect_one_child(pair);
  EXPECT_NE(pair.b.outbound("net")->sa->id.value, first.value);
  pair.b.report(ike::ChildSaHardExpired{pair.b.outbound("net")->sa->id});
  pair.network.run_for(5s);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
}

TEST(Lifecycle, ADeadPeerIsFound) {
  Pair pair;
  pair.at_a().liveness_interval = 30s;
  pair.up();
  pair.b.alive = false;
  pair.network.run_for(200s);
  ASSERT_EQ(pair.a.count<ike::IkeSaClosed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::IkeSaClosed>().front()->reason.kind, FailureKind::kLiveness);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

TEST(Lifecycle, PacketsProveLifeSoNobodyAsks) {
  Pair pair;
  pair.at_a().liveness_interval = 30s;
  pair.up();
  for (int i = 0; i < 10; ++i) {
    pair.network.run_for(20s);
    pair.a.packet_arrived(*pair.a.outbound("net"));
  }
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kLivenessChecks), 0U);
  pair.network.run_for(31s);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kLivenessChecks), 1U);
}

TEST(Lifecycle, ARestartedPeerReplacesItsOldIkeSa) {
  Pair pair;
  pair.up();
  // The same gateway after a kill -9: another engine at the same address.
  pair.a.alive = false;
  Host again(pair.network, "a again", "192.0.2.1");
  again.configure({pair.office_a.connection}, credentials_of({pair.office_a}));
  ASSERT_TRUE(again.initiate("office", pair.b));
  pair.network.run_for(5s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kInitialContactsReceived),
            2U);  // each was the first that it knew
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  expect_in_step(again, pair.b, "net");
}

TEST(Lifecycle, BothBeginAtOnceAndOneIkeSaStays) {
  Pair pair;
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  ASSERT_TRUE(pair.b.initiate("office", pair.a));
  pair.network.run_for(20s);
  expect_one_ike(pair);
  expect_one_child(pair);
}

TEST(Lifecycle, AReloadTouchesOnlyWhatChanged) {
  Pair pair;
  pair.up();
  const auto id = pair.a.established().front().id;
  // Another liveness interval is taken over; the tunnel does not notice.
  auto changed = pair.office_a;
  changed.connection = std::make_shared<policy::Connection>(*pair.office_a.connection);
  changed.connection->liveness_interval = 5s;
  pair.a.configure({changed.connection}, credentials_of({changed}));
  pair.network.run_for(12s);
  EXPECT_EQ(pair.a.established().front().id, id);
  EXPECT_GE(pair.a.engine.counters().value(Counter::kLivenessChecks), 1U);
  // Another child: only the child goes.
  auto other = changed;
  other.connection = std::make_shared<policy::Connection>(*changed.connection);
  other.connection->children.front().remote_ts = value(policy::parse_traffic_selectors("10.2.5.0/24"));
  pair.a.configure({other.connection}, credentials_of({other}));
  pair.network.run_for(3s);
  EXPECT_EQ(pair.a.established().front().id, id);
  EXPECT_TRUE(pair.a.installed.empty());
  // Gone from the configuration: deleted, and the peer told.
  pair.a.configure({}, nullptr);
  pair.network.run_for(30s);
  pair.expect_clean();
}

TEST(Lifecycle, ShuttingDownTellsThePeer) {
  Pair pair;
  pair.up();
  pair.a.engine.shut_down(pair.network.time());
  pair.a.drain();
  EXPECT_FALSE(pair.a.engine.idle());
  pair.network.run_for(2s);
  EXPECT_TRUE(pair.a.engine.idle());
  EXPECT_TRUE(pair.b.engine.idle());
  pair.expect_clean();
}

TEST(Lifecycle, AnInvalidKeInARekeyIsTriedAgain) {
  Pair pair;
  pair.at_a().children.front().proposals = {
      value(policy::parse_esp_proposal("aes256gcm16-x25519-ecp256-noesn"))};
  pair.at_b().children.front().proposals = {value(policy::parse_esp_proposal("aes256gcm16-ecp256-noesn"))};
  pair.at_a().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519-ecp256"))};
  pair.up();
  rekey_child(pair.a);
  pair.network.run_for(5s);
  expect_one_child(pair);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kInvalidKeRetries), 1U);
}

TEST(Lifecycle, PathsAreAskedOnCommand) {
  Pair pair;
  pair.up();
  pair.a.engine.check_paths(pair.network.time());
  pair.a.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kLivenessChecks), 1U);
  EXPECT_EQ(pair.network.sent.size(), 6U);
}

}  // namespace
}  // namespace merlon::ikev2::test
