#include "wire/ip/ipv4.h"

#include <algorithm>

#include "base/check.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"

namespace merlon::wire {
namespace {

// Places of fields in the header (RFC 791 3.1).
constexpr std::size_t kTos = 1;
constexpr std::size_t kTotalLength = 2;
constexpr std::size_t kIdentification = 4;
constexpr std::size_t kFragment = 6;
constexpr std::size_t kTtl = 8;
constexpr std::size_t kProtocol = 9;
constexpr std::size_t kChecksum = 10;
constexpr std::size_t kSource = 12;
constexpr std::size_t kDestination = 16;
constexpr std::uint16_t kDontFragmentBit = 0x4000;
constexpr std::uint16_t kMoreFragmentsBit = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;
constexpr std::size_t kMaxPacket = 65535;

// One byte of an aligned pair changes: the checksum follows (RFC 1624).
void replace_byte(MutableByteView packet, std::size_t offset, std::uint8_t value) {
  const std::size_t word = offset & ~std::size_t{1};
  const std::uint16_t old_word = load_u16(packet, word);
  packet[offset] = value;
  store_u16(packet, kChecksum,
            updated_checksum(load_u16(packet, kChecksum), old_word, load_u16(packet, word)));
}

}  // namespace

PacketResult<Ipv4Header> parse_quoted_ipv4(ByteView packet) {
  if (packet.empty()) return tl::unexpected(PacketError::kTruncated);
  if (packet[0] >> 4U != 4) return tl::unexpected(PacketError::kBadVersion);
  if (packet.size() < kIpv4HeaderSize) return tl::unexpected(PacketError::kTruncated);
  const std::size_t header_length = (packet[0] & 0x0fU) * std::size_t{4};
  if (header_length < kIpv4HeaderSize) return tl::unexpected(PacketError::kBadHeaderLength);
  if (packet.size() < header_length) return tl::unexpected(PacketError::kTruncated);
  const std::uint16_t total_length = load_u16(packet, kTotalLength);
  if (total_length < header_length) return tl::unexpected(PacketError::kBadTotalLength);
  const std::uint16_t fragment = load_u16(packet, kFragment);
  const std::size_t offset = (fragment & kOffsetMask) * std::size_t{8};
  // RFC 791 3.2: no fragment lies beyond the largest packet
  if (offset + total_length > kMaxPacket) return tl::unexpected(PacketError::kBadFragment);
  return Ipv4Header{
      .tos = packet[kTos],
      .total_length = total_length,
      .identification = load_u16(packet, kIdentification),
      .dont_fragment = (fragment & kDontFragmentBit) != 0,
      .more_fragments = (fragment & kMoreFragmentsBit) != 0,
      .fragment_offset = static_cast<std::uint16_t>(offset),
      .ttl = packet[kTtl],
      .protocol = static_cast<IpProtocol>(packet[kProtocol]),
      .source = IpAddress::v4(load_u32(packet, kSource)),
      .destination = IpAddress::v4(load_u32(packet, kDestination)),
      .header_length = static_cast<std::uint8_t>(header_length),
  };
}

PacketResult<Ipv4Header> parse_ipv4(ByteView packet) {
  const auto header = parse_quoted_ipv4(packet);
  if (header && header->total_length > packet.size()) return tl::unexpected(PacketError::kBadTotalLength);
  return header;
}

bool is_ipv4_checksum_right(ByteView packet, const Ipv4Header& header) {
  return internet_checksum(packet.first(header.header_length)) == 0;
}

void write_ipv4(MutableByteView out, const Ipv4Header& header) {
  MERLON_ASSERT(out.size() >= kIpv4HeaderSize && header.source.is_v4() && header.destination.is_v4());
  out[0] = 0x45;
  out[kTos] = header.tos;
  store_u16(out, kTotalLength, header.total_length);
  store_u16(out, kIdentification, header.identification);
  store_u16(out, kFragment,
            static_cast<std::uint16_t>((header.dont_fragment ? kDontFragmentBit : 0U) |
                                       (header.more_fragments ? kMoreFragmentsBit : 0U) |
                                       header.fragment_offset / 8U));
  out[kTtl] = header.ttl;
  out[kProtocol] = static_cast<std::uint8_t>(header.protocol);
  store_u16(out, kChecksum, 0);
  std::ranges::copy(header.source.bytes(), out.subspan(kSource).begin());
  std::ranges::copy(header.destination.bytes(), out.subspan(kDestination).begin());
  store_u16(out, kChecksum, internet_checksum(out.first(kIpv4HeaderSize)));
}

void set_ipv4_tos(MutableByteView packet, std::uint8_t tos) {
  replace_byte(packet, kTos, tos);
}
void set_ipv4_ttl(MutableByteView packet, std::uint8_t ttl) {
  replace_byte(packet, kTtl, ttl);
}

}  // namespace merlon::wire
