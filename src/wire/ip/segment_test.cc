#include "wire/ip/segment.h"

#include "wire/test_segments.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::FlowPacket;

FlowPacket any_flow() {
  const IpFamily family = *rc::gen::element(IpFamily::kIpv4, IpFamily::kIpv6);
  FlowPacket flow;
  flow.source = test::any_address(family);
  flow.destination = test::any_address(family);
  flow.protocol = *rc::gen::element(IpProtocol::kTcp, IpProtocol::kUdp);
  flow.tos = test::number<std::uint8_t>();
  flow.dont_fragment = test::number<bool>();
  flow.identification = test::number<std::uint16_t>();
  flow.sequence = test::number<std::uint32_t>();
  flow.flags = test::number<std::uint8_t>() & 0xfd;  // no SYN
  flow.options = Bytes(*rc::gen::element<std::size_t>(0, 12, 40), 1);
  flow.payload = test::bytes_between(0, 3000);
  return flow;
}

TEST(Segments, AreThePacketsThatTheSuperPacketStandsFor) {
  EXPECT_TRUE(rc::check([] {
    const FlowPacket flow = any_flow();
    const auto segment_size = *rc::gen::inRange<std::size_t>(1, 1500);
    const Bytes super = test::super_packet_of(flow);
    const auto cutter = SegmentCutter::make(super, parse_packet(super).value(), segment_size);
    RC_ASSERT(cutter.has_value());
    const std::vector<Bytes> expected = test::segments_of(flow, segment_size);
    RC_ASSERT(cutter->count() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      Bytes out(cutter->size_of(i));
      cutter->cut(i, out);
      RC_ASSERT(out == expected[i]);
      RC_ASSERT(out.size() <= cutter->largest());
      RC_ASSERT(are_checksums_right(out, parse_packet(out).value()));
    }
  }));
}

TEST(Segments, SuperHeadersAreThoseOfTheWhole) {
  EXPECT_TRUE(rc::check([] {
    FlowPacket flow = any_flow();
    const Bytes whole = test::super_packet_of(flow);
    FlowPacket first = flow;
    first.payload.resize(std::min<std::size_t>(flow.payload.size(), 100));
    Bytes joined = test::packet_of(first);
    const PacketView view = parse_packet(joined).value();
    append(joined, ByteView(flow.payload).subspan(first.payload.size()));
    write_super_headers(joined, view);
    RC_ASSERT(joined == whole);
  }));
}

TEST(Segments, AnUnfinishedChecksumIsFinished) {
  EXPECT_TRUE(rc::check([] {
    const FlowPacket flow = any_flow();
    Bytes packet = test::super_packet_of(flow);
    const std::size_t upper = flow.source.is_v4() ? 20 : 40;
    RC_ASSERT(finish_checksum(packet, upper,
                              flow.protocol == IpProtocol::kTcp ? kTcpChecksumOffset : kUdpChecksumOffset));
    RC_ASSERT(are_checksums_right(packet, parse_packet(packet).value()));
  }));
  Bytes small(30);
  EXPECT_FALSE(finish_checksum(small, 20, 9));
  EXPECT_FALSE(finish_checksum(small, 31, 0));
  EXPECT_FALSE(finish_checksum(small, 65535, 65535));
}

TEST(Segments, AbsentUdpChecksumsStayAbsent) {
  FlowPacket flow{.source = test::address("10.0.0.1"), .destination = test::address("10.0.0.2")};
  flow.protocol = IpProtocol::kUdp;
  flow.payload = Bytes(100, 3);
  Bytes super = test::packet_of(flow);
  store_u16(super, 26, 0);
  auto cutter = SegmentCutter::make(super, parse_packet(super).value(), 60);
  ASSERT_TRUE(cutter);
  cutter->keep_zero_udp_checksum();
  Bytes out(cutter->size_of(0));
  cutter->cut(0, out);
  EXPECT_EQ(load_u16(out, 26), 0);
}

TEST(Segments, WhatCannotBeCutIsRefused) {
  FlowPacket flow{.source = test::address("10.0.0.1"), .destination = test::address("10.0.0.2")};
  flow.payload = Bytes(100, 3);
  const Bytes super = test::super_packet_of(flow);
  const PacketView view = parse_packet(super).value();
  EXPECT_FALSE(SegmentCutter::make(super, view, 0));
  Bytes long_header = super;
  long_header[32] = 0xf0;  // data offset 60 of 120 bytes: there
  EXPECT_TRUE(SegmentCutter::make(long_header, view, 10));
  long_header[32] = 0x10;  // shorter than a TCP header
  EXPECT_FALSE(SegmentCutter::make(long_header, view, 10));
  PacketView fragment = view;
  fragment.is_fragment = true;
  EXPECT_FALSE(SegmentCutter::make(super, fragment, 10));
  PacketView icmp = view;
  icmp.protocol = IpProtocol::kIcmp;
  EXPECT_FALSE(SegmentCutter::make(super, icmp, 10));
}

TEST(Segments, WrongChecksumsAreSeen) {
  EXPECT_TRUE(rc::check([] {
    const FlowPacket flow = any_flow();
    Bytes packet = test::packet_of(flow);
    const PacketView view = parse_packet(packet).value();
    RC_ASSERT(are_checksums_right(packet, view));
    // Any one flipped bit behind the addresses shows, and any in an IPv4 header.
    const auto at = *rc::gen::inRange<std::size_t>(flow.source.is_v4() ? 0 : 40, packet.size());
    const std::size_t udp_length = (flow.source.is_v4() ? 20 : 40) + 4;
    RC_PRE(flow.protocol != IpProtocol::kUdp || (at != udp_length && at != udp_length + 1));
    packet[at] ^= static_cast<std::uint8_t>(1U << *rc::gen::inRange(0U, 8U));
    RC_ASSERT(!are_checksums_right(packet, view));
  }));
}

// RFC 768: a checksum of zero is none, and another length than the packet's makes it unclear what is covered.
TEST(Segments, AUdpPacketWithoutAChecksumIsNotRight) {
  FlowPacket flow;
  flow.source = test::address("192.0.2.1");
  flow.destination = test::address("192.0.2.2");
  flow.protocol = IpProtocol::kUdp;
  flow.payload = Bytes(40, 7);
  Bytes packet = test::packet_of(flow);
  const PacketView view = parse_packet(packet).value();
  ASSERT_TRUE(are_checksums_right(packet, view));
  packet[26] = packet[27] = 0;
  EXPECT_FALSE(are_checksums_right(packet, view));
  packet = test::packet_of(flow);
  packet[25] ^= 1U;
  EXPECT_FALSE(are_checksums_right(packet, view));
}

}  // namespace
}  // namespace merlon::wire
