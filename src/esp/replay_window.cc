#include "esp/replay_window.h"

#include <algorithm>

namespace merlon::esp {

// Forgets what the places of the skipped numbers held a ring ago.
void ReplayWindow::clear_between(std::uint64_t first, std::uint64_t last) {
  const std::uint64_t skipped = last - first - 1;
  if (skipped == 0) return;
  if (skipped > mask_) {
    std::fill_n(words_, (mask_ + 1U) / 64U, 0);
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
