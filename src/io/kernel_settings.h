// Kernel settings (sysctls) that a gateway depends on, in the network namespace of the calling thread.
#pragma once

#include <string>

#include "base/ip_address.h"

namespace merlon::io {

// name: "net.ipv4.ip_forward" or, since device names may hold dots, "net/ipv4/conf/eth0.5/rp_filter".
[[nodiscard]] Result<std::string> read_sysctl(std::string_view name);  // without the trailing newline
[[nodiscard]] Result<> write_sysctl(std::string_view name, std::string_view value);

// Whether the host forwards between its interfaces: net.ipv4.ip_forward, net.ipv6.conf.all.forwarding.
[[nodiscard]] Result<bool> forwards(IpFamily family);

// Source validation by reverse path (RFC 3704). kLoose suits a TUN device: what comes out of it may have its
// route elsewhere.
enum class ReversePathFilter { kOff = 0, kStrict = 1, kLoose = 2 };
// What is in effect on a device: the stricter number of "all" and the device's own, as the kernel does it.
[[nodiscard]] Result<ReversePathFilter> reverse_path_filter(std::string_view device);
[[nodiscard]] Result<> set_reverse_path_filter(std::string_view device, ReversePathFilter mode);

// True where IPv6 is off on the device, or not in the kernel at all.
[[nodiscard]] Result<bool> ipv6_disabled(std::string_view device);
[[nodiscard]] Result<> set_ipv6_disabled(std::string_view device, bool disabled);
// No kernel-made fe80:: address, no router solicitations out of a TUN device (addr_gen_mode = none). Before
// the device goes up.
[[nodiscard]] Result<> disable_ipv6_autoconfiguration(std::string_view device);

[[nodiscard]] Result<unsigned> link_mtu(std::string_view device);  // bytes

}  // namespace merlon::io
