// Virtual time: what is to happen, in the order of its time, and of its entry where times are equal. Nothing else moves the clock.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"

namespace merlon::sim {

// The simulated day on which every run begins; certificates are valid then.
inline constexpr UnixTime kFirstDay = std::chrono::sys_days{std::chrono::year{2026} / 10 / 4};
inline constexpr Instant kStart{std::chrono::hours(1)};

class EventQueue {
 public:
  using Callback = std::function<void()>;

  [[nodiscard]] Now now() const;
  // Since the start of the run.
  [[nodiscard]] Duration elapsed() const { return now_ - kStart; }

  // An instant in the past counts as now.
  void at(Instant when, Callback what);
  void after(Duration delay, Callback what) { at(now_ + delay, std::move(what)); }

  // Runs the next event that is due at or before `end`; where there is none the clock goes to `end`, and the answer is false.
  bool run_next(Instant end);

  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  [[nodiscard]] std::uint64_t executed() const { return executed_; }
  // How many events ran since the clock last moved: without end when something never comes to rest.
  [[nodiscard]] std::uint64_t at_this_instant() const { return at_this_instant_; }

 private:
  struct Entry {
    Instant when;
    std::uint64_t number;
    Callback what;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }

  Instant now_ = kStart;
  std::vector<Entry> heap_;
  std::uint64_t last_number_ = 0, executed_ = 0, at_this_instant_ = 0;
};

}  // namespace merlon::sim
