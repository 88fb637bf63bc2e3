// The system's clocks: the only place where time is read.
#pragma once

#include "base/clock.h"

namespace merlon::io {

// The monotonic part is CLOCK_MONOTONIC: it never jumps with the wall clock, and it is the clock that epoll
// timeouts and asio's steady_timer wait on, so a deadline and the wait for it can not drift apart. It stands
// still while the machine is suspended (CLOCK_BOOTTIME would not): a suspended machine uses no keys, and
// whether the peer is still there after waking up is what liveness checks find out. The wall part is
// CLOCK_REALTIME in seconds: for certificates, CRLs and people, never for deadlines.
[[nodiscard]] Now system_now();
[[nodiscard]] Instant monotonic_now();

}  // namespace merlon::io
