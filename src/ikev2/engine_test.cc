// IKE_SA_INIT and IKE_AUTH between two engines.
#include <gmock/gmock.h>

#include "ikev2/engine_test_network.h"

namespace merlon::ikev2::test {
namespace {

using ike::Counter;
using ike::FailureKind;
using testing::HasSubstr;
using wire::ExchangeType;
using wire::NotifyType;

TEST(Engine, TwoOfficesWithAPskComeUp) {
  Pair pair;
  pair.up();
  EXPECT_EQ(pair.a.count<ike::IkeSaEstablished>(), 1U);
  EXPECT_EQ(pair.b.count<ike::ChildSaEstablished>(), 1U);
  EXPECT_EQ(pair.network.sent.size(), 4U);
  const auto& event = *pair.b.events_of<ike::IkeSaEstablished>().front();
  EXPECT_EQ(event.remote_id, "a.example.com");
  EXPECT_EQ(event.algorithms, "AES_GCM_16-256/HMAC_SHA2_256/CURVE25519");
  ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", ""));
  pair.a.drain();
  pair.network.run_for(20s);
  pair.expect_clean();
  EXPECT_EQ(pair.b.events_of<ike::IkeSaClosed>().front()->reason.kind, FailureKind::kDeletedByPeer);
}

TEST(Engine, SlowActionsChangeNothing) {
  Pair pair;
  pair.network.slow_actions = 30ms;
  pair.up();
}

TEST(Engine, EveryMessageMayBeLostOnce) {
  for (std::size_t lost = 0; lost < 4; ++lost) {
    Pair pair;
    std::size_t seen = 0;
    pair.network.drop = [&](const Packet&) { return seen++ == lost; };
    pair.configure();
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(5s);
    expect_in_step(pair.a, pair.b, "net");
    EXPECT_EQ(pair.b.count<ike::IkeSaEstablished>(), 1U) << lost;
  }
}

TEST(Engine, ARetransmittedRequestGetsTheSameBytes) {
  Pair pair;
  pair.network.tamper = [](Packet packet) { return std::vector{packet, packet}; };
  pair.up();
  std::map<Bytes, int> answers;
  for (const auto& packet : pair.network.sent)
    if (packet.header().flags.response) ++answers[packet.payload];
  EXPECT_EQ(answers.size(), 2U);
  for (const auto& [bytes, times] : answers) EXPECT_EQ(times, 2);
  EXPECT_EQ(pair.b.count<ike::IkeSaEstablished>(), 1U);
}

TEST(Engine, NobodyAnswers) {
  Pair pair;
  pair.network.drop = [](const Packet&) { return true; };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(200s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.kind, FailureKind::kTimeout);
  EXPECT_EQ(pair.network.sent.size(), 7U);
  pair.expect_clean();
}

TEST(Engine, TheWrongKeyExchangeMethodIsTriedAgain) {
  Pair pair;
  pair.at_a().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519-ecp256"))};
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
  pair.up();
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kInvalidKeRetries), 1U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kInvalidKeSent), 1U);
}

TEST(Engine, UnderLoadACookieIsAskedForAndNothingKept) {
  EngineOptions loaded;
  loaded.cookie_threshold = 0;
  Pair pair({}, loaded);
  bool asked = false;
  pair.network.drop = [&](const Packet& packet) {
    if (!asked && packet.source.address == pair.b.ip) {
      EXPECT_EQ(pair.b.engine.half_open_count(), 0U);
      EXPECT_EQ(pair.b.engine.next_deadline(), kNever) << "no timer either";
      asked = true;
    }
    return false;
  };
  pair.up();
  EXPECT_TRUE(asked);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kCookiesVerified), 1U);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kCookiesReturned), 1U);
}

TEST(Engine, CookieAndAnotherMethodTogether) {
  EngineOptions loaded;
  loaded.cookie_threshold = 0;
  Pair pair({}, loaded);
  pair.at_a().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519-ecp256"))};
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
  pair.up();
}

