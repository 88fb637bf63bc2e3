// What policy and esp need to know about an IP packet: RFC 4301 4.4.1.1's selectors, and the fields that
// tunnelling copies. Read once, in one pass, without allocation.
#pragma once

#include "base/iana.h"
#include "base/ip_address.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {

// What PacketView's upper-layer fields hold.
enum class UpperFields : std::uint8_t {
  kNone,      // the protocol has neither ports nor types
  kPorts,     // TCP, UDP, UDP-Lite, SCTP, DCCP
  kIcmp,      // ICMP and ICMPv6: type and code
  kMobility,  // IPv6 mobility header: its type
  kOpaque,    // the protocol has them, but this packet does not show them: a non-first fragment, or cut short
};

struct PacketView {
  IpFamily family = IpFamily::kIpv4;
  IpAddress source;
  IpAddress destination;

  IpProtocol protocol = IpProtocol::kNoNext;  // upper-layer protocol; may lie outside the enumerators
  bool is_protocol_opaque =
      false;  // IPv6 non-first fragment that does not show its protocol (RFC 4301 4.4.1.1)
  UpperFields upper = UpperFields::kNone;
  std::uint16_t source_port = 0;       // kPorts
  std::uint16_t destination_port = 0;  // kPorts
  std::uint8_t icmp_type = 0;          // kIcmp
  std::uint8_t icmp_code = 0;          // kIcmp
  std::uint8_t mobility_type = 0;      // kMobility

  std::uint8_t tos = 0;        // IPv4 TOS or IPv6 traffic class
  std::uint8_t ttl = 0;        // or hop limit
  bool dont_fragment = false;  // IPv4's DF bit; true for IPv6, which routers never fragment
  bool is_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // bytes
  std::size_t header_length = 0;      // IPv4 header with options, or IPv6 base header
  std::size_t upper_offset = 0;       // where the upper-layer header (or the fragment's data) starts
  std::size_t total_length = 0;       // bytes of the packet; the buffer may be longer (TFC padding)

  [[nodiscard]] bool is_first_fragment() const { return is_fragment && fragment_offset == 0; }
  [[nodiscard]] bool is_non_first_fragment() const { return fragment_offset != 0; }
  // RFC 4301 4.4.1.1, RFC 7296 3.13.1: ICMP type and code as one number (type * 256 + code); mobility type *
  // 256.
  [[nodiscard]] std::uint16_t icmp_selector() const {
    return static_cast<std::uint16_t>(icmp_type << 8U | icmp_code);
  }
  [[nodiscard]] std::uint16_t mobility_selector() const {
    return static_cast<std::uint16_t>(mobility_type << 8U);
  }

  friend bool operator==(const PacketView&, const PacketView&) = default;
};

// Checks what parse_ipv4, parse_ipv6 and find_ipv6_upper check. An upper-layer header that is cut short is no
// error but kOpaque. Checksums are not looked at.
[[nodiscard]] PacketResult<PacketView> parse_packet(ByteView packet);
// The same without plain_packet.h's short cut: for what that leaves over.
[[nodiscard]] PacketResult<PacketView> parse_any_packet(ByteView packet);

// For people: "10.0.0.1:1234 -> 10.0.0.2:80 TCP, 1500 bytes".
[[nodiscard]] std::string describe(const PacketView& packet);

}  // namespace merlon::wire
