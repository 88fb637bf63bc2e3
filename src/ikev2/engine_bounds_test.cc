// What ends by itself: Message IDs, memory, patience, numbers of IKE SAs; and what "unique" and shards mean.
#include <gmock/gmock.h>

#include "ikev2/answer_limits.h"
#include "ikev2/engine_test_hostile.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using testing::HasSubstr;

void ask_paths(Pair& pair, Host& host, int times) {
  for (int i = 0; i < times; ++i) {
    host.engine.check_paths(pair.network.time());
    host.drain();
    pair.network.run_for(100ms);
  }
}
const ike::Failure* closed(const Host& host, std::string_view why) {
  for (const auto* event : host.events_of<ike::IkeSaClosed>())
    if (event->reason.sentence.find(why) != std::string::npos) return &event->reason;
  return nullptr;
}

// ---- RFC 7296 2.2: Message IDs do not begin again.

EngineOptions few_message_ids() {
  EngineOptions options;
  options.last_message_id = 64;
  return options;
}

TEST(MessageIds, TheIkeSaIsRekeyedBeforeTheyRunOut) {
  for (const bool by_a : {true, false}) {
    Pair pair(few_message_ids(), few_message_ids());
    pair.up();
    ask_paths(pair, by_a ? pair.a : pair.b, 200);
    EXPECT_GE(pair.a.engine.counters().value(Counter::kIkeSasRekeyed), 2U);
    EXPECT_EQ(pair.a.established().size(), 1U);
    EXPECT_EQ(closed(pair.a, "used up"), nullptr);
    for (const auto& packet : pair.network.sent) EXPECT_LT(packet.header().message_id.value, 64U);
    expect_in_step(pair.a, pair.b, "net");
  }
}

// b takes what a offered first, and nothing else later: the connection of a, which its engine shares, changes.
TEST(MessageIds, TheIkeSaEndsWhereThePeerRefusesTheRekey) {
  Pair pair(few_message_ids(), few_message_ids());
  pair.up();
  pair.at_a().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  ask_paths(pair, pair.a, 80);
  EXPECT_NE(closed(pair.a, "used up"), nullptr);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kIkeSasRekeyed), 0U);
  pair.network.run_for(30s);
  pair.expect_clean();
  for (const auto& packet : pair.network.sent) EXPECT_LT(packet.header().message_id.value, 64U);
}

TEST(MessageIds, OfThePeerEndTheIkeSaToo) {
  Pair pair(few_message_ids(), few_message_ids());
  pair.up();
  pair.at_a().ike_proposals =
      pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256-sha256-x25519"))};
  ask_paths(pair, pair.b, 80);
  EXPECT_TRUE(closed(pair.a, "used up") || closed(pair.b, "used up"));
  pair.network.run_for(30s);
  pair.expect_clean();
}

// ---- memory

struct Fragments : Hostile {
  explicit Fragments(EngineOptions options) : Hostile({}, options) {}
  void send(std::uint16_t number, std::size_t bytes) {
    (void)deliver(value(as_a->seal_fragment(header(ExchangeType::kInformational, next_id),
                                            wire::PayloadType::kVendorId, number, 200, Bytes(bytes), a.rng)));
  }
};

TEST(Memory, OfUnfinishedMessagesIsBoundedForAllTogether) {
  EngineOptions options;
  options.memory_limit = 4096;
  Fragments pair(options);
  for (std::uint16_t number = 1; number <= 10; ++number) pair.send(number, 1000);
  const auto& counters = pair.b.engine.counters();
  EXPECT_EQ(counters.value(Counter::kFragmentsReceived), 10U);
  EXPECT_EQ(counters.value(Counter::kDropMemoryLimit), 7U);
  // Given back when they never come to be whole.
  pair.network.run_for(31s);
  for (std::uint16_t number = 1; number <= 3; ++number) pair.send(number, 1000);
  EXPECT_EQ(counters.value(Counter::kDropMemoryLimit), 7U);
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}

// ---- answers in clear

TEST(AnswerLimit, OneSourceCannotUseUpWhatIsForAll) {
  AnswerLimit limit({10, 20}, {1, 3});
  Instant now{1h};
  const auto noisy = address("192.0.2.1"), quiet = address("192.0.2.2");
  int answered = 0;
  for (int i = 0; i < 1000; ++i) answered += limit.take(now, noisy) ? 1 : 0;
  EXPECT_EQ(answered, 3);
  EXPECT_TRUE(limit.take(now, quiet));
  now += 1s;
  EXPECT_TRUE(limit.take(now, noisy));
  EXPECT_FALSE(limit.take(now, noisy));
}

