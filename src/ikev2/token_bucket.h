// How often something may be done: `per_second` on average, `burst` at once. Full at the start.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace merlon::ikev2 {

class TokenBucket {
 public:
  TokenBucket(double per_second, double burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}

  // How many more at once. `now` never goes back.
  [[nodiscard]] double level(Instant now) const {
    const std::chrono::duration<double> passed = now - filled_at_;
    return std::min(burst_, tokens_ + per_second_ * passed.count());
  }
  [[nodiscard]] bool full(Instant now) const { return level(now) >= burst_; }
  // True: once more.
  [[nodiscard]] bool take(Instant now) {
    tokens_ = level(now);
    filled_at_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_second_, burst_, tokens_;
  Instant filled_at_{};
};

}  // namespace merlon::ikev2
