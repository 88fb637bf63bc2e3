// Both ends of a Child SA in memory: what goes in comes out, and nothing else does.
#include <fmt/format.h>
#include <rapidcheck.h>

#include <set>

#include "esp/ecn.h"
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

std::vector<policy::EspAlgorithms> all_algorithms() {
  constexpr std::array kEncr{
      EncrId::kNull,     EncrId::kAesCbc,          EncrId::kAesCtr,          EncrId::kAesCcm8,
      EncrId::kAesCcm12, EncrId::kAesCcm16,        EncrId::kAesGcm8,         EncrId::kAesGcm12,
      EncrId::kAesGcm16, EncrId::kNullAuthAesGmac, EncrId::kChacha20Poly1305};
  constexpr std::array kInteg{IntegId::kNone,
                              IntegId::kHmacSha1_96,
                              IntegId::kAesXcbc96,
                              IntegId::kAesCmac96,
                              IntegId::kHmacSha2_256_128,
                              IntegId::kHmacSha2_384_192,
                              IntegId::kHmacSha2_512_256};
  std::vector<policy::EspAlgorithms> all;
  for (const EncrId encr : kEncr)
    for (const unsigned bits : {0U, 128U, 192U, 256U})
      for (const IntegId integ : kInteg)
        for (const bool esn : {false, true})
          if (crypto::is_supported({encr, bits, integ})) all.push_back({encr, bits, integ, esn});
  return all;
}

std::string describe(const policy::EspAlgorithms& algorithms) {
  return fmt::format("{} {} {}", name(algorithms.encr, algorithms.key_bits), name(algorithms.integ),
                     algorithms.esn ? "ESN" : "32 bit");
}

// RFC 4303 2 of what stands on the wire, without the keys.
void check_wire_format(const packet::Packet& packet, const policy::EspAlgorithms& algorithms,
                       std::size_t inner_size, std::uint64_t sequence) {
  const auto sizes = crypto::esp_sizes({algorithms.encr, algorithms.key_bits, algorithms.integ}).value();
  EXPECT_EQ(wire::parse_esp_header(packet.bytes())->sequence, static_cast<std::uint32_t>(sequence));
  const std::size_t data = packet.size() - 8 - sizes.iv - sizes.icv;
  EXPECT_EQ(data % std::max<std::size_t>(sizes.block, 4), 0U);
  EXPECT_GE(data, inner_size + 2);
  EXPECT_LT(data, inner_size + 2 + std::max<std::size_t>(sizes.block, 4));
}

TEST(Tunnel, EveryAlgorithmCarriesEveryFamilyAndSize) {
  const auto all = all_algorithms();
  ASSERT_GE(all.size(), 40U);
  for (const auto& algorithms : all) {
    SCOPED_TRACE(describe(algorithms));
    for (const IpFamily outer : {IpFamily::kIpv4, IpFamily::kIpv6}) {
      SaSpec spec;
      spec.algorithms = algorithms;
      spec.outer = outer;
      spec.udp = outer == IpFamily::kIpv4;
      Peers peers(spec);
      SCOPED_TRACE(fmt::format("from {}", peers.end_a()));
      peers.install();
      std::uint64_t sequence = 0;
      for (const IpFamily inner : {IpFamily::kIpv4, IpFamily::kIpv6})
        for (std::size_t size = 48; size < 1380; size += size < 100 ? 1 : 131) {
          const Bytes packet = inner_packet(inner, size);
          const auto protected_packets = peers.a.protect({packet});
          ASSERT_THAT(protected_packets, SizeIs(1));
          check_wire_format(*protected_packets[0], algorithms, size, ++sequence);
          ASSERT_THAT(peers.b.unprotect(protected_packets), ElementsAre(packet));
        }
      const Bytes answer = inner_packet(IpFamily::kIpv4, 100, "10.2.0.9", "10.1.0.7");
      EXPECT_THAT(peers.a.unprotect(peers.b.protect({answer})), ElementsAre(answer));
    }
  }
}