TEST(AnswerLimit, AnIpv6HostIsItsSlash64) {
  AnswerLimit limit({100, 100}, {1, 2});
  const Instant now{1h};
  EXPECT_TRUE(limit.take(now, address("2001:db8::1")));
  EXPECT_TRUE(limit.take(now, address("2001:db8::2")));
  EXPECT_FALSE(limit.take(now, address("2001:db8::3")));
  EXPECT_TRUE(limit.take(now, address("2001:db8:0:1::1")));
}

TEST(AnswerLimit, ForgedSourcesAreBoundByTheOneForAllAndForgotten) {
  AnswerLimit limit({50, 100}, {2, 8});
  Instant now{1h};
  int answered = 0;
  for (std::uint32_t i = 0; i < 200000; ++i) {
    answered += limit.take(now, IpAddress::v4(0x0a000000 + i)) ? 1 : 0;
    now += 1ms;
  }
  EXPECT_LE(answered, 100 + 200 * 50);
  EXPECT_LE(limit.sources(), AnswerLimit::kRemembered + 1);
}

TEST(AnswerLimit, WhatMattersLessLeavesAReserve) {
  AnswerLimit limit({10, 20}, {100, 100});
  const Instant now{1h};
  const auto source = address("192.0.2.1");
  int strays = 0;
  for (int i = 0; i < 100; ++i) strays += limit.take(now, source, 10) ? 1 : 0;
  EXPECT_EQ(strays, 10);
  EXPECT_TRUE(limit.take(now, source));
}

TEST(Limits, RefusalsOfOneSourceDoNotSilenceThoseOfAnother) {
  Pair pair;
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.at_b().remote_addresses.clear();
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(500ms);
  const auto request = pair.network.sent.front().payload;
  for (int i = 0; i < 1000; ++i)
    pair.b.engine.receive(pair.network.time(),
                          {{pair.b.ip, 500}, endpoint("203.0.113.5", 500), false, request});
  (void)pair.b.engine.drain();
  pair.b.engine.receive(pair.network.time(),
                        {{pair.b.ip, 500}, endpoint("203.0.113.6", 500), false, request});
  EXPECT_EQ(pair.b.engine.drain().size(), 2U);
}

// ---- numbers of IKE SAs

// Rekeyed and deleted, over and over: each leaves one behind that repeats its last answer.
TEST(Limits, WhatLingersIsBoundedAndShutsNobodyOut) {
  EngineOptions options;
  options.lingering_limit = 4;
  options.ike_sa_limit = 3;
  Pair pair({}, options);
  pair.up();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
    pair.a.drain();
    pair.network.run_for(300ms);
  }
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kIkeSasRekeyed), 20U);
  EXPECT_LE(pair.b.engine.ike_sa_count(), 5U);
  expect_in_step(pair.a, pair.b, "net");
  // Another peer still finds a place.
  pair.at_b().remote_addresses.clear();
  Host c(pair.network, "c", "192.0.2.99");
  c.configure({pair.office_a.connection}, credentials_of({pair.office_a}));
  ASSERT_TRUE(c.initiate("office", pair.b));
  pair.network.run_for(1s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDropIkeSaLimit), 0U);
}

// A peer that refuses everything on the IKE SAs that stand makes us build new ones: few.
TEST(Limits, ReestablishmentIsBoundedWhateverUniqueSays) {
  Pair pair;
  pair.at_a().unique = pair.at_b().unique = policy::Connection::Uniqueness::kNever;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) {
    connection->ike_lifetime = {};
    connection->children.front().lifetime = {};
  }
  pair.a.engine.trace("office", false, true);
  pair.up();
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (!head.flags.response || head.exchange_type != ExchangeType::kCreateChildSa)
      return std::vector{packet};
    for (const auto* event : pair.a.events_of<ike::IkeKeysTraced>()) {
      if (event->id != head.ike_sa_id()) continue;
      IkeKeys keys;
      keys.sk_ei = event->sk_ei.clone();
      keys.sk_er = event->sk_er.clone();
      keys.sk_ai = event->sk_ai.clone();
      keys.sk_ar = event->sk_ar.clone();
      auto as_b = value(MessageProtection::create({event->encr, event->key_bits, event->integ}, keys, false));
      const std::vector<Payload> refusal{wire::make_notify(NotifyType::kNoAdditionalSas)};
      packet.payload = value(as_b.seal(head, refusal, pair.b.rng));
    }
    return std::vector{packet};
  };
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
    pair.a.drain();
    pair.network.run_for(1s);
  }
  EXPECT_GE(pair.a.established().size(), 2U);
  EXPECT_LE(pair.a.established().size(), 8U);
}

// ---- unique (RFC 7296 2.4)

