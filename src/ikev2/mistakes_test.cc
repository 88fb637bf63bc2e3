// The kinds of mistake that IKE daemons fell to (docs/reliability.md), as far as an IKE engine can make them and no test
// beside the code is about them already.
#include <gtest/gtest.h>

#include "crypto/key_exchange.h"
#include "ikev2/engine_test_hostile.h"
#include "policy/proposal_select.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;

// Up to IKE_SA_INIT: b is half open, and a's IKE_AUTH was not let through.
struct HalfOpenPair : Pair {
  std::optional<Packet> ike_auth;
  std::optional<MessageProtection> as_a;

  HalfOpenPair() {
    a.engine.trace("office", false, true);
    network.drop = [this](const Packet& packet) {
      const bool held =
          packet.source.address == a.ip && packet.header().exchange_type == ExchangeType::kIkeAuth;
      if (held) ike_auth = packet;
      return held;
    };
    configure();
    EXPECT_TRUE(a.initiate("office", b));
    network.run_for(100ms);
    network.drop = nullptr;
    const auto& event = *a.events_of<ike::IkeKeysTraced>().at(0);
    IkeKeys keys;
    keys.sk_ei = event.sk_ei.clone();
    keys.sk_er = event.sk_er.clone();
    keys.sk_ai = event.sk_ai.clone();
    keys.sk_ar = event.sk_ar.clone();
    as_a.emplace(value(MessageProtection::create({event.encr, event.key_bits, event.integ}, keys, true)));
  }
  // What b does about it, at once.
  std::vector<ike::Action> give_b(const Bytes& datagram) {
    b.engine.receive(network.time(), {{b.ip, 500}, {a.ip, 500}, false, datagram});
    return b.engine.drain();
  }
};

// In clear, with the right SPIs: nothing of the sort may be looked at, answered or paid for before IKE_AUTH.
TEST(Mistakes, InformationalBeforeThereAreKeys) {
  HalfOpenPair pair;
  ASSERT_TRUE(pair.ike_auth);
  ASSERT_EQ(pair.b.engine.half_open_count(), 1U);
  for (const auto exchange :
       {ExchangeType::kInformational, ExchangeType::kCreateChildSa, ExchangeType::kIkeIntermediate}) {
    wire::Message message{pair.ike_auth->header(), {wire::DeletePayload{}}};
    message.header.exchange_type = exchange;
    for (std::uint32_t id = 0; id < 3; ++id) {
      message.header.message_id = MessageId{id};
      EXPECT_TRUE(pair.give_b(value(wire::encode_message(message))).empty());
    }
  }
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDropWrongPhase), 9U);
  pair.network.run_for(5s);  // a sends its IKE_AUTH again
  expect_in_step(pair.a, pair.b, "net");
}

// Anyone can have the keys of a half-open IKE SA, and even a genuine AUTH proves nothing in another exchange.
TEST(Mistakes, CreateChildSaOnAHalfOpenIkeSa) {
  HalfOpenPair pair;
  ASSERT_TRUE(pair.ike_auth);
  // a's own payloads, opened with its key: what b would take from an IKE_AUTH.
  const auto& event = *pair.a.events_of<ike::IkeKeysTraced>().at(0);
  IkeKeys keys;
  keys.sk_ei = event.sk_ei.clone();
  keys.sk_er = event.sk_er.clone();
  keys.sk_ai = event.sk_ai.clone();
  keys.sk_ar = event.sk_ar.clone();
  auto as_b = value(MessageProtection::create({event.encr, event.key_bits, event.integ}, keys, false));
  const auto opened = as_b.open(pair.ike_auth->payload, *wire::parse_message(pair.ike_auth->payload));
  ASSERT_TRUE(opened);
  auto header = pair.ike_auth->header();
  header.exchange_type = ExchangeType::kCreateChildSa;
  const auto sealed = value(pair.as_a->seal(header, opened->payloads, pair.a.rng));
  pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, sealed});
  pair.b.drain();
  pair.a.alive = false;
  pair.network.run_for(5s);
  EXPECT_TRUE(pair.b.established().empty());
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.b.spis.held(), 0U);
}

