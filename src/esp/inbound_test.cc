// What an authentic peer may put into ESP, and what is told about arriving packets.
#include "esp/inbound.h"

#include <set>

#include "esp/test_peers.h"
#include "wire/esp.h"

namespace merlon::esp {
namespace {

using test::Gateway;
using test::inner_packet;
using test::Peers;
using test::SaSpec;
using test::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A peer that seals whatever plaintext we want.
class Forger : public ::testing::Test {
 protected:
  Forger() : peers_(SaSpec{}) {
    auto [sa_a, sa_b] = peers_.make();
    sa_a_ = sa_a;
    sa_b_ = sa_b;
    EXPECT_TRUE(peers_.b.engine.install(sa_b));
    const auto& algorithms = sa_a->algorithms;
    cipher_ =
        crypto::PacketCipher::create({algorithms.encr, algorithms.key_bits, algorithms.integ}, algorithms.esn,
                                     sa_a->outbound.encryption.bytes(), sa_a->outbound.integrity.bytes())
            .value();
  }

  // `plaintext` as it is, trailer and all.
  Gateway::Received sealed(const Bytes& plaintext) {
    Gateway::Received packet;
    packet.bytes.resize(8 + cipher_->iv_size());
    wire::write_esp_header(packet.bytes, {sa_b_->inbound_spi, ++sequence_});
    wire::store_u32(packet.bytes, 12, sequence_);
    append(packet.bytes, plaintext);
    packet.bytes.resize(packet.bytes.size() + cipher_->icv_size());
    crypto::PacketJob job;
    job.header = packet.bytes.data();
    job.length = static_cast<std::uint32_t>(plaintext.size());
    cipher_->seal({&job, 1});
    packet.meta.source = peers_.end_a();
    packet.meta.destination = peers_.end_b();
    packet.meta.udp_encapsulated = true;
    return packet;
  }
  static Bytes with_trailer(Bytes payload, IpProtocol next_header, bool wrong_padding = false) {
    const std::size_t size = payload.size(), pad = wire::esp_pad_length(size, 4);
    payload.resize(size + pad + 2);
    wire::write_esp_trailer(MutableByteView(payload).subspan(size), pad, next_header);
    if (wrong_padding) payload[size] ^= 0x40U;
    return payload;
  }
  void expect_dropped(const Bytes& plaintext, DropReason reason) {
    const std::uint64_t before = peers_.b.engine.drops(reason);
    EXPECT_THAT(peers_.b.unprotect({sealed(plaintext)}), IsEmpty());
    EXPECT_EQ(peers_.b.engine.drops(reason), before + 1) << name(reason);
  }

  Peers peers_;
  policy::ChildSaPtr sa_a_, sa_b_;
  std::unique_ptr<crypto::PacketCipher> cipher_;
  std::uint32_t sequence_ = 0;
};

TEST_F(Forger, DummyPacketsAreDroppedSilently) {  // RFC 4303 2.6
  peers_.b.unprotect({sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4))});
  peers_.b.events();
  expect_dropped(with_trailer(Bytes(101, 0x5a), IpProtocol::kNoNext), DropReason::kDummy);
  expect_dropped(with_trailer({}, IpProtocol::kNoNext), DropReason::kDummy);
  EXPECT_THAT(peers_.b.events(), IsEmpty());
  EXPECT_EQ(peers_.b.engine.stats(sa_b_->id)->inbound.packets, 3U);
}

TEST_F(Forger, TfcPaddingIsCutOff) {  // RFC 4303 2.7
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    const Bytes packet = inner_packet(family, 100);
    Bytes padded = packet;
    padded.resize(1000, 0xcc);
    const IpProtocol next = family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6;
    EXPECT_THAT(peers_.b.unprotect({sealed(with_trailer(padded, next))}), ElementsAre(packet));
  }
}

TEST_F(Forger, PaddingIsVerified) {  // RFC 4303 2.4
  const Bytes packet = inner_packet(IpFamily::kIpv4, 61);
  expect_dropped(with_trailer(packet, IpProtocol::kIpv4, true), DropReason::kPadding);
  Bytes overlong = with_trailer(packet, IpProtocol::kIpv4);
  overlong[overlong.size() - 2] = 255;
  expect_dropped(overlong, DropReason::kPadding);
}

TEST_F(Forger, LongPaddingIsAccepted) {  // RFC 4303 2.4: up to 255 bytes
  const Bytes packet = inner_packet(IpFamily::kIpv4, 62);
  Bytes plaintext = packet;
  plaintext.resize(62 + 252 + 2);
  wire::write_esp_trailer(MutableByteView(plaintext).subspan(62), 252, IpProtocol::kIpv4);
  EXPECT_THAT(peers_.b.unprotect({sealed(plaintext)}), ElementsAre(packet));
}

