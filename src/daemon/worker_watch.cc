#include "daemon/worker_watch.h"

#include "base/check.h"

namespace merlon::daemon {
namespace {

std::chrono::seconds whole_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration);
}

}  // namespace

std::vector<WorkerStalled> WorkerWatch::look(Instant now, std::span<const std::uint64_t> heartbeats) {
  MERLON_ASSERT(heartbeats.size() == workers_.size());
  std::vector<WorkerStalled> changes;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    State& worker = workers_[i];
    const auto number = static_cast<unsigned>(i);
    if (worker.heartbeat != heartbeats[i]) {
      if (worker.stalled) changes.push_back({number, whole_seconds(now - worker.last_moved), true});
      worker.heartbeat = heartbeats[i];
      worker.last_moved = now;
      worker.unmoved_looks = 0;
      worker.stalled = false;
    } else if (++worker.unmoved_looks == patience_) {
      worker.stalled = true;
      ++worker.stalls;
      changes.push_back({number, whole_seconds(now - worker.last_moved), false});
    }
  }
  return changes;
}

std::chrono::seconds WorkerWatch::silent(Instant now, std::size_t worker) const {
  const State& state = workers_[worker];
  return state.stalled ? whole_seconds(now - state.last_moved) : std::chrono::seconds(0);
}

}  // namespace merlon::daemon
