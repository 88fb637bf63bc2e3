// The short cut through most packets: TCP, UDP or ICMP behind an IP header without options, extension headers and
// fragments. In a header, so that the packet path pays no call and no copy.
#pragma once

#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/packet_view.h"

namespace merlon::wire {
namespace plain {

// The first eight bytes of every upper-layer header that has ports or a type hold them.
inline constexpr std::size_t kPlainUpper = 8;

inline void read_plain_upper(const std::uint8_t* upper, bool is_icmp, PacketView& view) {
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

inline bool read_plain_v4(ByteView packet, PacketView& view) {
  const std::uint8_t* const header = packet.data();
  const std::size_t total_length = load_u16(packet, 2);
  const std::uint16_t fragment = load_u16(packet, 6);
  const IpProtocol protocol{header[9]};
  const bool is_icmp = protocol == IpProtocol::kIcmp;
  // Neither "more fragments" nor an offset.
  if (total_length > packet.size() || total_length < kIpv4HeaderSize + kPlainUpper ||
      (fragment & 0x3fffU) != 0 || !(protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || is_icmp))
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

inline bool read_plain_v6(ByteView packet, PacketView& view) {
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

}  // namespace plain

// parse_packet() for such packets. False, and then `view` says nothing, for all others, malformed ones among them.
// `view` comes as new.
[[nodiscard]] inline bool read_plain_packet(ByteView packet, PacketView& view) {
  if (packet.size() >= kIpv4HeaderSize + plain::kPlainUpper && packet[0] == 0x45)
    return plain::read_plain_v4(packet, view);
  if (packet.size() >= kIpv6HeaderSize + plain::kPlainUpper && packet[0] >> 4U == 6)
    return plain::read_plain_v6(packet, view);
  return false;
}

}  // namespace merlon::wire