TEST(Tunnel, BurstsKeepTheirOrderAcrossSeveralSas) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    SaSpec spec;
    Peers peers(spec, Gateway::small(), 2048);
    peers.install();
    auto [narrow_a, narrow_b] = peers.make();
    narrow_a->local_ts = narrow_b->remote_ts = test::ts("10.1.5.0/24");
    RC_ASSERT(peers.a.engine.install(narrow_a).has_value());
    RC_ASSERT(peers.b.engine.install(narrow_b).has_value());
    std::vector<Bytes> packets;
    for (std::uint64_t i = 0, count = rng.below(200); i < count; ++i) {
      packets.push_back(
          inner_packet(IpFamily::kIpv4, 28 + rng.below(1300), rng.below(2) == 0 ? "10.1.5.1" : "10.1.6.1"));
    }
    const auto protected_packets = peers.a.protect(packets);
    RC_ASSERT(protected_packets.size() == packets.size());
    for (const auto& packet : protected_packets) RC_ASSERT(packet->meta.source == peers.end_a());
    RC_ASSERT(peers.b.unprotect(protected_packets) == packets);
  }));
}

TEST(Tunnel, MetadataSaysWhereAndHow) {
  SaSpec spec;
  Peers peers(spec);
  const policy::ChildSaId id = peers.install();
  const auto packets = peers.a.protect({test::with_tos(inner_packet(IpFamily::kIpv4, 100), 0xba)});
  ASSERT_THAT(packets, SizeIs(1));
  const packet::PacketMeta& meta = packets[0]->meta;
  EXPECT_EQ(meta.source, peers.end_a());
  EXPECT_EQ(meta.destination, peers.end_b());
  EXPECT_TRUE(meta.udp_encapsulated);
  EXPECT_EQ(meta.sa_id, id.value);
  EXPECT_EQ(meta.tos, 0xba);  // RFC 6040 4.1 and RFC 4301 5.1.2
  EXPECT_EQ(meta.segment_size, 0);
}

TEST(Tunnel, DscpStaysInsideWhereThePolicySaysSo) {
  SaSpec spec;
  spec.child.copy_dscp = false;
  Peers peers(spec);
  peers.install();
  const auto packets = peers.a.protect({test::with_tos(inner_packet(IpFamily::kIpv6, 100), 0xba)});
  EXPECT_EQ(packets.at(0)->meta.tos, 0x02);
}

TEST(Tunnel, CongestionMarksCrossIt) {
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6})
    for (unsigned inner = 0; inner < 4; ++inner)
      for (unsigned outer = 0; outer < 4; ++outer) {
        Peers peers;
        peers.install();
        const auto inner_tos = static_cast<std::uint8_t>(0x28U | inner);
        const auto packets = peers.a.protect({test::with_tos(inner_packet(family, 100), inner_tos)});
        packets.at(0)->meta.tos = static_cast<std::uint8_t>(0xe0U | outer);
        const auto received = peers.b.unprotect(packets);
        const auto expected = decapsulated_ecn(static_cast<Ecn>(inner), static_cast<Ecn>(outer));
        if (!expected) {
          EXPECT_THAT(received, IsEmpty());
          EXPECT_EQ(peers.b.engine.drops(DropReason::kEcnInvalid), 1U);
          continue;
        }
        ASSERT_THAT(received, SizeIs(1));
        const auto view = wire::parse_packet(received[0]).value();
        EXPECT_EQ(view.tos, 0x28U | static_cast<unsigned>(*expected));
        if (family == IpFamily::kIpv4) {
          EXPECT_TRUE(wire::is_ipv4_checksum_right(received[0], wire::parse_ipv4(received[0]).value()));
        }
      }
}

TEST(Tunnel, CbcIvsAreUnforeseeableAndCounterIvsAreTheSequenceNumber) {
  SaSpec spec;
  spec.algorithms = {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128, false};
  Peers cbc(spec);
  cbc.install();
  std::set<Bytes> ivs;
  for (const auto& packet : cbc.a.protect(std::vector<Bytes>(200, inner_packet(IpFamily::kIpv4, 60)))) {
    ivs.insert(to_bytes(packet->bytes().subspan(8, 16)));
  }
  EXPECT_THAT(ivs, SizeIs(200));

  Peers gcm;
  gcm.install();
  const auto packets = gcm.a.protect(std::vector<Bytes>(3, inner_packet(IpFamily::kIpv4, 60)));
  EXPECT_THAT(to_bytes(packets.at(2)->bytes().subspan(8, 8)), ElementsAre(0, 0, 0, 0, 0, 0, 0, 3));
}

// --- what must not come out

