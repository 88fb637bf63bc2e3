#include "io/vnet_header.h"

#include <gtest/gtest.h>

#include "packet/pool.h"

namespace merlon::io {
namespace {

// An IPv4 (or IPv6) packet with a TCP header of `tcp_header` bytes.
packet::PacketPtr tcp_packet(packet::PacketPool& pool, bool v4, std::size_t tcp_header) {
  Bytes bytes(1000);
  bytes[0] = v4 ? 0x45 : 0x60;
  bytes[(v4 ? 20 : 40) + 12] = static_cast<std::uint8_t>(tcp_header / 4 << 4U);
  return pool.copy_of(bytes);
}

// flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; the numbers little-endian, as the tests' machines are.
VnetHeader header(std::uint8_t flags, std::uint8_t type, std::uint8_t header_length, std::uint8_t gso_size,
                  std::uint8_t start, std::uint8_t offset) {
  return {flags, type, header_length, 0, gso_size, 0, start, 0, offset, 0};
}

TEST(VnetHeader, SaysWhatTheMetadataSay) {
  packet::PacketPool pool(2, 2000);
  for (const bool v4 : {true, false}) {
    const std::uint8_t upper = v4 ? 20 : 40;
    packet::PacketPtr packet = tcp_packet(pool, v4, 32);
    EXPECT_EQ(*vnet_header_of(*packet), header(0, 0, 0, 0, 0, 0));
    packet->meta.checksum_start = upper;
    packet->meta.checksum_offset = 16;
    EXPECT_EQ(*vnet_header_of(*packet), header(1, 0, 0, 0, upper, 16));
    packet->meta.segment_size = 200;
    EXPECT_EQ(*vnet_header_of(*packet),
              header(1, v4 ? 1 : 4, static_cast<std::uint8_t>(upper + 32), 200, upper, 16));
    packet->meta.checksum_offset = 6;
    EXPECT_EQ(*vnet_header_of(*packet), header(1, 5, static_cast<std::uint8_t>(upper + 8), 200, upper, 6));
    packet->meta.checksum_offset = 7;
    EXPECT_FALSE(vnet_header_of(*packet));
  }
}

TEST(VnetHeader, IsUnderstood) {
  packet::PacketPool pool(1, 2000);
  const auto meta_of = [&](const VnetHeader& bytes) {
    packet::PacketPtr packet = tcp_packet(pool, true, 20);
    return take_vnet_header(bytes, *packet) ? std::optional(packet->meta) : std::nullopt;
  };
  EXPECT_EQ(meta_of(header(0, 0, 0, 0, 0, 0))->segment_size, 0);
  EXPECT_EQ(meta_of(header(2, 0, 0, 0, 0, 0))->checksum_start, 0);  // "the data are right": of no use here
  const auto tcp = meta_of(header(1, 0x81, 54, 200, 20, 16));       // with ECN; the header length is a hint
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->segment_size, 200);
  EXPECT_EQ(tcp->checksum_start, 20);
  EXPECT_EQ(tcp->checksum_offset, 16);
  EXPECT_TRUE(meta_of(header(1, 5, 28, 200, 20, 6)));
  EXPECT_FALSE(meta_of(header(1, 3, 28, 200, 20, 6)));       // UFO was never offered
  EXPECT_FALSE(meta_of(header(1, 1, 40, 200, 20, 6)));       // TCP with UDP's checksum
  EXPECT_FALSE(meta_of(header(1, 1, 40, 0, 20, 16)));        // segments of nothing
  EXPECT_FALSE(meta_of({1, 0, 0, 0, 0, 0, 0xe7, 3, 0, 0}));  // beyond the packet
}

}  // namespace
}  // namespace merlon::io
