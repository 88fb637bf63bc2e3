#include "io/resolver.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "io/socket_address.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

tl::unexpected<Error> resolver_error(std::string_view name, int status, int error_number) {
  switch (status) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return fail(ErrorCode::kNotFound, "cannot resolve '{}': {}", name, gai_strerror(status));
    case EAI_AGAIN:
    case EAI_MEMORY:
      return fail(ErrorCode::kExhausted, "cannot resolve '{}': {}", name, gai_strerror(status));
    case EAI_SYSTEM:
      return fail_errno(error_number, fmt::format("resolve '{}'", name));
    default:
      return fail(ErrorCode::kSystem, "cannot resolve '{}': {}", name, gai_strerror(status));
  }
}

}  // namespace

Result<std::vector<IpAddress>> resolve_blocking(std::string_view name, std::optional<IpFamily> family) {
  if (const auto literal = IpAddress::parse(name)) {
    if (!family || *family == literal->family()) return std::vector{*literal};
    return fail(ErrorCode::kNotFound, "'{}' is not an {} address", name,
                family == IpFamily::kIpv4 ? "IPv4" : "IPv6");
  }
  addrinfo hints{};
  hints.ai_family = !family ? AF_UNSPEC : family == IpFamily::kIpv4 ? AF_INET : AF_INET6;
  hints.ai_socktype = SOCK_DGRAM;  // one entry an address, not one a socket type
  addrinfo* found = nullptr;
  const int status = getaddrinfo(std::string(name).c_str(), nullptr, &hints, &found);
  if (status != 0) return resolver_error(name, status, errno);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::vector<IpAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const auto endpoint = endpoint_of(entry->ai_addr, entry->ai_addrlen);
    if (endpoint && std::ranges::find(addresses, endpoint->address) == addresses.end())
      addresses.push_back(endpoint->address);
  }
  if (addresses.empty()) return fail(ErrorCode::kNotFound, "'{}' has no IP address", name);
  return addresses;
}

}  // namespace merlon::io
