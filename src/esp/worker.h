// What stands behind a Worker. One a worker thread.
#pragma once

#include <optional>

#include "esp/crossing.h"
#include "esp/inbound.h"
#include "esp/outbound.h"

namespace merlon::esp {

// What a worker is made with; all outlive it.
struct WorkerSite {
  const EngineConfig& config;
  Published& published;
  packet::PacketPool& pool;
  Rng& rng;              // gives the IVs of CBC
  CrossingField* field;  // null: the only worker
  WorkerIndex self;
};

class alignas(64) WorkerCore {
 public:
  explicit WorkerCore(const WorkerSite& site);

  void outbound(Instant now, packet::Burst& in, OutboundResult& out);
  void inbound(Instant now, packet::Burst& in, InboundResult& out);
  void poll(Instant now, OutboundResult& out);
  void crossed(Instant now, OutboundResult& outbound, InboundResult& inbound);

  [[nodiscard]] Reporter& reporter() { return reporter_; }
  [[nodiscard]] const Reporter& reporter() const { return reporter_; }
  // Null: the only worker.
  [[nodiscard]] CrossingEnd* crossing() { return crossing_ ? &*crossing_ : nullptr; }
  [[nodiscard]] const CrossingEnd* crossing() const { return crossing_ ? &*crossing_ : nullptr; }

 private:
  Reporter reporter_;
  Outbound outbound_;
  Inbound inbound_;
  std::optional<CrossingEnd> crossing_;
  packet::Burst burst_;  // what crossed
};

}  // namespace merlon::esp
