// Why a packet was refused. A plain number, so that refusing costs nothing on the packet path.
#pragma once

#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

namespace merlon::wire {

enum class PacketError : std::uint8_t {
  kTruncated,        // shorter than its headers
  kBadVersion,       // neither 4 nor 6, or not the one expected
  kBadHeaderLength,  // IPv4: below 20 bytes, or above the total length
  kBadTotalLength,   // zero, below the headers, or above what is there
  kBadFragment,      // a fragment that would reach beyond 65,535 bytes
  kBadExtension,     // IPv6: extension headers cut short, or too many
  kBadChecksum,
  kBadLength,   // UDP, ESP: length fields that contradict the packet
  kBadPadding,  // ESP: padding other than 1, 2, 3, ...
};
[[nodiscard]] std::string_view name(PacketError error);

template <class T>
using PacketResult = tl::expected<T, PacketError>;

}  // namespace merlon::wire
