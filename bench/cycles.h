// The time stamp counter around what is timed.
#pragma once

#include <x86intrin.h>

#include <cstdint>

namespace merlon::bench {

// Nothing of the one side may run on the other.
inline std::uint64_t cycles_begin() {
  _mm_lfence();
  const std::uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
}
inline std::uint64_t cycles_end() {
  unsigned unused = 0;
  const std::uint64_t now = __rdtscp(&unused);
  _mm_lfence();
  return now;
}

// The same packets, SAs and keys in every program.
class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : value_(seed * 2654435761U + 88172645463325252U) {}
  std::uint32_t below(std::uint32_t bound) {
    value_ ^= value_ << 13U;
    value_ ^= value_ >> 7U;
    value_ ^= value_ << 17U;
    return static_cast<std::uint32_t>(((value_ >> 32U) * bound) >> 32U);
  }

 private:
  std::uint64_t value_;
};

}  // namespace merlon::bench