struct Twice : testing::Test {
  Pair pair;
  std::unique_ptr<Host> c;
  // The peer "a" once more, from another address, and without INITIAL_CONTACT.
  void again(policy::Connection::Uniqueness unique) {
    pair.at_a().unique = pair.at_b().unique = unique;
    pair.at_a().initial_contact = false;
    pair.at_b().remote_addresses.clear();
    pair.up();
    c = std::make_unique<Host>(pair.network, "c", "192.0.2.99");
    c->configure({pair.office_a.connection}, credentials_of({pair.office_a}));
    ASSERT_TRUE(c->initiate("office", pair.b));
    pair.network.run_for(5s);
  }
};

TEST_F(Twice, ReplaceTakesTheNewer) {
  again(policy::Connection::Uniqueness::kReplace);
  ASSERT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.established().front().remote.address, c->ip);
  EXPECT_TRUE(pair.a.established().empty()) << "and the older is told";
  expect_in_step(*c, pair.b, "net");
}

TEST_F(Twice, KeepKeepsTheOlder) {
  again(policy::Connection::Uniqueness::kKeep);
  ASSERT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.established().front().remote.address, pair.a.ip);
  EXPECT_TRUE(c->established().empty());
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence, HasSubstr("keep"));
  expect_in_step(pair.a, pair.b, "net");
  // The older one is gone: now there is room.
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", ""));
  pair.a.drain();
  pair.network.run_for(20s);
  ASSERT_TRUE(c->initiate("office", pair.b));
  pair.network.run_for(5s);
  EXPECT_EQ(c->established().size(), 1U);
}

// Neither is the older: each end has answered the other's before its own stood. Both let go of the same one.
TEST(Keep, OfTwoThatWereBegunAtOnceOneStays) {
  for (int lead_ms = 0; lead_ms <= 45; lead_ms += 3) {
    SCOPED_TRACE(lead_ms);
    Pair pair;
    pair.at_a().unique = pair.at_b().unique = policy::Connection::Uniqueness::kKeep;
    pair.configure();
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(std::chrono::milliseconds(lead_ms));
    (void)pair.b.initiate("office", pair.a);
    pair.network.run_for(20s);
    ASSERT_EQ(pair.a.established().size(), 1U);
    ASSERT_EQ(pair.b.established().size(), 1U);
    EXPECT_EQ(pair.a.established().front().id, pair.b.established().front().id);
    expect_in_step(pair.a, pair.b, "net");
  }
}

TEST_F(Twice, NeverHasBoth) {
  again(policy::Connection::Uniqueness::kNever);
  EXPECT_EQ(pair.b.established().size(), 2U);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(c->established().size(), 1U);
}

// RFC 7296 2.4: the peer crashes when it has rekeyed the IKE SA and not yet deleted the old one. INITIAL_CONTACT takes
// both; the old one does not wait for a Delete that will never come.
TEST(InitialContact, TakesWhatARekeyReplacedToo) {
  Pair pair;
  pair.up();
  pair.network.drop = [&](const Packet& packet) {
    const auto head = packet.header();
    return packet.source.address == pair.a.ip && !head.flags.response &&
           head.exchange_type == wire::ExchangeType::kInformational;
  };
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(1s);
  ASSERT_EQ(pair.b.engine.status().size(), 2U);
  pair.network.drop = nullptr;
  Host reborn(pair.network, "a anew", "192.0.2.1");
  reborn.configure({pair.office_a.connection}, credentials_of({pair.office_a}));
  ASSERT_TRUE(reborn.initiate("office", pair.b));
  pair.network.run_for(3s);
  EXPECT_EQ(pair.b.engine.status().size(), 1U);
  expect_in_step(reborn, pair.b, "net");
}

// ---- shards

TEST(Shards, EverySpiOfOursNamesItsShard) {
  EngineOptions a_options, b_options;
  a_options.shard = 2;
  a_options.shard_count = 5;
  b_options.shard = 1;
  b_options.shard_count = 3;
  Pair pair(a_options, b_options);
  pair.up();
  const auto check = [&] {
    ASSERT_EQ(pair.a.established().size(), 1U);
    const auto at_a = pair.a.established().front(), at_b = pair.b.established().front();
    EXPECT_EQ((at_a.initiator ? at_a.id.initiator : at_a.id.responder).value % 5, 2U);
    EXPECT_EQ((at_b.initiator ? at_b.id.initiator : at_b.id.responder).value % 3, 1U);
    expect_in_step(pair.a, pair.b, "net");
  };
  check();
  for (auto* host : {&pair.a, &pair.b, &pair.a}) {
    ASSERT_TRUE(host->engine.rekey_ike_sa(pair.network.time(), "office"));
    host->drain();
    pair.network.run_for(3s);
    check();
  }
}

// ---- a reload in the middle of rekeys (Shard::take_over)

