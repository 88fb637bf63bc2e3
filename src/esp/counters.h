// What one SA direction has carried. Written by the worker that owns it, read by the control side: relaxed
// atomics with one writer, so that no read-modify-write instruction is needed.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace merlon::esp {

struct TrafficTotals {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;     // of inner packets, inbound with their TFC padding
  Instant last_used = kNever;  // kNever: not yet
};

class TrafficCounters {
 public:
  void add(Instant now, std::uint64_t bytes, std::uint64_t packets = 1) {
    increase(packets_, packets);
    increase(bytes_, bytes);
    last_used_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t packets() const { return packets_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] TrafficTotals totals() const {
    return {packets(), bytes(), Instant(Duration(last_used_.load(std::memory_order_relaxed)))};
  }

 private:
  static void increase(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::atomic<std::uint64_t> packets_{0}, bytes_{0};
  std::atomic<std::int64_t> last_used_{kNever.time_since_epoch().count()};
};

}  // namespace merlon::esp
