#include "wire/ip/icmp.h"

#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/udp.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::address;
using test::hex;

Bytes offending_v4(std::size_t payload_size) {
  Bytes packet =
      build_udp_packet({address("10.0.0.1"), 1}, {address("10.0.0.2"), 2}, Bytes(payload_size, 'x'));
  auto header = *parse_ipv4(packet);
  header.identification = 1;
  header.dont_fragment = true;
  write_ipv4(packet, header);
  return packet;
}

Bytes offending_v6(std::size_t payload_size) {
  return build_udp_packet({address("2001:db8::1"), 1}, {address("2001:db8::2"), 2}, Bytes(payload_size, 'x'));
}

TEST(Icmp, FragmentationNeededAsScapyBuildsIt) {
  const Bytes offending = offending_v4(1372);
  const auto error = build_packet_too_big(offending, address("10.9.9.9"), 1300);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->size(), 576U);
  EXPECT_EQ(to_hex(ByteView(*error).first(28)), "450002400000000040015bab0a0909090a000001030489d800000514");
  EXPECT_TRUE(equal(ByteView(*error).subspan(28), ByteView(offending).first(548)));
}

TEST(Icmp, PacketTooBigAsScapyBuildsIt) {
  const Bytes offending = offending_v6(1452);
  const auto error = build_packet_too_big(offending, address("2001:db8::9"), 1300);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->size(), 1280U);
  EXPECT_EQ(
      to_hex(ByteView(*error).first(48)),
      "6000000004d83a4020010db800000000000000000000000920010db80000000000000000000000010200363d00000514");
  EXPECT_TRUE(equal(ByteView(*error).subspan(48), ByteView(offending).first(1232)));
}

TEST(Icmp, OurErrorsAreReadBack) {
  const auto v4 = build_packet_too_big(offending_v4(1372), address("10.9.9.9"), 1300);
  const auto error = parse_icmp_error(*v4);
  ASSERT_TRUE(error);
  EXPECT_TRUE(error->is_packet_too_big);
  EXPECT_EQ(error->mtu, 1300U);
  EXPECT_EQ(error->quoted_total_length, 1400U);
  EXPECT_EQ(error->source, address("10.0.0.1"));
  EXPECT_EQ(error->source_port, 1);
  EXPECT_EQ(error->destination_port, 2);
  const auto v6 = parse_icmp_error(*build_packet_too_big(offending_v6(1452), address("2001:db8::9"), 1300));
  ASSERT_TRUE(v6);
  EXPECT_TRUE(v6->is_packet_too_big);
  EXPECT_EQ(v6->mtu, 1300U);
  EXPECT_EQ(v6->quoted_total_length, 1500U);
}

TEST(Icmp, SaysNothingWhereItMust) {
  // RFC 1122 3.2.2, RFC 1812 4.3.2.7
  const IpAddress from = address("10.9.9.9");
  const auto answered = [&from](auto change) {
    Bytes packet = offending_v4(1372);
    auto header = *parse_ipv4(packet);
    change(header);
    write_ipv4(packet, header);
    return build_packet_too_big(packet, from, 1300).has_value();
  };
  EXPECT_TRUE(answered([](Ipv4Header&) {}));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.source = address("0.0.0.0"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.source = address("224.0.0.5"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.source = address("255.255.255.255"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.source = address("127.0.0.1"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.destination = address("224.0.0.5"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.destination = address("255.255.255.255"); }));
  EXPECT_FALSE(answered([](Ipv4Header& h) { h.fragment_offset = 8; }));
  EXPECT_TRUE(answered([](Ipv4Header& h) { h.more_fragments = true; }));
  EXPECT_FALSE(build_packet_too_big(offending_v4(1372), address("2001:db8::9"), 1300));
  EXPECT_FALSE(build_packet_too_big(hex("450000"), from, 1300));
  // Never about an ICMP error; about an echo request, yes.
  const auto error = build_packet_too_big(offending_v4(1372), from, 1300);
  EXPECT_FALSE(build_packet_too_big(*error, from, 300));
  const auto error6 = build_packet_too_big(offending_v6(1452), address("2001:db8::9"), 1300);
  EXPECT_FALSE(build_packet_too_big(*error6, address("2001:db8::8"), 1280));
  EXPECT_TRUE(
      build_packet_too_big(hex("4500001c00010000400166de0a0000010a0000020800f7fc00010002"), from, 20));
}

TEST(Icmp, ReadsErrorsAboutEsp) {
  const auto v4 =
      parse_icmp_error(hex("450000380001000040017cc1cb007101c00002010304487b00000578450005dc00094000403248abc"
                           "0000201c6336407c0ffee0100000007"));
  ASSERT_TRUE(v4);
  EXPECT_TRUE(v4->is_packet_too_big);
  EXPECT_EQ(v4->mtu, 1400U);
  EXPECT_EQ(v4->protocol, IpProtocol::kEsp);
  EXPECT_EQ(v4->spi, Spi{0xc0ffee01});
  EXPECT_EQ(v4->quoted_total_length, 1500U);
  EXPECT_EQ(v4->destination, address("198.51.100.7"));
  const auto v6 = parse_icmp_error(hex(
      "6000000000383a4020010db800000000000000000000000920010db80000000000000000000000010200fa2600000578"
      "6000000005b4324020010db800000000000000000000000120010db8000000000000000000000002c0ffee0100000007"));
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->mtu, 1400U);
  EXPECT_EQ(v6->spi, Spi{0xc0ffee01});
}

TEST(Icmp, ReadsErrorsAboutEspInUdp) {
  const auto error =
      parse_icmp_error(hex("4500003c0001000040017cbdcb007101c000020103041f9200000578450005dc00094000401148ccc"
                           "0000201c63364071194119405c80000"
                           "c0ffee01"));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->protocol, IpProtocol::kUdp);
  EXPECT_EQ(error->source_port, 4500);
  EXPECT_EQ(error->destination_port, 4500);
  EXPECT_EQ(error->spi, Spi{0xc0ffee01});
}

TEST(Icmp, RefusesAWrongChecksumAndTruncations) {
  Bytes packet =
      hex("450000380001000040017cc1cb007101c00002010304487b00000578450005dc00094000403248abc0000201c6336407c0"
          "ffee0100000007");
  for (std::size_t size = 0; size < packet.size(); ++size)
    EXPECT_FALSE(parse_icmp_error(test::prefix(packet, size)));
  // The message alone: cut within the quoted IP header it is refused, cut behind it there is just less to
  // know.
  for (std::size_t size = 20; size < packet.size(); ++size) {
    const auto error =
        parse_icmp_error_message(IpFamily::kIpv4, test::prefix(ByteView(packet).subspan(20), size - 20));
    EXPECT_EQ(error.has_value(), size >= 48) << size;
    if (error) {
      EXPECT_EQ(error->spi.has_value(), size >= 52) << size;
    }
  }
  packet.back() ^= 1;
  EXPECT_FALSE(parse_icmp_error(packet));
}

}  // namespace
}  // namespace merlon::wire
