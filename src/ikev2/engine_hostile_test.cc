// A peer that holds the keys and does not play by the rules: what it sends is authentic, and must still do no
// harm.
#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "ikev2/collision.h"
#include "ikev2/engine_test_hostile.h"
#include "policy/proposal_select.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;

TEST(HostilePeer, AnUnknownCriticalPayloadRefusesOnlyItsMessage) {
  Hostile pair;
  const auto answer = pair.ask(ExchangeType::kInformational,
                               {wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1, 2}, true}});
  ASSERT_TRUE(says(answer, NotifyType::kUnsupportedCriticalPayload));
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational,
                       {wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1, 2}, false}})
                  ->empty());
}

TEST(HostilePeer, BadSyntaxEndsTheIkeSa) {
  Hostile pair;
  const auto answer =
      pair.ask_encoded(ExchangeType::kInformational, {wire::PayloadType::kDelete, {0, 0, 0, 3, 1}});
  EXPECT_TRUE(says(answer, NotifyType::kInvalidSyntax));
  EXPECT_TRUE(pair.b.established().empty());
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.b.spis.held(), 0U);
}

// What lingers only repeats itself: it collects no fragments and reads no new request.
TEST(HostilePeer, NothingNewAfterTheEnd) {
  Hostile pair;
  (void)pair.ask_encoded(ExchangeType::kInformational, {wire::PayloadType::kDelete, {0, 0, 0, 3, 1}});
  const auto before = pair.b.engine.counters().value(Counter::kFragmentsReceived);
  (void)pair.deliver(
      value(pair.as_a->seal_fragment(pair.header(ExchangeType::kInformational, pair.next_id),
                                     wire::PayloadType::kVendorId, 1, 2, Bytes(1000), pair.a.rng)));
  EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {}));
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kFragmentsReceived), before);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDropWrongPhase), 2U);
}

TEST(HostilePeer, FragmentsThatNeverCompleteAreDropped) {
  Hostile pair;
  EXPECT_GT(pair.b.engine.next_deadline(), pair.network.now + 31s);
  (void)pair.deliver(
      value(pair.as_a->seal_fragment(pair.header(ExchangeType::kInformational, pair.next_id),
                                     wire::PayloadType::kVendorId, 1, 2, Bytes(1000), pair.a.rng)));
  EXPECT_LE(pair.b.engine.next_deadline(), pair.network.now + 31s);
  pair.network.run_for(31s);
  EXPECT_GT(pair.b.engine.next_deadline(), pair.network.now + 31s);
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}

// RFC 7296 2.5: the type of the payload is in the notification.
TEST(HostilePeer, AnUnknownCriticalPayloadInIkeAuth) {
  Pair pair;
  pair.a.engine.trace("office", false, true);
  std::optional<MessageProtection> as_a;
  std::optional<std::vector<Payload>> answer;
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (head.exchange_type != ExchangeType::kIkeAuth) return std::vector{packet};
    if (!as_a) {
      const auto& event = *pair.a.events_of<ike::IkeKeysTraced>().front();
      IkeKeys keys;
      keys.sk_ei = event.sk_ei.clone();
      keys.sk_er = event.sk_er.clone();
      keys.sk_ai = event.sk_ai.clone();
      keys.sk_ar = event.sk_ar.clone();
      as_a.emplace(value(MessageProtection::create({event.encr, event.key_bits, event.integ}, keys, true)));
    }
    if (head.flags.response) {
      auto opened = as_a->open(packet.payload, *wire::parse_message(packet.payload));
      if (opened) answer = std::move(opened->payloads);
    } else {
      const std::vector<Payload> payloads{
          wire::UnknownPayload{static_cast<wire::PayloadType>(200), {1, 2}, true}};
      packet.payload = value(as_a->seal(head, payloads, pair.a.rng));
    }
    return std::vector{packet};
  };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(500ms);
  ASSERT_TRUE(answer);
  const auto* refusal = wire::find_notify(*answer, NotifyType::kUnsupportedCriticalPayload);
  ASSERT_NE(refusal, nullptr);
  EXPECT_EQ(refusal->data, Bytes{200});
}

