#include "wire/ip/ipv6.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "wire/ip/byte_order.h"

namespace merlon::wire {
namespace {

// Places of fields in the header (RFC 8200 3).
constexpr std::size_t kPayloadLength = 4;
constexpr std::size_t kNextHeader = 6;
constexpr std::size_t kHopLimit = 7;
constexpr std::size_t kSource = 8;
constexpr std::size_t kDestination = 24;
constexpr std::size_t kAddressSize = 16;
// RFC 8200 4.1 knows four kinds, destination options twice. More than this is an attack on whoever walks
// them.
constexpr int kMaxExtensionHeaders = 16;

IpAddress address_at(ByteView packet, std::size_t offset) {
  auto address = IpAddress::from_bytes(packet.subspan(offset, kAddressSize));
  MERLON_ASSERT(address.has_value());
  return *address;
}

bool is_skipped(IpProtocol header) {
  // RFC 4301 4.4.1.1
  return header == IpProtocol::kHopByHop || header == IpProtocol::kRouting ||
         header == IpProtocol::kFragment || header == IpProtocol::kDestinationOptions;
}

Ipv6FragmentHeader read_fragment_header(ByteView bytes) {
  const std::uint16_t offset_and_flags = load_u16(bytes, 2);
  return {.next_header = static_cast<IpProtocol>(bytes[0]),
          .fragment_offset = static_cast<std::uint16_t>(offset_and_flags & 0xfff8U),
          .more_fragments = (offset_and_flags & 1U) != 0,
          .identification = load_u32(bytes, 4)};
}

}  // namespace

PacketResult<Ipv6Header> parse_quoted_ipv6(ByteView packet) {
  if (packet.empty()) return tl::unexpected(PacketError::kTruncated);
  if (packet[0] >> 4U != 6) return tl::unexpected(PacketError::kBadVersion);
  if (packet.size() < kIpv6HeaderSize) return tl::unexpected(PacketError::kTruncated);
  const std::uint32_t first = load_u32(packet, 0);
  return Ipv6Header{
      .traffic_class = static_cast<std::uint8_t>(first >> 20U),
      .flow_label = first & 0xfffffU,
      .payload_length = load_u16(packet, kPayloadLength),
      .next_header = static_cast<IpProtocol>(packet[kNextHeader]),
      .hop_limit = packet[kHopLimit],
      .source = address_at(packet, kSource),
      .destination = address_at(packet, kDestination),
  };
}

PacketResult<Ipv6Header> parse_ipv6(ByteView packet) {
  const auto header = parse_quoted_ipv6(packet);
  if (!header) return header;
  // A jumbogram (RFC 2675) says 0 here, and has a hop-by-hop option that nothing follows within these 0
  // bytes.
  if (header->total_length() > packet.size() ||
      (header->payload_length == 0 && header->next_header != IpProtocol::kNoNext))
    return tl::unexpected(PacketError::kBadTotalLength);
  return header;
}

PacketResult<Ipv6Upper> find_ipv6_upper(ByteView packet, const Ipv6Header& header) {
  const ByteView whole = packet.first(std::min(packet.size(), header.total_length()));
  Ipv6Upper upper{.protocol = header.next_header,
                  .offset = kIpv6HeaderSize,
                  .fragment = {},
                  .fragment_header_offset = 0,
                  .unfragmentable_length = kIpv6HeaderSize,
                  .unfragmentable_next_header_offset = kNextHeader,
                  .is_protocol_opaque = false};
  // Counts all but the Fragment header, so that to fragment a packet never makes it one that is refused.
  int walked = 0;
  while (is_skipped(upper.protocol)) {
    if (walked == kMaxExtensionHeaders || whole.size() - upper.offset < 8)
      return tl::unexpected(PacketError::kBadExtension);
    // RFC 8200 4.1: hop-by-hop options stand right behind the IPv6 header, or nowhere
    if (upper.protocol == IpProtocol::kHopByHop && upper.offset != kIpv6HeaderSize)
      return tl::unexpected(PacketError::kBadExtension);
    const ByteView rest = whole.subspan(upper.offset);
    if (upper.protocol == IpProtocol::kFragment) {
      if (upper.fragment) return tl::unexpected(PacketError::kBadFragment);
      upper.fragment = read_fragment_header(rest);
      upper.fragment_header_offset = upper.offset;
      upper.protocol = upper.fragment->next_header;
      upper.offset += kIpv6FragmentHeaderSize;
      // RFC 8200 4.5: the reassembled payload must not exceed 65,535 bytes
      if (upper.fragment->fragment_offset + (header.total_length() - upper.offset) > 65535)
        return tl::unexpected(PacketError::kBadFragment);
      if (upper.fragment->fragment_offset != 0) {
        upper.is_protocol_opaque = is_skipped(upper.protocol);
        return upper;
      }
      continue;
    }
    const std::size_t length = (rest[1] + std::size_t{1}) * 8;
    if (rest.size() < length) return tl::unexpected(PacketError::kBadExtension);
    // RFC 8200 4.5: every fragment repeats the headers up to hop-by-hop options and routing.
    if (!upper.fragment && upper.protocol != IpProtocol::kDestinationOptions) {
      upper.unfragmentable_length = upper.offset + length;
      upper.unfragmentable_next_header_offset = upper.offset;
    }
    upper.protocol = static_cast<IpProtocol>(rest[0]);
    upper.offset += length;
    ++walked;
  }
  return upper;
}

void write_ipv6(MutableByteView out, const Ipv6Header& header) {
  MERLON_ASSERT(out.size() >= kIpv6HeaderSize && header.source.is_v6() && header.destination.is_v6());
  store_u32(out, 0,
            std::uint32_t{6} << 28U | static_cast<std::uint32_t>(header.traffic_class) << 20U |
                (header.flow_label & 0xfffffU));
  store_u16(out, kPayloadLength, header.payload_length);
  out[kNextHeader] = static_cast<std::uint8_t>(header.next_header);
  out[kHopLimit] = header.hop_limit;
  std::ranges::copy(header.source.bytes(), out.subspan(kSource).begin());
  std::ranges::copy(header.destination.bytes(), out.subspan(kDestination).begin());
}

void write_ipv6_fragment_header(MutableByteView out, const Ipv6FragmentHeader& header) {
  MERLON_ASSERT(out.size() >= kIpv6FragmentHeaderSize);
  out[0] = static_cast<std::uint8_t>(header.next_header);
  out[1] = 0;
  store_u16(
      out, 2,
      static_cast<std::uint16_t>((header.fragment_offset & 0xfff8U) | (header.more_fragments ? 1U : 0U)));
  store_u32(out, 4, header.identification);
}

void set_ipv6_traffic_class(MutableByteView packet, std::uint8_t traffic_class) {
  packet[0] = static_cast<std::uint8_t>((packet[0] & 0xf0U) | traffic_class >> 4U);
  packet[1] = static_cast<std::uint8_t>((packet[1] & 0x0fU) | (traffic_class & 0x0fU) << 4U);
}

}  // namespace merlon::wire
