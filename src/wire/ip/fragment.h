// Fragmentation of outgoing packets (RFC 791 3.2, RFC 8200 4.5). Reassembly is the kernel's.
#pragma once

#include <vector>

#include "base/ip_address.h"

namespace merlon::wire {

// The packet in fragments of at most `mtu` bytes, in order; the packet itself where it fits. An IPv4 packet
// keeps its identification, and its DF bit is the caller's to judge: here it is only cleared. A fragment may
// be fragmented again. kInvalidArgument: not an IPv4 packet, or an MTU that leaves less than 8 bytes of data.
[[nodiscard]] Result<std::vector<Bytes>> fragment_ipv4(ByteView packet, std::size_t mtu);

// As its source would do it: each fragment has a Fragment header with `identification`, which the caller
// keeps unique between the two addresses for as long as a fragment may live (RFC 8200 4.5). Packets that
// already are fragments are refused, and an MTU so small that the extension headers would not fit the first.
[[nodiscard]] Result<std::vector<Bytes>> fragment_ipv6(ByteView packet, std::size_t mtu,
                                                       std::uint32_t identification);

}  // namespace merlon::wire