TEST(Engine, NoCommonProposalIsSaidOnBothSides) {
  Pair pair;
  pair.at_b().ike_proposals = {value(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  ASSERT_GE(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type, 14);
  EXPECT_EQ(pair.b.events_of<ike::NegotiationFailed>().front()->failure.kind, FailureKind::kNoProposalChosen);
  pair.expect_clean();
}

// RFC 7296 2.21.1: a forged error must not end what a genuine answer can still bring up.
TEST(Engine, AForgedErrorOnlyDelays) {
  Pair pair;
  bool forged = false;
  pair.network.tamper = [&](Packet packet) {
    std::vector<Packet> arriving;
    if (!forged && packet.header().exchange_type == ExchangeType::kIkeSaInit &&
        !packet.header().flags.response) {
      forged = true;
      wire::Message error;
      error.header.initiator_spi = packet.header().initiator_spi;
      error.header.exchange_type = ExchangeType::kIkeSaInit;
      error.header.flags.response = true;
      error.payloads.emplace_back(
          wire::NotifyPayload{NotifyType::kNoProposalChosen, SecurityProtocol::kNone, {}, {}, false});
      arriving.push_back({packet.destination, packet.source, false, value(wire::encode_message(error))});
    } else {
      arriving.push_back(std::move(packet));
    }
    return arriving;
  };
  pair.up();
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kUnprotectedErrorsDelayed), 1U);
}

// RFC 7296 2.4: a forged answer that comes first must not win.
TEST(Engine, AForgedAnswerIsOneCandidateOfSeveral) {
  Pair pair;
  bool forged = false;
  pair.network.tamper = [&](Packet packet) {
    std::vector<Packet> arriving;
    if (!forged && packet.header().exchange_type == ExchangeType::kIkeSaInit &&
        packet.header().flags.response) {
      forged = true;
      auto message = *wire::parse_message(packet.payload);
      message.header.responder_spi = IkeSpi{0x1234};
      for (auto& payload : message.payloads)
        if (auto* ke = std::get_if<wire::KePayload>(&payload)) ke->data[0] ^= 1U;
      arriving.push_back({packet.source, packet.destination, false, value(wire::encode_message(message))});
    }
    arriving.push_back(std::move(packet));
    return arriving;
  };
  pair.up();
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kCandidatesKept), 2U);
  EXPECT_EQ(pair.a.engine.counters().value(Counter::kCandidatesDiscarded), 1U);
}

TEST(Engine, AWrongPskIsSaidOnBothSides) {
  Pair pair;
  pair.office_b.psk = "another secret of good length";
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type, 24);
  const auto& failure = pair.b.events_of<ike::NegotiationFailed>().front()->failure;
  EXPECT_EQ(failure.kind, FailureKind::kAuthentication);
  EXPECT_THAT(failure.sentence, HasSubstr("merlon.toml:12"));
  EXPECT_THAT(failure.sentence, testing::Not(HasSubstr("secret of good")));
  pair.expect_clean();
}

TEST(Engine, AnUnknownIdentityIsRefused) {
  Pair pair;
  pair.at_a().local_auth.front().id = value(Identity::parse("c.example.com"));
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.b.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.b.events_of<ike::NegotiationFailed>().front()->failure.kind, FailureKind::kIdentity);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence,
              HasSubstr("c.example.com"));
  pair.expect_clean();
}

// RFC 7296 2.21.2: the initiator refuses the responder in an exchange of its own.
TEST(Engine, TheInitiatorRefusesTheWrongResponder) {
  Pair pair;
  pair.at_a().remote_auth.front().id.reset();
  pair.at_a().remote_auth.front().id_text = "%any";
  pair.configure();
  // Another secret to check the peer by than to prove oneself.
  auto credentials = credentials_of({pair.office_a});
  credentials->by_connection["office"].remote_psk = Secret::copy_of(as_bytes("not the peer's"));
  pair.a.configure({pair.office_a.connection}, credentials);
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(60s);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.kind, FailureKind::kAuthentication);
  ASSERT_EQ(pair.b.count<ike::IkeSaClosed>(), 1U);
  EXPECT_EQ(pair.b.events_of<ike::IkeSaClosed>().front()->reason.notify_type, 24);
  pair.expect_clean();
}

// RFC 7296 2.21.2: no common selectors leaves an IKE SA without a Child SA.
TEST(Engine, NoCommonSelectorsLeavesTheIkeSa) {
  Pair pair;
  pair.at_b().children.front().remote_ts = value(policy::parse_traffic_selectors("10.9.0.0/16"));
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(5s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.b.established().size(), 1U);
  ASSERT_EQ(pair.a.count<ike::NegotiationFailed>(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->child, "net");
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type, 38);
  EXPECT_THAT(pair.b.events_of<ike::NegotiationFailed>().front()->failure.sentence, HasSubstr("10.9.0.0/16"));
  EXPECT_EQ(pair.a.spis.held() + pair.b.spis.held(), 0U);
}

