// A peer that holds the keys, in CREATE_CHILD_SA and INFORMATIONAL: public values off the curve, answers that are none,
// SPIs that must not be, places that run out.
#include <gmock/gmock.h>

#include "ikev2/child_sa.h"
#include "ikev2/engine_test_hostile.h"
#include "ikev2/ike_sa.h"
#include "ikev2/shard.h"
#include "policy/proposal_select.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using ike::RarePath;
using testing::HasSubstr;

Bytes no_point() {
  return Bytes(64, 0x11);
}
std::uint64_t counted(const Host& host, Counter counter) {
  return host.engine.counters().value(counter);
}
std::uint64_t counted(const Host& host, RarePath path) {
  return host.engine.counters().value(path);
}
void esp_proposals(Pair& pair, std::string_view text) {
  for (auto* at : {&pair.at_a(), &pair.at_b()})
    at->children.front().proposals = {value(policy::parse_esp_proposal(text))};
}
void ike_proposals(Pair& pair, std::string_view text) {
  for (auto* at : {&pair.at_a(), &pair.at_b()}) at->ike_proposals = {value(policy::parse_ike_proposal(text))};
}
void with_ecp256(Pair& pair) {
  esp_proposals(pair, "aes256gcm16-ecp256-noesn");
  ike_proposals(pair, "aes256gcm16-prfsha256-ecp256");
}

struct HostileChild : Hostile {
  using Hostile::Hostile;
  std::vector<Payload> child_request(Spi spi, KeMethod method = KeMethod::kNone, Bytes public_value = {}) {
    const auto& child = *a.outbound("net")->sa;
    wire::Proposal bytes;
    bytes.set_spi(spi);
    std::vector<Payload> made{
        wire::SaPayload{policy::esp_offer(at_a().children.front().proposals, bytes.spi, true), false},
        wire::NoncePayload{Bytes(32, 1), false}};
    if (method != KeMethod::kNone) made.emplace_back(wire::KePayload{method, std::move(public_value), false});
    made.emplace_back(wire::TsiPayload{child.local_ts, {}, false});
    made.emplace_back(wire::TsrPayload{child.remote_ts, {}, false});
    return made;
  }
  std::vector<Payload> child_answer(Spi spi) {
    const auto& child = *a.outbound("net")->sa;
    auto chosen = policy::esp_offer(at_a().children.front().proposals, {}, true).front();
    chosen.number = 1;
    chosen.set_spi(spi);
    return {wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(32, 9), false},
            wire::TsiPayload{child.local_ts, {}, false}, wire::TsrPayload{child.remote_ts, {}, false}};
  }
  void rekey_child(Duration time = 5s) {
    ASSERT_TRUE(a.engine.rekey_child_sa(network.time(), "office", "net"));
    a.drain();
    network.run_for(time);
  }
  void rekey_ike(Duration time = 5s) {
    ASSERT_TRUE(a.engine.rekey_ike_sa(network.time(), "office"));
    a.drain();
    network.run_for(time);
  }
  const ike::Failure& failure() {
    static const ike::Failure none{};
    const auto told = a.events_of<ike::NegotiationFailed>();
    EXPECT_EQ(told.size(), 1U);
    return told.empty() ? none : told.front()->failure;
  }
};

// ---- public values (RFC 6989 2.3)

TEST(OffTheCurve, InARequestForAChildEndsTheIkeSa) {
  HostileChild pair(with_ecp256);
  EXPECT_TRUE(says(
      pair.ask(ExchangeType::kCreateChildSa, pair.child_request(Spi{0x4444}, KeMethod::kEcp256, no_point())),
      NotifyType::kInvalidSyntax));
  EXPECT_TRUE(pair.b.established().empty());
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.b.spis.held(), 0U);
}

