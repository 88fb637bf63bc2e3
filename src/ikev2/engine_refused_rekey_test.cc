// A rekey that the peer refuses: the SA lives on, and the rekey is tried again, less and less often, until the hard
// lifetime (RFC 7296 1.3, 2.8). People are told once.
#include <gmock/gmock.h>

#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using wire::ExchangeType;

class RefusedRekey : public testing::Test {
 protected:
  // The peer's mind changes after the tunnel is up: what it answers with is what it has in memory.
  void refuse_children() { pair.at_b().children.front().proposals = proposals("aes128gcm16-noesn"); }
  void accept_children() { pair.at_b().children.front().proposals = proposals("aes256gcm16-noesn"); }
  void refuse_ike() {
    pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128gcm16-prfsha256-x25519"))};
  }
  void accept_ike() {
    pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519"))};
  }
  static std::vector<policy::Proposal> proposals(std::string_view text) {
    return {value(policy::parse_esp_proposal(text))};
  }
  // When a's CREATE_CHILD_SA requests went out, since the pair was up.
  std::vector<Duration> requests() const {
    std::vector<Duration> at;
    for (const auto& [when, id] : seen_) at.push_back(when - began_);
    return at;
  }
  void up() {
    pair.up();
    began_ = pair.network.now;
    pair.network.drop = [this](const Packet& packet) {
      const auto head = packet.header();
      if (packet.source.address == pair.a.ip && !head.flags.response &&
          head.exchange_type == ExchangeType::kCreateChildSa)
        seen_.emplace(pair.network.now, head.message_id.value);
      return false;
    };
  }
  std::size_t told() const { return pair.a.count<ike::NegotiationFailed>(); }

  Pair pair;

 private:
  Instant began_{};
  std::multimap<Instant, std::uint32_t> seen_;
};

TEST_F(RefusedRekey, OfAChildIsTriedAgainUntilTheHardLifetime) {
  auto& lifetime = pair.at_a().children.front().lifetime;
  lifetime.soft = 100s;
  lifetime.jitter = 0s;
  lifetime.hard = 400s;
  up();
  refuse_children();
  pair.network.run_for(390s);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  const auto at = requests();
  ASSERT_GE(at.size(), 4U);
  EXPECT_LE(at.size(), 8U);
  for (std::size_t i = 2; i < at.size(); ++i) {
    EXPECT_GE(at[i] - at[i - 1], 5s);
    EXPECT_GE(at[i] - at[i - 1] + 1s, (at[1] - at[0]) * (1 << (i - 1)) / 2) << "it backs off";
  }
  EXPECT_EQ(told(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->child, "net");
  pair.network.run_for(30s);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_TRUE(pair.b.installed.empty());
  const auto before = requests().size();
  pair.network.run_for(1000s);
  EXPECT_EQ(requests().size(), before) << "what is gone is not rekeyed";
}

TEST_F(RefusedRekey, OfAChildSucceedsWhenThePeerChangesItsMind) {
  auto& lifetime = pair.at_a().children.front().lifetime;
  lifetime.soft = 100s;
  lifetime.jitter = 0s;
  lifetime.hard = 400s;
  up();
  const auto first = pair.a.outbound("net")->sa->id;
  refuse_children();
  pair.network.run_for(130s);
  accept_children();
  pair.network.run_for(60s);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_NE(pair.a.outbound("net")->sa->id, first);
  EXPECT_EQ(told(), 1U);
  // The new one begins anew: it is told of again, and its waits are short again.
  refuse_children();
  pair.network.run_for(130s);
  EXPECT_EQ(told(), 2U);
}

TEST_F(RefusedRekey, ForTrafficSelectors) {
  auto& lifetime = pair.at_a().children.front().lifetime;
  lifetime.soft = 100s;
  lifetime.jitter = 0s;
  up();
  const auto first = pair.a.outbound("net")->sa->id;
  const auto kept = std::exchange(pair.at_b().children.front().remote_ts,
                                  value(policy::parse_traffic_selectors("10.9.0.0/16")));
  pair.network.run_for(130s);
  EXPECT_GE(requests().size(), 2U);
  EXPECT_EQ(told(), 1U);
  pair.at_b().children.front().remote_ts = kept;
  pair.network.run_for(60s);
  EXPECT_NE(pair.a.outbound("net")->sa->id, first);
  EXPECT_EQ(pair.a.installed.size(), 1U);
}

TEST_F(RefusedRekey, OfTheIkeSaIsTriedAgain) {
  pair.at_a().ike_lifetime.soft = 100s;
  pair.at_a().ike_lifetime.jitter = 0s;
  pair.at_a().ike_lifetime.hard = 900s;
  up();
  const auto first = pair.a.established().front().id;
  refuse_ike();
  pair.network.run_for(200s);
  const auto at = requests();
  ASSERT_GE(at.size(), 4U);
  EXPECT_LE(at.size(), 6U);
  EXPECT_EQ(told(), 1U);
  ASSERT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.a.established().front().id, first);
  accept_ike();
  pair.network.run_for(160s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  EXPECT_NE(pair.a.established().front().id, first);
  EXPECT_EQ(pair.a.established().front().id, pair.b.established().front().id);
  EXPECT_EQ(told(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

// A person does not wait for the end of the backoff, and gets an answer.
TEST_F(RefusedRekey, ACommandTriesAtOnce) {
  up();
  refuse_children();
  const auto command = [&] {
    ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
    pair.a.drain();
    pair.network.run_for(1s);
  };
  command();
  EXPECT_EQ(requests().size(), 1U);
  command();
  EXPECT_EQ(requests().size(), 2U);
  EXPECT_EQ(told(), 2U);
  refuse_ike();
  for (int i = 0; i < 2; ++i) {
    const auto before = requests().size();
    ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
    pair.a.drain();
    pair.network.run_for(1s);
    EXPECT_EQ(requests().size(), before + 1);
  }
  EXPECT_EQ(told(), 4U);
}

// The same SA, another reason: that is news.
TEST_F(RefusedRekey, AnotherReasonIsTold) {
  auto& lifetime = pair.at_a().children.front().lifetime;
  lifetime.soft = 100s;
  lifetime.jitter = 0s;
  up();
  refuse_children();
  pair.network.run_for(130s);
  EXPECT_EQ(told(), 1U);
  accept_children();
  pair.at_b().children.front().remote_ts = value(policy::parse_traffic_selectors("10.9.0.0/16"));
  pair.network.run_for(60s);
  EXPECT_EQ(told(), 2U);
}

}  // namespace
}  // namespace merlon::ikev2::test
