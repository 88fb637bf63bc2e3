// RFC 9611: several Child SAs with the same selectors. What stands on the wire is read by the other end's engine, which
// is told nothing but the datagrams.
#include "ikev2/per_resource.h"

#include <gmock/gmock.h>

#include <set>

#include "ikev2/engine_test_hostile.h"
#include "policy/proposal_select.h"

namespace merlon::ikev2::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct PerResource : testing::Test {
  PerResource() {
    // RFC 9611 3: all of them have the same algorithms, also those that IKE_AUTH did not make.
    for (auto* at : {&pair.at_a(), &pair.at_b()})
      at->children.front().proposals = {value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn")),
                                        value(policy::parse_esp_proposal("aes256gcm16-noesn"))};
  }
  void want(unsigned at_a, unsigned at_b) {
    pair.at_a().children.front().parallel = at_a;
    pair.at_b().children.front().parallel = at_b;
  }
  void begin() {
    pair.configure();
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(5s);
  }
  // The numbers of those that carry packets out; each has its other half at the other end.
  static std::multiset<int> resources(const Host& host, const Host& other) {
    std::multiset<int> found;
    for (const auto& [id, one] : host.installed) {
      if (one.use_outbound) found.insert(one.sa->resource ? static_cast<int>(*one.sa->resource) : -1);
      const unsigned place = host.spis.place_of(one.sa->inbound_spi);
      EXPECT_EQ(place, one.sa->resource.value_or(place)) << "the SPI names another worker";
      const auto* far = other.by_inbound(one.sa->outbound_spi);
      EXPECT_NE(far, nullptr);
      if (far) expect_mirrored(*one.sa, *far->sa);
    }
    return found;
  }
  void expect(const std::multiset<int>& wanted) {
    EXPECT_EQ(resources(pair.a, pair.b), wanted);
    EXPECT_EQ(resources(pair.b, pair.a), wanted);
  }
  Pair pair;
};

TEST_F(PerResource, OneForEachWorker) {
  want(4, 4);
  begin();
  expect({0, 1, 2, 3});
  std::set<std::uint32_t> spis;
  for (const auto& [id, one] : pair.a.installed) spis.insert(one.sa->inbound_spi.value);
  EXPECT_EQ(spis.size(), 4U);
  for (const auto* host : {&pair.a, &pair.b}) EXPECT_EQ(host->count<ike::NegotiationFailed>(), 0U);
}

TEST_F(PerResource, AsManyAsThereAreWorkers) {
  EngineOptions three;
  three.data_workers = 3;
  Pair other(three, three);
  other.at_a().children.front().parallel = other.at_b().children.front().parallel = 0;
  other.up();
  other.network.run_for(5s);
  EXPECT_EQ(resources(other.a, other.b), (std::multiset{0, 1, 2}));
}

// RFC 9611 3: a peer that does not know the notification leaves it out of its answer, and there is one Child SA.
TEST_F(PerResource, APeerThatKnowsNothingOfIt) {
  want(4, 1);
  begin();
  expect({-1});
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
}
TEST_F(PerResource, APeerThatDoesNotAsk) {
  want(1, 4);
  begin();
  expect({-1});
}

// RFC 9611 4: TS_MAX_QUEUE ends it; what stands stays, and nobody calls that a failure.
TEST_F(PerResource, ThePeerHasFewer) {
  want(4, 2);
  begin();
  expect({0, 1});
  EXPECT_EQ(pair.b.engine.counters().notifies_sent(static_cast<std::uint16_t>(wire::NotifyType::kTsMaxQueue)),
            1U);
  for (const auto* host : {&pair.a, &pair.b}) EXPECT_EQ(host->count<ike::NegotiationFailed>(), 0U);
  const auto said = pair.network.sent.size();
  pair.network.run_for(10min);
  EXPECT_EQ(pair.network.sent.size(), said) << "it is not asked again";
}

