// What the control side publishes to a worker: immutable snapshots behind atomic pointers. All pointers found
// here are valid within one Grace::Section.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "esp/grace.h"
#include "esp/sa_table.h"
#include "policy/spd.h"

namespace merlon::esp {

// The SAs of one child that may carry outbound packets, the preferred first (RFC 7296 2.8: after a rekey the
// newest). They may differ in their negotiated selectors.
struct OutboundSet {
  std::vector<std::shared_ptr<const OutboundSa>> newest_first;
  bool has_bound = false;  // some are for one worker (RFC 9611)

  void add(std::shared_ptr<const OutboundSa> older) {
    has_bound = has_bound || older->is_bound;
    newest_first.push_back(std::move(older));
  }

  // RFC 4301 5.1: an SA carries a packet only if its own selectors, as negotiated, hold it. Null: none does.
  [[nodiscard]] const OutboundSa* select(const policy::PacketSelectors& packet, WorkerIndex self) const {
    if (has_bound) return select_for(packet, self);
    for (const auto& sa : newest_first)
      if (matches(*sa, packet)) return sa.get();
    return nullptr;
  }

 private:
  static bool matches(const OutboundSa& sa, const policy::PacketSelectors& packet) {
    return policy::matches(sa.rules->local_ts, sa.rules->remote_ts, packet, policy::Direction::kOutbound);
  }
  // RFC 9611: the worker's own SA, so that nothing crosses; else one that is for all; else another worker's.
  [[nodiscard]] const OutboundSa* select_for(const policy::PacketSelectors& packet, WorkerIndex self) const {
    const OutboundSa *for_all = nullptr, *others = nullptr;
    for (const auto& sa : newest_first) {
      const bool is_own = sa->is_bound && sa->owner == self;
      const OutboundSa*& place = sa->is_bound ? others : for_all;
      if ((!is_own && place != nullptr) || !matches(*sa, packet)) continue;
      if (is_own) return sa.get();
      place = sa.get();
    }
    return for_all != nullptr ? for_all : others;
  }
};

// A child of a connection, for as long as the SPD or an SA names it.
struct ChildEntry {
  explicit ChildEntry(std::uint64_t unique_number) : number(unique_number) {}
  const std::uint64_t number;                         // never used again, so a worker may remember it
  std::atomic<const OutboundSet*> outbound{nullptr};  // null: no SA
};

struct SpdSnapshot {
  std::shared_ptr<const policy::Spd> spd;
  std::vector<std::shared_ptr<const ChildEntry>> children;  // beside spd->entries(); null where not protect
};

struct Published {
  Published(std::size_t sa_capacity, std::size_t workers)
      : grace(workers), inbound(sa_capacity, grace, workers) {}
  Grace grace;
  SaTable inbound;
  std::atomic<const SpdSnapshot*> spd{nullptr};
};

}  // namespace merlon::esp
