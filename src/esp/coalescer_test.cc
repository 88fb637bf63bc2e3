// What may be put together, and what may not; through a tunnel, so that the packets stand as UDP_GRO leaves them.
#include "esp/coalescer.h"

#include <rapidcheck.h>

#include <map>

#include "esp/test_super_packets.h"

namespace merlon::esp {
namespace {

using namespace test;
using ::testing::ElementsAreArray;
using ::testing::SizeIs;

struct Pieces : Tunnel {
  std::vector<Bytes> pieces;
  FlowPacket flow = flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 100);

  void next(std::size_t size = 100) {
    flow.payload = pattern(size, static_cast<unsigned>(pieces.size()));
    pieces.push_back(wire::test::packet_of(flow));
    flow.sequence += static_cast<std::uint32_t>(size);
    ++flow.identification;
  }
  // The segment sizes of what comes out; a packet by itself: 0. The stream must be what went in.
  std::vector<std::size_t> arrive() {
    const packet::PacketList arrived = unprotect(a.protect(pieces));
    EXPECT_THAT(stream_of(arrived), ElementsAreArray(pieces));
    std::vector<std::size_t> sizes;
    for (const auto& packet : arrived) sizes.push_back(packet->meta.segment_size);
    return sizes;
  }
};

TEST(Coalescing, AShorterSegmentAndPshEndASuperPacket) {
  Pieces pieces;
  pieces.next();
  pieces.next(40);
  pieces.next();
  pieces.next();
  pieces.flow.flags = 0x18;
  pieces.next();
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 100, 0));
}

TEST(Coalescing, OddPacketsEndASuperPacketAndGoByThemselves) {
  const std::vector<void (*)(FlowPacket&)> oddities = {
      [](FlowPacket& flow) { flow.flags = 0x11; },  // FIN
      [](FlowPacket& flow) { flow.flags = 0x12; },  // SYN
      [](FlowPacket& flow) { flow.flags = 0x14; },  // RST
      [](FlowPacket& flow) { flow.flags = 0x30; },  // URG
      [](FlowPacket& flow) { flow.flags = 0x50; },  // ECE
      [](FlowPacket& flow) { flow.flags = 0x90; },  // CWR
      [](FlowPacket& flow) { flow.tos = 3; },       // CE
  };
  for (const auto make_odd : oddities) {
    Pieces pieces;
    pieces.next();
    pieces.next();
    const FlowPacket usual = pieces.flow;
    make_odd(pieces.flow);
    pieces.next();
    pieces.next();
    const FlowPacket after = pieces.flow;
    pieces.flow = usual;
    pieces.flow.sequence = after.sequence;
    pieces.flow.identification = after.identification;
    pieces.next();
    pieces.next();
    EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 0, 0, 100));
  }
}

TEST(Coalescing, WhatDiffersOpensAnother) {
  const std::vector<void (*)(FlowPacket&)> differences = {
      [](FlowPacket& flow) { flow.ttl = 63; },
      [](FlowPacket& flow) { flow.tos = 0x28; },
      [](FlowPacket& flow) { flow.tos = 2; },
      [](FlowPacket& flow) { flow.acknowledgment = 8; },
      [](FlowPacket& flow) { flow.window = 501; },
      [](FlowPacket& flow) { flow.sequence += 100; },
      [](FlowPacket& flow) { flow.sequence -= 200; },
      [](FlowPacket& flow) { flow.options = Bytes{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}; },
      [](FlowPacket& flow) { flow.dont_fragment = false; },
      [](FlowPacket& flow) { flow.source_port = 1112; },
  };
  for (const auto change : differences) {
    Pieces pieces;
    pieces.next();
    pieces.next();
    change(pieces.flow);
    pieces.next();
    pieces.next();
    EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 100));
  }
}

