// Streams of randomness: everything random in a run comes from one of these, each with a purpose of its own, so that taking one host
// or one fault out of a scenario does not change what the others draw.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/rng.h"

namespace merlon::sim {

// The seed of the stream for one purpose: stream_seed(7, "engine", host, life).
[[nodiscard]] std::uint64_t stream_seed(std::uint64_t seed, std::string_view purpose, std::uint64_t first = 0,
                                        std::uint64_t second = 0);

// True in `permille` of 1000 cases.
[[nodiscard]] inline bool chance(Rng& rng, unsigned permille) {
  return permille != 0 && rng.below(1000) < permille;
}
// Uniform in [low, high], both included.
[[nodiscard]] inline std::uint64_t between(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return low + rng.below(high - low + 1);
}

}  // namespace merlon::sim
