// Packets that wait for an SA to be negotiated. Bounded in number and in time.
#pragma once

#include <unordered_map>
#include <vector>

#include "esp/config.h"
#include "packet/burst.h"

namespace merlon::esp {

class HoldQueue {
 public:
  struct Held {
    packet::PacketPtr packet;
    Instant deadline;
  };

  explicit HoldQueue(const EngineConfig& config) : config_(config) {}

  // Takes the packet where there is room for it; else leaves it where it is and says so.
  [[nodiscard]] bool hold(std::uint64_t child, packet::PacketPtr& packet, Instant deadline);
  // May an Acquire be raised for the child now? acquire_raised() starts the interval anew.
  [[nodiscard]] bool may_acquire(std::uint64_t child, Instant now) const;
  void acquire_raised(std::uint64_t child, Instant now);

  [[nodiscard]] bool empty() const { return total_ == 0; }
  [[nodiscard]] Instant earliest_deadline() const { return earliest_; }  // kNever when empty
  // Empties the queue, each child's packets in their order. Forgets children of which nothing needs to be
  // remembered.
  void take_all(Instant now, std::vector<Held>& out);

 private:
  struct Child {
    std::vector<Held> packets;
    Instant next_acquire{Instant::min()};
  };
  const EngineConfig& config_;
  std::unordered_map<std::uint64_t, Child> children_;
  std::size_t total_ = 0;
  Instant earliest_ = kNever;
};

}  // namespace merlon::esp
