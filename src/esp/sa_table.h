// The inbound SAs by SPI. An SPI of ours carries the index of its place in the table beside a generation and
// random bits, so that finding the SA is one load, whatever their number. SPIs that others chose (manual,
// taken over) are found in a hash.
//
// An SPI, from its highest bit: random | generation (4 bits) | index. The random bits name the owner besides (steering.h),
// so with several workers they are drawn until they name the right one. Places are used again oldest first, and
// the generation of a place changes with each use: an SPI returns at the earliest after 16 uses of its place.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "base/large_memory.h"
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
  // Publishes. Returns what stood for the SPI before, or null: the caller frees it a grace period later.
  const InboundSa* publish(const InboundSa& sa);
  // Takes the SA back, and its SPI where it is ours; returns as publish() does.
  const InboundSa* erase(Spi spi);

  // --- worker, inside a Grace::Section
  [[nodiscard]] const InboundSa* find(Spi spi) const {
    const InboundSa* sa = slots_[spi.value & index_mask_].load(std::memory_order_seq_cst);
    if (sa != nullptr && sa->spi == spi) return sa;
    return find_foreign(spi);
  }

  // For prefetching, in two steps: the slot; then what stands in it, which may be another SPI's.
  void prefetch(Spi spi) const { prefetch_line_to_second(&slots_[spi.value & index_mask_]); }
  [[nodiscard]] const InboundSa* peek(Spi spi) const {
    return slots_[spi.value & index_mask_].load(std::memory_order_seq_cst);
  }

 private:
  // The control side's part of a slot: five bytes of two arrays.
  static constexpr std::uint8_t kInUse = 0x80;  // beside the generation

  // Open addressing. Grows with what stands in it, and is replaced as a whole then.
  struct Foreign {
    explicit Foreign(std::size_t size) : slots(size) {}
    [[nodiscard]] std::size_t first_of(Spi spi) const;
    [[nodiscard]] const InboundSa* find(Spi spi) const;
    // Where the SPI's SA stands, or else the first place where it could; one is always free.
    [[nodiscard]] std::size_t place_for(Spi spi) const;
    std::vector<std::atomic<const InboundSa*>> slots;  // null: never used; its size is a power of two
    std::size_t taken = 0;                             // those that are not null
    std::size_t live = 0;
  };
  static const InboundSa kErased;

  [[nodiscard]] const InboundSa* find_foreign(Spi spi) const {
    const Foreign* foreign = foreign_.load(std::memory_order_seq_cst);
    return foreign == nullptr ? nullptr : foreign->find(spi);
  }
  [[nodiscard]] bool is_ours(Spi spi) const {
    const std::uint32_t index = spi.value & index_mask_;
    return (generations_[index] & kInUse) != 0 && spis_[index] == spi.value;
  }
  const InboundSa* publish_foreign(const InboundSa& sa);
  const InboundSa* erase_foreign(Spi spi);
  void make_room_for_foreign();

  Grace& grace_;
  OwnerChoice owners_;
  std::uint32_t index_mask_;
  unsigned index_bits_;
  LargeVector<std::atomic<const InboundSa*>> slots_;
  std::atomic<Foreign*> foreign_{nullptr};  // null until there is one
  std::vector<std::uint32_t> spis_;         // of a free place: the next free one
  std::vector<std::uint8_t> generations_;
  std::uint32_t first_free_ = 0, last_free_ = 0;
  std::size_t free_count_;
};

}  // namespace merlon::esp