TEST(Engine, NoCommonEspProposalLeavesTheIkeSa) {
  Pair pair;
  pair.at_b().children.front().proposals = {value(policy::parse_esp_proposal("aes128-sha256"))};
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(5s);
  EXPECT_EQ(pair.a.established().size(), 1U);
  EXPECT_EQ(pair.a.events_of<ike::NegotiationFailed>().front()->failure.notify_type, 14);
  EXPECT_EQ(pair.b.events_of<ike::NegotiationFailed>().front()->failure.kind, FailureKind::kNoProposalChosen);
}

TEST(Engine, SelectorsAreNarrowed) {
  Pair pair;
  pair.at_a().children.front().remote_ts = value(policy::parse_traffic_selectors("10.0.0.0/8"));
  pair.up();
  EXPECT_EQ(policy::to_text(pair.a.outbound("net")->sa->remote_ts), "10.2.0.0/16");
}

TEST(Engine, BehindANatEverythingMovesToPort4500) {
  Pair pair;
  pair.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
  pair.at_b().remote_addresses.clear();
  pair.up();
  const auto a = pair.a.established().front();
  EXPECT_TRUE(a.local_behind_nat);
  EXPECT_TRUE(a.natt);
  EXPECT_EQ(a.local, endpoint("192.0.2.1", 4500));
  EXPECT_TRUE(pair.b.established().front().remote_behind_nat);
  EXPECT_TRUE(pair.a.outbound("net")->path.udp_encapsulation);
  EXPECT_EQ(pair.b.outbound("net")->path.remote, endpoint("203.0.113.9", 14500));
  pair.network.run_for(61s);
  EXPECT_GE(pair.a.keepalives, 3U);
  EXPECT_EQ(pair.b.keepalives, 0U);
}

// RFC 7296 2.23: the mapping is lost, and the side in front of the NAT follows the next authentic message.
TEST(Engine, APeerBehindANatMoves) {
  Pair pair;
  pair.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
  pair.at_b().remote_addresses.clear();
  pair.at_a().liveness_interval = 10s;
  pair.up();
  pair.network.nat->port_shift = 20000;
  pair.network.run_for(15s);
  EXPECT_EQ(pair.b.count<ike::PeerMoved>(), 1U);
  EXPECT_EQ(pair.b.outbound("net")->path.remote, endpoint("203.0.113.9", 24500));
  pair.network.nat->port_shift = 30000;
  pair.b.report(ike::ChildSaPeerMoved{pair.b.outbound("net")->sa->id, endpoint("203.0.113.9", 34500)});
  EXPECT_EQ(pair.b.outbound("net")->path.remote, endpoint("203.0.113.9", 34500));
}

// The answer to a rekey of the IKE SA is lost, and so is the mapping: the new IKE SA was made for where the peer was before.
TEST(Engine, APeerBehindANatMovesWhileItsIkeSaIsRekeyed) {
  Pair pair;
  pair.network.nat = Network::Nat{address("192.0.2.1"), address("203.0.113.9"), 10000};
  pair.at_b().remote_addresses.clear();
  pair.up();
  bool lost = false;
  pair.network.drop = [&](const Packet& packet) {
    const auto head = packet.header();
    return head.flags.response && head.exchange_type == wire::ExchangeType::kCreateChildSa &&
           !std::exchange(lost, true);
  };
  ASSERT_TRUE(pair.a.engine.rekey_ike_sa(pair.network.time(), pair.at_a().name));
  pair.a.drain();
  pair.network.run_for(100ms);
  ASSERT_TRUE(lost);
  pair.network.nat->port_shift = 20000;
  pair.b.report(ike::ChildSaPeerMoved{pair.b.outbound("net")->sa->id, endpoint("203.0.113.9", 24500)});
  pair.network.run_for(10s);
  ASSERT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.established().front().remote, endpoint("203.0.113.9", 24500));
  EXPECT_EQ(pair.b.outbound("net")->path.remote, endpoint("203.0.113.9", 24500));
}

TEST(Engine, UdpEncapsulationByConfiguration) {
  Pair pair;
  pair.at_b().encapsulation = policy::PathProtocol::kUdp;
  pair.up();
  EXPECT_TRUE(pair.a.outbound("net")->path.udp_encapsulation);
  EXPECT_TRUE(pair.b.outbound("net")->path.udp_encapsulation);
}

TEST(Engine, FragmentsCarryLargeMessages) {
  Pair pair;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) connection->fragment_size = 256;
  pair.up();
  EXPECT_GE(pair.a.engine.counters().value(Counter::kFragmentsSent), 2U);
  EXPECT_GE(pair.b.engine.counters().value(Counter::kFragmentsReassembled), 1U);
}

