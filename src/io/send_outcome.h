// What became of one packet given to the kernel. A value, not an Error: sends fail on the packet's path all
// the time.
#pragma once

#include <cstdint>
#include <string_view>

namespace merlon::io {

enum class SendOutcome : std::uint8_t {
  kSent,
  kWouldBlock,       // EAGAIN: the queue is full; wait until the descriptor is writable
  kNoBuffers,        // ENOBUFS, ENOMEM: dropped for now, a later packet may pass
  kUnreachable,      // ENETUNREACH, EHOSTUNREACH, EHOSTDOWN: no route (now), or an ICMP error said so
  kRefusedByPolicy,  // EPERM, EACCES: a firewall or a prohibit route
  kTooBig,           // EMSGSIZE: larger than the path MTU the kernel knows, and fragmentation was not allowed
  kPeerRefused,      // ECONNREFUSED, ENOPROTOOPT, EPROTO: ICMP port or protocol unreachable came back
  // EADDRNOTAVAIL, and EINVAL with a source given: that address is not (or no longer) ours. Newer
  // kernels (seen: 6.18) say ENETUNREACH for it in IPv4: kUnreachable.
  kNoSourceAddress,
  kDeviceDown,  // ENETDOWN, ENODEV, ENXIO, EIO, EBADFD: the interface is down or gone
  kFailed,      // anything else
};

[[nodiscard]] SendOutcome classify_send_errno(int error_number);

// True where sending the same packet again later may work without anybody changing anything.
[[nodiscard]] bool is_transient(SendOutcome outcome);

// A few lower-case words for counters and logs, such as "would block".
[[nodiscard]] std::string_view name(SendOutcome outcome);

}  // namespace merlon::io
