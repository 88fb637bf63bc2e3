#include "io/system_clock.h"

#include <ctime>

#include "base/check.h"

namespace merlon::io {

Instant monotonic_now() {
  timespec time{};
  MERLON_ASSERT(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
  return Instant(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

Now system_now() {
  timespec time{};
  MERLON_ASSERT(clock_gettime(CLOCK_REALTIME, &time) == 0);
  return {monotonic_now(), UnixTime(std::chrono::seconds(time.tv_sec))};
}

}  // namespace merlon::io
