#include "wire/ip/fragment.h"

#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::address;
using test::hex;

TEST(Fragment, Ipv4AsScapyDoesIt) {
  const Bytes packet =
      hex("45000058000700004011668c0a0000010a00000200010002004481d9000102030405060708090a0b0c0d0e0f1011121314"
          "151617"
          "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b");
  const auto fragments = fragment_ipv4(packet, 52);
  ASSERT_TRUE(fragments);
  ASSERT_EQ(fragments->size(), 3U);
  EXPECT_EQ(to_hex((*fragments)[0]),
            "4500003400072000401146b00a0000010a00000200010002004481d9000102030405060708090a0b0c0d0e0f10111213"
            "14151617");
  EXPECT_EQ(to_hex((*fragments)[1]),
            "4500003400072004401146ac0a0000010a00000218191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233"
            "34353637");
  EXPECT_EQ(to_hex((*fragments)[2]), "4500001800070008401166c40a0000010a00000238393a3b");
}

TEST(Fragment, CopiesOnlyTheOptionsThatAskForIt) {
  // Options: record route (7, not copied, 3 bytes), no operation, router alert (148, copied, 4 bytes)
  Bytes packet = hex("4700005c0000000040110000 0a0000010a000002 07030401 94040000");
  packet.resize(0x5c, 0xaa);
  const auto fragments = fragment_ipv4(packet, 68);
  ASSERT_TRUE(fragments);
  ASSERT_EQ(fragments->size(), 2U);
  EXPECT_EQ((*fragments)[0].size(), 68U);
  EXPECT_EQ((*fragments)[0][0], 0x47);
  EXPECT_EQ((*fragments)[1][0], 0x46);
  EXPECT_EQ(to_hex(ByteView((*fragments)[1]).subspan(20, 4)), "94040000");
  for (const auto& fragment : *fragments)
    EXPECT_TRUE(is_ipv4_checksum_right(fragment, *parse_ipv4(fragment)));
}

TEST(Fragment, LeavesWhatFitsAndRefusesTinyMtus) {
  const Bytes packet = build_udp_packet({address("10.0.0.1"), 1}, {address("10.0.0.2"), 2}, Bytes(100));
  EXPECT_EQ(fragment_ipv4(packet, packet.size())->front(), packet);
  EXPECT_FALSE(fragment_ipv4(packet, 27));
  EXPECT_TRUE(fragment_ipv4(packet, 28));
  EXPECT_FALSE(fragment_ipv4(hex("45"), 100));
  const Bytes packet6 =
      build_udp_packet({address("2001:db8::1"), 1}, {address("2001:db8::2"), 2}, Bytes(100));
  EXPECT_EQ(fragment_ipv6(packet6, packet6.size(), 1)->front(), packet6);
  EXPECT_FALSE(fragment_ipv6(packet6, 55, 1));
  EXPECT_TRUE(fragment_ipv6(packet6, 56, 1));
  EXPECT_FALSE(fragment_ipv6(fragment_ipv6(packet6, 80, 1)->front(), 60, 1));
}

TEST(Fragment, Ipv6HeadersStayInTheFirstFragment) {
  // RFC 7112 5: destination options of 64 bytes before the UDP header
  Bytes packet = build_udp_packet({address("2001:db8::1"), 1}, {address("2001:db8::2"), 2}, Bytes(200));
  Bytes options = hex("1107");
  options.resize(64);
  packet.insert(packet.begin() + 40, options.begin(), options.end());
  packet[6] = 60;
  store_u16(packet, 4, static_cast<std::uint16_t>(packet.size() - 40));
  EXPECT_FALSE(fragment_ipv6(packet, 104, 1));
  EXPECT_TRUE(fragment_ipv6(packet, 112, 1));
}

TEST(Fragment, Ipv4PiecesMakeTheWhole) {
  EXPECT_TRUE(rc::check([] {
    const Bytes payload = test::bytes_between(1, 3000);
    const Bytes packet = build_udp_packet({address("10.0.0.1"), 1}, {address("10.0.0.2"), 2}, payload);
    const auto mtu = *rc::gen::inRange<std::size_t>(28, 1600);
    const auto fragments = fragment_ipv4(packet, mtu);
    RC_ASSERT(fragments.has_value());
    Bytes data;
    for (const auto& fragment : *fragments) {
      const auto header = parse_ipv4(fragment);
      RC_ASSERT(header.has_value());
      RC_ASSERT(fragment.size() <= mtu);
      RC_ASSERT(header->total_length == fragment.size());
      RC_ASSERT(header->fragment_offset == data.size());
      RC_ASSERT(header->more_fragments == (&fragment != &fragments->back()));
      RC_ASSERT(is_ipv4_checksum_right(fragment, *header));
      append(data, ByteView(fragment).subspan(20));
    }
    RC_ASSERT(equal(data, ByteView(packet).subspan(20)));
  }));
}

TEST(Fragment, Ipv6PiecesMakeTheWhole) {
  EXPECT_TRUE(rc::check([] {
    const Bytes payload = test::bytes_between(1, 3000);
    Bytes packet = build_udp_packet({address("2001:db8::1"), 1}, {address("2001:db8::2"), 2}, payload);
    const bool with_options = test::number<bool>();
    if (with_options) {  // hop-by-hop options belong to the part that every fragment repeats
      const Bytes options = hex("1100010400000000");
      packet.insert(packet.begin() + 40, options.begin(), options.end());
      packet[6] = 0;
      store_u16(packet, 4, static_cast<std::uint16_t>(packet.size() - 40));
    }
    const std::size_t head = with_options ? 48 : 40;
    const auto mtu = *rc::gen::inRange<std::size_t>(64, 1600);
    const auto fragments = fragment_ipv6(packet, mtu, 0x01020304);
    RC_ASSERT(fragments.has_value());
    if (packet.size() <= mtu) {
      RC_ASSERT(fragments->size() == 1U);
      return;
    }
    Bytes data;
    for (const auto& fragment : *fragments) {
      const auto header = parse_ipv6(fragment);
      RC_ASSERT(header.has_value());
      const auto upper = find_ipv6_upper(fragment, *header);
      RC_ASSERT(upper.has_value());
      RC_ASSERT(upper->fragment.has_value());
      RC_ASSERT(fragment.size() <= mtu);
      RC_ASSERT(header->total_length() == fragment.size());
      RC_ASSERT(upper->fragment_header_offset == head);
      RC_ASSERT(upper->fragment->identification == 0x01020304U);
      RC_ASSERT(upper->fragment->fragment_offset == data.size());
      RC_ASSERT(upper->fragment->more_fragments == (&fragment != &fragments->back()));
      RC_ASSERT(upper->protocol == IpProtocol::kUdp);
      append(data, ByteView(fragment).subspan(head + 8));
    }
    RC_ASSERT(equal(data, ByteView(packet).subspan(head)));
  }));
}

TEST(Fragment, WhatIsNoIpv6PacketIsRefused) {
  EXPECT_FALSE(fragment_ipv6(Bytes(39, 0x60), 1280, 1));
  EXPECT_FALSE(fragment_ipv6(Bytes(60, 0x45), 1280, 1));
}

}  // namespace
}  // namespace merlon::wire
