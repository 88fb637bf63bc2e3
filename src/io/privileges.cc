#include "io/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "io/system_error.h"

namespace merlon::io {
namespace {

// Two words of 32 capabilities each (_LINUX_CAPABILITY_VERSION_3); glibc has no wrappers for the system
// calls.
struct CapabilitySets {
  __user_cap_data_struct words[2] = {};

  [[nodiscard]] bool effective(unsigned number) const {
    return (words[number / 32].effective >> (number % 32) & 1U) != 0;
  }
};

Result<CapabilitySets> read_capabilities() {
  CapabilitySets sets;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (syscall(SYS_capget, &header, sets.words) != 0)
    return fail_errno(errno, "read the process's capabilities");
  return sets;
}

std::string_view purpose(Capability capability) {
  switch (capability) {
    case Capability::kNetAdmin:
      return "the TUN device, routes, rules, nftables and packet marks";
    case Capability::kNetRaw:
      return "native ESP (IP protocol 50)";
    case Capability::kNetBindService:
      return "UDP port 500";
    case Capability::kDacOverride:
    case Capability::kSysAdmin:
      break;
  }
  return "its work";
}

Result<> drop_bounding_set(const CapabilitySets& kept) {
  for (unsigned number = 0; number < 64; ++number) {
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1 || kept.effective(number)) continue;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0)
      return fail_errno(errno, fmt::format("give up capability {}", number));
  }
  return {};
}

}  // namespace

std::string name(Capability capability) {
  switch (capability) {
    case Capability::kDacOverride:
      return "CAP_DAC_OVERRIDE";
    case Capability::kNetBindService:
      return "CAP_NET_BIND_SERVICE";
    case Capability::kNetAdmin:
      return "CAP_NET_ADMIN";
    case Capability::kNetRaw:
      return "CAP_NET_RAW";
    case Capability::kSysAdmin:
      return "CAP_SYS_ADMIN";
  }
  return fmt::format("capability {}", static_cast<unsigned>(capability));
}

Result<bool> has_capability(Capability capability) {
  MERLON_TRY(const CapabilitySets sets, read_capabilities());
  return sets.effective(static_cast<unsigned>(capability));
}

Result<> require_capabilities(std::span<const Capability> needed) {
  MERLON_TRY(const CapabilitySets sets, read_capabilities());
  std::string missing;
  for (const Capability capability : needed) {
    if (sets.effective(static_cast<unsigned>(capability))) continue;
    missing +=
        fmt::format("{}{} (for {})", missing.empty() ? "" : ", ", name(capability), purpose(capability));
  }
  if (missing.empty()) return {};
  return fail(
      ErrorCode::kPolicy,
      "the process lacks {}: start it as root, through its systemd unit, or in a container with these "
      "capabilities added",
      missing);
}

Result<> set_no_new_privileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "set no_new_privs");
  return {};
}

Result<> keep_only(std::span<const Capability> needed) {
  MERLON_TRY(const CapabilitySets before, read_capabilities());
  CapabilitySets kept;
  for (const Capability capability : needed) {
    const auto number = static_cast<unsigned>(capability);
    if (!before.effective(number)) continue;
    kept.words[number / 32].effective |= 1U << (number % 32);
    kept.words[number / 32].permitted |= 1U << (number % 32);
  }
  // The bounding set needs CAP_SETPCAP to shrink; a process without it could not gain anything through it
  // either, given no_new_privs.
  constexpr unsigned kSetPcap = CAP_SETPCAP;
  if (before.effective(kSetPcap)) MERLON_TRY_VOID(drop_bounding_set(kept));
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
    return fail_errno(errno, "clear the ambient capabilities");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (syscall(SYS_capset, &header, kept.words) != 0) return fail_errno(errno, "give up capabilities");
  return set_no_new_privileges();
}

}  // namespace merlon::io
