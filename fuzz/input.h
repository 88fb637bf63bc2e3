// What the bytes of an input say, number by number. Reading never fails: behind the end there are zeros, so that every
// prefix of an input is an input.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/bytes.h"

namespace merlon::fuzz {

// A promise that no input may make us break.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// Of a Result that cannot fail: the fuzzer's own setting.
template <class T>
T value(Result<T> result) {
  require(result.has_value(), "the fuzzer's own setting is right");
  return std::move(*result);
}

class Input {
 public:
  explicit Input(ByteView bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::uint8_t u8() {
    if (rest_.empty()) return 0;
    const auto value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  [[nodiscard]] std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>(high << 8U | u8());
  }
  [[nodiscard]] std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16U | u16();
  }
  [[nodiscard]] Bytes bytes(std::size_t most) {
    const auto size = std::min(most, rest_.size());
    const auto taken = to_bytes(rest_.first(size));
    rest_ = rest_.subspan(size);
    return taken;
  }
  // One byte of length, and so many bytes.
  [[nodiscard]] Bytes string() { return bytes(u8()); }
  [[nodiscard]] ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
};

}  // namespace merlon::fuzz
