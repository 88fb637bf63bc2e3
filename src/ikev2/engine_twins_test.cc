// Both ends begin the same Child SA at once, and one of the two is rekeyed before the other request arrives: of the two
// lines one stays. RFC 7296 says nothing of it; the rule is settle_twins()'s.
#include <gmock/gmock.h>

#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using wire::ExchangeType;

void begin_child(Host& host, Host& remote) {
  ASSERT_TRUE(host.initiate("office", remote, {"net"}));
}
void rekey_child(Host& host) {
  (void)host.engine.rekey_child_sa(host.network.time(), "office", "net");
  host.drain();
}
void rekey_ike(Host& host) {
  (void)host.engine.rekey_ike_sa(host.network.time(), "office");
  host.drain();
}
void end_child(Pair& pair) {
  // The end that began it may delete it at once; the other one waits until it knows that the answer has arrived.
  for (auto* host : {&pair.a, &pair.b}) {
    ASSERT_TRUE(host->engine.terminate(pair.network.time(), "office", "net"));
    host->drain();
  }
  pair.network.run_for(5s);
  ASSERT_TRUE(pair.a.installed.empty());
  ASSERT_TRUE(pair.b.installed.empty());
}
void expect_one_child(const Pair& pair) {
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  EXPECT_EQ(pair.a.spis.held(), 1U);
  EXPECT_EQ(pair.b.spis.held(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  for (const auto* host : {&pair.a, &pair.b}) {
    ASSERT_EQ(host->established().size(), 1U);
    ASSERT_EQ(host->established().front().children.size(), 1U);
    EXPECT_FALSE(host->established().front().children.front().rekeying) << host->name;
  }
}

// With a key exchange in CREATE_CHILD_SA and without one.
class Twins : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (GetParam() > 0)
      for (auto* connection : {&pair.at_a(), &pair.at_b()})
        connection->children.front().proposals = {
            value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
    pair.up();
    pair.network.slow_actions = std::chrono::milliseconds(GetParam());
  }
  // a's request for the child is lost at first, b's is not.
  void begin_both() {
    end_child(pair);
    pair.network.drop = [&](const Packet& packet) {
      const auto head = packet.header();
      return packet.source.address == pair.a.ip && !head.flags.response &&
             head.exchange_type == ExchangeType::kCreateChildSa;
    };
    begin_child(pair.a, pair.b);
    begin_child(pair.b, pair.a);
    pair.network.run_for(300ms);
    ASSERT_EQ(pair.a.installed.size(), 1U);
    ASSERT_EQ(pair.b.installed.size(), 1U);
  }
  Pair pair;
};
INSTANTIATE_TEST_SUITE_P(SlowForMs, Twins, testing::Values(0, 7, 35));

TEST_P(Twins, BothAtOnce) {
  for (int i = 0; i < 16; ++i) {
    SCOPED_TRACE(i);
    end_child(pair);
    begin_child(pair.a, pair.b);
    pair.network.run_for(std::chrono::milliseconds(i * 3));
    begin_child(pair.b, pair.a);
    pair.network.run_for(60s);
    expect_one_child(pair);
  }
}

TEST_P(Twins, TheHeirCountsForItsLine) {
  for (int i = 0; i < 16; ++i) {
    SCOPED_TRACE(i);
    begin_both();
    rekey_child(pair.b);
    pair.network.run_for(200ms);
    pair.network.drop = nullptr;
    pair.network.run_for(60s);
    expect_one_child(pair);
  }
}

// The rekey of one twin is in flight when the other one's request comes, at any moment of it, from either end.
TEST_P(Twins, TheRekeyCrossesTheRequest) {
  for (int lead_ms = -90; lead_ms < 90; lead_ms += 6) {
    SCOPED_TRACE(lead_ms);
    begin_both();
    // The request goes out again two seconds after the first time.
    pair.network.run_for(1700ms - std::chrono::milliseconds(lead_ms));
    pair.network.drop = nullptr;
    rekey_child(pair.b);
    rekey_child(pair.a);  // waits for the answer to the request
    pair.network.run_for(90s);
    expect_one_child(pair);
  }
}

TEST_P(Twins, HeirsAndRekeysOfTheIkeSaUnderLoss) {
  std::size_t lost_altogether = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Pair lossy;
    lossy.up();
    lossy.network.slow_actions = std::chrono::milliseconds(GetParam());
    end_child(lossy);
    SeededRng chaos(seed);
    lossy.network.drop = [&](const Packet&) { return chaos.below(100) < 30; };
    begin_child(lossy.a, lossy.b);
    begin_child(lossy.b, lossy.a);
    for (int i = 0; i < 8; ++i) {
      lossy.network.run_for(std::chrono::milliseconds(chaos.below(900)));
      auto& host = chaos.below(2) == 0 ? lossy.a : lossy.b;
      chaos.below(4) == 0 ? rekey_ike(host) : rekey_child(host);
    }
    lossy.network.drop = nullptr;
    lossy.network.run_for(150s);
    if (lossy.a.established().empty() || lossy.b.established().empty()) {
      ++lost_altogether;
      continue;
    }
    expect_one_child(lossy);
  }
  EXPECT_LT(lost_altogether, 20U);
}