// The responder has what it answered: it is deleted there.
TEST(OffTheCurve, InAnAnswerMakesNoChild) {
  HostileChild pair(with_ecp256);
  auto answer = pair.child_answer(Spi{0x4444});
  answer.emplace_back(wire::KePayload{KeMethod::kEcp256, no_point(), false});
  pair.answer_instead(std::move(answer));
  pair.rekey_child(1s);
  EXPECT_THAT(pair.failure().sentence, HasSubstr("office"));
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.size(), 1U) << "what the peer made was never deleted";
  EXPECT_EQ(pair.a.spis.held(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

TEST(OffTheCurve, InAnAnswerToARekeyOfTheIkeSaClosesBoth) {
  HostileChild pair(with_ecp256);
  wire::Proposal spi;
  auto chosen = policy::ike_offer(pair.at_a().ike_proposals, {}).front();
  chosen.number = 1;
  chosen.set_spi(IkeSpi{0x0102030405060708});
  pair.answer_instead({wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(32, 9), false},
                       wire::KePayload{KeMethod::kEcp256, no_point(), false}});
  pair.rekey_ike();
  EXPECT_TRUE(pair.a.established().empty());
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_EQ(pair.a.count<ike::IkeSaClosed>(), 1U);
}

// ---- SPIs (RFC 4303 2.1: 0 to 255 are reserved)

TEST(ReservedSpi, InARequest) {
  HostileChild pair;
  EXPECT_TRUE(says(pair.ask(ExchangeType::kCreateChildSa, pair.child_request(Spi{255})),
                   NotifyType::kNoProposalChosen));
  EXPECT_EQ(pair.b.installed.size(), 1U);
  EXPECT_EQ(pair.b.spis.held(), 1U);
  EXPECT_TRUE(
      wire::find<wire::SaPayload>(*pair.ask(ExchangeType::kCreateChildSa, pair.child_request(Spi{256}))));
}
TEST(ReservedSpi, InAnAnswer) {
  HostileChild pair;
  pair.answer_instead(pair.child_answer(Spi{255}));
  pair.rekey_child(1s);
  EXPECT_THAT(pair.failure().sentence, HasSubstr("no usable SPI"));
  expect_in_step(pair.a, pair.b, "net");
}

// RFC 7296 1.3.1: SA, Nr, TSi, TSr all belong to it.
TEST(BrokenAnswer, WithoutSelectors) {
  HostileChild pair;
  auto answer = pair.child_answer(Spi{0x4444});
  answer.pop_back();
  pair.answer_instead(std::move(answer));
  pair.rekey_child(1s);
  EXPECT_THAT(pair.failure().sentence, HasSubstr("lacks SA, TSi or TSr"));
  expect_in_step(pair.a, pair.b, "net");
}

// RFC 7296 2.21.3: what cannot be read in an answer can only be said by closing the IKE SA.
TEST(BrokenAnswer, ThatCannotBeRead) {
  HostileChild pair;
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (head.flags.response && head.exchange_type == ExchangeType::kCreateChildSa)
      packet.payload =
          value(pair.as_b->seal_encoded(head, {wire::PayloadType::kDelete, {0, 0, 0, 3, 1}}, pair.b.rng));
    return std::vector{packet};
  };
  pair.rekey_child();
  EXPECT_TRUE(pair.a.established().empty());
  EXPECT_TRUE(pair.b.established().empty()) << "it was not told";
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

// RFC 7296 2.21.2, 2.21.3: who says so has closed it.
TEST(BrokenAnswer, ThatSaysThatWeAreBroken) {
  for (const auto type : {NotifyType::kInvalidSyntax, NotifyType::kAuthenticationFailed}) {
    HostileChild pair;
    pair.answer_instead({pair.notify(type)});
    pair.rekey_child();
    EXPECT_TRUE(pair.a.engine.status().empty());
    EXPECT_TRUE(pair.a.installed.empty());
    EXPECT_EQ(pair.a.spis.held(), 0U);
    EXPECT_EQ(pair.a.count<ike::IkeSaClosed>(), 1U);
  }
}

// ---- RFC 7296 1.3: another key exchange method is wanted

TEST(AnotherMethod, OneThatWasNotOfferedIsARefusal) {
  HostileChild pair([](Pair& made) { esp_proposals(made, "aes256gcm16-x25519-noesn"); });
  pair.answer_instead({wire::make_invalid_ke_payload(KeMethod::kEcp256)});
  pair.rekey_child(1s);
  EXPECT_EQ(pair.failure().notify_type, static_cast<std::uint16_t>(NotifyType::kInvalidKePayload));
  EXPECT_EQ(counted(pair.a, Counter::kInvalidKeRetries), 0U);
}

TEST(AnotherMethod, ForANewChild) {
  HostileChild pair([](Pair& made) { esp_proposals(made, "aes256gcm16-x25519-ecp256-noesn"); });
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  ASSERT_TRUE(pair.a.installed.empty());
  pair.answer_instead({wire::make_invalid_ke_payload(KeMethod::kEcp256)});
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(2s);
  EXPECT_EQ(counted(pair.a, Counter::kInvalidKeRetries), 1U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
  ASSERT_NE(pair.a.outbound("net"), nullptr);
}

TEST(AnotherMethod, ForTheIkeSa) {
  HostileChild pair([](Pair& made) { ike_proposals(made, "aes256gcm16-prfsha256-x25519-ecp256"); });
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
  pair.rekey_ike();
  EXPECT_EQ(counted(pair.a, Counter::kInvalidKeRetries), 1U);
  EXPECT_EQ(counted(pair.a, Counter::kIkeSasRekeyed), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

// ---- refusals

TEST(Refused, ANewChildIsTold) {
  HostileChild pair;
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  pair.answer_instead({pair.notify(NotifyType::kTsUnacceptable)});
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(2s);
  EXPECT_EQ(pair.failure().notify_type, static_cast<std::uint16_t>(NotifyType::kTsUnacceptable));
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

// RFC 7296 1.3: the peer makes no Child SA on this IKE SA; a new one carries all that this one did.
TEST(Refused, NoAdditionalSasMovesEveryChild) {
  HostileChild pair([](Pair& made) {
    for (auto* at : {&made.at_a(), &made.at_b()}) {
      auto second = at->children.front();
      second.name = "second";
      const bool is_a = at == &made.at_a();
      second.local_ts = value(policy::parse_traffic_selectors(is_a ? "10.3.0.0/16" : "10.4.0.0/16"));
      second.remote_ts = value(policy::parse_traffic_selectors(is_a ? "10.4.0.0/16" : "10.3.0.0/16"));
      at->children.push_back(second);
    }
  });
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"second"}));
  pair.network.run_for(2s);
  pair.answer_instead({pair.notify(NotifyType::kNoAdditionalSas)});
  pair.rekey_child(30s);
  EXPECT_EQ(counted(pair.a, RarePath::kIkeSaMadeAnew), 1U);
  ASSERT_EQ(pair.a.established().size(), 1U);
  for (const auto* child : {"net", "second"}) {
    SCOPED_TRACE(child);
    expect_in_step(pair.a, pair.b, child);
  }
}

// RFC 7296 1.3.1: NO_ADDITIONAL_SAS; what stands is left alone.
TEST(NoSpi, ForThePeersChild) {
  HostileChild pair;
  pair.b.spis.room = 1;
  EXPECT_TRUE(says(pair.ask(ExchangeType::kCreateChildSa, pair.child_request(Spi{0x4444})),
                   NotifyType::kNoAdditionalSas));
  EXPECT_EQ(counted(pair.b, RarePath::kNoSpiLeft), 1U);
  expect_in_step(pair.a, pair.b, "net");
}
// The Child SA lives on, and its rekey is tried again; a new one is given up.
TEST(NoSpi, ForOurOwn) {
  Pair pair;
  pair.up();
  pair.a.spis.room = 1;
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(2s);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  expect_in_step(pair.a, pair.b, "net");
  pair.a.spis.room = 9;
  const auto before = pair.a.outbound("net")->sa->inbound_spi;
  pair.network.run_for(30s);
  EXPECT_NE(pair.a.outbound("net")->sa->inbound_spi, before);
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(10s);
  pair.a.spis.room = 0;
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(2s);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 2U);
}

// RFC 7296 2.9: less than what was asked for, and more could be had in another Child SA.
TEST(Narrowed, MoreCouldBeHad) {
  HostileChild pair([](Pair& made) {
    auto second = made.at_b().children.front();
    second.name = "second";
    second.local_ts = value(policy::parse_traffic_selectors("10.4.0.0/16"));
    made.at_b().children.push_back(second);
  });
  auto request = pair.child_request(Spi{0x4444});
  std::get<wire::TsrPayload>(request.back())
      .selectors.push_back(value(policy::parse_traffic_selector("10.4.0.0/16")));
  const auto answer = pair.ask(ExchangeType::kCreateChildSa, request);
  ASSERT_TRUE(answer && wire::find<wire::TsrPayload>(*answer));
  EXPECT_EQ(wire::find<wire::TsrPayload>(*answer)->selectors.size(), 1U);
  EXPECT_TRUE(says(answer, NotifyType::kAdditionalTsPossible));
}

// ---- INFORMATIONAL

// RFC 7296 2.5, 2.21.3: also on an IKE SA that is about to go.
TEST(WhileClosing, WhatCannotBeReadIsRefusedByName) {
  HostileChild pair;
  pair.network.drop = [&](const Packet& packet) { return packet.source.address == pair.a.ip; };
  ASSERT_TRUE(pair.b.engine.terminate(pair.network.time(), "office", ""));
  pair.b.drain();
  pair.network.run_for(100ms);
  EXPECT_TRUE(says(pair.ask(ExchangeType::kInformational,
                            {wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1, 2}, true}}),
                   NotifyType::kUnsupportedCriticalPayload));
  EXPECT_TRUE(
      says(pair.ask_encoded(ExchangeType::kInformational, {wire::PayloadType::kDelete, {0, 0, 0, 3, 1}}),
           NotifyType::kInvalidSyntax));
}

