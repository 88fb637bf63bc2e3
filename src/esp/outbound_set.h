// The SAs of one child of a connection, as a worker chooses among them for a packet. Mostly there is one, or two while it is
// rekeyed: a list. A child that answers 100,000 peers has as many, each with selectors of its own: then they stand in a
// hash table by the addresses behind the peer. Nothing here is rebuilt when an SA comes or goes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "esp/grace.h"
#include "esp/sa.h"

namespace merlon::esp {

class OutboundIndex;

class OutboundSet {
 public:
  static constexpr std::size_t kMostInList = 8;

  OutboundSet() = default;
  OutboundSet(const OutboundSet&) = delete;
  OutboundSet& operator=(const OutboundSet&) = delete;
  ~OutboundSet();  // no worker looks at it any more

  // --- worker, inside a Grace::Section
  // RFC 4301 5.1: an SA carries a packet only if its own selectors, as negotiated, hold it; of those that do the newest
  // (RFC 7296 2.8: after a rekey the new one), unless its use_outbound is not set. RFC 9611: before all others one that is
  // bound to this worker, so that nothing crosses; then one that is for all; then another worker's. Null: none carries it.
  [[nodiscard]] const OutboundSa* select(const policy::PacketSelectors& packet, WorkerIndex self = {}) const;

  // A search among SAs.
  class Choice {
   public:
    Choice(const policy::PacketSelectors& packet, WorkerIndex self, bool has_bound)
        : packet_(packet), self_(self), best_possible_(has_bound ? kOwn : kForAll) {}
    // Looks at an SA; those of one list from the newest on. `order` grows with each SA.
    void look_at(const OutboundSa& sa, std::uint64_t order);
    // Nothing that is older than `order` could be better.
    [[nodiscard]] bool is_made(std::uint64_t order) const {
      return rank_ == best_possible_ && order < order_;
    }
    [[nodiscard]] const OutboundSa* chosen() const { return sa_; }

   private:
    enum Rank : std::uint8_t { kNothing, kOthers, kForAll, kOwn };
    const policy::PacketSelectors& packet_;
    const WorkerIndex self_;
    const Rank best_possible_;
    Rank rank_ = kNothing;
    const OutboundSa* sa_ = nullptr;
    std::uint64_t order_ = 0;
  };

  // --- control side. An SA stays here from insert() to erase(), whatever it is replaced with. All of them publish; what is
  // not needed any more goes to `grace`, but for the SAs themselves.
  void insert(const OutboundSa& sa, Grace& grace);
  // The present publication of the SA behind `material`, which is here.
  [[nodiscard]] const OutboundSa& find(const SaMaterial& material) const;
  void replace(const OutboundSa& before, const OutboundSa& after, Grace& grace);
  void erase(const OutboundSa& sa, Grace& grace);
  [[nodiscard]] bool empty() const { return !root_.load(std::memory_order_relaxed).has_any(); }
  // The newest SA with the same selectors and the same peer as `sa`, which is not here yet; null: none, or only behind
  // kMostInList others.
  [[nodiscard]] const OutboundSa* predecessor(const OutboundSa& sa) const;

 private:
  // One word, so that a worker never sees half of a change: the newest SA of the list, or the index.
  class Root {
   public:
    Root() = default;
    explicit Root(const OutboundSa* newest) : word_(reinterpret_cast<std::uintptr_t>(newest)) {}
    explicit Root(OutboundIndex* index) : word_(reinterpret_cast<std::uintptr_t>(index) | 1U) {}
    [[nodiscard]] bool is_index() const { return (word_ & 1U) != 0; }
    [[nodiscard]] bool has_any() const { return word_ != 0; }
    [[nodiscard]] const OutboundSa* newest() const { return reinterpret_cast<const OutboundSa*>(word_); }
    [[nodiscard]] OutboundIndex* index() const {
      return reinterpret_cast<OutboundIndex*>(word_ & ~std::uintptr_t{1});
    }

   private:
    std::uintptr_t word_ = 0;
  };

  // What points to `sa` in the list.
  [[nodiscard]] const OutboundSa* newer_than(const OutboundSa& sa) const;
  void point(const OutboundSa* newer, const OutboundSa* to);
  void become_index(Grace& grace);
  void publish(OutboundIndex* index, Grace& grace);

  std::atomic<Root> root_{};
  std::atomic<bool> has_bound_{false};  // there was one
  static_assert(std::atomic<Root>::is_always_lock_free);
};

}  // namespace merlon::esp
