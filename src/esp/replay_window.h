// The anti-replay window of one inbound SA (RFC 4303 3.4.3): a ring of bits, so that nothing moves when it
// advances (the idea of RFC 6479). Also finds the high half of extended sequence numbers, which does not
// travel (RFC 4303 A2).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "base/large_memory.h"

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

  // How many words of bits a window of `size` packets (brought into kMinSize..kMaxSize) has: a power of two.
  [[nodiscard]] static constexpr std::size_t words_for(unsigned size) {
    return std::bit_ceil(std::clamp(size, kMinSize, kMaxSize)) / 64U;
  }
  // `words`: words_for(size) of them, zero, which outlive the window.
  ReplayWindow(unsigned size, std::uint64_t* words)
      : words_(words),
        size_(static_cast<std::uint16_t>(std::clamp(size, kMinSize, kMaxSize))),
        mask_(static_cast<std::uint16_t>(words_for(size) * 64U - 1U)) {}

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
  void prefetch(std::uint32_t low) const { prefetch_line_to_second(&word(low)); }

 private:
  void clear_between(std::uint64_t first, std::uint64_t last);  // both exclusive
  [[nodiscard]] std::uint64_t& word(std::uint64_t sequence) const { return words_[(sequence & mask_) >> 6U]; }
  [[nodiscard]] static std::uint64_t bit(std::uint64_t sequence) {
    return std::uint64_t{1} << (sequence & 63U);
  }

  std::uint64_t top_ = 0;
  std::uint64_t* words_;  // mask_ + 1 bits: the size rounded up to a power of two
  std::uint16_t size_, mask_;
};
static_assert(sizeof(ReplayWindow) <= 24);

// RFC 4303 A2.2
inline std::optional<SequenceNumber> ReplayWindow::infer(std::uint32_t low, bool esn) const {
  if (!esn) return SequenceNumber{low};
  const auto top_low = static_cast<std::uint32_t>(top_);
  const std::uint64_t top_high = top_ >> 32U;
  const std::uint32_t bottom_low = top_low - (size_ - 1U);  // may wrap: then the window spans two subspaces
  std::uint64_t high = top_high;
  if (top_low >= size_ - 1U) {
    if (low < bottom_low) ++high;
    if (high > UINT32_MAX) return std::nullopt;
  } else if (low >= bottom_low) {
    if (top_high == 0) return std::nullopt;
    --high;
  }
  return SequenceNumber{high << 32U | low};
}

inline ReplayWindow::Verdict ReplayWindow::check(SequenceNumber sequence) const {
  const std::uint64_t value = sequence.value;
  if (value == 0) return Verdict::kInvalid;
  if (value > top_) return Verdict::kFresh;
  if (top_ - value >= size_) return Verdict::kTooOld;
  return (word(value) & bit(value)) != 0 ? Verdict::kReplayed : Verdict::kFresh;
}

inline ReplayWindow::Verdict ReplayWindow::advance(SequenceNumber sequence) {
  const Verdict verdict = check(sequence);
  if (verdict != Verdict::kFresh) return verdict;
  if (sequence.value > top_) {
    if (sequence.value != top_ + 1) clear_between(top_, sequence.value);
    top_ = sequence.value;
  }
  word(sequence.value) |= bit(sequence.value);
  return verdict;
}

}  // namespace merlon::esp
