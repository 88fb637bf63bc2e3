// The inbound SAs by SPI. An SPI of ours carries the index of its place in the table beside a generation and
// random bits, so that finding the SA is one load, whatever their number. SPIs that others chose (manual,
// taken over) are found in a hash.
//
// An SPI, from its highest bit: random | generation (4 bits) | index. The random bits name the owner besides (steering.h),
// so with several workers they are drawn until they name the right one. Places are used again oldest first, and
// the generation of a place changes with each use: an SPI returns at the earliest after 16 uses of its place.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "esp/grace.h"
#include "esp/sa.h"
#include "esp/steering.h"

namespace merlon::esp {

class SaTable {
 public:
  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 22U;

  // `capacity`: SAs at once, rounded up to a power of two, at least 64 and at most kMaxCapacity.
  SaTable(std::size_t capacity, Grace& grace, std::size_t workers = 1);
  ~SaTable();
  SaTable(const SaTable&) = delete;
  SaTable& operator=(const SaTable&) = delete;

  // --- control side
  // For an SA of this worker, or of the one that has the fewest.
  [[nodiscard]] Result<Spi> allocate_spi(Rng& rng, std::optional<WorkerIndex> owner = std::nullopt);
  // Of an SPI that allocate_spi() made and for which no SA stands in the table; others are ignored.
  void release_spi(Spi spi);
  [[nodiscard]] const OwnerChoice& owners() const { return owners_; }
  // Does an SA stand for the SPI?
  [[nodiscard]] bool has_sa(Spi spi) const { return find(spi) != nullptr; }
  // Publishes; what stood for the SPI before is retired. The table keeps the SA alive until erase().
  void publish(std::shared_ptr<const InboundSa> sa);
  // Takes the SA back, and its SPI where it is ours.
  void erase(Spi spi);

  // --- worker, inside a Grace::Section
  [[nodiscard]] const InboundSa* find(Spi spi) const {
    const InboundSa* sa = slots_[spi.value & index_mask_].load(std::memory_order_seq_cst);
    if (sa != nullptr && sa->spi == spi) return sa;
    return find_foreign(spi);
  }

  // For prefetching, in two steps: the slot; then what stands in it, which may be another SPI's.
  void prefetch(Spi spi) const { __builtin_prefetch(&slots_[spi.value & index_mask_]); }
  [[nodiscard]] const InboundSa* peek(Spi spi) const {
    return slots_[spi.value & index_mask_].load(std::memory_order_seq_cst);
  }

 private:
  struct Place {  // the control side's part of a slot
    std::shared_ptr<const InboundSa> sa;
    std::uint32_t spi = 0;  // 0 = free
    std::uint8_t generation = 0;
  };
  using Bucket = std::vector<std::shared_ptr<const InboundSa>>;  // immutable once published

  [[nodiscard]] const InboundSa* find_foreign(Spi spi) const;
  [[nodiscard]] std::size_t bucket_index(Spi spi) const;
  [[nodiscard]] bool is_ours(Spi spi) const {
    return spi.value != 0 && places_[spi.value & index_mask_].spi == spi.value;
  }
  void replace_foreign(Spi spi, std::shared_ptr<const InboundSa> sa);  // null: erase

  Grace& grace_;
  OwnerChoice owners_;
  std::uint32_t index_mask_;
  unsigned index_bits_;
  std::unique_ptr<std::atomic<const InboundSa*>[]> slots_;
  std::unique_ptr<std::atomic<const Bucket*>[]> foreign_;
  std::vector<Place> places_;
  std::vector<std::shared_ptr<const Bucket>> foreign_owner_;
  std::deque<std::uint32_t> free_;
};

}  // namespace merlon::esp
