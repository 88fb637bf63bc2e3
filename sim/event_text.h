// Events of the IKE engine as lines of the trace.
#pragma once

#include <string>
#include <vector>

#include "ike/events.h"

namespace merlon::sim {

[[nodiscard]] std::vector<std::string> event_lines(const ike::Event& event);
// The payloads of a message in few words; what every such message holds is only hinted at.
[[nodiscard]] std::vector<std::string> payload_words(const ike::MessageTraced& message);

}  // namespace merlon::sim