// ---- two IKE SAs at once

// The IKE SA that goes was to make a child: the one that stays makes it, or whoever waits for it hears that it is gone.
TEST(IkeSaTwins, ChildrenGoToTheOneThatStays) {
  for (int lead_ms = 0; lead_ms < 32; lead_ms += 2) {
    SCOPED_TRACE(lead_ms);
    Pair pair;
    for (auto* office : {&pair.office_a, &pair.office_b}) {
      auto second = office->connection->children.front();
      second.name = "lab";
      for (auto* selectors : {&second.local_ts, &second.remote_ts})
        for (auto& one : *selectors)
          one = value(policy::parse_traffic_selector(
              policy::to_text(one).starts_with("10.1.") ? "10.3.0.0/16" : "10.4.0.0/16"));
      office->connection->children.push_back(second);
    }
    pair.configure();
    auto& first = lead_ms % 4 == 0 ? pair.a : pair.b;
    auto& other = &first == &pair.a ? pair.b : pair.a;
    ASSERT_TRUE(first.initiate("office", other, {"net", "lab"}));
    pair.network.run_for(std::chrono::milliseconds(lead_ms));
    ASSERT_TRUE(other.initiate("office", first, {"net"}));
    pair.network.run_for(20s);
    for (const auto* host : {&pair.a, &pair.b}) EXPECT_EQ(host->established().size(), 1U) << host->name;
    expect_in_step(pair.a, pair.b, "net");
    // It may have been made on the one that goes, just before it went: then that is told, and whoever wants it begins anew.
    const auto closed = first.events_of<ike::ChildSaClosed>();
    const bool told =
        std::any_of(closed.begin(), closed.end(), [](const auto* one) { return one->child == "lab"; });
    if (!told) expect_in_step(pair.a, pair.b, "lab");
  }
}

// ---- what a person ends before it began

TEST(Terminate, AQueuedChildIsToldOf) {
  Pair pair;
  pair.up();
  end_child(pair);
  // Something of ours is in flight, so the child waits for its turn.
  pair.a.engine.check_paths(pair.network.time());
  pair.a.drain();
  begin_child(pair.a, pair.b);
  EXPECT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  const auto failed = pair.a.events_of<ike::NegotiationFailed>();
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed.front()->child, "net");
  EXPECT_EQ(failed.front()->failure.kind, ike::FailureKind::kDeletedByUs);
  pair.network.run_for(5s);
  EXPECT_TRUE(pair.a.installed.empty());
}

}  // namespace
}  // namespace merlon::ikev2::test