// RFC 7296 2.10: at least half the key size of the negotiated PRF.
TEST(HostilePeer, AShortNonceForAChildIsRefused) {
  Hostile pair([](Pair& made) {
    for (auto* connection : {&made.at_a(), &made.at_b()})
      connection->ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha512-x25519"))};
  });
  const auto& child = *pair.a.outbound("net")->sa;
  wire::Proposal spi;
  spi.set_spi(Spi{0x1000});
  const std::vector<Payload> request{
      wire::SaPayload{policy::esp_offer(pair.at_a().children.front().proposals, spi.spi, true), false},
      wire::NoncePayload{Bytes(31, 1), false}, wire::TsiPayload{child.local_ts, {}, false},
      wire::TsrPayload{child.remote_ts, {}, false}};
  EXPECT_TRUE(says(pair.ask(ExchangeType::kCreateChildSa, request), NotifyType::kInvalidSyntax));
}

// A peer that begins a child that we have begun, and keeps both: it does not know our rule, so we tidy up.
TEST(HostilePeer, ATwinThatThePeerKeeps) {
  Hostile pair;
  ASSERT_TRUE(pair.b.engine.terminate(pair.network.time(), "office", "net"));
  pair.b.drain();
  pair.network.run_for(5s);
  ASSERT_TRUE(pair.b.initiate("office", pair.a, {"net"}));
  pair.network.run_for(5s);
  ASSERT_EQ(pair.b.installed.size(), 1U);
  const auto child = pair.b.installed.begin()->second.sa;
  wire::Proposal spi;
  spi.set_spi(Spi{0x1000});
  const auto answer = pair.ask(
      ExchangeType::kCreateChildSa,
      {wire::SaPayload{policy::esp_offer(pair.at_a().children.front().proposals, spi.spi, true), false},
       wire::NoncePayload{Bytes(32, 0), false}, wire::TsiPayload{child->remote_ts, {}, false},
       wire::TsrPayload{child->local_ts, {}, false}});
  ASSERT_TRUE(answer && wire::find<wire::SaPayload>(*answer));
  EXPECT_EQ(pair.b.installed.size(), 2U);
  pair.network.run_for(25s);
  EXPECT_EQ(pair.b.installed.size(), 2U) << "the peer has its time";
  pair.network.run_for(60s);
  ASSERT_EQ(pair.b.installed.size(), 1U);
  EXPECT_EQ(pair.b.installed.begin()->second.sa->id, child->id);
  expect_in_step(pair.a, pair.b, "net");
}

TEST(HostilePeer, AShortNonceInTheAnswerIsRefused) {
  Hostile pair([](Pair& made) {
    for (auto* connection : {&made.at_a(), &made.at_b()})
      connection->ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha512-x25519"))};
  });
  wire::Proposal chosen = policy::esp_offer(pair.at_a().children.front().proposals, {}, true).front();
  chosen.set_spi(Spi{0x4444});
  const auto& child = *pair.a.outbound("net")->sa;
  pair.answer_instead({wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(31, 9), false},
                       wire::TsiPayload{child.local_ts, {}, false},
                       wire::TsrPayload{child.remote_ts, {}, false}});
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(100ms);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.installed.size(), 1U);
}

