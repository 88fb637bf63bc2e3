// What stands behind a Worker. One a worker thread.
#pragma once

#include "esp/inbound.h"
#include "esp/outbound.h"

namespace merlon::esp {

class WorkerCore {
 public:
  WorkerCore(const EngineConfig& config, Published& published, packet::PacketPool& pool, Rng& rng)
      : reporter_(config),
        outbound_(config, published, pool, rng, reporter_),
        inbound_(config, published, pool, reporter_) {}

  [[nodiscard]] Outbound& outbound() { return outbound_; }
  [[nodiscard]] Inbound& inbound() { return inbound_; }
  [[nodiscard]] Reporter& reporter() { return reporter_; }

 private:
  Reporter reporter_;
  Outbound outbound_;
  Inbound inbound_;
};

}  // namespace merlon::esp