TEST(Engine, LostFragmentsAreSentAgain) {
  Pair pair;
  for (auto* connection : {&pair.at_a(), &pair.at_b()}) connection->fragment_size = 256;
  std::size_t seen = 0;
  pair.network.drop = [&](const Packet& packet) {
    return packet.header().next_payload == wire::PayloadType::kSkf && seen++ % 3 == 1 && seen < 9;
  };
  pair.configure();
  ASSERT_TRUE(pair.a.initiate("office", pair.b));
  pair.network.run_for(20s);
  expect_in_step(pair.a, pair.b, "net");
}

// Whatever arrives without a valid ICV changes nothing.
TEST(Engine, UnauthenticatedInputChangesNothing) {
  Pair pair;
  pair.up();
  const auto before = pair.b.engine.status();
  SeededRng rng(3);
  const auto sent = pair.network.sent;
  for (int round = 0; round < 3000; ++round) {
    auto packet = sent[rng.below(sent.size())];
    const auto flips = 1 + rng.below(3);
    for (std::uint64_t i = 0; i < flips; ++i)
      packet.payload[rng.below(packet.payload.size())] ^= static_cast<std::uint8_t>(1 + rng.below(255));
    if (rng.below(4) == 0) packet.payload.resize(rng.below(packet.payload.size()));
    auto& to = packet.destination.address == pair.a.ip ? pair.a : pair.b;
    to.engine.receive(pair.network.time(), {packet.destination, packet.source, packet.natt, packet.payload});
    (void)to.engine.drain();
  }
  expect_in_step(pair.a, pair.b, "net");
  EXPECT_EQ(pair.b.established().size(), 1U);
  EXPECT_EQ(pair.b.established().front().id, before.front().id);
}

TEST(Engine, AnUnknownSpiIsAnsweredOnlySoOften) {
  Pair pair;
  pair.configure();
  wire::IkeHeader header;
  header.initiator_spi = IkeSpi{1};
  header.responder_spi = IkeSpi{2};
  header.flags.initiator = true;
  header.exchange_type = ExchangeType::kInformational;
  const auto bytes = value(wire::encode_message({header, {}}));
  for (int i = 0; i < 100; ++i)
    pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, bytes});
  const auto actions = pair.b.engine.drain();
  EXPECT_GE(actions.size(), 1U);
  EXPECT_LE(actions.size(), 20U);
  EXPECT_EQ(pair.b.engine.counters().value(Counter::kDropUnknownSpi), 100U);
}

TEST(Engine, AnotherMajorVersionIsRefused) {
  Pair pair;
  pair.configure();
  wire::IkeHeader header;
  header.initiator_spi = IkeSpi{1};
  header.major = 3;
  header.flags.initiator = true;
  header.exchange_type = ExchangeType::kIkeSaInit;
  ByteWriter out;
  header.length = wire::kIkeHeaderSize;
  header.encode(out);
  pair.b.engine.receive(pair.network.time(), {{pair.b.ip, 500}, {pair.a.ip, 500}, false, out.view()});
  const auto actions = pair.b.engine.drain();
  ASSERT_EQ(actions.size(), 1U);
  const auto answer = *wire::parse_message(std::get<ike::Transmit>(actions.front()).payload);
  EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::kInvalidMajorVersion), nullptr);
}

TEST(Engine, HalfOpenIkeSasAreBoundedAndTimeOut) {
  EngineOptions options;
  options.half_open_limit_per_source = 3;
  Pair pair({}, options);
  pair.configure();
  // Cookies are returned, but no other answer arrives, so each attempt stays half open at b.
  pair.network.drop = [&](const Packet& packet) {
    return packet.source.address == pair.b.ip && packet.header().next_payload != wire::PayloadType::kNotify;
  };
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(pair.a.initiate("office", pair.b));
    pair.network.run_for(100ms);
    ASSERT_TRUE(pair.a.engine.terminate(pair.network.time(), "office", ""));
    pair.a.drain();
  }
  EXPECT_EQ(pair.b.engine.half_open_count(), 3U);
  EXPECT_GE(pair.b.engine.counters().value(Counter::kDropHalfOpenPerSource), 3U);
  pair.network.run_for(31s);
  pair.expect_clean();
}

TEST(Engine, TheTraceTellsTheExchange) {
  Pair pair;
  pair.a.engine.trace("office", true, true);
  pair.up();
  EXPECT_EQ(pair.a.count<ike::MessageTraced>(), 4U);
  EXPECT_EQ(pair.a.count<ike::IkeKeysTraced>(), 1U);
  EXPECT_EQ(pair.a.count<ike::ChildKeysTraced>(), 1U);
  EXPECT_EQ(pair.b.count<ike::MessageTraced>(), 0U);
}

}  // namespace
}  // namespace merlon::ikev2::test
