// Explicit congestion notification across the tunnel (RFC 6040).
#pragma once

#include <cstdint>
#include <optional>

namespace merlon::esp {

inline constexpr std::uint8_t kEcnMask = 3;
enum class Ecn : std::uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };  // RFC 3168 5

[[nodiscard]] inline Ecn ecn_of(std::uint8_t tos) {
  return static_cast<Ecn>(tos & kEcnMask);
}

// RFC 6040 4.1, normal mode: the outer ECN field is the inner one. RFC 4301 5.1.2: the outer DSCP is the
// inner one where the policy copies it, else 0.
[[nodiscard]] inline std::uint8_t outer_tos(std::uint8_t inner_tos, bool copy_dscp) {
  return copy_dscp ? inner_tos : static_cast<std::uint8_t>(inner_tos & kEcnMask);
}

// RFC 6040 4.2: the ECN field of the packet that leaves the tunnel; empty where it must be dropped.
[[nodiscard]] std::optional<Ecn> decapsulated_ecn(Ecn inner, Ecn outer);

}  // namespace merlon::esp
