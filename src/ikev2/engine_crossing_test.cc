// Exchanges that cross while key exchanges take their time, and probes of the path's MTU.
#include <gmock/gmock.h>

#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

void rekey_child(Host& host) {
  ASSERT_TRUE(host.engine.rekey_child_sa(host.network.time(), "office", "net"));
  host.drain();
}
void rekey_ike(Host& host) {
  ASSERT_TRUE(host.engine.rekey_ike_sa(host.network.time(), "office"));
  host.drain();
}
void expect_one_of_each(const Pair& pair) {
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  ASSERT_EQ(pair.a.established().size(), 1U);
  ASSERT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.a.established().front().id, pair.b.established().front().id);
}

// The answer to our request may be here before ours to the peer's is ready (RFC 7296 2.8.1, 2.8.2).
class SlowKeyExchange : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Milliseconds, SlowKeyExchange, testing::Values(1, 4, 7, 11, 16, 25, 60));

TEST_P(SlowKeyExchange, CrossingRekeysLeaveOneChildSa) {
  for (int lead_ms = 0; lead_ms < 45; lead_ms += 3) {
    SCOPED_TRACE(lead_ms);
    Pair pair;
    for (auto* connection : {&pair.at_a(), &pair.at_b()})
      connection->children.front().proposals = {
          value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
    pair.up();
    pair.network.slow_actions = std::chrono::milliseconds(GetParam());
    rekey_child(pair.a);
    pair.network.run_for(std::chrono::milliseconds(lead_ms));
    rekey_child(pair.b);
    pair.network.run_for(std::chrono::seconds(20));
    expect_one_of_each(pair);
  }
}

TEST_P(SlowKeyExchange, CrossingRekeysLeaveOneIkeSa) {
  for (int lead_ms = 0; lead_ms < 45; lead_ms += 3) {
    SCOPED_TRACE(lead_ms);
    Pair pair;
    pair.up();
    pair.network.slow_actions = std::chrono::milliseconds(GetParam());
    rekey_ike(pair.a);
    pair.network.run_for(std::chrono::milliseconds(lead_ms));
    rekey_ike(pair.b);
    pair.network.run_for(std::chrono::seconds(60));
    expect_one_of_each(pair);
  }
}

// RFC 7296 2.8.2: b never hears our answer to its rekey, which lost, and forgets that rekey with the old IKE SA: so it
// cannot delete what we made for it.
TEST(Crossing, WhatOnlyWeKnowOfDoesNotStayLong) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    Pair pair;
    for (int i = 0; i < round; ++i) (void)pair.a.rng.next();  // other nonces
    pair.up();
    bool lost = false;
    pair.network.drop = [&](const Packet& packet) {
      const auto head = packet.header();
      return !lost && packet.source.address == pair.a.ip && head.flags.response &&
             head.exchange_type == wire::ExchangeType::kCreateChildSa && (lost = true);
    };
    rekey_ike(pair.a);
    rekey_ike(pair.b);
    pair.network.run_for(std::chrono::seconds(15));
    EXPECT_TRUE(lost);
    expect_one_of_each(pair);
  }
}

// RFC 7296 2.8.1: whose rekey lost must not begin another of the same SA, however late the peer hears that its own won.
TEST_P(SlowKeyExchange, ALostRekeyIsNotBegunAnew) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    Pair pair;
    for (int i = 0; i < round; ++i) (void)pair.a.rng.next();  // other nonces
    pair.up();
    pair.network.slow_actions = std::chrono::milliseconds(GetParam());
    bool cut = true;
    pair.network.drop = [&](const Packet& packet) {
      const auto head = packet.header();
      return cut && packet.source.address == pair.b.ip && head.flags.response &&
             head.exchange_type == wire::ExchangeType::kCreateChildSa;
    };
    rekey_child(pair.a);
    rekey_child(pair.b);
    pair.network.run_for(std::chrono::milliseconds(500));
    (void)pair.b.engine.rekey_child_sa(pair.network.time(), "office", "net");
    pair.b.drain();
    pair.network.run_for(std::chrono::milliseconds(500));
    cut = false;
    pair.network.run_for(std::chrono::seconds(60));
    expect_one_of_each(pair);
  }
}

