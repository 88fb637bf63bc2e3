#include "esp/hold_queue.h"

#include <algorithm>

namespace merlon::esp {

bool HoldQueue::hold(std::uint64_t child, packet::PacketPtr& packet, Instant deadline) {
  if (total_ >= config_.held_packets) return false;
  std::vector<Held>& packets = children_[child].packets;
  if (packets.size() >= config_.held_packets_per_child) return false;
  packets.push_back({std::move(packet), deadline});
  ++total_;
  earliest_ = std::min(earliest_, deadline);
  return true;
}

bool HoldQueue::may_acquire(std::uint64_t child, Instant now) const {
  const auto found = children_.find(child);
  return found == children_.end() || now >= found->second.next_acquire;
}

void HoldQueue::acquire_raised(std::uint64_t child, Instant now) {
  children_[child].next_acquire = now + config_.acquire_interval;
}

void HoldQueue::take_all(Instant now, std::vector<Held>& out) {
  for (auto at = children_.begin(); at != children_.end();) {
    Child& child = at->second;
    std::move(child.packets.begin(), child.packets.end(), std::back_inserter(out));
    child.packets.clear();
    at = now >= child.next_acquire ? children_.erase(at) : std::next(at);
  }
  total_ = 0;
  earliest_ = kNever;
}

}  // namespace merlon::esp
