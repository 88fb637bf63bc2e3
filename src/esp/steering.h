// Who owns an SA: a few bits of its inbound SPI say it. So the kernel can hand ESP to the owner's socket without knowing
// any SA (io/spi_steering.h), a worker sees at once that a packet is another's, and no table has to say it.
//
//   owner = the highest kOwnerBits of the SPI, modulo the number of workers
//
// Those bits are drawn at random otherwise (sa_table.h), so an SPI loses no more than they tell. The outbound direction of a
// Child SA has the same owner: what is in flight both ways stays on one core.
#pragma once

#include <optional>
#include <vector>

#include "base/check.h"
#include "base/ids.h"
#include "esp/worker_index.h"

namespace merlon::esp {

inline constexpr unsigned kOwnerBits = 6;
inline constexpr std::size_t kMaxWorkers = std::size_t{1} << kOwnerBits;

[[nodiscard]] constexpr WorkerIndex owner_of(Spi spi, std::size_t workers) {
  return WorkerIndex{static_cast<std::uint8_t>((spi.value >> (32U - kOwnerBits)) % workers)};
}

// Which worker the next SA goes to: the one with the fewest, each in its turn where they are even. Control side.
class OwnerChoice {
 public:
  explicit OwnerChoice(std::size_t workers) : in_use_(workers) {
    MERLON_ASSERT(workers >= 1 && workers <= kMaxWorkers);
  }

  [[nodiscard]] WorkerIndex next() {
    std::size_t best = last_;
    for (std::size_t step = 1; step <= in_use_.size(); ++step) {
      const std::size_t candidate = (last_ + step) % in_use_.size();
      if (step == 1 || in_use_[candidate] < in_use_[best]) best = candidate;
    }
    last_ = best;
    return WorkerIndex{static_cast<std::uint8_t>(best)};
  }
  [[nodiscard]] WorkerIndex owner(Spi spi) const { return owner_of(spi, in_use_.size()); }
  [[nodiscard]] std::size_t workers() const { return in_use_.size(); }

  // SPIs that were given out and not taken back.
  void taken(Spi spi) { ++in_use_[owner(spi).value]; }
  void given_back(Spi spi) { --in_use_[owner(spi).value]; }
  [[nodiscard]] std::size_t in_use(WorkerIndex worker) const { return in_use_[worker.value]; }

 private:
  std::vector<std::size_t> in_use_;
  std::size_t last_ = in_use_.size() - 1;
};

}  // namespace merlon::esp