// RFC 7296 2.8.2: the Delete of the old IKE SA comes while we still derive the secret of our own rekey of it, which lost.
// What that made is deleted like any other: nothing is left to a timeout.
TEST_P(SlowKeyExchange, TheSlowerOfTwoDeletesWhatItMade) {
  std::size_t in_time = 0;
  for (int late_ms = 0; late_ms < 200; ++late_ms) {
    SCOPED_TRACE(late_ms);
    Pair pair;
    for (int i = 0; i < late_ms; ++i) (void)pair.a.rng.next();  // other nonces
    pair.up();
    pair.a.slow_actions = std::chrono::milliseconds(GetParam());
    // The answer to what a asks is late; b's Delete, once a has answered what b asks, is not.
    Instant answered = kNever, deleted = kNever;
    pair.network.drop = [&](const Packet& packet) {
      const auto head = packet.header();
      if (packet.source.address != pair.b.ip) return false;
      if (!head.flags.response && head.exchange_type == wire::ExchangeType::kInformational)
        deleted = std::min(deleted, pair.network.now);
      if (!head.flags.response || head.exchange_type != wire::ExchangeType::kCreateChildSa) return false;
      answered = std::min(answered, pair.network.now + std::chrono::milliseconds(late_ms));
      pair.network.later(std::chrono::milliseconds(late_ms), [&, packet] { pair.network.inject(packet); });
      return true;
    };
    rekey_ike(pair.a);
    rekey_ike(pair.b);
    pair.network.run_for(std::chrono::seconds(3));
    if (answered < deleted) {
      ++in_time;
      for (const auto* host : {&pair.a, &pair.b})
        EXPECT_EQ(host->engine.status().size(), 1U) << host->name << " keeps what was replaced";
    }
    pair.network.run_for(std::chrono::seconds(60));
    expect_one_of_each(pair);
  }
  EXPECT_GE(in_time, 1U);
}

// ---- probes of the path

class PathProbe : public testing::Test {
 protected:
  void SetUp() override {
    pair.up();
    pair.network.sent.clear();
  }
  std::vector<ike::PathProbed> probe(unsigned size) {
    EXPECT_TRUE(pair.a.engine.probe_path(pair.network.time(), pair.b.ip, size));
    pair.a.drain();
    pair.network.run_for(std::chrono::seconds(10));
    return pair.a.engine.drain_path_probes();
  }
  static std::size_t datagram(const Packet& packet) {
    return packet.payload.size() + 8 + (packet.natt ? 4 : 0) + (packet.source.address.is_v4() ? 20 : 40);
  }
  Pair pair;
};

TEST_F(PathProbe, ArrivesAtExactlyItsSize) {
  for (const unsigned size : {576U, 1280U, 1281U, 1492U, 1500U, 9000U}) {
    pair.network.sent.clear();
    const auto found = probe(size);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().datagram_size, size);
    EXPECT_EQ(found.front().remote, pair.b.ip);
    EXPECT_TRUE(found.front().arrived);
    EXPECT_EQ(datagram(pair.network.sent.front()), size);
    EXPECT_EQ(pair.network.sent.size(), 2U);
  }
}

TEST_F(PathProbe, IsSentAgainInFragmentsWhereThePathIsNarrow) {
  pair.network.drop = [](const Packet& packet) { return datagram(packet) > 1300; };
  const auto found = probe(1500);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found.front().arrived);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.b.established().size(), 1U);
  for (std::size_t i = 1; i < pair.network.sent.size(); ++i) EXPECT_LE(datagram(pair.network.sent[i]), 1280U);
  // And the conversation goes on.
  rekey_child(pair.a);
  pair.network.run_for(std::chrono::seconds(5));
  expect_one_of_each(pair);
}

// RFC 7296 2.1: a retransmission is the same, bit for bit; only fragments (RFC 7383 2.5.2) may take its place.
TEST_F(PathProbe, IsSentAgainAsItWasWhereItNeedsNoFragments) {
  std::vector<Bytes> sent;
  pair.network.drop = [&](const Packet& packet) {
    sent.push_back(packet.payload);
    return sent.size() == 1;
  };
  ASSERT_EQ(probe(1000).size(), 1U);
  ASSERT_GE(sent.size(), 3U);
  EXPECT_EQ(sent[0], sent[1]);
}

TEST_F(PathProbe, NeedsAnIkeSaWhosePeerTakesFragments) {
  EXPECT_FALSE(pair.a.engine.probe_path(pair.network.time(), address("192.0.2.99"), 1500));
  Pair without;
  without.at_a().fragmentation = false;
  without.up();
  EXPECT_FALSE(without.a.engine.probe_path(without.network.time(), without.b.ip, 1500));
}

}  // namespace
}  // namespace merlon::ikev2::test
