// Error notifications outside of negotiations (RFC 7296 1.5, 2.3, 2.21, 3.10.1), and what else a peer may say in passing.
#include <gmock/gmock.h>

#include "ikev2/engine_test_hostile.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using testing::HasSubstr;

// What b says to a in requests, decrypted.
std::vector<const Packet*> requests_of_b(const Pair& pair, std::size_t from) {
  std::vector<const Packet*> found;
  for (auto i = from; i < pair.network.sent.size(); ++i) {
    const auto& packet = pair.network.sent[i];
    if (packet.source.address == pair.b.ip && !packet.header().flags.response) found.push_back(&packet);
  }
  return found;
}
std::optional<wire::NotifyPayload> said_by_b(Hostile& pair, std::size_t from, NotifyType type) {
  for (const auto* packet : requests_of_b(pair, from)) {
    const auto opened = pair.as_a->open(packet->payload, *wire::parse_message(packet->payload));
    if (!opened) continue;
    if (const auto* notify = wire::find_notify(opened->payloads, type)) return *notify;
  }
  return std::nullopt;
}
const ike::ErrorNotified* told(const Host& host, bool sent, NotifyType type) {
  for (const auto* event : host.events_of<ike::ErrorNotified>())
    if (event->sent == sent && event->failure.notify_type == static_cast<std::uint16_t>(type)) return event;
  return nullptr;
}
std::uint64_t sent_by(const Host& host, NotifyType type) {
  return host.engine.counters().notifies_sent(static_cast<std::uint16_t>(type));
}
std::uint64_t heard_by(const Host& host, NotifyType type) {
  return host.engine.counters().notifies_received(static_cast<std::uint16_t>(type));
}

// RFC 7296 2.3: not acknowledged; said in an exchange of our own, whose data is the Message ID; rate-limited.
TEST(InvalidMessageId, IsSaidInAnExchangeOfItsOwn) {
  Hostile pair;
  const auto before = pair.network.sent.size();
  pair.next_id = 7;
  EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {}));
  pair.network.run_for(100ms);
  const auto notify = said_by_b(pair, before, NotifyType::kInvalidMessageId);
  ASSERT_TRUE(notify);
  EXPECT_EQ(notify->data, (Bytes{0, 0, 0, 7}));
  const auto* sent = told(pair.b, true, NotifyType::kInvalidMessageId);
  ASSERT_NE(sent, nullptr);
  EXPECT_THAT(sent->failure.sentence, HasSubstr("Message ID 7"));
  const auto* heard = told(pair.a, false, NotifyType::kInvalidMessageId);
  ASSERT_NE(heard, nullptr);
  EXPECT_THAT(heard->failure.sentence, HasSubstr("INVALID_MESSAGE_ID (Message ID 7)"));
  EXPECT_EQ(heard_by(pair.a, NotifyType::kInvalidMessageId), 1U);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {}));
  pair.network.run_for(5s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidMessageId), 1U);
  pair.network.run_for(6s);
  EXPECT_FALSE(pair.ask(ExchangeType::kInformational, {}));
  pair.network.run_for(1s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidMessageId), 2U);
  EXPECT_EQ(pair.b.established().size(), 1U);
}

TEST(InvalidMessageId, IsNoAnswerToForgeriesAndLateCopies) {
  Hostile pair;
  const auto request = value(pair.as_a->seal(pair.header(ExchangeType::kInformational, 2), {}, pair.a.rng));
  ASSERT_TRUE(pair.deliver(request));
  ASSERT_TRUE(pair.deliver(request)) << "the last one again: the same answer again";
  pair.next_id = 3;
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {}));
  EXPECT_FALSE(pair.deliver(request)) << "an older one again";
  auto forged = value(pair.as_a->seal(pair.header(ExchangeType::kInformational, 9), {}, pair.a.rng));
  forged.back() ^= 1;
  EXPECT_FALSE(pair.deliver(forged));
  // A response is never a reason.
  auto header = pair.header(ExchangeType::kInformational, 9);
  header.flags.response = true;
  EXPECT_FALSE(pair.deliver(value(pair.as_a->seal(header, {}, pair.a.rng))));
  pair.network.run_for(20s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidMessageId), 0U);
}

