// Names to addresses.
#pragma once

#include <optional>
#include <vector>

#include "base/ip_address.h"

namespace merlon::io {

// Asks the system's resolver (getaddrinfo), which may block for many seconds: call it on a thread that may
// wait. An address in text form is returned as it is. In the resolver's order (RFC 6724), without duplicates,
// never empty. family: nullopt for both. kNotFound: the name does not exist or has no address of the family;
// kExhausted: a temporary failure, try again later.
[[nodiscard]] Result<std::vector<IpAddress>> resolve_blocking(std::string_view name,
                                                              std::optional<IpFamily> family);

}  // namespace merlon::io