// Twice in a payload, twice in a message, and of the IKE SA beside its children.
TEST(Mistakes, TwoDeletesInOneMessage) {
  Hostile pair;
  const auto spi = pair.a.outbound("net")->sa->inbound_spi;
  const auto answer =
      pair.ask(ExchangeType::kInformational, {wire::DeletePayload{SecurityProtocol::kEsp, {spi, spi}, false},
                                              wire::DeletePayload{SecurityProtocol::kEsp, {spi}, false}});
  ASSERT_TRUE(answer);
  ASSERT_EQ(wire::find_all<wire::DeletePayload>(*answer).size(), 1U);
  EXPECT_EQ(wire::find<wire::DeletePayload>(*answer)->spis.size(), 1U);
  EXPECT_TRUE(pair.b.installed.empty());
  EXPECT_EQ(pair.b.count<ike::ChildSaClosed>(), 1U);

  Hostile both;
  const auto child = both.a.outbound("net")->sa->inbound_spi;
  EXPECT_TRUE(both.ask(ExchangeType::kInformational,
                       {wire::DeletePayload{SecurityProtocol::kEsp, {child}, false}, wire::DeletePayload{},
                        wire::DeletePayload{}, wire::DeletePayload{SecurityProtocol::kEsp, {child}, false}}));
  EXPECT_EQ(both.b.count<ike::IkeSaClosed>(), 1U);
  EXPECT_EQ(both.b.count<ike::ChildSaClosed>(), 1U);
  EXPECT_TRUE(both.b.installed.empty());
  EXPECT_EQ(both.b.spis.held(), 0U);
}

// The peer deletes what we are rekeying: before its answer, in the middle of our key exchange, and where no answer comes.
TEST(Mistakes, DeleteOfTheSaInUse) {
  for (const bool answers : {false, true}) {
    for (const auto slow : {Duration(0), Duration(50ms)}) {
      Hostile pair([](Pair& made) {
        for (auto* connection : {&made.at_a(), &made.at_b()})
          connection->children.front().proposals = {
              value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
      });
      pair.network.slow_actions = slow;
      ASSERT_TRUE(pair.b.engine.rekey_child_sa(pair.network.time(), "office", "net"));
      pair.b.drain();
      const auto old = pair.a.outbound("net")->sa;
      EXPECT_TRUE(pair.ask(ExchangeType::kInformational,
                           {wire::DeletePayload{SecurityProtocol::kEsp, {old->inbound_spi}, false}}));
      EXPECT_EQ(pair.b.by_inbound(old->outbound_spi), nullptr);
      pair.a.alive = answers;
      pair.network.run_for(1s);
      EXPECT_LE(pair.b.installed.size(), answers ? 1U : 0U);  // the new one may stand by itself
      pair.a.alive = false;
      pair.b.engine.shut_down(pair.network.time());
      pair.b.drain();
      pair.network.run_for(300s);
      EXPECT_TRUE(pair.b.installed.empty());
      EXPECT_EQ(pair.b.spis.held(), 0U);
    }
  }
}

// Cookies are echoed, a method that the peer names is tried: neither may be more than we can carry out.
TEST(Mistakes, EchoedValuesReachNoAssertion) {
  Pair pair;
  bool done = false;
  pair.network.tamper = [&](Packet packet) {
    const auto head = packet.header();
    if (done || head.flags.response || head.exchange_type != ExchangeType::kIkeSaInit)
      return std::vector{packet};
    done = true;
    std::vector<Packet> forged;
    const auto say = [&](wire::NotifyPayload notify) {
      wire::Message message;
      message.header.initiator_spi = head.initiator_spi;
      message.header.exchange_type = ExchangeType::kIkeSaInit;
      message.header.flags.response = true;
      message.payloads.emplace_back(std::move(notify));
      forged.push_back({packet.destination, packet.source, false, value(wire::encode_message(message))});
    };
    for (const std::size_t size : {std::size_t{0}, std::size_t{65}, std::size_t{4000}, std::size_t{65400}})
      say(wire::make_notify(NotifyType::kCookie, Bytes(size, 7)));
    for (const std::size_t size : {0U, 1U, 3U})
      say(wire::make_notify(NotifyType::kInvalidKePayload, Bytes(size)));
    for (const auto method : {KeMethod::kNone, KeMethod::kCurve25519, KeMethod::kModp768, KeMethod::kModp2048,
                              static_cast<KeMethod>(65535)})
      say(wire::make_invalid_ke_payload(method));
    forged.push_back(packet);
    return forged;
  };
  pair.up();
  EXPECT_TRUE(done);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kCookiesReturned), 0U);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kInvalidKeRetries), 0U);
}