TEST_F(Forger, OnlyIpIsTunnelled) {
  const Bytes packet = inner_packet(IpFamily::kIpv4, 60);
  expect_dropped(with_trailer(packet, IpProtocol::kTcp), DropReason::kNextHeader);
  expect_dropped(with_trailer(packet, IpProtocol::kIpv6), DropReason::kMalformedDecrypted);
  expect_dropped(with_trailer(inner_packet(IpFamily::kIpv6, 60), IpProtocol::kIpv4),
                 DropReason::kMalformedDecrypted);
  expect_dropped(with_trailer({}, IpProtocol::kIpv4), DropReason::kMalformedDecrypted);
  Bytes cut = packet;
  cut.resize(40);
  expect_dropped(with_trailer(cut, IpProtocol::kIpv4), DropReason::kMalformedDecrypted);
}

TEST_F(Forger, MisalignedAndRuntPacketsNeverReachTheCipher) {
  expect_dropped(Bytes(7, 1), DropReason::kRunt);
  const Bytes packet = sealed(Bytes(4)).bytes;
  const Bytes without_data(packet.begin(), packet.end() - 4);
  EXPECT_THAT(peers_.b.unprotect({Gateway::Received{Bytes(7), {}}, Gateway::Received{without_data, {}}}),
              IsEmpty());
  EXPECT_EQ(peers_.b.engine.drops(DropReason::kRunt), 3U);
}

TEST_F(Forger, SourceAndDestinationMustBeTheSas) {
  const auto from_to = [](std::string_view from, std::string_view to) {
    return with_trailer(inner_packet(IpFamily::kIpv4, 60, from, to), IpProtocol::kIpv4);
  };
  EXPECT_THAT(peers_.b.unprotect({sealed(from_to("10.1.0.1", "10.2.0.1"))}), SizeIs(1));
  expect_dropped(from_to("10.2.0.1", "10.1.0.1"), DropReason::kSelectorMismatch);
  expect_dropped(from_to("10.3.0.1", "10.2.0.1"), DropReason::kSelectorMismatch);
  expect_dropped(from_to("10.1.0.1", "192.168.0.1"), DropReason::kSelectorMismatch);
}

TEST_F(Forger, SequenceNumberZeroIsInvalid) {
  sequence_ = UINT32_MAX;
  expect_dropped(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4),
                 DropReason::kInvalidSequence);
}

TEST_F(Forger, TheFirstPacketIsToldOnce) {
  const auto good = [&] {
    return sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
  };
  peers_.b.unprotect({good(), good()});
  peers_.b.unprotect({good()});
  const auto firsts = peers_.b.events_of<FirstInbound>();
  ASSERT_THAT(firsts, SizeIs(1));
  EXPECT_EQ(firsts[0].sa, sa_b_->id);
}

TEST_F(Forger, AMovedPeerIsToldOnceAndOnlyByTheNewestPacket) {  // RFC 7296 2.23
  const auto from = [&](const Endpoint& source) {
    auto packet = sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
    packet.meta.source = source;
    return packet;
  };
  const Endpoint moved = test::at("203.0.113.9", 1024);
  const auto late = from(moved);
  peers_.b.unprotect({from(peers_.end_a())});
  EXPECT_THAT(peers_.b.unprotect({late}), SizeIs(1));  // older than the newest: delivered, not believed
  auto forged = from(moved);
  forged.bytes.back() ^= 1U;
  peers_.b.unprotect({forged});
  EXPECT_THAT(peers_.b.events_of<PeerMoved>(), IsEmpty());

  peers_.b.unprotect({from(moved), from(moved)});
  const auto events = peers_.b.events_of<PeerMoved>();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].sa, sa_b_->id);
  EXPECT_EQ(events[0].remote, moved);
  EXPECT_EQ(events[0].local, peers_.end_b());
}

// The tunnel followed it and was moved back since, by a late IKE message.
TEST_F(Forger, AMovedPeerIsToldAgainAfterAWhile) {
  const auto from = [&](const Endpoint& source) {
    auto packet = sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
    packet.meta.source = source;
    return packet;
  };
  const Endpoint moved = test::at("203.0.113.9", 1024);
  peers_.b.unprotect({from(moved)}, test::seconds(1));
  EXPECT_THAT(peers_.b.events_of<PeerMoved>(), SizeIs(1));
  peers_.b.unprotect({from(moved)}, test::seconds(21));
  EXPECT_THAT(peers_.b.events_of<PeerMoved>(), SizeIs(1));
}

