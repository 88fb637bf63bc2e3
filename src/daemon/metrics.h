// Prometheus metrics: tunnels with their names, traffic, drops by reason, exchanges by kind and result, ages.
#pragma once

#include <memory>
#include <string>

#include "daemon/gateway.h"

namespace merlon::daemon {

// The page in Prometheus's text format. On the control thread.
[[nodiscard]] std::string metrics_text(Gateway& gateway);

// Serves the page over HTTP at "address:port" while it lives. Only GET /metrics is answered.
class MetricsServer {
 public:
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> open(asio::io_context& context,
                                                                   Gateway& gateway,
                                                                   const std::string& listen);
  ~MetricsServer();

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace merlon::daemon
