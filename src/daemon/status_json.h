// The whole state of the daemon as one JSON object: what `merlon status` shows.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "daemon/edge_drops.h"
#include "daemon/worker_watch.h"
#include "esp/engine.h"
#include "ike/status.h"
#include "ike/supervisor.h"

namespace merlon::daemon {

struct StatusSources {
  Now now;
  std::vector<ike::IkeSaStatus> ike_sas;
  std::vector<ike::SupervisorStatus> supervised;
  const esp::DataPlane* data_plane = nullptr;
  std::vector<policy::ConnectionPtr> connections;
  const WorkerWatch* worker_watch = nullptr;  // null: of no interest
  EdgeCounts edge_drops = {};
};

// {"connections": [{"name", "phase", "children": [...], "ike_sas": [...], "last_error": {...}}], "unconfigured_ike_sas": [...],
// "drops": {...}, "workers": [{"worker", "sas", "crossed_in", "crossed_out", "crossing_refused", "stalled_s"}]}. Times are seconds from now; null = without limit.
[[nodiscard]] nlohmann::json status_json(const StatusSources& sources);

}  // namespace merlon::daemon
