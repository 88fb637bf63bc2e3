#include "wire/ip/ipv6.h"

#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

// Made by scapy.
const char* const kPacket =
    "6b912345000d113d20010db800000000000000000000000120010db800000000000000000000000211941195000d3d6468656c6c"
    "6f";
// Hop-by-hop, routing, destination options, TCP.
const char* const kExtended =
    "60000000003c004020010db800000000000000000000000120010db8000000000000000000000002"
    "2b00010400000000"
    "3c0200010000000020010db8000000000000000000000005"
    "0600010400000000"
    "040101bb0000000000000000500220002eaf0000";
const char* const kFirstFragment =
    "6000000000182c4020010db800000000000000000000000120010db80000000000000000000000021100"
    "00010000abcd040101bb006400017979797979797979";

// RFC 8200 3
TEST(Ipv6, ReadsScapysHeader) {
  const Bytes packet = hex(kPacket);
  const auto header = parse_ipv6(packet);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->dscp(), 46);
  EXPECT_EQ(header->ecn(), 1);
  EXPECT_EQ(header->flow_label, 0x12345U);
  EXPECT_EQ(header->total_length(), packet.size());
  EXPECT_EQ(header->hop_limit, 61);
  EXPECT_EQ(header->next_header, IpProtocol::kUdp);
  EXPECT_EQ(header->source, test::address("2001:db8::1"));
  EXPECT_EQ(header->destination, test::address("2001:db8::2"));
  Bytes written(kIpv6HeaderSize);
  write_ipv6(written, *header);
  EXPECT_TRUE(equal(written, ByteView(packet).first(kIpv6HeaderSize)));
}

TEST(Ipv6, RefusesEveryTruncation) {
  for (const char* text : {kPacket, kExtended, kFirstFragment}) {
    const Bytes packet = hex(text);
    ASSERT_TRUE(parse_ipv6(packet));
    for (std::size_t size = 0; size < packet.size(); ++size)
      EXPECT_FALSE(parse_ipv6(test::prefix(packet, size))) << size;
  }
}

TEST(Ipv6, WalksExtensionHeaders) {
  const Bytes packet = hex(kExtended);
  const auto upper = find_ipv6_upper(packet, *parse_ipv6(packet));
  ASSERT_TRUE(upper);
  EXPECT_EQ(upper->protocol, IpProtocol::kTcp);
  EXPECT_EQ(upper->offset, 40U + 8 + 24 + 8);
  EXPECT_FALSE(upper->fragment);
  EXPECT_EQ(upper->unfragmentable_length, 40U + 8 + 24);
  EXPECT_EQ(upper->unfragmentable_next_header_offset, 40U + 8);
}

TEST(Ipv6, ExtensionHeadersEndWithinTheQuote) {
  const Bytes packet = hex(kExtended);
  // Cut anywhere in the extension headers, as an ICMP error may quote it, the walk is refused; behind them it
  // is not.
  for (std::size_t size = kIpv6HeaderSize; size < packet.size(); ++size) {
    const Bytes quote = test::prefix(packet, size);
    const auto header = parse_quoted_ipv6(quote);
    ASSERT_TRUE(header);
    EXPECT_EQ(find_ipv6_upper(quote, *header).has_value(), size >= 80) << size;
  }
}

TEST(Ipv6, FindsTheFragmentHeader) {
  const Bytes packet = hex(kFirstFragment);
  const auto upper = find_ipv6_upper(packet, *parse_ipv6(packet));
  ASSERT_TRUE(upper);
  ASSERT_TRUE(upper->fragment);
  EXPECT_EQ(upper->fragment->identification, 0xabcdU);
  EXPECT_TRUE(upper->fragment->more_fragments);
  EXPECT_EQ(upper->fragment->fragment_offset, 0);
  EXPECT_EQ(upper->fragment_header_offset, 40U);
  EXPECT_EQ(upper->protocol, IpProtocol::kUdp);
  EXPECT_EQ(upper->offset, 48U);
}

TEST(Ipv6, RefusesHopByHopOptionsInASecondPlace) {
  // RFC 8200 4.1
  Bytes packet = hex(kExtended);
  packet[40] = 0;
  EXPECT_EQ(find_ipv6_upper(packet, *parse_ipv6(packet)).error(), PacketError::kBadExtension);
}

TEST(Ipv6, RefusesEndlessExtensionHeadersAndJumbograms) {
  Bytes packet = hex(kExtended);
  packet.resize(kIpv6HeaderSize);
  packet[6] = 60;
  for (int i = 0; i < 20; ++i) append(packet, hex("3c00010400000000"));
  packet[5] = 160;
  EXPECT_EQ(find_ipv6_upper(packet, *parse_ipv6(packet)).error(), PacketError::kBadExtension);
  // The same where the chain does come to an end.
  Bytes ends = packet;
  ends[kIpv6HeaderSize + 19 * 8] = 17;
  append(ends, hex("0457 08ae 0008 0000"));
  ends[5] = 168;
  EXPECT_EQ(find_ipv6_upper(ends, *parse_ipv6(ends)).error(), PacketError::kBadExtension);
  packet[5] = 0;
  EXPECT_EQ(parse_ipv6(packet).error(), PacketError::kBadTotalLength);
}

TEST(Ipv6, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    Ipv6Header header;
    header.traffic_class = test::number<std::uint8_t>();
    header.flow_label = test::number<std::uint32_t>() & 0xfffffU;
    header.payload_length = *rc::gen::inRange<std::uint16_t>(1, 200);
    header.next_header = static_cast<IpProtocol>(test::number<std::uint8_t>());
    header.hop_limit = test::number<std::uint8_t>();
    header.source = test::any_address(IpFamily::kIpv6);
    header.destination = test::any_address(IpFamily::kIpv6);
    Bytes packet(header.total_length());
    write_ipv6(packet, header);
    RC_ASSERT(*parse_ipv6(packet) == header);
    header.traffic_class = test::number<std::uint8_t>();
    set_ipv6_traffic_class(packet, header.traffic_class);
    RC_ASSERT(*parse_ipv6(packet) == header);
  }));
}

}  // namespace
}  // namespace merlon::wire
