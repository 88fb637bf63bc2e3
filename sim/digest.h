// FNV-1a over everything that happens in a run: two runs with one digest went the same way. Not against an adversary.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace merlon::sim {

class Digest {
 public:
  void add(ByteView bytes) {
    for (const std::uint8_t byte : bytes) value_ = (value_ ^ byte) * 0x100000001b3U;
  }
  // The same for what is long, eight bytes at a time: another value than add() makes.
  void add_words(ByteView bytes) {
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), 8);
      value_ = (value_ ^ word) * 0x9e3779b97f4a7c15U;
      value_ ^= value_ >> 32U;
    }
    add(bytes);
  }
  void add(std::uint64_t number) {
    for (unsigned i = 0; i < 8; ++i) value_ = (value_ ^ ((number >> (8 * i)) & 0xffU)) * 0x100000001b3U;
  }
  [[nodiscard]] std::uint64_t value() const {
    // FNV leaves neighbouring inputs close in the high bits: spread them.
    std::uint64_t z = value_;
    z = (z ^ (z >> 33U)) * 0xff51afd7ed558ccdU;
    z = (z ^ (z >> 33U)) * 0xc4ceb9fe1a85ec53U;
    return z ^ (z >> 33U);
  }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

[[nodiscard]] inline std::uint64_t digest_of(ByteView bytes) {
  Digest digest;
  digest.add(bytes);
  return digest.value();
}

}  // namespace merlon::sim
