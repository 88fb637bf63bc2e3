#include "esp/sa_table.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "wire/esp.h"

namespace merlon::esp {
namespace {
constexpr unsigned kGenerationBits = 4;
constexpr std::uint8_t kGenerations = 1U << kGenerationBits;
constexpr std::size_t kFirstForeignSize = 16;
}  // namespace

const InboundSa SaTable::kErased;  // its SPI is 0, which no packet has an SA for

SaTable::SaTable(std::size_t capacity, Grace& grace, std::size_t workers)
    : grace_(grace),
      owners_(workers),
      index_mask_(
          static_cast<std::uint32_t>(std::bit_ceil(std::clamp<std::size_t>(capacity, 64, kMaxCapacity)) - 1)),
      index_bits_(static_cast<unsigned>(std::countr_one(index_mask_))),
      slots_(std::size_t{index_mask_} + 1),
      spis_(slots_.size()),
      generations_(slots_.size()),
      last_free_(index_mask_),
      free_count_(slots_.size()) {
  for (std::uint32_t i = 0; i < spis_.size(); ++i) spis_[i] = i + 1;
}

SaTable::~SaTable() {
  delete foreign_.load(std::memory_order_relaxed);
}

Result<Spi> SaTable::allocate_spi(Rng& rng, std::optional<WorkerIndex> owner) {
  if (free_count_ == 0) {
    return fail(ErrorCode::kExhausted, "all {} places for inbound SAs are in use", slots_.size());
  }
  const std::uint32_t index = first_free_;
  const auto generation = static_cast<std::uint8_t>((generations_[index] + 1U) % kGenerations);
  const std::uint32_t fixed = std::uint32_t{generation} << index_bits_ | index;
  const WorkerIndex wanted = owner && owner->value < owners_.workers() ? *owner : owners_.next();
  for (;;) {
    const auto random = rng.uniform<std::uint32_t>() << (index_bits_ + kGenerationBits);
    const Spi spi{random | fixed};
    // RFC 4303 2.1: 0 to 255 are not ours to use.
    if (spi < wire::kFirstUsableSpi || owners_.owner(spi) != wanted || find_foreign(spi) != nullptr) continue;
    first_free_ = spis_[index];
    --free_count_;
    spis_[index] = spi.value;
    generations_[index] = generation | kInUse;
    owners_.taken(spi);
    return spi;
  }
}

void SaTable::release_spi(Spi spi) {
  if (!is_ours(spi)) return;
  const std::uint32_t index = spi.value & index_mask_;
  if (slots_[index].load(std::memory_order_relaxed) != nullptr) return;
  owners_.given_back(spi);
  generations_[index] &= static_cast<std::uint8_t>(~kInUse);
  if (free_count_++ == 0) {
    first_free_ = index;
  } else {
    spis_[last_free_] = index;
  }
  last_free_ = index;
}

const InboundSa* SaTable::publish(const InboundSa& sa) {
  if (!is_ours(sa.spi)) return publish_foreign(sa);
  std::atomic<const InboundSa*>& slot = slots_[sa.spi.value & index_mask_];
  const InboundSa* const before = slot.load(std::memory_order_relaxed);
  slot.store(&sa, std::memory_order_seq_cst);
  grace_.published();
  return before;
}

const InboundSa* SaTable::erase(Spi spi) {
  if (!is_ours(spi)) return erase_foreign(spi);
  std::atomic<const InboundSa*>& slot = slots_[spi.value & index_mask_];
  const InboundSa* const before = slot.load(std::memory_order_relaxed);
  slot.store(nullptr, std::memory_order_seq_cst);
  grace_.published();
  release_spi(spi);
  return before;
}

// --- SPIs that others chose

std::size_t SaTable::Foreign::first_of(Spi spi) const {
  return (spi.value * 0x9e3779b97f4a7c15U >> 32U) & (slots.size() - 1);  // multiplicative hashing
}

const InboundSa* SaTable::Foreign::find(Spi spi) const {
  for (std::size_t at = first_of(spi);; at = (at + 1) & (slots.size() - 1)) {
    const InboundSa* sa = slots[at].load(std::memory_order_seq_cst);
    if (sa == nullptr || (sa != &kErased && sa->spi == spi)) return sa;
  }
}

std::size_t SaTable::Foreign::place_for(Spi spi) const {
  std::optional<std::size_t> erased;
  for (std::size_t at = first_of(spi);; at = (at + 1) & (slots.size() - 1)) {
    const InboundSa* sa = slots[at].load(std::memory_order_relaxed);
    if (sa == nullptr) return erased.value_or(at);
    if (sa == &kErased) {
      if (!erased) erased = at;
    } else if (sa->spi == spi) {
      return at;
    }
  }
}

void SaTable::make_room_for_foreign() {
  Foreign* const before = foreign_.load(std::memory_order_relaxed);
  if (before != nullptr && before->taken < before->slots.size() / 2) return;
  const std::size_t live = before == nullptr ? 0 : before->live;
  auto next = std::make_unique<Foreign>(std::max(kFirstForeignSize, std::bit_ceil((live + 1) * 4)));
  if (before != nullptr) {
    for (const auto& slot : before->slots) {
      const InboundSa* sa = slot.load(std::memory_order_relaxed);
      if (sa == nullptr || sa == &kErased) continue;
      next->slots[next->place_for(sa->spi)].store(sa, std::memory_order_relaxed);
    }
  }
  next->live = next->taken = live;
  foreign_.store(next.release(), std::memory_order_seq_cst);
  grace_.published(std::shared_ptr<const Foreign>(before));
}

const InboundSa* SaTable::publish_foreign(const InboundSa& sa) {
  make_room_for_foreign();
  Foreign& foreign = *foreign_.load(std::memory_order_relaxed);
  std::atomic<const InboundSa*>& slot = foreign.slots[foreign.place_for(sa.spi)];
  const InboundSa* const before = slot.load(std::memory_order_relaxed);
  slot.store(&sa, std::memory_order_seq_cst);
  grace_.published();
  if (before == nullptr) ++foreign.taken;
  if (before != nullptr && before != &kErased) return before;
  ++foreign.live;
  return nullptr;
}

const InboundSa* SaTable::erase_foreign(Spi spi) {
  Foreign* const foreign = foreign_.load(std::memory_order_relaxed);
  if (foreign == nullptr) return nullptr;
  std::atomic<const InboundSa*>& slot = foreign->slots[foreign->place_for(spi)];
  const InboundSa* const before = slot.load(std::memory_order_relaxed);
  if (before == nullptr || before == &kErased) return nullptr;
  slot.store(&kErased, std::memory_order_seq_cst);
  grace_.published();
  --foreign->live;
  return before;
}

}  // namespace merlon::esp
