#include "wire/ip/ipv4.h"

#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

// Made by scapy.
const char* const kPacket = "45b90021123440003d113ea3c0000201c633640711941195000dac9c68656c6c6f";

TEST(Ipv4, ReadsScapysHeader) {
  const Bytes packet = hex(kPacket);
  const auto header = parse_ipv4(packet);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->dscp(), 46);
  EXPECT_EQ(header->ecn(), 1);
  EXPECT_EQ(header->total_length, 33);
  EXPECT_EQ(header->identification, 0x1234);
  EXPECT_TRUE(header->dont_fragment);
  EXPECT_FALSE(header->is_fragment());
  EXPECT_EQ(header->ttl, 61);
  EXPECT_EQ(header->protocol, IpProtocol::kUdp);
  EXPECT_EQ(header->source, test::address("192.0.2.1"));
  EXPECT_EQ(header->destination, test::address("198.51.100.7"));
  EXPECT_TRUE(is_ipv4_checksum_right(packet, *header));
  Bytes written(kIpv4HeaderSize);
  write_ipv4(written, *header);
  EXPECT_TRUE(equal(written, ByteView(packet).first(kIpv4HeaderSize)));
}

TEST(Ipv4, RefusesWhatContradictsItself) {
  const Bytes packet = hex(kPacket);
  for (std::size_t size = 0; size < packet.size(); ++size)
    EXPECT_FALSE(parse_ipv4(test::prefix(packet, size))) << size;
  const auto changed = [&packet](std::size_t at, std::uint8_t value) {
    Bytes copy = packet;
    copy[at] = value;
    return parse_ipv4(copy);
  };
  EXPECT_EQ(changed(0, 0x65).error(), PacketError::kBadVersion);
  EXPECT_EQ(changed(0, 0x44).error(), PacketError::kBadHeaderLength);
  EXPECT_EQ(changed(0, 0x4f).error(), PacketError::kTruncated);
  EXPECT_EQ(changed(3, 0).error(), PacketError::kBadTotalLength);   // zero
  EXPECT_EQ(changed(3, 19).error(), PacketError::kBadTotalLength);  // below the header
  EXPECT_EQ(changed(3, 34).error(), PacketError::kBadTotalLength);  // above the buffer
  Bytes beyond = packet;
  store_u16(beyond, 6, 0x1fff);
  EXPECT_EQ(parse_ipv4(beyond).error(), PacketError::kBadFragment);
}

TEST(Ipv4, TakesABufferLongerThanThePacket) {
  Bytes packet = hex(kPacket);
  packet.resize(packet.size() + 100);
  const auto header = parse_ipv4(packet);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->total_length, 33);
}

TEST(Ipv4, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    Ipv4Header header;
    header.tos = test::number<std::uint8_t>();
    header.total_length = *rc::gen::inRange<std::uint16_t>(20, 200);
    header.identification = test::number<std::uint16_t>();
    header.dont_fragment = test::number<bool>();
    header.more_fragments = test::number<bool>();
    header.fragment_offset = static_cast<std::uint16_t>(*rc::gen::inRange(0, 8000) * 8);
    header.ttl = test::number<std::uint8_t>();
    header.protocol = static_cast<IpProtocol>(test::number<std::uint8_t>());
    header.source = test::any_address(IpFamily::kIpv4);
    header.destination = test::any_address(IpFamily::kIpv4);
    Bytes packet(header.total_length);
    write_ipv4(packet, header);
    const auto parsed = parse_ipv4(packet);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == header);
    RC_ASSERT(is_ipv4_checksum_right(packet, *parsed));
    set_ipv4_tos(packet, test::number<std::uint8_t>());
    set_ipv4_ttl(packet, test::number<std::uint8_t>());
    RC_ASSERT(is_ipv4_checksum_right(packet, *parse_ipv4(packet)));
  }));
}

}  // namespace
}  // namespace merlon::wire
