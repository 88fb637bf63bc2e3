#include "wire/ip/packet_view.h"

#include "wire/ip/byte_order.h"
#include "wire/ip/plain_packet.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

// All made by scapy.
const char* const kUdp4 = "45b90021123440003d113ea3c0000201c633640711941195000dac9c68656c6c6f";
const char* const kEcho4 = "4500001c00010000400166de0a0000010a0000020800f7fc00010002";
const char* const kEcho6 =
    "6000000000083a4020010db800000000000000000000000120010db80000000000000000000000028000244500010002";
const char* const kMobility6 =
    "600000000008874020010db800000000000000000000000120010db80000000000000000000000023b00050000000000";
const char* const kExtended6 =
    "60000000003c004020010db800000000000000000000000120010db8000000000000000000000002"
    "2b000104000000003c0200010000000020010db80000000000000000000000050600010400000000"
    "040101bb0000000000000000500220002eaf0000";
const char* const kFirstFragment6 =
    "6000000000182c4020010db800000000000000000000000120010db8000000000000000000000002"
    "110000010000abcd040101bb006400017979797979797979";
const char* const kLaterFragment6 =
    "6000000000102c4020010db800000000000000000000000120010db8000000000000000000000002"
    "110000100000abcd7979797979797979";
const char* const kOpaqueFragment6 =
    "6000000000102c4020010db800000000000000000000000120010db8000000000000000000000002"
    "3c0000100000abcd7979797979797979";

TEST(PacketView, SeesPorts) {
  const auto view = parse_packet(hex(kUdp4));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->family, IpFamily::kIpv4);
  EXPECT_EQ(view->upper, UpperFields::kPorts);
  EXPECT_EQ(view->source_port, 4500);
  EXPECT_EQ(view->destination_port, 4501);
  EXPECT_EQ(view->tos, 0xb9);
  EXPECT_EQ(view->ttl, 61);
  EXPECT_TRUE(view->dont_fragment);
  EXPECT_EQ(view->upper_offset, 20U);
  EXPECT_EQ(view->total_length, 33U);
  EXPECT_EQ(describe(*view), "192.0.2.1:4500 -> 198.51.100.7:4501 UDP, 33 bytes");
}

TEST(PacketView, SeesPortsBehindExtensionHeaders) {
  const auto view = parse_packet(hex(kExtended6));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->protocol, IpProtocol::kTcp);
  EXPECT_EQ(view->source_port, 1025);
  EXPECT_EQ(view->destination_port, 443);
  EXPECT_EQ(view->upper_offset, 80U);
}

TEST(PacketView, SeesIcmpTypes) {
  const auto v4 = parse_packet(hex(kEcho4));
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->upper, UpperFields::kIcmp);
  EXPECT_EQ(v4->icmp_selector(), 0x0800);
  const auto v6 = parse_packet(hex(kEcho6));
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->upper, UpperFields::kIcmp);
  EXPECT_EQ(v6->icmp_type, 128);
}

TEST(PacketView, SeesTheMobilityType) {
  const auto view = parse_packet(hex(kMobility6));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->upper, UpperFields::kMobility);
  EXPECT_EQ(view->mobility_selector(), 0x0500);
}

TEST(PacketView, FragmentsShowTheirPortsOnlyInTheFirst) {
  const auto first = parse_packet(hex(kFirstFragment6));
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->is_first_fragment());
  EXPECT_EQ(first->upper, UpperFields::kPorts);
  EXPECT_EQ(first->destination_port, 443);
  const auto later = parse_packet(hex(kLaterFragment6));
  ASSERT_TRUE(later);
  EXPECT_TRUE(later->is_non_first_fragment());
  EXPECT_EQ(later->fragment_offset, 16);
  EXPECT_EQ(later->upper, UpperFields::kOpaque);
  EXPECT_FALSE(later->is_protocol_opaque);
  EXPECT_EQ(later->protocol, IpProtocol::kUdp);
  const auto opaque = parse_packet(hex(kOpaqueFragment6));
  ASSERT_TRUE(opaque);
  EXPECT_TRUE(opaque->is_protocol_opaque);
  EXPECT_EQ(opaque->upper, UpperFields::kOpaque);
}

