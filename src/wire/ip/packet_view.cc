#include "wire/ip/packet_view.h"

#include <fmt/format.h>

#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/plain_packet.h"

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

PacketResult<PacketView> parse_packet(ByteView packet) {
  PacketResult<PacketView> result;
  if (!read_plain_packet(packet, *result)) result = parse_any_packet(packet);
  return result;
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
