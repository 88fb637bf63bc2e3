// Events of the IKE engine as lines of the trace.
#pragma once

#include <string>
#include <vector>

#include "ike/events.h"

namespace merlon::sim {

[[nodiscard]] std::vector<std::string> event_lines(const ike::Event& event);

}  // namespace merlon::sim
