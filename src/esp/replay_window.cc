#include "esp/replay_window.h"

#include <algorithm>
#include <bit>

namespace merlon::esp {

ReplayWindow::ReplayWindow(unsigned size)
    : size_(static_cast<std::uint16_t>(std::clamp(size, kMinSize, kMaxSize))),
      mask_(static_cast<std::uint16_t>(std::bit_ceil(static_cast<unsigned>(size_)) - 1U)) {
  words_ = std::make_unique<std::uint64_t[]>((mask_ + 1U) / 64U);
}

// RFC 4303 A2.2
std::optional<SequenceNumber> ReplayWindow::infer(std::uint32_t low, bool esn) const {
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

ReplayWindow::Verdict ReplayWindow::check(SequenceNumber sequence) const {
  const std::uint64_t value = sequence.value;
  if (value == 0) return Verdict::kInvalid;
  if (value > top_) return Verdict::kFresh;
  if (top_ - value >= size_) return Verdict::kTooOld;
  return (word(value) & bit(value)) != 0 ? Verdict::kReplayed : Verdict::kFresh;
}

ReplayWindow::Verdict ReplayWindow::advance(SequenceNumber sequence) {
  const Verdict verdict = check(sequence);
  if (verdict != Verdict::kFresh) return verdict;
  if (sequence.value > top_) {
    clear_between(top_, sequence.value);
    top_ = sequence.value;
  }
  word(sequence.value) |= bit(sequence.value);
  return verdict;
}

// Forgets what the places of the skipped numbers held a ring ago.
void ReplayWindow::clear_between(std::uint64_t first, std::uint64_t last) {
  const std::uint64_t skipped = last - first - 1;
  if (skipped == 0) return;
  if (skipped > mask_) {
    std::fill_n(words_.get(), (mask_ + 1U) / 64U, 0);
    return;
  }
  for (std::uint64_t at = first + 1; at < last;) {
    const std::uint64_t in_word = std::min<std::uint64_t>(64 - (at & 63U), last - at);
    const std::uint64_t ones = in_word == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << in_word) - 1;
    word(at) &= ~(ones << (at & 63U));
    at += in_word;
  }
}

}  // namespace merlon::esp
