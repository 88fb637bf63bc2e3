#include "esp/sa_table.h"

#include <algorithm>
#include <bit>

#include "wire/esp.h"

namespace merlon::esp {
namespace {
constexpr unsigned kGenerationBits = 4;
}

SaTable::SaTable(std::size_t capacity, Grace& grace, std::size_t workers) : grace_(grace), owners_(workers) {
  const std::size_t size = std::bit_ceil(std::clamp<std::size_t>(capacity, 64, kMaxCapacity));
  index_mask_ = static_cast<std::uint32_t>(size - 1);
  index_bits_ = static_cast<unsigned>(std::countr_zero(size));
  slots_ = std::make_unique<std::atomic<const InboundSa*>[]>(size);
  foreign_ = std::make_unique<std::atomic<const Bucket*>[]>(size);
  places_.resize(size);
  foreign_owner_.resize(size);
  for (std::uint32_t i = 0; i < size; ++i) free_.push_back(i);
}

SaTable::~SaTable() = default;

Result<Spi> SaTable::allocate_spi(Rng& rng, std::optional<WorkerIndex> owner) {
  if (free_.empty()) {
    return fail(ErrorCode::kExhausted, "all {} places for inbound SAs are in use", places_.size());
  }
  const std::uint32_t index = free_.front();
  Place& place = places_[index];
  place.generation = static_cast<std::uint8_t>((place.generation + 1U) & ((1U << kGenerationBits) - 1U));
  const WorkerIndex wanted = owner && owner->value < owners_.workers() ? *owner : owners_.next();
  const std::uint32_t fixed = static_cast<std::uint32_t>(place.generation) << index_bits_ | index;
  for (;;) {
    const auto random = rng.uniform<std::uint32_t>() << (index_bits_ + kGenerationBits);
    const Spi spi{random | fixed};
    // RFC 4303 2.1: 0 to 255 are not ours to use.
    if (spi < wire::kFirstUsableSpi || owners_.owner(spi) != wanted || find_foreign(spi) != nullptr) continue;
    free_.pop_front();
    place.spi = spi.value;
    owners_.taken(spi);
    return spi;
  }
}

void SaTable::release_spi(Spi spi) {
  if (!is_ours(spi)) return;
  Place& place = places_[spi.value & index_mask_];
  if (place.sa) return;
  owners_.given_back(spi);
  place.spi = 0;
  free_.push_back(spi.value & index_mask_);
}

void SaTable::publish(std::shared_ptr<const InboundSa> sa) {
  const Spi spi = sa->spi;
  if (!is_ours(spi)) return replace_foreign(spi, std::move(sa));
  Place& place = places_[spi.value & index_mask_];
  slots_[spi.value & index_mask_].store(sa.get(), std::memory_order_seq_cst);
  grace_.published(std::exchange(place.sa, std::move(sa)));
}

void SaTable::erase(Spi spi) {
  if (!is_ours(spi)) return replace_foreign(spi, nullptr);
  Place& place = places_[spi.value & index_mask_];
  slots_[spi.value & index_mask_].store(nullptr, std::memory_order_seq_cst);
  grace_.published(std::exchange(place.sa, nullptr));
  release_spi(spi);
}

std::size_t SaTable::bucket_index(Spi spi) const {
  return (spi.value * 0x9e3779b1U >> (32U - index_bits_)) & index_mask_;  // multiplicative hashing
}

const InboundSa* SaTable::find_foreign(Spi spi) const {
  const Bucket* bucket = foreign_[bucket_index(spi)].load(std::memory_order_seq_cst);
  if (bucket == nullptr) return nullptr;
  for (const auto& sa : *bucket)
    if (sa->spi == spi) return sa.get();
  return nullptr;
}

void SaTable::replace_foreign(Spi spi, std::shared_ptr<const InboundSa> sa) {
  const std::size_t index = bucket_index(spi);
  std::shared_ptr<const Bucket>& owner = foreign_owner_[index];
  auto bucket = owner ? std::make_shared<Bucket>(*owner) : std::make_shared<Bucket>();
  std::erase_if(*bucket, [&](const auto& candidate) { return candidate->spi == spi; });
  if (sa) bucket->push_back(std::move(sa));
  std::shared_ptr<const Bucket> next = bucket->empty() ? nullptr : std::move(bucket);
  foreign_[index].store(next.get(), std::memory_order_seq_cst);
  grace_.published(std::exchange(owner, std::move(next)));
}

}  // namespace merlon::esp