// RFC 6437: packets with another flow label are another flow.
TEST(Coalescing, AnotherFlowLabelOpensAnother) {
  Pieces pieces;
  pieces.flow = flow_of(IpFamily::kIpv6, IpProtocol::kTcp, 100);
  for (int i = 0; i < 4; ++i) pieces.next();
  for (std::size_t i = 2; i < 4; ++i) pieces.pieces[i][3] = 0x77;  // no checksum covers it
  const packet::PacketList arrived = pieces.unprotect(pieces.a.protect(pieces.pieces));
  ASSERT_THAT(arrived, SizeIs(2));
  for (const auto& packet : arrived) EXPECT_EQ(packet->meta.segment_size, 100);
  EXPECT_EQ(arrived[0]->bytes()[3], pieces.pieces[0][3]);
  EXPECT_EQ(arrived[1]->bytes()[3], 0x77);
}

// linux/udp.h, UDP_MAX_SEGMENTS: the kernel takes no more in one.
TEST(Coalescing, NoMoreThan64Datagrams) {
  Pieces pieces;
  pieces.flow = flow_of(IpFamily::kIpv4, IpProtocol::kUdp, 100);
  for (int i = 0; i < 70; ++i) pieces.next();
  const packet::PacketList arrived = pieces.unprotect(pieces.a.protect(pieces.pieces));
  std::vector<std::size_t> counts;
  for (const auto& packet : arrived) counts.push_back((packet->size() - 28) / 100);
  EXPECT_THAT(counts, ::testing::ElementsAre(64, 6));
}

// The bits between data offset and flags (RFC 9768 takes one of them) would be lost: nothing is put behind such a segment.
TEST(Coalescing, ReservedBitsOfTcpAreKept) {
  Pieces pieces;
  pieces.next();
  Bytes& odd = pieces.pieces.front();
  constexpr std::size_t kTcp = 20;
  odd[kTcp + 12] |= 0x01U;
  const unsigned checksum = wire::load_u16(odd, kTcp + 16);
  wire::store_u16(odd, kTcp + 16,
                  static_cast<std::uint16_t>(checksum >= 0x100 ? checksum - 0x100 : checksum + 0xfeff));
  pieces.next();
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(0, 100));
}

// What a gateway's device and sockets do not offer is not made for them.
TEST(EngineConfig, OfAGatewayJoinsForWhatItsSurroundingsTake) {
  const EngineConfig none = EngineConfig::for_gateway({});
  EXPECT_EQ(none.max_joined, 1U);
  EXPECT_FALSE(none.coalesce_tcp || none.coalesce_udp);
  const EngineConfig sends = EngineConfig::for_gateway({.segmented_sends = true});
  EXPECT_EQ(sends.max_joined, 64U);  // UDP_MAX_SEGMENTS of Linux before 6.9
  EXPECT_FALSE(sends.coalesce_tcp || sends.coalesce_udp);
  EXPECT_TRUE(EngineConfig::for_gateway({.tcp_segmentation = true}).coalesce_tcp);
  EXPECT_FALSE(EngineConfig::for_gateway({.tcp_segmentation = true}).coalesce_udp);
  EXPECT_TRUE(EngineConfig::for_gateway({.udp_segmentation = true}).coalesce_udp);
}

// Other protocols with ports (RFC 9260) go by themselves.
TEST(Coalescing, SctpGoesByItself) {
  Pieces pieces;
  for (int i = 0; i < 3; ++i) {
    pieces.next();
    Bytes& packet = pieces.pieces.back();
    packet[9] = static_cast<std::uint8_t>(IpProtocol::kSctp);
    wire::store_u16(packet, 10, 0);
    wire::store_u16(packet, 10, wire::internet_checksum(ByteView(packet).first(20)));
  }
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(0, 0, 0));
}

TEST(Coalescing, IdentificationsCountUpWithoutDf) {
  Pieces pieces;
  pieces.flow.dont_fragment = false;
  pieces.next();
  pieces.next();
  pieces.flow.identification = 77;
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 0));
}

