// The IPv4 header (RFC 791 3.1).
#pragma once

#include "base/iana.h"
#include "base/ip_address.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {

inline constexpr std::size_t kIpv4HeaderSize = 20;  // without options

struct Ipv4Header {
  std::uint8_t tos = 0;            // DSCP in the upper six bits, ECN in the lower two (RFC 2474, RFC 3168)
  std::uint16_t total_length = 0;  // bytes, the header included
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8
  std::uint8_t ttl = 64;
  IpProtocol protocol = IpProtocol::kUdp;  // may lie outside the enumerators
  IpAddress source;
  IpAddress destination;
  std::uint8_t header_length = kIpv4HeaderSize;  // bytes, the options included; parse only

  [[nodiscard]] std::uint8_t dscp() const { return static_cast<std::uint8_t>(tos >> 2U); }
  [[nodiscard]] std::uint8_t ecn() const { return tos & 3U; }
  [[nodiscard]] bool is_fragment() const { return more_fragments || fragment_offset != 0; }

  friend bool operator==(const Ipv4Header&, const Ipv4Header&) = default;
};

// Checks version, header length, total length against each other and against `packet` (which may be longer:
// TFC padding), and that a fragment ends within 65,535 bytes. The header checksum is not looked at:
// is_ipv4_checksum_right does.
[[nodiscard]] PacketResult<Ipv4Header> parse_ipv4(ByteView packet);

// As parse_ipv4, for the start of a packet that an ICMP error quotes: the packet may be shorter than its
// total length.
[[nodiscard]] PacketResult<Ipv4Header> parse_quoted_ipv4(ByteView packet_start);

// Whether the header's checksum is right; `packet` was accepted by parse_ipv4.
[[nodiscard]] bool is_ipv4_checksum_right(ByteView packet, const Ipv4Header& header);

// Writes 20 bytes (no options) with the checksum. `out` has at least 20 bytes; both addresses are IPv4.
void write_ipv4(MutableByteView out, const Ipv4Header& header);

// Changes in place, with the checksum kept right (RFC 1624). `packet` was accepted by parse_ipv4.
void set_ipv4_tos(MutableByteView packet, std::uint8_t tos);
void set_ipv4_ttl(MutableByteView packet, std::uint8_t ttl);

}  // namespace merlon::wire
