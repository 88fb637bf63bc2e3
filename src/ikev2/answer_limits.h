// How often we answer in clear: in all, and each source by itself, so that one host cannot use up what is for all. A source
// is an IPv4 address or an IPv6 /64, and may be forged: then only the bucket for all holds.
#pragma once

#include <unordered_map>

#include "base/clock.h"
#include "ikev2/source_limits.h"
#include "ikev2/token_bucket.h"

namespace merlon::ikev2 {

struct Rate {
  double per_second = 1, burst = 1;
};

class AnswerLimit {
 public:
  AnswerLimit(Rate all, Rate each) : all_(all.per_second, all.burst), each_(each) {}

  // True: once more for this source. `reserve`: how many must be left in the bucket for all, for what matters less.
  [[nodiscard]] bool take(Instant now, const IpAddress& source, double reserve = 0) {
    if (all_.level(now) < 1 + reserve) return false;
    forget_idle(now);
    const auto [at, fresh] =
        sources_.try_emplace(SourceLimits::source_key(source), each_.per_second, each_.burst);
    return at->second.take(now) && all_.take(now);
  }
  [[nodiscard]] std::size_t sources() const { return sources_.size(); }

  // Each new source takes a token of the bucket for all, so few can be remembered that are not full again.
  static constexpr std::size_t kRemembered = 1024;

 private:
  void forget_idle(Instant now) {
    if (sources_.size() < kRemembered) return;
    std::erase_if(sources_, [now](auto& entry) { return entry.second.full(now); });
  }

  TokenBucket all_;
  Rate each_;
  std::unordered_map<IpAddress, TokenBucket> sources_;
};

}  // namespace merlon::ikev2
