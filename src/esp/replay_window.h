// The anti-replay window of one inbound SA (RFC 4303 3.4.3): a ring of bits, so that nothing moves when it
// advances (the idea of RFC 6479). Also finds the high half of extended sequence numbers, which does not
// travel (RFC 4303 A2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/ids.h"

namespace merlon::esp {

class ReplayWindow {
 public:
  static constexpr unsigned kMinSize = 64, kMaxSize = 4096;

  enum class Verdict : std::uint8_t {
    kFresh,
    kReplayed,  // seen before
    kTooOld,    // left of the window: perhaps late, perhaps a replay
    kInvalid,   // zero: no sender uses it
  };

  // `size`: packets, brought into kMinSize..kMaxSize.
  explicit ReplayWindow(unsigned size);

  // The whole sequence number of a packet that carries `low`: the one nearest to the window that it can be.
  // Without ESN that is `low`. Empty where none is possible: before the first or behind the last of 2^64. A
  // guess until the ICV, which covers the high half, is verified.
  [[nodiscard]] std::optional<SequenceNumber> infer(std::uint32_t low, bool esn) const;

  // Before authentication: changes nothing.
  [[nodiscard]] Verdict check(SequenceNumber sequence) const;
  // After authentication: checks again, since another packet of the same burst may have carried the number,
  // and marks it.
  [[nodiscard]] Verdict advance(SequenceNumber sequence);

  [[nodiscard]] SequenceNumber highest() const { return {top_}; }  // authenticated so far; 0 = none
  [[nodiscard]] unsigned size() const { return size_; }

 private:
  void clear_between(std::uint64_t first, std::uint64_t last);  // both exclusive
  [[nodiscard]] std::uint64_t& word(std::uint64_t sequence) const { return words_[(sequence & mask_) >> 6U]; }
  [[nodiscard]] static std::uint64_t bit(std::uint64_t sequence) {
    return std::uint64_t{1} << (sequence & 63U);
  }

  std::uint64_t top_ = 0;
  std::unique_ptr<std::uint64_t[]> words_;  // mask_ + 1 bits: the size rounded up to a power of two
  std::uint16_t size_, mask_;
};
static_assert(sizeof(ReplayWindow) <= 24);

}  // namespace merlon::esp
