// What was decided for the packets of a flow, so that the SPD is asked once a flow and publication. One a
// worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/large_memory.h"
#include "esp/flow_key.h"
#include "esp/published.h"

namespace merlon::esp {

struct OutboundDecision {
  const policy::SpdEntry* entry =
      nullptr;                     // where `sa` is null. Null too: nothing in the SPD speaks of the packet
  const OutboundSa* sa = nullptr;  // null: none carries it (yet)
};

// A hash table in which a flow has four places, two (IPv4) or one (IPv6) in a cache line. `Place` keeps a flow.
template <class Place>
class FlowTable {
 public:
  static constexpr std::size_t kLeastSize = 1024, kMaxSize = std::size_t{1} << 19U;  // flows; powers of two

  [[nodiscard]] const Place* find(const FlowKey& key, std::uint64_t hash, std::uint64_t generation) const {
    if (places_.empty()) return nullptr;
    const std::size_t home = hash & mask_;
    for (std::size_t way = 0; way < kWays; ++way) {
      const Place& place = places_[home ^ way];
      if (place.is(key) && place.generation == generation) return &place;
    }
    return nullptr;
  }
  // Grows when a quarter of it is taken, up to kMaxSize: before flows push each other out.
  void put(const Place& flow, std::uint64_t hash);
  void prefetch(std::uint64_t hash) const {
    if (!places_.empty()) prefetch_line_to_second(&places_[hash & mask_]);
  }
  [[nodiscard]] std::size_t size() const { return places_.size(); }

 private:
  static constexpr std::size_t kWays = 4;

  void place(const Place& flow, std::uint64_t hash);
  void grow();

  LargeVector<Place> places_;  // made with the first flow: most engines of a simulation see few
  std::size_t mask_ = 0;
  std::uint64_t generation_ = 0;  // of the last put()
  std::size_t taken_ = 0;         // places of that generation
  std::size_t pushed_out_ = 0;
};

class FlowCache {
 public:
  // Nothing where the flow is not known in this generation. `hash` is the key's.
  [[nodiscard]] std::optional<OutboundDecision> find(const FlowKey& key, std::uint64_t hash,
                                                     std::uint64_t generation) const {
    if (key.is_v4()) {
      const V4* place = v4_.find(key, hash, generation);
      return place == nullptr ? std::nullopt : std::optional(place->decision.get());
    }
    const V6* place = v6_.find(key, hash, generation);
    return place == nullptr ? std::nullopt : std::optional(place->decision.get());
  }
  void put(const FlowKey& key, std::uint64_t hash, std::uint64_t generation,
           const OutboundDecision& decision) {
    if (key.is_v4()) {
      v4_.put({key.addresses[0], key.numbers, generation, Compact(decision)}, hash);
    } else {
      v6_.put({key, generation, Compact(decision)}, hash);
    }
  }
  void prefetch(const FlowKey& key, std::uint64_t hash) const {
    if (key.is_v4()) {
      v4_.prefetch(hash);
    } else {
      v6_.prefetch(hash);
    }
  }

 private:
  // What carries the packets, or else what says that nothing does: with an SA the policy is not asked for any more.
  class Compact {
   public:
    Compact() = default;
    explicit Compact(const OutboundDecision& decision)
        : word_(decision.sa != nullptr ? reinterpret_cast<std::uintptr_t>(decision.sa)
                                       : reinterpret_cast<std::uintptr_t>(decision.entry) | kIsEntry) {}
    [[nodiscard]] OutboundDecision get() const {
      if ((word_ & kIsEntry) == 0) return {nullptr, reinterpret_cast<const OutboundSa*>(word_)};
      return {reinterpret_cast<const policy::SpdEntry*>(word_ & ~kIsEntry), nullptr};
    }

   private:
    static constexpr std::uintptr_t kIsEntry = 1;
    std::uintptr_t word_ = kIsEntry;
  };
  struct alignas(32) V4 {
    std::uint64_t addresses = 0, numbers = 0;
    std::uint64_t generation = 0;  // 0 = empty
    Compact decision;
    [[nodiscard]] bool is(const FlowKey& key) const {
      return ((addresses ^ key.addresses[0]) | (numbers ^ key.numbers)) == 0;
    }
    [[nodiscard]] std::uint64_t hash() const { return FlowKey::hash_v4(addresses, numbers); }
  };
  struct alignas(64) V6 {
    FlowKey key;
    std::uint64_t generation = 0;
    Compact decision;
    [[nodiscard]] bool is(const FlowKey& other) const { return key == other; }
    [[nodiscard]] std::uint64_t hash() const { return key.hash(); }
  };
  static_assert(sizeof(V4) == 32 && sizeof(V6) == 64, "one cache line a packet");

  FlowTable<V4> v4_;
  FlowTable<V6> v6_;

 public:
  [[nodiscard]] std::size_t size() const { return v4_.size() + v6_.size(); }
  static constexpr std::size_t kLeastSize = FlowTable<V4>::kLeastSize, kMaxSize = FlowTable<V4>::kMaxSize;
};

template <class Place>
void FlowTable<Place>::put(const Place& flow, std::uint64_t hash) {
  if (places_.empty()) {
    places_.resize(kLeastSize);
    mask_ = kLeastSize - 1;
  }
  if (flow.generation != generation_) taken_ = 0;
  generation_ = flow.generation;
  place(flow, hash);
  if (taken_ > places_.size() / 4 && places_.size() < kMaxSize) grow();
}

// In the first of its places that is free; where none is, what stands in one of them has to go.
template <class Place>
void FlowTable<Place>::place(const Place& flow, std::uint64_t hash) {
  const std::size_t home = hash & mask_;
  for (std::size_t way = 0; way < kWays; ++way) {
    Place& candidate = places_[home ^ way];
    if (candidate.generation == generation_) continue;
    candidate = flow;
    ++taken_;
    return;
  }
  places_[home ^ (pushed_out_++ % kWays)] = flow;
}

template <class Place>
void FlowTable<Place>::grow() {
  LargeVector<Place> before(std::min(places_.size() * 4, kMaxSize));
  before.swap(places_);
  mask_ = places_.size() - 1;
  taken_ = 0;
  for (const Place& flow : before)
    if (flow.generation == generation_) place(flow, flow.hash());
}

}  // namespace merlon::esp
