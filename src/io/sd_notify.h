// Tells systemd how the service is doing: the datagram protocol of sd_notify(3), without libsystemd.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace merlon::io {

// Sends newline-separated assignments, such as "READY=1\nSTATUS=3 tunnels up", "RELOADING=1", "STOPPING=1",
// "WATCHDOG=1". Does nothing, successfully, when NOTIFY_SOCKET is not set (not started by systemd).
[[nodiscard]] Result<> sd_notify(std::string_view assignments);
// "RELOADING=1" with the MONOTONIC_USEC that Type=notify-reload wants.
[[nodiscard]] Result<> sd_notify_reloading();

// How often systemd wants "WATCHDOG=1" at most apart (WATCHDOG_USEC); nullopt: no watchdog for this process.
[[nodiscard]] std::optional<Duration> sd_watchdog_interval();

}  // namespace merlon::io