TEST(InvalidSpi, IsSaidInsideTheIkeSaOfThatPeer) {
  Hostile pair;
  const auto before = pair.network.sent.size();
  pair.b.engine.unknown_spi(pair.network.time(), {address("203.0.113.77"), 0}, false, Spi{0x7777});
  pair.b.drain();
  EXPECT_TRUE(requests_of_b(pair, before).empty()) << "nothing to strangers";
  for (int i = 0; i < 3; ++i)
    pair.b.engine.unknown_spi(pair.network.time(), {pair.a.ip, 0}, false, Spi{0x7777});
  pair.b.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(requests_of_b(pair, before).size(), 1U);
  const auto notify = said_by_b(pair, before, NotifyType::kInvalidSpi);
  ASSERT_TRUE(notify);
  EXPECT_EQ(notify->data, (Bytes{0, 0, 0x77, 0x77}));
  ASSERT_NE(told(pair.b, true, NotifyType::kInvalidSpi), nullptr);
  EXPECT_NE(told(pair.a, false, NotifyType::kInvalidSpi), nullptr);
  EXPECT_EQ(pair.a.installed.size(), 1U);
}

TEST(InvalidSpi, IsNotSaidOfWhatIsKnownMeanwhile) {
  Pair pair;
  pair.up();
  pair.b.engine.unknown_spi(pair.network.time(), {pair.a.ip, 0}, false,
                            pair.b.outbound("net")->sa->inbound_spi);
  pair.b.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidSpi), 0U);
}

// Behind a NAT, the port tells which peer it is.
TEST(InvalidSpi, BehindANatGoesToThePortThatThePacketCameFrom) {
  Pair pair;
  pair.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
  pair.at_b().remote_addresses.clear();
  pair.up();
  pair.b.engine.unknown_spi(pair.network.time(), endpoint("203.0.113.9", 4500), true, Spi{0x7777});
  pair.b.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidSpi), 0U);
  pair.b.engine.unknown_spi(pair.network.time(), endpoint("203.0.113.9", 14500), true, Spi{0x7777});
  pair.b.drain();
  pair.network.run_for(1s);
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidSpi), 1U);
}

// RFC 7296 1.5, 2.25: the peer has lost a Child SA that we still send by: it is made anew.
TEST(InvalidSpi, OfAChildThatThePeerLostMakesItAnew) {
  Hostile pair;
  const auto lost = pair.b.outbound("net")->sa->outbound_spi;
  const std::vector<Payload> notice{wire::make_invalid_spi(lost)};
  // Young: it may have crossed the exchange that made it.
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, notice));
  pair.network.run_for(20s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kLostChildSasHeard), 0U);
  pair.network.tamper = [&, done = false](Packet packet) mutable {
    const auto head = packet.header();
    if (!done && head.flags.response && head.flags.initiator &&
        head.exchange_type == ExchangeType::kCreateChildSa) {
      done = true;
      const std::vector<Payload> not_found{
          wire::make_child_sa_not_found({SecurityProtocol::kEsp, pair.b.outbound("net")->sa->inbound_spi})};
      packet.payload = value(pair.as_a->seal(head, not_found, pair.a.rng));
    }
    return std::vector{packet};
  };
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, notice));
  pair.network.run_for(10s);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kLostChildSasHeard), 1U);
  ASSERT_NE(pair.b.outbound("net"), nullptr);
  EXPECT_NE(pair.b.outbound("net")->sa->outbound_spi, lost);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  ASSERT_NE(pair.a.by_inbound(pair.b.outbound("net")->sa->outbound_spi), nullptr);
}

TEST(InvalidSpi, OfAChildThatThePeerHasOnlyRekeysIt) {
  Hostile pair;
  pair.network.run_for(20s);
  const auto named = pair.b.outbound("net")->sa->outbound_spi;
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {wire::make_invalid_spi(named)}));
  pair.network.run_for(10s);
  EXPECT_NE(pair.b.outbound("net")->sa->outbound_spi, named);
  expect_in_step(pair.a, pair.b, "net");
  EXPECT_EQ(pair.b.installed.size(), 1U);
}