// RFC 7296 3.1: whoever is the original initiator sets the flag, in each message.
TEST(WrongFlag, IsNotRead) {
  HostileChild pair;
  auto head = pair.header(ExchangeType::kInformational, pair.next_id);
  head.flags.initiator = false;  // so the SPI of b is looked for where the initiator's stands
  std::swap(head.initiator_spi, head.responder_spi);
  EXPECT_FALSE(pair.deliver(value(pair.as_a->seal(head, {}, pair.a.rng))));
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}

// RFC 7383 2.3: only after both have announced them.
TEST(Fragments, ThatNobodyAgreedUpon) {
  HostileChild pair([](Pair& made) { made.at_b().fragmentation = false; });
  EXPECT_FALSE(pair.deliver(
      value(pair.as_a->seal_fragment(pair.header(ExchangeType::kInformational, pair.next_id),
                                     wire::PayloadType::kVendorId, 1, 2, Bytes(100), pair.a.rng))));
  EXPECT_EQ(counted(pair.b, Counter::kFragmentsDropped), 1U);
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}
TEST(Fragments, ThatAreForged) {
  HostileChild pair;
  auto fragment = value(pair.as_a->seal_fragment(pair.header(ExchangeType::kInformational, pair.next_id),
                                                 wire::PayloadType::kVendorId, 1, 2, Bytes(100), pair.a.rng));
  fragment.back() ^= 1U;
  EXPECT_FALSE(pair.deliver(fragment));
  EXPECT_EQ(counted(pair.b, Counter::kDropBadIcv), 1U);
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}

