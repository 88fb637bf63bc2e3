#include "base/rng.h"

#include <bit>

#include "base/check.h"

namespace merlon {

std::uint64_t Rng::below(std::uint64_t bound) {
  MERLON_ASSERT(bound != 0);
  // Rejection keeps the result uniform: values below `threshold` would favour small remainders.
  const std::uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const auto value = uniform<std::uint64_t>();
    if (value >= threshold) return value % bound;
  }
}

Bytes Rng::bytes(std::size_t size) {
  Bytes out(size);
  fill(out);
  return out;
}

// xoshiro256**, seeded by splitmix64 (Blackman and Vigna): small, fast, the same on every machine.
SeededRng::SeededRng(std::uint64_t seed) : state_{} {
  for (auto& word : state_) {
    seed += 0x9e3779b97f4a7c15U;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    word = z ^ (z >> 31U);
  }
}

std::uint64_t SeededRng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRng::fill(MutableByteView out) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i % 8 == 0) word = next();
    out[i] = static_cast<std::uint8_t>(word >> (8 * (i % 8)));
  }
}

}  // namespace merlon