TEST(Coalescing, AWrongChecksumIsNotLaundered) {
  for (const bool first : {true, false}) {
    for (const std::size_t at : {std::size_t{10}, std::size_t{36}, std::size_t{70}}) {
      Pieces pieces;
      pieces.next();
      pieces.next();
      pieces.next();
      pieces.pieces[first ? 0 : 1][at] ^= 1;
      EXPECT_EQ(std::ranges::count(pieces.arrive(), 0U), first ? 1 : 3);
    }
  }
}

TEST(Coalescing, AFragmentBetweenKeepsItsPlace) {
  Pieces pieces;
  pieces.next();
  pieces.next();
  FlowPacket whole = flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 1000);
  Bytes fragment = wire::test::packet_of(whole);
  fragment[6] = 0;
  fragment[7] = 100;  // at byte 800
  wire::store_u16(fragment, 10, 0);
  wire::store_u16(fragment, 10, wire::internet_checksum(ByteView(fragment).first(20)));
  pieces.pieces.push_back(fragment);
  pieces.next();
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 0, 100));
}

TEST(Coalescing, APacketWithoutUdpChecksumKeepsItsPlace) {
  Pieces pieces;
  pieces.flow = flow_of(IpFamily::kIpv4, IpProtocol::kUdp, 100);
  pieces.next();
  pieces.next();
  pieces.next();
  wire::store_u16(pieces.pieces.back(), 26, 0);
  pieces.next();
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 0, 100));
}

TEST(Coalescing, AcknowledgmentsGoByThemselves) {
  Pieces pieces;
  pieces.next();
  pieces.next();
  pieces.next(0);
  pieces.next(0);
  pieces.next();
  EXPECT_THAT(pieces.arrive(), ::testing::ElementsAre(100, 0, 0, 0));
}

// More flows than there are places for, and more super-packets than may grow at once.
TEST(Coalescing, ManyFlowsStayEachInOrder) {
  EXPECT_TRUE(rc::check([] {
    Tunnel tunnel;
    const auto flows = *rc::gen::element<std::size_t>(3, 40, 600);
    std::vector<FlowPacket> sources;
    for (std::size_t i = 0; i < flows; ++i) {
      sources.push_back(flow_of(i % 3 == 0 ? IpFamily::kIpv6 : IpFamily::kIpv4,
                                i % 2 == 0 ? IpProtocol::kTcp : IpProtocol::kUdp, 0));
      sources.back().source_port = static_cast<std::uint16_t>(1000 + i);
      sources.back().dont_fragment = i % 5 != 0;
    }
    SeededRng rng(*rc::gen::arbitrary<std::uint64_t>());
    std::vector<Bytes> packets;
    for (unsigned i = 0; i < 500; ++i) {
      FlowPacket& flow = sources[rng.below(flows)];
      flow.payload = pattern(rng.below(4) == 0 ? 60 : 100, i);
      packets.push_back(wire::test::packet_of(flow));
      flow.sequence += static_cast<std::uint32_t>(flow.payload.size());
      ++flow.identification;
    }
    const auto by_port = [](const std::vector<Bytes>& all) {
      std::map<std::uint16_t, std::vector<Bytes>> out;
      for (const Bytes& one : without_atomic_ids(all))
        out[wire::parse_packet(one).value().source_port].push_back(one);
      return out;
    };
    const packet::PacketList arrived = tunnel.unprotect(tunnel.a.protect(packets));
    RC_ASSERT(flows > 100 || arrived.size() < packets.size());
    RC_ASSERT(by_port(stream_of(arrived)) == by_port(packets));
  }));
}

TEST(Coalescing, CongestionMarkedOutsideIsSeenInside) {
  Tunnel tunnel;
  FlowPacket flow = flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 1000);
  flow.tos = 2;  // ECT(0)
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow, 100));
  packet::PacketList trains = tunnel.protect(burst);
  ASSERT_THAT(trains, SizeIs(1));
  EXPECT_EQ(trains[0]->meta.tos, 2);
  trains[0]->meta.tos = 3;
  flow.tos = 3;
  EXPECT_THAT(stream_of(tunnel.unprotect(trains)), ElementsAreArray(wire::test::segments_of(flow, 100)));
}

}  // namespace
}  // namespace merlon::esp