// The packet of a Child SA that we are still making came before it stands: then it is nothing to complain of.
TEST(Notice, NotOfWhatStandsMeanwhile) {
  Pair pair;
  esp_proposals(pair, "aes256gcm16-x25519-noesn");
  pair.up();
  pair.a.slow_actions = 300ms;
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(500ms);
  const InstalledChild* young = nullptr;
  for (const auto& [id, one] : pair.b.installed)
    if (!pair.a.by_inbound(one.sa->outbound_spi)) young = &one;
  ASSERT_NE(young, nullptr) << "the peer has it first";
  const Spi spi = young->sa->outbound_spi;
  pair.a.engine.unknown_spi(pair.network.time(), {pair.b.ip, 500}, false, spi);
  pair.a.drain();
  pair.network.run_for(5s);
  EXPECT_NE(pair.a.by_inbound(spi), nullptr);
  EXPECT_EQ(pair.a.engine.counters().notifies_sent(static_cast<std::uint16_t>(NotifyType::kInvalidSpi)), 0U);
}

// ---- the ends of an IKE SA

TEST(HardLifetime, OfAnIkeSaThatIsNeverRekeyed) {
  Pair pair;
  pair.at_a().ike_lifetime = {};
  pair.at_a().ike_lifetime.hard = std::chrono::seconds(60);
  pair.up();
  pair.network.run_for(50s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  pair.network.run_for(30s);
  EXPECT_EQ(counted(pair.a, RarePath::kIkeHardLifetime), 1U);
  pair.expect_clean();
}

// RFC 7296 2.8: whoever rekeyed the IKE SA deletes the old one, unless it is gone. Our probe on that one shows it.
TEST(Replaced, IsGivenUpWhenNobodyAnswersOnIt) {
  Pair pair;
  pair.at_b().liveness_interval = 5s;
  pair.at_b().retransmit_tries = 3;
  pair.up();
  pair.network.drop = [&](const Packet& packet) {
    return packet.source.address == pair.a.ip && packet.header().flags.response;
  };
  pair.network.run_for(6s);  // its probe is out
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(15ms);
  pair.network.drop = [&](const Packet& packet) { return packet.source.address == pair.a.ip; };
  pair.network.run_for(10s);
  EXPECT_EQ(counted(pair.b, RarePath::kReplacedGivenUp), 1U);
  EXPECT_EQ(counted(pair.b, Counter::kLivenessFailures), 0U);
}

// ---- how packets travel

// Encapsulation is wanted and the peer came by port 500 and stays there (RFC 7296 2.23): packets take 4500 all the same.
TEST(OuterPath, InUdpByThePortsForIt) {
  SeededRng rng(1);
  TestSpis spis(0x1000);
  EngineOptions options;
  options.natt_port = 4711;
  const Shard shard(options, rng, spis);
  IkeSa sa;
  auto connection = std::make_shared<policy::Connection>();
  connection->encapsulation = policy::PathProtocol::kUdp;
  sa.connection = connection;
  const Path path{endpoint("192.0.2.1", 500), endpoint("198.51.100.1", 500), false};
  const auto outer = outer_path(shard, sa, path);
  EXPECT_TRUE(outer.udp_encapsulation);
  EXPECT_EQ(outer.local, endpoint("192.0.2.1", 4711));
  EXPECT_EQ(outer.remote, endpoint("198.51.100.1", 4500));
}

TEST(SmallPathProbe, TooSmallForAnIkeMessageIsAnOrdinaryOne) {
  Pair pair;
  pair.up();
  ASSERT_TRUE(pair.a.engine.probe_path(pair.network.time(), pair.b.ip, 60));
  pair.a.drain();
  pair.network.run_for(5s);
  EXPECT_EQ(counted(pair.a, Counter::kLivenessChecks), 1U);
  EXPECT_TRUE(pair.a.engine.drain_path_probes().empty());
  EXPECT_EQ(pair.a.established().size(), 1U);
}

// ---- commands

TEST(Commands, SayWhatIsNotThere) {
  Pair pair;
  pair.configure();
  const auto initiate = [&](const std::string& connection, std::vector<std::string> children) {
    return pair.a.initiate(connection, pair.b, std::move(children));
  };
  EXPECT_THAT(initiate("nowhere", {}).error().message, HasSubstr("no connection 'nowhere'"));
  EXPECT_THAT(initiate("office", {"nothing"}).error().message, HasSubstr("no child 'nothing'"));
  const auto acquire = [&](const std::string& connection, const std::string& child) {
    return pair.a.engine.acquire(pair.network.time(), connection, child, {pair.a.ip, 0}, {pair.b.ip, 500},
                                 std::nullopt);
  };
  EXPECT_THAT(acquire("nowhere", "net").error().message, HasSubstr("no connection 'nowhere'"));
  EXPECT_THAT(acquire("office", "nothing").error().message, HasSubstr("no child 'nothing'"));
  EXPECT_FALSE(pair.a.engine.terminate(pair.network.time(), "office", ""));
  EXPECT_FALSE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  EXPECT_FALSE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
}

TEST(Commands, NothingToNegotiate) {
  Pair pair;
  pair.at_a().children.front().start = policy::StartMode::kWait;
  pair.configure();
  EXPECT_THAT(pair.a.initiate("office", pair.b).error().message, HasSubstr("no child to negotiate"));
  pair.at_a().ike_proposals.clear();
  EXPECT_THAT(pair.a.initiate("office", pair.b, {"net"}).error().message, HasSubstr("no IKE proposal"));
}

TEST(Commands, NoPlaceForAnotherIkeSa) {
  EngineOptions options;
  options.ike_sa_limit = 0;
  Pair pair(options);
  pair.configure();
  EXPECT_THAT(pair.a.initiate("office", pair.b).error().message, HasSubstr("IKE SAs already"));
}

// A reload takes away a child that waits to be negotiated; the others keep their own, by whatever number.
TEST(Reload, WithChildrenThatWait) {
  HostileChild pair([](Pair& made) {
    for (const auto& [name, net] : {std::pair("second", "10.3.0.0/16"), std::pair("third", "10.5.0.0/16")})
      for (auto* at : {&made.at_a(), &made.at_b()}) {
        auto child = at->children.front();
        child.name = name;
        child.start = policy::StartMode::kWait;
        (at == &made.at_a() ? child.local_ts : child.remote_ts) = value(policy::parse_traffic_selectors(net));
        at->children.push_back(child);
      }
  });
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    const std::vector<Payload> later{pair.notify(NotifyType::kTemporaryFailure)};
    if (head.flags.response && head.exchange_type == ExchangeType::kCreateChildSa)
      packet.payload = value(pair.as_b->seal(head, later, pair.b.rng));
    return std::vector{packet};
  };
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"second", "third"}));
  pair.network.run_for(200ms);
  pair.network.tamper = nullptr;
  auto smaller = std::make_shared<policy::Connection>(pair.at_a());
  smaller->children.erase(smaller->children.begin() + 1);
  pair.a.configure({smaller}, credentials_of({pair.office_a}));
  pair.network.run_for(60s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_NE(pair.a.outbound("net"), nullptr);
  EXPECT_EQ(pair.a.outbound("second"), nullptr);
  ASSERT_NE(pair.a.outbound("third"), nullptr);
  EXPECT_EQ(pair.a.outbound("third")->sa->local_ts, value(policy::parse_traffic_selectors("10.5.0.0/16")));
}

