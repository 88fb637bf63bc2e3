// Notices a data worker that stands still: one that hangs in a system call or a loop, or that gets no CPU.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"

namespace merlon::daemon {

// A worker stands still, or (over) runs again.
struct WorkerStalled {
  unsigned worker = 0;
  std::chrono::seconds silent{0};  // for so long so far, or for so long altogether
  bool over = false;
  friend bool operator==(const WorkerStalled&, const WorkerStalled&) = default;
};

class WorkerWatch {
 public:
  // So many looks in a row that see no heartbeat make a stall: looks, not time, so that a process which was stopped as a
  // whole accuses nobody.
  WorkerWatch(std::size_t workers, unsigned patience) : patience_(patience), workers_(workers) {}

  // Compares the workers' heartbeats, in their order, with those of the last look; what has changed by that.
  [[nodiscard]] std::vector<WorkerStalled> look(Instant now, std::span<const std::uint64_t> heartbeats);

  // Zero: it runs.
  [[nodiscard]] std::chrono::seconds silent(Instant now, std::size_t worker) const;
  [[nodiscard]] std::uint64_t stalls(std::size_t worker) const { return workers_[worker].stalls; }

 private:
  struct State {
    std::uint64_t heartbeat = UINT64_MAX;
    Instant last_moved{};
    unsigned unmoved_looks = 0;
    bool stalled = false;
    std::uint64_t stalls = 0;
  };
  unsigned patience_;
  std::vector<State> workers_;
};

}  // namespace merlon::daemon
