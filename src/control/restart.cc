#include "control/restart.h"

namespace merlon::control {

std::vector<std::string> needs_restart(const DaemonConfig& running, const DaemonConfig& wanted) {
  std::vector<std::string> out;
  const auto look = [&](const char* key, auto member) {
    if (running.*member != wanted.*member) out.emplace_back(key);
  };
  look("interface", &DaemonConfig::interface);
  look("interface_mtu", &DaemonConfig::interface_mtu);
  look("ike_port", &DaemonConfig::ike_port);
  look("natt_port", &DaemonConfig::natt_port);
  look("workers", &DaemonConfig::workers);
  look("offload", &DaemonConfig::offload);
  look("fwmark", &DaemonConfig::fwmark);
  look("routing_table", &DaemonConfig::routing_table);
  look("rule_priority", &DaemonConfig::rule_priority);
  look("control_socket", &DaemonConfig::control_socket);
  look("metrics_listen", &DaemonConfig::metrics_listen);
  look("cookie_threshold", &DaemonConfig::cookie_threshold);
  look("half_open_limit", &DaemonConfig::half_open_limit);
  look("half_open_limit_per_source", &DaemonConfig::half_open_limit_per_source);
  look("sequence_limit", &DaemonConfig::sequence_limit);
  return out;
}

}  // namespace merlon::control
