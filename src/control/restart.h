// Which keys of [daemon] a running daemon cannot change.
#pragma once

#include <string>
#include <vector>

#include "control/config.h"

namespace merlon::control {

// The names of those that differ.
[[nodiscard]] std::vector<std::string> needs_restart(const DaemonConfig& running, const DaemonConfig& wanted);

}  // namespace merlon::control