TEST_F(Forger, NativeEspDoesNotMoveAPeer) {
  auto packet = sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
  packet.meta.source = test::at("203.0.113.9", 0);
  packet.meta.udp_encapsulated = false;
  EXPECT_THAT(peers_.b.unprotect({packet}), SizeIs(1));
  EXPECT_THAT(peers_.b.events_of<PeerMoved>(), IsEmpty());
}

TEST_F(Forger, AFullRingLosesNoFirstPacketAndNoLimit) {
  EngineConfig config = Gateway::small();
  config.event_capacity = 1;
  config.audit_per_second = config.unknown_spi_per_second = 1000;
  Gateway gateway(9, config);
  ASSERT_TRUE(gateway.engine.install(sa_b_));
  const auto good = [&] {
    return sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
  };
  gateway.unprotect({Gateway::Received{Bytes(100, 9), {}}});  // fills the ring
  gateway.unprotect({good()});
  EXPECT_THAT(gateway.events_of<FirstInbound>(), IsEmpty());
  gateway.unprotect({good()});
  EXPECT_THAT(gateway.events_of<FirstInbound>(), SizeIs(1));
}

TEST(UnknownSpi, IsToldAtALimitedRate) {
  EngineConfig config = Gateway::small();
  config.unknown_spi_per_second = 3;
  config.audit_per_second = 0;
  Gateway gateway(1, config);
  Gateway::Received stray{Bytes(100, 0x11), {}};
  stray.meta.source = test::at("203.0.113.9", 1024);
  gateway.unprotect(std::vector<Gateway::Received>(100, stray), seconds(1));
  const auto events = gateway.events_of<UnknownSpi>();
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(events[0].spi, Spi{0x11111111});
  EXPECT_EQ(events[0].source, stray.meta.source);
  EXPECT_EQ(gateway.engine.drops(DropReason::kUnknownSpi), 100U);
}

TEST(DropReason, EachHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kDropReasons; ++i) names.insert(name(static_cast<DropReason>(i)));
  EXPECT_EQ(names.size(), kDropReasons);
  EXPECT_FALSE(names.contains("unknown"));
}

// Lengths that lead a parser round in circles or past the end.
TEST_F(Forger, InnerPacketsOfNoLength) {
  for (const std::uint16_t length : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{19}}) {
    Bytes v4 = inner_packet(IpFamily::kIpv4, 60);
    wire::store_u16(v4, 2, length);
    expect_dropped(with_trailer(v4, IpProtocol::kIpv4), DropReason::kMalformedDecrypted);
    EXPECT_TRUE(peers_.a.protect({v4}).empty());
  }
  Bytes no_header = inner_packet(IpFamily::kIpv4, 60);
  no_header[0] = 0x40;
  expect_dropped(with_trailer(no_header, IpProtocol::kIpv4), DropReason::kMalformedDecrypted);
  // An IPv6 jumbogram: payload length 0 with a hop-by-hop header (RFC 2675).
  Bytes jumbo = inner_packet(IpFamily::kIpv6, 100);
  wire::store_u16(jumbo, 4, 0);
  jumbo[6] = 0;
  expect_dropped(with_trailer(jumbo, IpProtocol::kIpv6), DropReason::kMalformedDecrypted);
  EXPECT_TRUE(peers_.a.protect({no_header, jumbo}).empty());
  EXPECT_EQ(peers_.a.engine.drops(DropReason::kMalformedInner), 5U);
}

// One layer a pass: an ESP packet of the same SA inside comes out as the packet that it is, and is not opened in turn.
TEST_F(Forger, ATunnelInTheTunnelItself) {
  const Gateway::Received inside = sealed(with_trailer(inner_packet(IpFamily::kIpv4, 60), IpProtocol::kIpv4));
  Bytes carrier = inner_packet(IpFamily::kIpv4, 20 + 8 + inside.bytes.size());
  carrier.resize(20);
  append(carrier, inside.bytes);
  wire::Ipv4Header header = wire::parse_ipv4(inner_packet(IpFamily::kIpv4, carrier.size())).value();
  header.protocol = IpProtocol::kEsp;
  wire::write_ipv4(carrier, header);
  EXPECT_THAT(peers_.b.unprotect({sealed(with_trailer(carrier, IpProtocol::kIpv4))}), ElementsAre(carrier));
  EXPECT_EQ(peers_.b.engine.stats(sa_b_->id)->inbound.packets, 1U);
  // ESP directly in ESP is no packet at all.
  expect_dropped(with_trailer(inside.bytes, IpProtocol::kEsp), DropReason::kNextHeader);
}

}  // namespace
}  // namespace merlon::esp