// A new IKE SA to a peer behind a NAT goes where the old one went, and with its framing.
TEST(HostilePeer, NoAdditionalSasBehindANat) {
  Hostile pair([](Pair& made) {
    made.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
    made.at_b().remote_addresses.clear();
  });
  pair.a_answers_instead({pair.notify(NotifyType::kNoAdditionalSas)});
  const auto before = pair.network.sent.size();
  ASSERT_TRUE(pair.b.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.b.drain();
  pair.network.run_for(1s);
  const auto begun = std::find_if(
      pair.network.sent.begin() + static_cast<std::ptrdiff_t>(before), pair.network.sent.end(),
      [](const Packet& packet) { return packet.header().exchange_type == ExchangeType::kIkeSaInit; });
  ASSERT_NE(begun, pair.network.sent.end());
  EXPECT_TRUE(begun->natt);
  EXPECT_EQ(begun->destination, endpoint("203.0.113.9", 14500));
}

// RFC 7296 2.8.2: our rekey ends in nonsense, the one of the peer's that crossed it stands: the children go there.
TEST(HostilePeer, ACrossingRekeySurvivesABrokenAnswerToOurs) {
  Hostile pair;
  pair.network.tamper = [&](Packet packet) {
    auto head = packet.header();
    if (head.flags.response && !head.flags.initiator && head.exchange_type == ExchangeType::kCreateChildSa) {
      head.exchange_type = ExchangeType::kInformational;
      packet.payload = value(pair.as_b->seal(head, {}, pair.b.rng));
    }
    return std::vector{packet};
  };
  // b would delete the loser of the two: not yet.
  pair.network.drop = [&](const Packet& packet) {
    return packet.source.address == pair.b.ip && !packet.header().flags.response &&
           packet.header().exchange_type == ExchangeType::kInformational;
  };
  for (auto* host : {&pair.a, &pair.b}) {
    ASSERT_TRUE(host->engine.rekey_ike_sa(pair.network.time(), "office"));
    host->drain();
  }
  pair.network.run_for(200ms);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  // And it is no zombie: it can still begin something.
  pair.network.tamper = nullptr;
  pair.b.alive = false;
  pair.a.engine.check_paths(pair.network.time());
  pair.a.drain();
  pair.network.run_for(300s);
  EXPECT_TRUE(pair.a.established().empty());
}

TEST(HostilePeer, CreateChildSaWithoutWhatItNeeds) {
  Hostile pair;
  EXPECT_TRUE(says(pair.ask(ExchangeType::kCreateChildSa, {wire::NoncePayload{Bytes(32, 1), false}}),
                   NotifyType::kInvalidSyntax));
  EXPECT_TRUE(pair.b.established().empty());
}

TEST(HostilePeer, IkeAuthOnceMore) {
  Hostile pair;
  EXPECT_TRUE(says(pair.ask(ExchangeType::kIkeAuth, {}), NotifyType::kInvalidSyntax));
  EXPECT_TRUE(pair.b.established().empty());
}

TEST(HostilePeer, MessageIdsOutsideTheWindowDoNothing) {
  Hostile pair;
  pair.next_id = 7;
  EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {wire::DeletePayload{}}));
  pair.next_id = 0;
  EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {wire::DeletePayload{}}));
  EXPECT_EQ(pair.b.established().size(), 1U);
  pair.next_id = 2;
  EXPECT_TRUE(pair.ask(ExchangeType::kInformational, {}));
}

TEST(HostilePeer, DeletesOfWhatIsNotThere) {
  Hostile pair;
  const auto answer = pair.ask(ExchangeType::kInformational,
                               {wire::DeletePayload{SecurityProtocol::kEsp, {Spi{1}, Spi{0xffffffff}}, false},
                                wire::DeletePayload{SecurityProtocol::kAh, {Spi{1000}}, false}});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->empty());
  EXPECT_EQ(pair.b.installed.size(), 1U);
}

// What a asks for one more Child SA like that of `pair`.
std::vector<Payload> child_request(Hostile& pair) {
  const auto& child = *pair.a.outbound("net")->sa;
  wire::Proposal spi;
  spi.set_spi(Spi{0x1000});
  return {wire::SaPayload{policy::esp_offer(pair.at_a().children.front().proposals, spi.spi, true), false},
          wire::NoncePayload{Bytes(32, 1), false}, wire::TsiPayload{child.local_ts, {}, false},
          wire::TsrPayload{child.remote_ts, {}, false}};
}

TEST(HostilePeer, AnUnknownChildIsNotFound) {
  Hostile pair;
  std::vector<Payload> request = child_request(pair);
  request.insert(request.begin(), wire::make_rekey_sa({SecurityProtocol::kEsp, Spi{0x9999}}));
  EXPECT_TRUE(says(pair.ask(ExchangeType::kCreateChildSa, request), NotifyType::kChildSaNotFound));
  EXPECT_EQ(pair.b.installed.size(), 1U);
}

