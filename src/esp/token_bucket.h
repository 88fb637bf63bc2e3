// A rate limit: so many a second, and as many at once.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace merlon::esp {

class TokenBucket {
 public:
  explicit TokenBucket(unsigned per_second) : per_second_(per_second), tokens_(per_second) {}

  [[nodiscard]] bool take(Instant now) {
    if (now > last_) {
      const double passed_s = std::chrono::duration<double>(now - last_).count();
      tokens_ = std::min<double>(per_second_, tokens_ + passed_s * per_second_);
      last_ = now;
    }
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_second_, tokens_;
  Instant last_{};
};

}  // namespace merlon::esp
