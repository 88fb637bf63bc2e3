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

  // RFC 4301 5.1: an SA carries a packet only if its own selectors, as negotiated, hold it. Null: none does.
  [[nodiscard]] const OutboundSa* select(const policy::PacketSelectors& packet) const {
    for (const auto& sa : newest_first)
      if (policy::matches(sa->rules->local_ts, sa->rules->remote_ts, packet, policy::Direction::kOutbound))
        return sa.get();
    return nullptr;
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
  explicit Published(std::size_t sa_capacity) : inbound(sa_capacity, grace) {}
  Grace grace;
  SaTable inbound;
  std::atomic<const SpdSnapshot*> spd{nullptr};
};

}  // namespace merlon::esp