TEST(PacketView, Ipv4LaterFragmentIsOpaque) {
  Bytes packet = hex(kUdp4);
  store_u16(packet, 6, 2);
  const auto view = parse_packet(packet);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->upper, UpperFields::kOpaque);
  EXPECT_EQ(view->fragment_offset, 16);
  EXPECT_EQ(view->source_port, 0);
}

TEST(PacketView, AnUpperHeaderCutShortIsOpaque) {
  Bytes packet = hex(kUdp4);
  packet[3] = 23;  // 3 bytes of UDP
  const auto view = parse_packet(packet);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->upper, UpperFields::kOpaque);
}

TEST(PacketView, LooksNoFurtherThanTheTotalLength) {
  Bytes packet = hex(kEcho4);
  packet[3] = 20;  // no ICMP at all, whatever follows in the buffer
  const auto view = parse_packet(packet);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->upper, UpperFields::kOpaque);
  EXPECT_EQ(view->total_length, 20U);
}

TEST(PacketView, RefusesTruncationsAndOtherVersions) {
  for (const char* text : {kUdp4, kEcho4, kEcho6, kMobility6, kExtended6, kFirstFragment6, kLaterFragment6}) {
    Bytes packet = hex(text);
    for (std::size_t size = 0; size < packet.size(); ++size)
      EXPECT_FALSE(parse_packet(test::prefix(packet, size)));
    packet[0] = 0x55;
    EXPECT_EQ(parse_packet(packet).error(), PacketError::kBadVersion);
  }
}

TEST(PacketView, SurvivesAnything) {
  EXPECT_TRUE(rc::check([] {
    Bytes packet = test::bytes_between(1, 120);
    packet[0] = test::number<bool>() ? 0x45 : 0x60;
    if (packet.size() > 6 && packet[0] == 0x45)
      store_u16(packet, 2, static_cast<std::uint16_t>(packet.size()));
    if (packet.size() > 6 && packet[0] == 0x60) {
      store_u16(packet, 4, static_cast<std::uint16_t>(packet.size() < 40 ? 0 : packet.size() - 40));
      packet[6] = *rc::gen::element<std::uint8_t>(0, 43, 44, 60, 6, 17, 58, 59, 135);
    }
    const auto view = parse_packet(packet);
    if (!view) return;
    RC_ASSERT(view->total_length <= packet.size());
    RC_ASSERT(view->upper_offset <= view->total_length);
  }));
}

// The quick way through most packets sees what the thorough one sees.
TEST(PacketView, BothWaysAgree) {
  std::vector<Bytes> packets;
  for (const char* text :
       {kUdp4, kEcho4, kEcho6, kMobility6, kExtended6, kFirstFragment6, kLaterFragment6, kOpaqueFragment6})
    packets.push_back(hex(text));
  std::size_t plain = 0;
  for (const Bytes& packet : packets) {
    PacketView view;
    plain += read_plain_packet(packet, view) ? 1 : 0;
  }
  EXPECT_EQ(plain, 3U);  // kUdp4, kEcho4, kEcho6
  EXPECT_TRUE(rc::check([&] {
    Bytes packet = *rc::gen::elementOf(packets);
    // A byte or two of the headers changed, something cut off or hung on.
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i)
      packet[*rc::gen::inRange<std::size_t>(0, std::min<std::size_t>(packet.size(), 44))] =
          *rc::gen::arbitrary<std::uint8_t>();
    packet.resize(*rc::gen::inRange<std::size_t>(0, packet.size() + 9));
    PacketView view;
    const bool is_plain = read_plain_packet(packet, view);
    const auto thorough = parse_any_packet(packet);
    RC_CLASSIFY(is_plain);
    if (is_plain) RC_ASSERT(thorough.has_value());
    if (is_plain) RC_ASSERT(thorough.value() == view);
    const bool is_same = parse_packet(packet) == thorough;
    RC_ASSERT(is_same);
  }));
}

}  // namespace
}  // namespace merlon::wire
