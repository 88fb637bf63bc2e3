// UDP headers (RFC 768).
#pragma once

#include "base/ip_address.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {

inline constexpr std::size_t kUdpHeaderSize = 8;
inline constexpr std::size_t kUdpMaxPayload = 65535 - 20 - 8;  // over IPv4

struct UdpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t length = 0;    // bytes, the header included
  std::uint16_t checksum = 0;  // 0: none

  friend bool operator==(const UdpHeader&, const UdpHeader&) = default;
};

// Checks the length against `datagram`, which starts with the UDP header and may be longer.
[[nodiscard]] PacketResult<UdpHeader> parse_udp(ByteView datagram);

// Writes 8 bytes as given.
void write_udp(MutableByteView out, const UdpHeader& header);

// The value of the checksum field for a datagram (header and payload) whose field is zero: never 0 (RFC 768).
[[nodiscard]] std::uint16_t udp_checksum(const IpAddress& source, const IpAddress& destination,
                                         ByteView datagram);

// A whole IP packet with a UDP datagram and its checksum; the addresses are of one family, the payload has at
// most kUdpMaxPayload bytes. For raw sockets, the simulator and tests: no DF, identification 0, hop limit 64.
[[nodiscard]] Bytes build_udp_packet(const Endpoint& source, const Endpoint& destination, ByteView payload);

}  // namespace merlon::wire