// RFC 9611 3: a rekeyed one stays with its resource, at both ends, whoever rekeys.
TEST_F(PerResource, ARekeyKeepsTheNumber) {
  want(3, 3);
  begin();
  for (auto* host : {&pair.a, &pair.b}) {
    ASSERT_TRUE(host->engine.rekey_child_sa(pair.network.time(), "office", "net"));
    host->drain();
    pair.network.run_for(10s);
    expect({0, 1, 2});
  }
  ASSERT_TRUE(pair.b.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.b.drain();
  pair.network.run_for(10s);
  expect({0, 1, 2});
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", ""));
  pair.a.drain();
  pair.network.run_for(20s);
  pair.expect_clean();
}

// One that went alone comes back when its neighbours are rekeyed.
TEST_F(PerResource, AMissingOneComesBackWithTheNextRekey) {
  want(3, 3);
  begin();
  const auto lost = std::find_if(pair.b.installed.begin(), pair.b.installed.end(),
                                 [](const auto& one) { return one.second.sa->resource == 1U; });
  ASSERT_NE(lost, pair.b.installed.end());
  pair.b.engine.report(pair.network.time(), ike::ChildSaHardExpired{lost->second.sa->id});
  pair.b.drain();
  pair.network.run_for(10s);
  EXPECT_EQ(pair.a.installed.size(), 2U);
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(10s);
  expect({0, 1, 2});
}

// RFC 7296 2.25: what is to be asked again later has been made by the peer meanwhile, all of it. Another one beside those would
// have no number, and push them out as twins.
TEST_F(PerResource, AskedAgainItStandsAlready) {
  want(2, 2);
  begin();
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(10s);
  ASSERT_TRUE(pair.a.installed.empty());
  bool lost = true;
  pair.network.drop = [&](const Packet& packet) {
    return lost && packet.source.address == pair.a.ip && !packet.header().flags.response;
  };
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(100ms);
  ASSERT_TRUE(pair.b.initiate("office", pair.a, {"net"}));
  pair.network.run_for(100ms);
  const auto refusals = [&] {
    return pair.a.engine.counters().notifies_sent(static_cast<std::uint16_t>(NotifyType::kTemporaryFailure));
  };
  ASSERT_EQ(refusals(), 1U);
  lost = false;
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(5s);
  expect({0, 1});
  const auto made = pair.b.count<ike::ChildSaEstablished>();
  pair.network.run_for(2min);
  EXPECT_EQ(pair.b.count<ike::ChildSaEstablished>(), made);
  expect({0, 1});
}

// A flow that moves to the SA that replaces its own stays on one path through the packet engine, and in order.
TEST(ARekeyedChildSa, StaysWhereItWas) {
  Pair pair;
  pair.up();
  const auto place = [](const Host& host) {
    return host.spis.place_of(host.outbound("net")->sa->inbound_spi);
  };
  const unsigned at_a = place(pair.a), at_b = place(pair.b);
  for (auto* host : {&pair.a, &pair.b}) {
    const Spi before = host->outbound("net")->sa->inbound_spi;
    ASSERT_TRUE(host->engine.rekey_child_sa(pair.network.time(), "office", "net"));
    host->drain();
    pair.network.run_for(10s);
    EXPECT_NE(host->outbound("net")->sa->inbound_spi, before);
    EXPECT_EQ(place(pair.a), at_a);
    EXPECT_EQ(place(pair.b), at_b);
  }
}

// Both ends begin at once, each with the Child SA of an IKE SA that stands: never fewer than one wants, and never many more.
TEST_F(PerResource, BothBeginAtOnce) {
  for (int lead_ms = 0; lead_ms <= 60; lead_ms += 5) {
    SCOPED_TRACE(lead_ms);
    Pair both;
    both.at_a().children.front().parallel = both.at_b().children.front().parallel = 3;
    both.up();
    both.network.run_for(5s);
    for (auto* host : {&both.a}) {
      ASSERT_TRUE(host->engine.terminate(both.network.time(), "office", "net"));
      host->drain();
    }
    both.network.run_for(10s);
    ASSERT_TRUE(both.a.installed.empty());
    ASSERT_TRUE(both.a.initiate("office", both.b, {"net"}));
    both.network.run_for(std::chrono::milliseconds(lead_ms));
    (void)both.b.initiate("office", both.a, {"net"});
    both.network.run_for(10s);
    const auto found = resources(both.a, both.b);
    EXPECT_EQ(resources(both.b, both.a).size(), found.size());
    EXPECT_GE(found.size(), 3U);
    EXPECT_LE(found.size(), 4U);
  }
}

// What is being answered counts as well, while its key exchange takes time: no number is given twice.
TEST_F(PerResource, WhatIsBeingAnsweredHasItsNumber) {
  want(4, 4);
  pair.a.slow_actions = pair.b.slow_actions = 200ms;
  begin();
  pair.network.run_for(20s);
  const auto found = resources(pair.a, pair.b);
  EXPECT_EQ(found, resources(pair.b, pair.a));
  EXPECT_EQ(std::set<int>(found.begin(), found.end()).size(), found.size()) << "a number was given twice";
  EXPECT_GE(found.size(), 4U);
}

// One more was asked for, and meanwhile those that it was to stand beside went: it is no longer one more, and whoever asks
// for the child is owed a Child SA of its own.
struct OneMoreOnTheWay : testing::Test {
  OneMoreOnTheWay() {
    // The request for the second is lost for now.
    pair.network.drop = [this](const Packet& packet) { return lost && is_create_request_of_a(packet); };
  }
  static void two(Pair& prepared) {
    for (auto* at : {&prepared.at_a(), &prepared.at_b()}) {
      at->children.front().parallel = 2;
      at->children.front().proposals = {value(policy::parse_esp_proposal("aes256gcm16-noesn"))};
    }
    prepared.network.drop = [&prepared](const Packet& packet) {
      return packet.source.address == prepared.a.ip && !packet.header().flags.response &&
             packet.header().exchange_type == ExchangeType::kCreateChildSa;
    };
  }
  bool is_create_request_of_a(const Packet& packet) const {
    return packet.source.address == pair.a.ip && !packet.header().flags.response &&
           packet.header().exchange_type == ExchangeType::kCreateChildSa;
  }
  void the_first_goes() {
    ASSERT_EQ(pair.a.installed.size(), 1U);
    ASSERT_TRUE(pair.b.engine.terminate(pair.network.time(), "office", "net"));
    pair.b.drain();
    pair.network.run_for(500ms);
    ASSERT_EQ(pair.a.outbound("net"), nullptr);
    ASSERT_EQ(pair.a.count<ike::ChildSaClosed>(), 1U);
  }
  void the_peer_refuses(NotifyType type) {
    lost = false;
    pair.answer_instead({pair.notify(type)});
    pair.network.run_for(30s);
  }
  bool lost = true;
  Hostile pair{two};
};

TEST_F(OneMoreOnTheWay, IsNotTheOneThatIsAskedFor) {
  the_first_goes();
  EXPECT_EQ(value(pair.a.initiate("office", pair.b, {"net"})), Begun::kUnderWay);
  the_peer_refuses(NotifyType::kTsMaxQueue);
  ASSERT_NE(pair.a.outbound("net"), nullptr) << "what was asked for was never begun";
  EXPECT_NE(pair.b.by_inbound(pair.a.outbound("net")->sa->outbound_spi), nullptr);
}

// RFC 7296 2.25: asked again after TEMPORARY_FAILURE, it finds nothing to stand beside.
TEST_F(OneMoreOnTheWay, NorWhereItIsAskedAgain) {
  the_first_goes();
  EXPECT_EQ(value(pair.a.initiate("office", pair.b, {"net"})), Begun::kUnderWay);
  the_peer_refuses(NotifyType::kTemporaryFailure);
  ASSERT_NE(pair.a.outbound("net"), nullptr) << "what was asked for was never begun";
}

// RFC 9611 4 is about those that stand; where none does, whoever waits for the child hears that it was refused.
TEST_F(OneMoreOnTheWay, ItsRefusalIsToldWhereNoneStands) {
  the_first_goes();
  the_peer_refuses(NotifyType::kTsUnacceptable);
  const auto told = pair.a.events_of<ike::NegotiationFailed>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told.front()->child, "net");
  EXPECT_EQ(pair.a.outbound("net"), nullptr);
}
// RFC 9611 3: the same selectors and algorithms as the first; else it is deleted again.
TEST_F(OneMoreOnTheWay, MustBeLikeTheFirst) {
  lost = false;
  const auto& first = *pair.a.outbound("net")->sa;
  auto chosen = policy::esp_offer(pair.at_a().children.front().proposals, {}, true).front();
  chosen.set_spi(Spi{0x4444});
  pair.answer_instead({wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(32, 9), false},
                       wire::TsiPayload{first.local_ts, {}, false},
                       wire::TsrPayload{value(policy::parse_traffic_selectors("10.2.3.0/24")), {}, false}});
  pair.network.run_for(30s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.a.events_of<ike::NegotiationFailed>().front()->failure.sentence, HasSubstr("RFC 9611"));
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U) << "what the peer made was never deleted";
}
// Nobody waits for one more: that it is not made, since an operator ends the child, is no failure.
TEST_F(OneMoreOnTheWay, ThatWaitsEndsSilentlyOnCommand) {
  lost = false;
  pair.answer_instead({pair.notify(NotifyType::kTemporaryFailure)});
  pair.network.run_for(1s);
  ASSERT_EQ(pair.a.installed.size(), 1U) << "it waits no longer";
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(30s);
  EXPECT_EQ(pair.a.outbound("net"), nullptr);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
}
TEST_F(OneMoreOnTheWay, ItsRefusalIsNoFailureWhereOneStands) {
  the_peer_refuses(NotifyType::kTsUnacceptable);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
  EXPECT_NE(pair.a.outbound("net"), nullptr);
}

// RFC 9611 3: the properties of those that follow are those of the first.
TEST(PerResourceModel, MustBeTheSame) {
  policy::ChildSa model;
  model.algorithms = {EncrId::kAesGcm16, 256, IntegId::kNone, true};
  model.local_ts = value(policy::parse_traffic_selectors("10.1.0.0/16"));
  model.remote_ts = value(policy::parse_traffic_selectors("10.2.0.0/16"));
  ChildAccepted accepted;
  accepted.chosen.encr = EncrId::kAesGcm16;
  accepted.chosen.key_bits = 256;
  accepted.chosen.esn = true;
  accepted.local_ts = model.local_ts;
  accepted.remote_ts = model.remote_ts;
  EXPECT_TRUE(is_like(accepted, model));
  auto other = accepted;
  other.chosen.esn = false;
  EXPECT_FALSE(is_like(other, model));
  other = accepted;
  other.chosen.key_bits = 128;
  EXPECT_FALSE(is_like(other, model));
  other = accepted;
  other.remote_ts = value(policy::parse_traffic_selectors("10.2.3.0/24"));
  EXPECT_FALSE(is_like(other, model));
}

}  // namespace
}  // namespace merlon::ikev2::test
