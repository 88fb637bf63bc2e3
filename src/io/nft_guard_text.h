// The guard as nftables commands, behind nft_guard.h.
#pragma once

#include "io/nft_guard.h"

namespace merlon::io {

inline constexpr std::string_view kInboundCounter = "inbound_in_clear";
inline constexpr std::string_view kOutboundCounter = "outbound_in_clear";

// See NftGuard::ruleset.
[[nodiscard]] Result<std::string> guard_ruleset(const GuardSpec& spec, const GuardCounters& start);

}  // namespace merlon::io