// One Child SA after the other, until it is too much (RFC 7296 1.3.1).
TEST(HostilePeer, ChildSasAreBounded) {
  Hostile pair;
  const std::vector<Payload> request = child_request(pair);
  bool refused = false;
  for (int i = 0; i < 60 && !refused; ++i)
    refused = says(pair.ask(ExchangeType::kCreateChildSa, request), NotifyType::kNoAdditionalSas);
  EXPECT_TRUE(refused);
  EXPECT_LE(pair.b.installed.size(), 34U);
}

TEST(HostilePeer, AuthenticationFailedClosesQuietly) {
  Hostile pair;
  EXPECT_TRUE(
      pair.ask(ExchangeType::kInformational, {pair.notify(NotifyType::kAuthenticationFailed)})->empty());
  EXPECT_TRUE(pair.b.established().empty());
  EXPECT_EQ(pair.b.events_of<ike::IkeSaClosed>().front()->reason.notify_type, 24);
}

TEST(HostilePeer, TemporaryFailureIsTriedAgainLater) {
  Hostile pair;
  pair.answer_instead({pair.notify(NotifyType::kTemporaryFailure)});
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), "office"));
  pair.a.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kIkeSasRekeyed), 0U);
  EXPECT_EQ(pair.a.installed.size(), 1U);
}

// RFC 7296 3.4, 3.9, 1.3.2: what a rekey of the IKE SA brings is as long as its algorithms say, and its SPI is not zero.
TEST(HostilePeer, ARekeyOfTheIkeSaWithImpossibleValuesIsRefused) {
  struct Case {
    std::uint64_t spi;
    std::size_t public_value, nonce;
  };
  for (const Case& one : {Case{0, 32, 32}, Case{77, 31, 32}, Case{77, 33, 32}, Case{77, 0, 32}}) {
    SCOPED_TRACE(fmt::format("SPI {}, {} bytes, nonce {}", one.spi, one.public_value, one.nonce));
    Hostile pair;
    wire::Proposal spi;
    spi.set_spi(IkeSpi{one.spi});
    const policy::Proposals offer{value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519"))};
    const auto answer = pair.ask(wire::ExchangeType::kCreateChildSa,
                                 {wire::SaPayload{policy::ike_offer(offer, spi.spi), false},
                                  wire::NoncePayload{Bytes(one.nonce, 1), false},
                                  wire::KePayload{KeMethod::kCurve25519, Bytes(one.public_value, 9), false}});
    // RFC 7296 2.21.3: that ends the IKE SA.
    EXPECT_TRUE(says(answer, NotifyType::kInvalidSyntax));
    EXPECT_EQ(pair.b.established().size(), 0U);
  }
}

TEST(HostilePeer, NoAdditionalSasLeadsToANewIkeSa) {
  Hostile pair;
  pair.answer_instead({pair.notify(NotifyType::kNoAdditionalSas)});
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(20s);
  ASSERT_EQ(pair.a.established().size(), 1U);
  EXPECT_NE(pair.a.established().front().id, pair.id);
  expect_in_step(pair.a, pair.b, "net");
}

TEST(HostilePeer, AnAnswerThatIsWiderThanTheQuestionIsRefused) {
  Hostile pair;
  wire::Proposal chosen =
      policy::to_proposal(policy::ChosenEsp{EncrId::kAesGcm16, 256, IntegId::kNone, KeMethod::kNone, false});
  chosen.set_spi(Spi{0x4444});
  const auto wide = value(policy::parse_traffic_selectors("0.0.0.0/0"));
  pair.answer_instead({wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(32, 9), false},
                       wire::TsiPayload{wide, {}, false}, wire::TsrPayload{wide, {}, false}});
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.spis.held(), 1U);
}

TEST(HostilePeer, AChosenProposalThatWasNotOfferedIsRefused) {
  Hostile pair;
  wire::Proposal chosen =
      policy::to_proposal(policy::ChosenEsp{EncrId::kNull, 0, IntegId::kHmacSha1_96, KeMethod::kNone, false});
  chosen.set_spi(Spi{0x4444});
  const auto& child = *pair.a.outbound("net")->sa;
  pair.answer_instead({wire::SaPayload{{chosen}, false}, wire::NoncePayload{Bytes(32, 9), false},
                       wire::TsiPayload{child.local_ts, {}, false},
                       wire::TsrPayload{child.remote_ts, {}, false}});
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  EXPECT_EQ(pair.a.installed.size(), 1U);
  EXPECT_EQ(pair.a.installed.begin()->second.sa->algorithms.encr, EncrId::kAesGcm16);
}

