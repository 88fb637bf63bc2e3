// Clamping of the TCP maximum segment size option (RFC 9293 3.7.1), so that segments fit the tunnel without
// path MTU discovery.
#pragma once

#include "wire/ip/packet_view.h"

namespace merlon::wire {

// The largest segment of a tunnel whose inner packets may have `inner_mtu` bytes (RFC 9293 3.7.1): less 20 or
// 40 bytes of IP, and 20 of TCP. 0 where nothing is left.
[[nodiscard]] std::uint16_t mss_for_mtu(IpFamily family, std::size_t inner_mtu);

// Lowers the MSS option of a TCP packet with SYN to `maximum`, and corrects the TCP checksum (RFC 1624).
// Returns whether the packet was changed. Leaves alone: other packets, an MSS that is small enough, a SYN
// without the option, malformed options, non-first fragments. `view` is parse_packet's of the same packet.
bool clamp_tcp_mss(MutableByteView packet, const PacketView& view, std::uint16_t maximum);

}  // namespace merlon::wire