// RFC 7296 1.5, 2.21: in clear it is only a hint, and the hint only makes us ask.
TEST(InvalidSpi, InClearOnlyAsks) {
  Pair pair;
  pair.up();
  const auto& child = *pair.b.outbound("net")->sa;
  const auto in_clear = [&](Spi spi, IkeSaId id) {
    wire::IkeHeader header;
    header.initiator_spi = id.initiator;
    header.responder_spi = id.responder;
    header.flags.initiator = true;
    header.exchange_type = ExchangeType::kInformational;
    return value(wire::encode_message({header, {wire::make_invalid_spi(spi)}}));
  };
  const auto checks = [&] { return pair.b.engine.counters().value(Counter::kLivenessChecks); };
  const auto hear = [&](const Bytes& datagram) {
    pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, datagram});
    pair.b.drain();
    pair.network.run_for(2s);
  };
  hear(in_clear(child.outbound_spi, {}));
  EXPECT_EQ(checks(), 0U) << "the peer was heard a moment ago";
  pair.network.run_for(20s);
  hear(in_clear(Spi{0x9999}, {}));
  EXPECT_EQ(checks(), 0U) << "nothing of ours";
  const auto before = pair.network.sent.size();
  hear(in_clear(child.outbound_spi, {}));
  EXPECT_EQ(checks(), 1U);
  EXPECT_EQ(pair.network.sent.size() - before, 2U) << "a question and its answer, nothing else";
  pair.network.run_for(20s);
  hear(in_clear(child.outbound_spi, pair.b.established().front().id));
  EXPECT_EQ(checks(), 2U);
  EXPECT_EQ(pair.b.installed.size(), 1U);
  EXPECT_EQ(pair.b.count<ike::ErrorNotified>(), 0U) << "nobody has proved anything";
}

// RFC 7296 3.10.1: the SPI names the Child SA, the data begins the packet.
TEST(InvalidSelectors, NamesTheChildAndQuotesThePacket) {
  Hostile pair;
  const auto before = pair.network.sent.size();
  const auto& child = *pair.b.outbound("net")->sa;
  const Bytes packet(200, 0x45);
  for (int i = 0; i < 5; ++i) pair.b.engine.selectors_violated(pair.network.time(), child.id, packet);
  pair.b.drain();
  pair.network.run_for(1s);
  const auto notify = said_by_b(pair, before, NotifyType::kInvalidSelectors);
  ASSERT_TRUE(notify);
  const auto name = wire::read_child_sa_name(*notify);
  ASSERT_TRUE(name);
  EXPECT_EQ(name->spi, child.inbound_spi);
  EXPECT_EQ(name->protocol, SecurityProtocol::kEsp);
  EXPECT_EQ(notify->data, Bytes(64, 0x45));
  EXPECT_EQ(sent_by(pair.b, NotifyType::kInvalidSelectors), 1U);
  const auto* heard = told(pair.a, false, NotifyType::kInvalidSelectors);
  ASSERT_NE(heard, nullptr);
  EXPECT_THAT(heard->failure.sentence, HasSubstr("traffic selectors"));
  pair.b.engine.selectors_violated(pair.network.time(), policy::ChildSaId{9999}, packet);
  EXPECT_EQ(pair.b.installed.size(), 1U);
}

// And what lies behind a shorter packet stays with us.
TEST(InvalidSelectors, AShortPacketIsQuotedToItsEnd) {
  Hostile pair;
  const auto before = pair.network.sent.size();
  const Bytes packet(28, 0x45);
  pair.b.engine.selectors_violated(pair.network.time(), pair.b.outbound("net")->sa->id, packet);
  pair.b.drain();
  pair.network.run_for(1s);
  const auto notify = said_by_b(pair, before, NotifyType::kInvalidSelectors);
  ASSERT_TRUE(notify);
  EXPECT_EQ(notify->data, packet);
}

// RFC 7296 2.21.2: said in a request, after an answer of ours that the peer could not read: no Delete follows.
TEST(InvalidSyntax, InARequestEndsTheIkeSa) {
  Hostile pair;
  const auto answer = pair.ask(ExchangeType::kInformational, {pair.notify(NotifyType::kInvalidSyntax)});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->empty());
  EXPECT_TRUE(pair.b.established().empty());
  EXPECT_EQ(pair.b.events_of<ike::IkeSaClosed>().front()->reason.notify_type, 7);
}