// A public value of no length, for the IKE SA and for a Child SA, is refused before anything is computed with it.
TEST(Mistakes, ZeroLengthKeyMaterial) {
  Pair pair;
  pair.network.tamper = [&](Packet packet) {
    auto message = *wire::parse_message(packet.payload);
    for (auto& payload : message.payloads)
      if (auto* ke = std::get_if<wire::KePayload>(&payload)) ke->data.clear();
    packet.payload = value(wire::encode_message(message));
    return std::vector{packet};
  };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(100ms);
  EXPECT_EQ(pair.b.engine.half_open_count(), 0U);

  Hostile child([](Pair& made) {
    for (auto* connection : {&made.at_a(), &made.at_b()})
      connection->children.front().proposals = {
          value(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
  });
  const auto& sa = *child.a.outbound("net")->sa;
  wire::Proposal spi;
  spi.set_spi(Spi{0x1000});
  auto offer = policy::esp_offer(child.at_a().children.front().proposals, spi.spi, true);
  offer.resize(1);
  EXPECT_TRUE(
      says(child.ask(ExchangeType::kCreateChildSa,
                     {wire::SaPayload{offer, false}, wire::NoncePayload{Bytes(32, 1), false},
                      wire::KePayload{KeMethod::kCurve25519, {}, false},
                      wire::TsiPayload{sa.local_ts, {}, false}, wire::TsrPayload{sa.remote_ts, {}, false}}),
           NotifyType::kInvalidSyntax));
  EXPECT_LE(child.b.installed.size(), 1U);
}

// Two gateways that know nothing of each other must not answer each other's answers for ever.
TEST(Mistakes, ReflectedAnswersAreNotAnswered) {
  Pair pair;
  pair.configure();
  for (const auto exchange : {ExchangeType::kIkeSaInit, ExchangeType::kIkeAuth, ExchangeType::kCreateChildSa,
                              ExchangeType::kInformational}) {
    for (const bool initiator : {false, true}) {
      wire::Message message;
      message.header.initiator_spi = IkeSpi{1};
      message.header.responder_spi = IkeSpi{2};
      message.header.exchange_type = exchange;
      message.header.flags.response = true;
      message.header.flags.initiator = initiator;
      message.payloads.emplace_back(wire::make_notify(NotifyType::kInvalidIkeSpi));
      auto bytes = value(wire::encode_message(message));
      pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, bytes});
      bytes[17] = 0x30;  // and of a version that nobody has
      pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, bytes});
      EXPECT_TRUE(pair.b.engine.drain().empty());
    }
  }
}

// Whoever may have a forged source gets less than he sent: cookies and refusals. What was sent: a's first request.
TEST(Mistakes, AnswersInClearDoNotAmplify) {
  EngineOptions loaded;
  loaded.cookie_threshold = 0;
  Pair cookies({}, loaded);
  cookies.configure();
  ASSERT_TRUE(cookies.a.initiate("office", cookies.b));
  cookies.network.run_for(12ms);
  Pair refusals;
  refusals.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-ecp256"))};
  refusals.configure();
  ASSERT_TRUE(refusals.a.initiate("office", refusals.b));
  refusals.network.run_for(12ms);
  for (const auto* pair : {&cookies, &refusals}) {
    const auto& sent = pair->network.sent;
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_TRUE(sent[1].header().flags.response);
    EXPECT_LT(sent[1].payload.size(), sent[0].payload.size());
  }
  // One answer for one datagram, however often it comes: see Limits.AResponseIsNotRepeatedForEver.
}

// RFC 7296 3.6: "Hash and URL" makes a daemon fetch what a stranger names. We never ask for it.
TEST(Mistakes, UrlsAreNeverAskedFor) {
  Pair pair;
  std::size_t seen = 0;
  const auto look = [&](const wire::Message& message) {
    ++seen;
    EXPECT_EQ(wire::find_notify(message.payloads, NotifyType::kHttpCertLookupSupported), nullptr);
  };
  pair.up();
  for (const auto& packet : pair.network.sent)
    if (packet.header().exchange_type == ExchangeType::kIkeSaInit) look(*wire::parse_message(packet.payload));
  EXPECT_EQ(seen, 2U);
  Hostile inside;
  for (const auto& packet : inside.network.sent) {
    if (packet.header().exchange_type != ExchangeType::kIkeAuth) continue;
    const auto message = *wire::parse_message(packet.payload);
    auto opened =
        (packet.header().flags.initiator ? *inside.as_b : *inside.as_a).open(packet.payload, message);
    ASSERT_TRUE(opened);
    EXPECT_EQ(wire::find_notify(opened->payloads, NotifyType::kHttpCertLookupSupported), nullptr);
  }
}

}  // namespace
}  // namespace merlon::ikev2::test