// Whatever is under way when a child goes from the configuration, no IKE SA counts its children by another's numbers:
// afterwards each child that stands is one of the configuration, and a rekey of each by the peer is answered.
TEST(Reload, InTheMiddleOfCrossingRekeysKeepsChildrenAndConfigurationTogether) {
  for (int ms = 0; ms <= 300; ms += 10) {
    SCOPED_TRACE(ms);
    Pair pair;
    for (auto* connection : {&pair.at_a(), &pair.at_b()}) {
      const bool at_a = connection == &pair.at_a();
      auto first = connection->children.front();
      first.name = "first";
      first.local_ts = value(policy::parse_traffic_selectors(at_a ? "10.3.0.0/16" : "10.4.0.0/16"));
      first.remote_ts = value(policy::parse_traffic_selectors(at_a ? "10.4.0.0/16" : "10.3.0.0/16"));
      connection->children.insert(connection->children.begin(), first);
    }
    pair.configure();
    ASSERT_TRUE(pair.a.initiate("office", pair.b, {"first", "net"}));
    pair.network.run_for(2s);
    ASSERT_EQ(pair.a.installed.size(), 2U);
    pair.network.slow_actions = 40ms;
    for (auto* host : {&pair.a, &pair.b}) {
      ASSERT_TRUE(host->engine.rekey_ike_sa(pair.network.time(), "office"));
      host->drain();
    }
    pair.network.run_for(std::chrono::milliseconds(ms));
    auto changed = std::make_shared<policy::Connection>(pair.at_a());
    changed->children.erase(changed->children.begin());
    pair.a.configure({changed}, credentials_of({pair.office_a}));
    for (int i = 0; i < 10; ++i) {
      pair.network.run_for(30ms);
      (void)pair.b.engine.rekey_child_sa(pair.network.time(), "office", "net");
      (void)pair.b.engine.rekey_child_sa(pair.network.time(), "office", "first");
      pair.b.drain();
    }
    pair.network.run_for(150s);
    for (const auto& [id, child] : pair.a.installed) EXPECT_EQ(child.sa->child().name, "net");
    for (const auto& sa : pair.a.established())
      for (const auto& child : sa.children) EXPECT_EQ(child.child, "net");
    EXPECT_LE(pair.a.installed.size(), 1U);
    EXPECT_EQ(pair.a.installed.size(), pair.a.spis.held());
  }
}

// ---- RFC 7296 2.25: TEMPORARY_FAILURE

TEST(TemporaryFailure, ForMinutesOnEndClosesTheIkeSa) {
  Hostile pair;
  std::vector<Instant> asked;
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (head.exchange_type != ExchangeType::kCreateChildSa) return std::vector{packet};
    if (!head.flags.response) asked.push_back(pair.network.now);
    if (head.flags.response) {
      const std::vector<Payload> refusal{wire::make_notify(NotifyType::kTemporaryFailure)};
      packet.payload = value(pair.as_b->seal(head, refusal, pair.b.rng));
    }
    return std::vector{packet};
  };
  // A new Child SA, so that b, whose answers are replaced, does not rekey the IKE SA.
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  const auto began = pair.network.now;
  pair.network.run_for(230s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_GE(asked.size(), 230U / 16);
  for (std::size_t i = 1; i < asked.size(); ++i) EXPECT_GE(asked[i] - asked[i - 1], 5s) << "never at once";
  pair.network.run_for(60s);
  EXPECT_TRUE(pair.a.established().empty());
  EXPECT_LE(asked.back() - began, 260s);
  ASSERT_EQ(pair.a.count<ike::IkeSaClosed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::IkeSaClosed>().front()->reason.notify_type, 43);
}

// b never gets to see the first fifteen of every sixteen requests, so nothing happens there.
TEST(TemporaryFailure, InBetweenStartsTheClockAnew) {
  Hostile pair;
  int requests = 0;
  std::set<std::uint32_t> refused;
  pair.network.tamper = [&](Packet packet) {
    auto head = packet.header();
    const auto id = head.message_id.value;
    if (!head.flags.response && head.exchange_type == ExchangeType::kCreateChildSa && ++requests % 16 != 0) {
      refused.insert(id);
      head.exchange_type = ExchangeType::kInformational;
      packet.payload = value(pair.as_a->seal(head, {}, pair.a.rng));
    } else if (head.flags.response && refused.contains(id)) {
      head.exchange_type = ExchangeType::kCreateChildSa;
      const std::vector<Payload> refusal{wire::make_notify(NotifyType::kTemporaryFailure)};
      packet.payload = value(pair.as_b->seal(head, refusal, pair.b.rng));
    }
    return std::vector{packet};
  };
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
    pair.a.drain();
    pair.network.run_for(235s);
  }
  EXPECT_EQ(requests, 32);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kChildSasRekeyed), 2U);
  EXPECT_EQ(pair.a.established().size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

}  // namespace
}  // namespace merlon::ikev2::test
