// Endpoints to sockaddr and back.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "base/ip_address.h"

namespace merlon::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// scope: interface index for IPv6 link-local addresses, else 0.
[[nodiscard]] SocketAddress socket_address(const Endpoint& endpoint, unsigned scope = 0);
// nullopt: neither AF_INET nor AF_INET6, or too short.
[[nodiscard]] std::optional<Endpoint> endpoint_of(const void* address, std::size_t length);

[[nodiscard]] in_addr to_in_addr(const IpAddress& address);    // only for IPv4
[[nodiscard]] in6_addr to_in6_addr(const IpAddress& address);  // only for IPv6
[[nodiscard]] IpAddress from_in_addr(const in_addr& address);
[[nodiscard]] IpAddress from_in6_addr(const in6_addr& address);

}  // namespace merlon::io