// RFC 7383 2.5: what the fragments hold together is read like any other message.
TEST(Fragments, WhoseContentCannotBeRead) {
  HostileChild pair;
  const auto head = pair.header(ExchangeType::kInformational, pair.next_id);
  const auto fragment = [&](std::uint16_t number, Bytes content) {
    return value(pair.as_a->seal_fragment(head,
                                          number == 1 ? wire::PayloadType::kDelete : wire::PayloadType::kNone,
                                          number, 2, content, pair.a.rng));
  };
  EXPECT_FALSE(pair.deliver(fragment(1, {0, 0, 0, 3})));
  EXPECT_TRUE(says(pair.deliver(fragment(2, {1})), NotifyType::kInvalidSyntax));
  EXPECT_TRUE(pair.b.established().empty());
}

// RFC 7296 2.18: SA, Nr and KEr. The peer has an IKE SA that we have not: both are closed.
TEST(BrokenAnswer, ToARekeyOfTheIkeSa) {
  HostileChild pair;
  pair.answer_instead({wire::NoncePayload{Bytes(32, 9), false}});
  pair.rekey_ike();
  EXPECT_TRUE(pair.a.established().empty());
  EXPECT_TRUE(pair.a.installed.empty());
}

// The peer's Delete is faster than we are: whoever waits for the child hears that it is gone.
TEST(DeletedBeforeItStands, ANewChild) {
  Pair pair;
  esp_proposals(pair, "aes256gcm16-x25519-noesn");
  pair.up();
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  pair.at_b().children.front().lifetime.hard = 1s;
  pair.a.slow_actions = 3s;
  ASSERT_TRUE(pair.a.initiate("office", pair.b, {"net"}));
  pair.network.run_for(15s);
  EXPECT_EQ(counted(pair.a, RarePath::kChildDeletedBeforeItStands), 1U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_TRUE(pair.a.installed.empty());
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

// RFC 7296 2.3: a Message ID is one of the IKE SA that it came on, and nothing to its heir.
TEST(Notice, OfAMessageIdStaysWithItsIkeSa) {
  HostileChild pair;
  pair.b.slow_actions = 300ms;
  ASSERT_TRUE(pair.b.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.b.drain();
  (void)pair.deliver(
      value(pair.as_a->seal(pair.header(ExchangeType::kInformational, pair.next_id + 5), {}, pair.a.rng)));
  pair.network.run_for(10s);
  EXPECT_EQ(counted(pair.b, Counter::kIkeSasRekeyed), 1U);
  EXPECT_EQ(pair.b.engine.counters().notifies_sent(static_cast<std::uint16_t>(NotifyType::kInvalidMessageId)),
            0U);
  expect_in_step(pair.a, pair.b, "net");
}

}  // namespace
}  // namespace merlon::ikev2::test
