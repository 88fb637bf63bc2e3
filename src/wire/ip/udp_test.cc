#include "wire/ip/udp.h"

#include "wire/ip/checksum.h"
#include "wire/ip/packet_view.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::address;
using test::hex;

TEST(Udp, BuildsWhatScapyBuilds) {
  EXPECT_EQ(to_hex(build_udp_packet({address("192.0.2.1"), 500}, {address("198.51.100.7"), 500},
                                    as_bytes("hello"))),
            "450000210000000040118e90c0000201c633640701f401f4000dcbdd68656c6c6f");
  EXPECT_EQ(to_hex(build_udp_packet({address("2001:db8::1"), 500}, {address("2001:db8::2"), 500},
                                    as_bytes("hello"))),
            "60000000000d114020010db800000000000000000000000120010db800000000000000000000000201f401f4000d5ca5"
            "68656c6c6f");
}

TEST(Udp, RefusesLengthsThatContradictTheDatagram) {
  EXPECT_EQ(parse_udp(hex("01f401f40008")).error(), PacketError::kTruncated);
  EXPECT_EQ(parse_udp(hex("01f401f400070000")).error(), PacketError::kBadLength);
  EXPECT_EQ(parse_udp(hex("01f401f400090000")).error(), PacketError::kBadLength);
  EXPECT_TRUE(parse_udp(hex("01f401f4000800000000")));
}

TEST(Udp, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    const auto family = test::number<bool>() ? IpFamily::kIpv4 : IpFamily::kIpv6;
    const Endpoint source{test::any_address(family), test::number<std::uint16_t>()};
    const Endpoint destination{test::any_address(family), test::number<std::uint16_t>()};
    const Bytes payload = test::bytes_between(0, 100);
    const Bytes packet = build_udp_packet(source, destination, payload);
    const auto view = parse_packet(packet);
    RC_ASSERT(view.has_value());
    RC_ASSERT((Endpoint{view->source, view->source_port}) == source);
    RC_ASSERT((Endpoint{view->destination, view->destination_port}) == destination);
    const ByteView datagram = ByteView(packet).subspan(view->upper_offset);
    const auto header = parse_udp(datagram);
    RC_ASSERT(header.has_value());
    RC_ASSERT(header->checksum != 0);
    RC_ASSERT(equal(datagram.subspan(kUdpHeaderSize), payload));
    const auto rest = transport_checksum(source.address, destination.address, IpProtocol::kUdp, datagram);
    RC_ASSERT(rest == 0 || header->checksum == 0xffff);
  }));
}

}  // namespace
}  // namespace merlon::wire
