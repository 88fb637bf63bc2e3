// What the process may do: found out at the start, and given up where it is not needed.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"

namespace merlon::io {

// Values are Linux's capability numbers.
enum class Capability : unsigned {
  kDacOverride = 1,
  kNetBindService = 10,
  kNetAdmin = 12,
  kNetRaw = 13,
  kSysAdmin = 21,
};
[[nodiscard]] std::string name(Capability capability);  // "CAP_NET_ADMIN"

[[nodiscard]] Result<bool> has_capability(Capability capability);  // in the effective set

// An error that names each capability that is missing, what Merlon needs it for, and how one gives it.
[[nodiscard]] Result<> require_capabilities(std::span<const Capability> needed);

// The calling thread (call it before any other starts) keeps just these (those of them it has), can never get
// others back, not even through a set-user-ID program (no_new_privs). User 0 stays user 0, without root's
// powers.
[[nodiscard]] Result<> keep_only(std::span<const Capability> needed);

[[nodiscard]] Result<> set_no_new_privileges();

}  // namespace merlon::io