// Any sequence of well-formed payloads into a live IKE SA: nothing breaks, nothing leaks.
TEST(HostilePeer, AnySequenceOfPayloads) {
  EXPECT_TRUE(rc::check("authentic nonsense does no harm", [] {
    Hostile pair;
    const auto& child = *pair.a.outbound("net")->sa;
    const auto rounds = *rc::gen::inRange(1, 8);
    for (int i = 0; i < rounds; ++i) {
      std::vector<Payload> payloads;
      const auto number = *rc::gen::inRange(0, 8);
      for (int j = 0; j < number; ++j) {
        wire::Proposal spi;
        spi.set_spi(Spi{*rc::gen::arbitrary<std::uint32_t>()});
        wire::Proposal ike_spi;
        ike_spi.set_spi(IkeSpi{*rc::gen::arbitrary<std::uint64_t>()});
        switch (*rc::gen::inRange(0, 11)) {
          case 0:
            payloads.emplace_back(wire::SaPayload{
                policy::esp_offer(pair.at_a().children.front().proposals, spi.spi, true), false});
            break;
          case 1:
            payloads.emplace_back(
                wire::SaPayload{policy::ike_offer(pair.at_a().ike_proposals, ike_spi.spi), false});
            break;
          case 2:
            payloads.emplace_back(
                wire::NoncePayload{Bytes(static_cast<std::size_t>(*rc::gen::inRange(16, 64)), 7), false});
            break;
          case 3:
            payloads.emplace_back(wire::KePayload{KeMethod::kCurve25519,
                                                  Bytes(static_cast<std::size_t>(*rc::gen::inRange(0, 40)),
                                                        *rc::gen::arbitrary<std::uint8_t>()),
                                                  false});
            break;
          case 4:
            payloads.emplace_back(wire::TsiPayload{child.local_ts, {}, false});
            break;
          case 5:
            payloads.emplace_back(wire::TsrPayload{child.remote_ts, {}, false});
            break;
          case 6:
            payloads.emplace_back(wire::make_rekey_sa(
                {SecurityProtocol::kEsp, *rc::gen::element(child.inbound_spi, child.outbound_spi, Spi{5})}));
            break;
          case 7:
            payloads.emplace_back(
                wire::DeletePayload{SecurityProtocol::kEsp,
                                    {*rc::gen::element(child.inbound_spi, child.outbound_spi, Spi{0})},
                                    false});
            break;
          case 8:
            payloads.emplace_back(
                wire::NotifyPayload{static_cast<NotifyType>(*rc::gen::arbitrary<std::uint16_t>()),
                                    SecurityProtocol::kNone,
                                    {},
                                    *rc::gen::arbitrary<Bytes>(),
                                    false});
            break;
          case 9:
            payloads.emplace_back(wire::IdiPayload{value(Identity::parse("x")), false});
            break;
          default:
            payloads.emplace_back(wire::AuthPayload{AuthMethod::kSharedKeyMic, Bytes(32, 1), false});
            break;
        }
      }
      const auto exchange = *rc::gen::element(ExchangeType::kCreateChildSa, ExchangeType::kCreateChildSa,
                                              ExchangeType::kInformational, ExchangeType::kIkeAuth,
                                              ExchangeType::kIkeIntermediate);
      (void)pair.ask(exchange, payloads);
      if (pair.b.established().empty()) break;
    }
    pair.a.alive = false;
    pair.b.engine.shut_down(pair.network.time());
    pair.b.drain();
    pair.network.run_for(200s);
    RC_ASSERT(pair.b.installed.empty());
    RC_ASSERT(pair.b.spis.held() == 0U);
    RC_ASSERT(pair.b.engine.status().empty());
  }));
}

}  // namespace
}  // namespace merlon::ikev2::test
