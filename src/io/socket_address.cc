#include "io/socket_address.h"

#include <cstring>

#include "base/check.h"

namespace merlon::io {

in_addr to_in_addr(const IpAddress& address) {
  MERLON_ASSERT(address.is_v4());
  in_addr out{};
  std::memcpy(&out, address.bytes().data(), sizeof out);
  return out;
}

in6_addr to_in6_addr(const IpAddress& address) {
  MERLON_ASSERT(address.is_v6());
  in6_addr out{};
  std::memcpy(&out, address.bytes().data(), sizeof out);
  return out;
}

IpAddress from_in_addr(const in_addr& address) {
  return *IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&address), sizeof address});
}

IpAddress from_in6_addr(const in6_addr& address) {
  return *IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&address), sizeof address});
}

SocketAddress socket_address(const Endpoint& endpoint, unsigned scope) {
  SocketAddress out;
  if (endpoint.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    v4.sin_addr = to_in_addr(endpoint.address);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.length = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    v6.sin6_addr = to_in6_addr(endpoint.address);
    v6.sin6_scope_id = endpoint.address.is_link_local() ? scope : 0;
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.length = sizeof v6;
  }
  return out;
}

std::optional<Endpoint> endpoint_of(const void* address, std::size_t length) {
  sa_family_t family = AF_UNSPEC;
  if (address == nullptr || length < sizeof family) return std::nullopt;
  std::memcpy(&family, address, sizeof family);
  if (family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return Endpoint{from_in_addr(v4.sin_addr), ntohs(v4.sin_port)};
  }
  if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    return Endpoint{from_in6_addr(v6.sin6_addr), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

}  // namespace merlon::io
