#include "wire/ip/packet_view.h"

#include <fmt/format.h>

#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"

namespace merlon::wire {
namespace {

constexpr IpProtocol kDccp{33};
constexpr IpProtocol kUdpLite{136};

bool has_ports(IpProtocol protocol) {
  return protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || protocol == IpProtocol::kSctp ||
         protocol == kDccp || protocol == kUdpLite;
}

UpperFields fields_of(const PacketView& view) {
  if (has_ports(view.protocol)) return UpperFields::kPorts;
  // ICMP over IPv6 and ICMPv6 over IPv4 are just numbers to those who would read them.
  const IpProtocol icmp = view.family == IpFamily::kIpv4 ? IpProtocol::kIcmp : IpProtocol::kIpv6Icmp;
  if (view.protocol == icmp) return UpperFields::kIcmp;
  return view.protocol == IpProtocol::kMobility ? UpperFields::kMobility : UpperFields::kNone;
}

// RFC 4301 4.4.1.1: ports, ICMP type and code, mobility header type
void read_upper_fields(ByteView upper, PacketView& view) {
  view.upper = fields_of(view);
  if (view.is_protocol_opaque || (view.is_non_first_fragment() && view.upper != UpperFields::kNone)) {
    view.upper = UpperFields::kOpaque;
    return;
  }
  switch (view.upper) {
    case UpperFields::kPorts:
      if (upper.size() < 4) break;
      view.source_port = load_u16(upper, 0);
      view.destination_port = load_u16(upper, 2);
      return;
    case UpperFields::kIcmp:
      if (upper.size() < 2) break;
      view.icmp_type = upper[0];
      view.icmp_code = upper[1];
      return;
    case UpperFields::kMobility:  // RFC 6275 6.1.1: the type is the third byte
      if (upper.size() < 3) break;
      view.mobility_type = upper[2];
      return;
    default:
      return;
  }
  view.upper = UpperFields::kOpaque;
}

PacketResult<PacketView> parse_v4(ByteView packet) {
  const auto header = parse_ipv4(packet);
  if (!header) return tl::unexpected(header.error());
  PacketView view;
  view.family = IpFamily::kIpv4;
  view.source = header->source;
  view.destination = header->destination;
  view.protocol = header->protocol;
  view.tos = header->tos;
  view.ttl = header->ttl;
  view.dont_fragment = header->dont_fragment;
  view.is_fragment = header->is_fragment();
  view.more_fragments = header->more_fragments;
  view.fragment_offset = header->fragment_offset;
  view.header_length = header->header_length;
  view.upper_offset = header->header_length;
  view.total_length = header->total_length;
  read_upper_fields(packet.first(view.total_length).subspan(view.upper_offset), view);
  return view;
}

PacketResult<PacketView> parse_v6(ByteView packet) {
  const auto header = parse_ipv6(packet);
  if (!header) return tl::unexpected(header.error());
  const auto upper = find_ipv6_upper(packet, *header);
  if (!upper) return tl::unexpected(upper.error());
  PacketView view;
  view.family = IpFamily::kIpv6;
  view.source = header->source;
  view.destination = header->destination;
  view.protocol = upper->protocol;
  view.is_protocol_opaque = upper->is_protocol_opaque;
  view.tos = header->traffic_class;
  view.ttl = header->hop_limit;
  view.dont_fragment = true;
  if (upper->fragment) {
    // RFC 6946: a fragment with offset 0 and nothing after it is a whole packet.
    view.is_fragment = upper->fragment->more_fragments || upper->fragment->fragment_offset != 0;
    view.more_fragments = upper->fragment->more_fragments;
    view.fragment_offset = upper->fragment->fragment_offset;
  }
  view.header_length = kIpv6HeaderSize;
  view.upper_offset = upper->offset;
  view.total_length = header->total_length();
  read_upper_fields(packet.first(view.total_length).subspan(view.upper_offset), view);
  return view;
}

// The first eight bytes of every upper-layer header that has ports or a type hold them.
constexpr std::size_t kPlainUpper = 8;

void read_plain_upper(const std::uint8_t* upper, bool is_icmp, PacketView& view) {
  if (is_icmp) {
    view.upper = UpperFields::kIcmp;
    view.icmp_type = upper[0];
    view.icmp_code = upper[1];
  } else {
    view.upper = UpperFields::kPorts;
    view.source_port = static_cast<std::uint16_t>(upper[0] << 8U | upper[1]);
    view.destination_port = static_cast<std::uint16_t>(upper[2] << 8U | upper[3]);
  }
}

bool read_plain_v4(ByteView packet, PacketView& view) {
  const std::uint8_t* const header = packet.data();
  const std::size_t total_length = load_u16(packet, 2);
  const std::uint16_t fragment = load_u16(packet, 6);
  const IpProtocol protocol{header[9]};
  const bool is_icmp = protocol == IpProtocol::kIcmp;
  // Neither "more fragments" nor an offset.
  if (total_length > packet.size() || total_length < kIpv4HeaderSize + kPlainUpper || (fragment & 0x3fffU) != 0 ||
      !(protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || is_icmp))
    return false;
  view.family = IpFamily::kIpv4;
  view.source = IpAddress::read_v4(header + 12);
  view.destination = IpAddress::read_v4(header + 16);
  view.protocol = protocol;
  view.tos = header[1];
  view.ttl = header[8];
  view.dont_fragment = (fragment & 0x4000U) != 0;
  view.header_length = view.upper_offset = kIpv4HeaderSize;
  view.total_length = total_length;
  read_plain_upper(header + kIpv4HeaderSize, is_icmp, view);
  return true;
}

bool read_plain_v6(ByteView packet, PacketView& view) {
  const std::uint8_t* const header = packet.data();
  const std::size_t payload_length = load_u16(packet, 4);
  const IpProtocol protocol{header[6]};
  const bool is_icmp = protocol == IpProtocol::kIpv6Icmp;
  if (payload_length + kIpv6HeaderSize > packet.size() || payload_length < kPlainUpper ||
      !(protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || is_icmp))
    return false;
  view.family = IpFamily::kIpv6;
  view.source = IpAddress::read_v6(header + 8);
  view.destination = IpAddress::read_v6(header + 24);
  view.protocol = protocol;
  view.tos = static_cast<std::uint8_t>(header[0] << 4U | header[1] >> 4U);
  view.ttl = header[7];
  view.dont_fragment = true;
  view.header_length = view.upper_offset = kIpv6HeaderSize;
  view.total_length = kIpv6HeaderSize + payload_length;
  read_plain_upper(header + kIpv6HeaderSize, is_icmp, view);
  return true;
}

std::string protocol_words(const PacketView& packet) {
  if (packet.is_protocol_opaque) return "unknown protocol";
  switch (packet.protocol) {
    case IpProtocol::kIcmp:
      return "ICMP";
    case IpProtocol::kTcp:
      return "TCP";
    case IpProtocol::kUdp:
      return "UDP";
    case IpProtocol::kGre:
      return "GRE";
    case IpProtocol::kEsp:
      return "ESP";
    case IpProtocol::kAh:
      return "AH";
    case IpProtocol::kIpv6Icmp:
      return "ICMPv6";
    case IpProtocol::kOspf:
      return "OSPF";
    case IpProtocol::kSctp:
      return "SCTP";
    default:
      return fmt::format("protocol {}", static_cast<unsigned>(packet.protocol));
  }
}

}  // namespace

PacketResult<PacketView> parse_any_packet(ByteView packet) {
  if (packet.empty()) return tl::unexpected(PacketError::kTruncated);
  switch (packet[0] >> 4U) {
    case 4:
      return parse_v4(packet);
    case 6:
      return parse_v6(packet);
    default:
      return tl::unexpected(PacketError::kBadVersion);
  }
}

bool read_plain_packet(ByteView packet, PacketView& view) {
  if (packet.size() >= kIpv4HeaderSize + kPlainUpper && packet[0] == 0x45) return read_plain_v4(packet, view);
  if (packet.size() >= kIpv6HeaderSize + kPlainUpper && packet[0] >> 4U == 6) return read_plain_v6(packet, view);
  return false;
}

std::string describe(const PacketView& packet) {
  std::string text;
  if (packet.upper == UpperFields::kPorts)
    text = fmt::format("{} -> {} {}", Endpoint{packet.source, packet.source_port},
                       Endpoint{packet.destination, packet.destination_port}, protocol_words(packet));
  else
    text = fmt::format("{} -> {} {}", packet.source, packet.destination, protocol_words(packet));
  if (packet.upper == UpperFields::kIcmp)
    text += fmt::format(" type {} code {}", packet.icmp_type, packet.icmp_code);
  if (packet.is_fragment) text += fmt::format(" fragment at {}", packet.fragment_offset);
  return text + fmt::format(", {} bytes", packet.total_length);
}

}  // namespace merlon::wire
