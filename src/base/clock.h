// Time as values: engines never read a clock, they are told what time it is.
#pragma once

#include <chrono>
#include <cstdint>

namespace merlon {

// Only names a time line; nobody can ask it for the time.
struct MonotonicTimeline {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  static constexpr bool is_steady = true;
};

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<MonotonicTimeline, Duration>;  // monotonic, its origin is arbitrary
using UnixTime = std::chrono::sys_seconds;  // wall clock, for certificates and people

inline constexpr Instant kNever = Instant::max();

struct Now {
  Instant monotonic;
  UnixTime wall;
};

}  // namespace merlon