// Told to people now and then only, however often a peer repeats it; all are counted.
TEST(Notices, OfAPeerDoNotFloodPeople) {
  Hostile pair;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {pair.notify(static_cast<NotifyType>(9000 + i))}));
    pair.network.run_for(100ms);
  }
  EXPECT_EQ(pair.b.count<ike::ErrorNotified>(), 1U);
  EXPECT_EQ(heard_by(pair.b, static_cast<NotifyType>(9049)), 1U);
}

// RFC 7296 2.3: understood and shown; our own requests stay one at a time.
TEST(SetWindowSize, IsRemembered) {
  Hostile pair;
  EXPECT_EQ(pair.b.established().front().peer_window, 1U);
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {wire::make_set_window_size(8)}));
  EXPECT_EQ(pair.b.established().front().peer_window, 8U);
  wire::NotifyPayload broken = wire::make_set_window_size(4);
  broken.data = {0, 0, 0, 0};
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {broken}));
  broken.data = {9};
  ASSERT_TRUE(pair.ask(ExchangeType::kInformational, {broken}));
  EXPECT_EQ(pair.b.established().front().peer_window, 8U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kIkeSasClosed), 0U);
}

// Both messages of IKE_AUTH, changed on their way by somebody who holds the keys: AUTH does not cover what they carry.
struct ChangedAuth : Pair {
  std::function<void(std::vector<Payload>&)> change_request, change_response;
  std::vector<Payload> response;

  ChangedAuth() {
    a.engine.trace("office", false, true);
    network.tamper = [this](Packet packet) {
      const auto head = packet.header();
      if (head.exchange_type != ExchangeType::kIkeAuth) return std::vector{packet};
      if (!as_a_) take_keys();
      auto& reader = head.flags.response ? as_a_ : as_b_;
      auto& writer = head.flags.response ? as_b_ : as_a_;
      auto opened = reader->open(packet.payload, *wire::parse_message(packet.payload));
      if (!opened) return std::vector{packet};
      if (head.flags.response) response = opened->payloads;
      const auto& change = head.flags.response ? change_response : change_request;
      if (change) {
        change(opened->payloads);
        packet.payload = value(writer->seal(head, opened->payloads, a.rng));
      }
      return std::vector{packet};
    };
  }

 private:
  void take_keys() { std::tie(as_a_, as_b_) = protections_traced_by(a); }
  std::optional<MessageProtection> as_a_, as_b_;
};

template <class T>
void drop_payloads(std::vector<Payload>& payloads) {
  std::erase_if(payloads, [](const Payload& payload) { return std::holds_alternative<T>(payload); });
}

// RFC 7296 2.21.2, 3.10.1: every error that may stand in place of the Child SA leaves the IKE SA, and is said in words.
class ChildRefusedInIkeAuth : public testing::TestWithParam<NotifyType> {};
INSTANTIATE_TEST_SUITE_P(Types, ChildRefusedInIkeAuth,
                         testing::Values(NotifyType::kNoProposalChosen, NotifyType::kTsUnacceptable,
                                         NotifyType::kSinglePairRequired, NotifyType::kInternalAddressFailure,
                                         NotifyType::kFailedCpRequired),
                         [](const auto& type) { return wire::name(type.param); });
