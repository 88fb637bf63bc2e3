// Events and status in JSON (for programs) and in sentences (for the log and `merlon monitor`).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "daemon/worker_watch.h"
#include "ike/events.h"
#include "ike/status.h"
#include "ike/supervisor.h"

namespace merlon::daemon {

// {"event": "ike-sa-established", "connection": ..., "text": "..."}; key events have none and give null.
[[nodiscard]] nlohmann::json event_json(const ike::Event& event);
// The same as one sentence; empty for message and key events.
[[nodiscard]] std::string event_sentence(const ike::Event& event);
[[nodiscard]] bool is_failure(const ike::Event& event);
// Which connection it is about; empty when none is known.
[[nodiscard]] std::string connection_of(const ike::Event& event);

// {"event": "worker-stalled" | "worker-recovered", "worker": 1, "seconds": 5, "text": "..."}
[[nodiscard]] nlohmann::json event_json(const WorkerStalled& event);
[[nodiscard]] std::string event_sentence(const WorkerStalled& event);

[[nodiscard]] nlohmann::json failure_json(const ike::Failure& failure);

}  // namespace merlon::daemon