TEST(Tunnel, AnyCorruptedByteIsDroppedAndCounted) {
  for (const auto& algorithms : all_algorithms()) {
    SCOPED_TRACE(describe(algorithms));
    SaSpec spec;
    spec.algorithms = algorithms;
    Peers peers(spec);
    peers.install();
    const auto packets = peers.a.protect({inner_packet(IpFamily::kIpv4, 45)});
    const Gateway::Received good = Gateway::on_wire(*packets.at(0));
    std::vector<Gateway::Received> bad;
    for (std::size_t i = 0; i < good.bytes.size(); ++i) {
      bad.push_back(good);
      bad.back().bytes[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    }
    for (std::size_t length = 0; length < good.bytes.size(); ++length) {
      bad.push_back(
          {Bytes(good.bytes.begin(), good.bytes.begin() + static_cast<std::ptrdiff_t>(length)), good.meta});
    }
    EXPECT_THAT(peers.b.unprotect(bad), IsEmpty());
    std::uint64_t dropped = 0;
    for (std::size_t i = 0; i < kDropReasons; ++i)
      dropped += peers.b.engine.drops(static_cast<DropReason>(i));
    EXPECT_EQ(dropped, bad.size());
    EXPECT_GT(peers.b.engine.drops(DropReason::kIntegrity), 0U);
    // None of them moved the window: the right one is still welcome.
    EXPECT_THAT(peers.b.unprotect({good}), SizeIs(1));
  }
}

TEST(Tunnel, ReplaysAreDroppedWithinABurstAndLater) {
  Peers peers;
  peers.install();
  const auto packets =
      peers.a.protect({inner_packet(IpFamily::kIpv4, 60), inner_packet(IpFamily::kIpv4, 61)});
  const auto first = Gateway::on_wire(*packets.at(0)), second = Gateway::on_wire(*packets.at(1));
  EXPECT_THAT(peers.b.unprotect({second, first, first, second}), SizeIs(2));
  EXPECT_THAT(peers.b.unprotect({first}), IsEmpty());
  EXPECT_EQ(peers.b.engine.drops(DropReason::kReplayed), 3U);
}

TEST(Tunnel, WhatIsLeftOfTheWindowIsTooOld) {
  SaSpec spec;
  spec.child.replay_window = 64;
  spec.algorithms.esn =
      false;  // with ESN an old number is taken for one 2^32 further on, and the ICV does not match
  Peers peers(spec);
  peers.install();
  const auto packets = peers.a.protect(std::vector<Bytes>(66, inner_packet(IpFamily::kIpv4, 60)));
  EXPECT_THAT(peers.b.unprotect({Gateway::on_wire(*packets.at(65))}), SizeIs(1));
  EXPECT_THAT(peers.b.unprotect({Gateway::on_wire(*packets.at(2))}), SizeIs(1));
  EXPECT_THAT(peers.b.unprotect({Gateway::on_wire(*packets.at(1))}), IsEmpty());
  EXPECT_EQ(peers.b.engine.drops(DropReason::kTooOld), 1U);
}

TEST(Tunnel, EsnCrosses32Bits) {
  for (const auto& algorithms : all_algorithms()) {
    if (!algorithms.esn) continue;
    SCOPED_TRACE(describe(algorithms));
    SaSpec spec;
    spec.algorithms = algorithms;
    EngineConfig config = Gateway::small();
    config.first_sequence = (1ULL << 32U) - 2000;
    Peers peers(spec, config);
    peers.install();
    std::vector<Gateway::Received> late;
    for (int i = 0; i < 100; ++i) {
      const auto packets = peers.a.protect(std::vector<Bytes>(40, inner_packet(IpFamily::kIpv4, 60)));
      std::vector<Gateway::Received> received;
      for (const auto& packet : packets) received.push_back(Gateway::on_wire(*packet));
      ASSERT_THAT(received, SizeIs(40));
      late.push_back(received.back());  // comes a round later, across the boundary too
      received.pop_back();
      if (late.size() == 2) {
        received.push_back(late.front());
        late.erase(late.begin());
      }
      std::reverse(received.begin(), received.end());
      ASSERT_EQ(peers.b.unprotect(received).size(), received.size()) << i;
    }
  }
}

TEST(Tunnel, TheSequenceNumberNeverWraps) {
  for (const bool esn : {false, true}) {
    SaSpec spec;
    spec.algorithms.esn = esn;
    EngineConfig config = Gateway::small();
    config.first_sequence = (esn ? UINT64_MAX : UINT32_MAX) - 3;
    Peers peers(spec, config);
    const policy::ChildSaId id = peers.install();
    const auto packets = peers.a.protect(std::vector<Bytes>(10, inner_packet(IpFamily::kIpv4, 60)));
    EXPECT_THAT(packets, SizeIs(4));
    EXPECT_EQ(wire::parse_esp_header(packets.back()->bytes())->sequence, UINT32_MAX);
    EXPECT_EQ(peers.a.engine.drops(DropReason::kSequenceExhausted), 6U);
    unsigned soft = 0, hard = 0;
    for (const Event& event : peers.a.events()) {
      if (const auto* one = std::get_if<SoftExpired>(&event)) soft += one->sa == id ? 1 : 0;
      if (const auto* one = std::get_if<HardExpired>(&event))
        hard += one->limit == LimitKind::kSequenceNumbers ? 1 : 0;
    }
    EXPECT_EQ(soft, 1U);
    EXPECT_EQ(hard, 1U);
  }
}

TEST(Tunnel, ALoweredSequenceLimitAsksForARekeyWellBefore) {
  EngineConfig config = Gateway::small();
  config.sequence_limit = 80;
  Peers peers({}, config);
  peers.install();
  EXPECT_THAT(peers.a.protect(std::vector<Bytes>(69, inner_packet(IpFamily::kIpv4, 60))), SizeIs(69));
  EXPECT_THAT(peers.a.events_of<SoftExpired>(), IsEmpty());
  peers.a.protect({inner_packet(IpFamily::kIpv4, 60)});
  EXPECT_THAT(peers.a.events_of<SoftExpired>(), SizeIs(1));
  EXPECT_THAT(peers.a.protect(std::vector<Bytes>(20, inner_packet(IpFamily::kIpv4, 60))), SizeIs(10));
}

TEST(Tunnel, LimitsInBytesAndPacketsAreToldOnceAndKept) {
  SaSpec spec;
  spec.soft_packets = 5;
  spec.hard_packets = 10;
  spec.soft_bytes = 300;
  spec.hard_bytes = 10000;
  Peers peers(spec);
  peers.install();
  const auto packets = peers.a.protect(std::vector<Bytes>(15, inner_packet(IpFamily::kIpv4, 60)));
  EXPECT_THAT(packets, SizeIs(10));
  EXPECT_EQ(peers.a.engine.drops(DropReason::kSaExpired), 5U);
  const auto events = peers.a.events();
  ASSERT_THAT(events, SizeIs(3));
  EXPECT_EQ(std::get<SoftExpired>(events[0]).limit, LimitKind::kBytes);
  EXPECT_EQ(std::get<SoftExpired>(events[1]).limit, LimitKind::kPackets);
  EXPECT_EQ(std::get<HardExpired>(events[2]).limit, LimitKind::kPackets);
  EXPECT_EQ(std::get<HardExpired>(events[2]).direction, Direction::kOutbound);

  EXPECT_THAT(peers.b.unprotect(packets), SizeIs(10));
  EXPECT_THAT(peers.b.events_of<HardExpired>(), SizeIs(1));
}

TEST(Tunnel, CountersTell) {
  Peers peers;
  const policy::ChildSaId id = peers.install();
  peers.b.unprotect(peers.a.protect(std::vector<Bytes>(3, inner_packet(IpFamily::kIpv4, 100)), seconds(7)),
                    seconds(8));
  const SaStats a = peers.a.engine.stats(id).value(), b = peers.b.engine.stats(id).value();
  EXPECT_EQ(a.outbound.packets, 3U);
  EXPECT_EQ(a.outbound.bytes, 300U);
  EXPECT_EQ(a.outbound.last_used, seconds(7));
  EXPECT_EQ(a.next_outbound_sequence.value, 4U);
  EXPECT_EQ(a.inbound.last_used, kNever);
  EXPECT_EQ(b.inbound.packets, 3U);
  EXPECT_EQ(b.inbound.bytes, 300U);
  EXPECT_EQ(b.inbound.last_used, seconds(8));
}

}  // namespace
}  // namespace merlon::esp