TEST_P(ChildRefusedInIkeAuth, LeavesTheIkeSa) {
  ChangedAuth pair;
  pair.change_response = [](auto& payloads) {
    drop_payloads<wire::SaPayload>(payloads);
    drop_payloads<wire::TsiPayload>(payloads);
    drop_payloads<wire::TsrPayload>(payloads);
    payloads.emplace_back(wire::make_notify(GetParam()));
  };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(1s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  const auto& failed = *pair.a.events_of<ike::NegotiationFailed>().front();
  EXPECT_EQ(failed.child, "net");
  EXPECT_EQ(failed.failure.notify_type, static_cast<std::uint16_t>(GetParam()));
  EXPECT_THAT(failed.failure.sentence, HasSubstr(wire::name(GetParam())));
  EXPECT_EQ(pair.a.spis.held(), 0U);
}

TEST(FailedCpRequired, InCreateChildSaIsSaidInWords) {
  Hostile pair;
  pair.answer_instead({pair.notify(NotifyType::kFailedCpRequired)});
  ASSERT_TRUE(pair.a.engine.rekey_child_sa(pair.network.time(), "office", "net"));
  pair.a.drain();
  pair.network.run_for(5s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  const auto& failure = pair.a.events_of<ike::NegotiationFailed>().front()->failure;
  EXPECT_EQ(failure.notify_type, 37);
  EXPECT_THAT(failure.sentence, HasSubstr("inner address"));
}

// RFC 7296 2.19, 3.15.4: who assigns no addresses ignores the request for one, and answers all else.
TEST(Configuration, ARequestForAnAddressIsAnsweredWithoutOne) {
  ChangedAuth pair;
  pair.change_request = [](auto& payloads) {
    payloads.emplace_back(
        wire::CpPayload{wire::CfgType::kRequest, {{wire::CfgAttributeType::kInternalIp4Address, {}}}, false});
  };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(1s);
  EXPECT_EQ(wire::find<wire::CpPayload>(pair.response), nullptr);
  EXPECT_EQ(wire::find_error_notify(pair.response), nullptr);
  EXPECT_EQ(pair.b.established().size(), 1U);
  expect_in_step(pair.a, pair.b, "net");
}

// RFC 7296 2.9, 3.10.1: the peer wants an SA for each pair of addresses: asked again with those of the packet alone.
TEST(SinglePairRequired, IsAskedAgainForThePacketAlone) {
  Hostile pair([](Pair& made) {
    for (auto* connection : {&made.at_a(), &made.at_b()}) {
      const bool at_a = connection == &made.at_a();
      auto other = connection->children.front();
      other.name = "other";
      other.start = policy::StartMode::kOnTraffic;
      other.local_ts = value(policy::parse_traffic_selectors(at_a ? "10.3.0.0/16" : "10.4.0.0/16"));
      other.remote_ts = value(policy::parse_traffic_selectors(at_a ? "10.4.0.0/16" : "10.3.0.0/16"));
      connection->children.push_back(other);
    }
  });
  pair.answer_instead({pair.notify(NotifyType::kSinglePairRequired)});
  const auto local = value(policy::parse_traffic_selector("10.3.0.5")),
             remote = value(policy::parse_traffic_selector("10.4.0.9"));
  ASSERT_TRUE(pair.a.engine.acquire(pair.network.time(), "office", "other", {pair.a.ip, 0}, {pair.b.ip, 500},
                                    Engine::TriggeringPacket{local, remote}));
  pair.a.drain();
  pair.network.run_for(3s);
  ASSERT_NE(pair.a.outbound("other"), nullptr);
  EXPECT_EQ(pair.a.outbound("other")->sa->local_ts, policy::TrafficSelectors{local});
  EXPECT_EQ(pair.a.outbound("other")->sa->remote_ts, policy::TrafficSelectors{remote});
  ASSERT_NE(pair.b.by_inbound(pair.a.outbound("other")->sa->outbound_spi), nullptr);
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
}

TEST(SinglePairRequired, InIkeAuthIsAskedAgainInCreateChildSa) {
  ChangedAuth pair;
  pair.change_response = [](auto& payloads) {
    drop_payloads<wire::SaPayload>(payloads);
    drop_payloads<wire::TsiPayload>(payloads);
    drop_payloads<wire::TsrPayload>(payloads);
    payloads.emplace_back(wire::make_notify(NotifyType::kSinglePairRequired));
  };
  pair.configure();
  const auto local = value(policy::parse_traffic_selector("10.1.0.5")),
             remote = value(policy::parse_traffic_selector("10.2.0.9"));
  ASSERT_TRUE(pair.a.engine.acquire(pair.network.time(), "office", "net", {pair.a.ip, 0}, {pair.b.ip, 500},
                                    Engine::TriggeringPacket{local, remote}));
  pair.a.drain();
  pair.network.run_for(3s);
  ASSERT_NE(pair.a.outbound("net"), nullptr);
  EXPECT_EQ(pair.a.outbound("net")->sa->local_ts, policy::TrafficSelectors{local});
  EXPECT_EQ(pair.a.outbound("net")->sa->remote_ts, policy::TrafficSelectors{remote});
  EXPECT_EQ(pair.a.count<ike::NegotiationFailed>(), 0U);
}

}  // namespace
}  // namespace merlon::ikev2::test
