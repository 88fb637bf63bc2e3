// Randomness is injected: the daemon gives the system's (io/), the simulator and tests a seeded one.
#pragma once

#include <concepts>
#include <cstdint>

#include "base/bytes.h"

namespace merlon {

class Rng {
 public:
  Rng() = default;
  Rng(const Rng&) = delete;
  Rng& operator=(const Rng&) = delete;
  virtual ~Rng() = default;

  virtual void fill(MutableByteView out) = 0;

  template <std::unsigned_integral T>
  [[nodiscard]] T uniform() {
    T value{};
    fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
  }
  // Uniform in [0, bound); bound must not be 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound);
  [[nodiscard]] Bytes bytes(std::size_t size);
};

// Deterministic, for tests, the simulator and fuzzers: never for keys that protect anything.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  void fill(MutableByteView out) override;
  [[nodiscard]] std::uint64_t next();

 private:
  std::uint64_t state_[4];
};

}  // namespace merlon
