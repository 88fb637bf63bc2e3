// What the control side publishes to a worker: immutable snapshots behind atomic pointers. All pointers found
// here are valid within one Grace::Section.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "esp/grace.h"
#include "esp/outbound_set.h"
#include "esp/sa_table.h"
#include "policy/spd.h"

namespace merlon::esp {

// A child of a connection, for as long as the SPD or an SA names it.
struct ChildEntry {
  explicit ChildEntry(std::uint64_t unique_number) : number(unique_number) {}
  const std::uint64_t number;  // never used again, so a worker may remember it
  OutboundSet outbound;
};

struct SpdSnapshot {
  std::shared_ptr<const policy::Spd> spd;
  std::vector<const ChildEntry*> children;  // beside spd->entries(); null where not protect
};

struct Published {
  Published(std::size_t sa_capacity, std::size_t workers)
      : grace(workers), inbound(sa_capacity, grace, workers) {}
  Grace grace;
  SaTable inbound;
  std::atomic<const SpdSnapshot*> spd{nullptr};
};

}  // namespace merlon::esp
