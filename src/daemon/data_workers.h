// All data workers of the daemon, beside what they share: the packet engine.
//
//   kernel -- TUN queue by flow, socket by SPI --> worker 0 <== crossing, inside the engine ==> worker 1 ...
//
// Each is a thread with a packet pool, a TUN queue and sockets of its own. An SA belongs to one of them.
#pragma once

#include "daemon/data_worker.h"
#include "io/system_rng.h"

namespace merlon::daemon {

class DataWorkers {
 public:
  // One for each of the queues of one TUN device; as many of `sockets.workers`. What is given must outlive them.
  [[nodiscard]] static Result<std::unique_ptr<DataWorkers>> create(const esp::EngineConfig& config,
                                                                   std::span<io::Tun> queues,
                                                                   Sockets& sockets, Mailbox& mailbox);
  ~DataWorkers();  // stops

  void start();
  void stop();  // returns when the threads have ended
  // Something was installed or removed. Any thread.
  void wake();

  [[nodiscard]] esp::DataPlane& data_plane() { return *data_plane_; }
  [[nodiscard]] const esp::DataPlane& data_plane() const { return *data_plane_; }
  [[nodiscard]] std::size_t size() const { return workers_.size(); }
  [[nodiscard]] const DataWorker& operator[](std::size_t index) const { return *workers_[index]; }
  [[nodiscard]] std::vector<std::uint64_t> heartbeats() const;
  [[nodiscard]] bool has_lost_tun() const;  // one of them; all have queues of the one device
  // Of all workers together.
  [[nodiscard]] std::uint64_t sum(std::atomic<std::uint64_t> WorkerCounters::*counter) const;

 private:
  DataWorkers() = default;
  io::SystemRng rng_;  // keeps nothing: for every thread
  std::vector<std::unique_ptr<packet::PacketPool>> pools_;
  std::unique_ptr<esp::DataPlane> data_plane_;
  std::vector<std::unique_ptr<DataWorker>> workers_;
};

}  // namespace merlon::daemon
