#include "daemon/data_workers.h"

#include <algorithm>
#include <bit>

namespace merlon::daemon {
namespace {

// Of packet::kLargestPacket each. The pool hands out the buffer used last, so memory is only touched as far as packets are in
// flight.
constexpr std::size_t kPackets = 2048;  // a worker

}  // namespace

Result<std::unique_ptr<DataWorkers>> DataWorkers::create(const esp::EngineConfig& config,
                                                         std::span<io::Tun> queues, Sockets& sockets,
                                                         Mailbox& mailbox) {
  MERLON_ASSERT(queues.size() == sockets.workers.size());
  auto out = std::unique_ptr<DataWorkers>(new DataWorkers);
  const std::size_t count = queues.size();
  std::vector<esp::WorkerResources> resources;
  for (std::size_t i = 0; i < count; ++i) {
    out->pools_.push_back(
        std::make_unique<packet::PacketPool>(kPackets, packet::kLargestPacket, (count - 1) * kPackets));
    resources.push_back({out->pools_.back().get(), &out->rng_});
  }
  out->data_plane_ = std::make_unique<esp::DataPlane>(config, resources);
  DataWorker::WakeOthers wake_others;
  if (count > 1)
    wake_others = [workers = out.get()](std::uint64_t mask) {
      for (; mask != 0; mask &= mask - 1)
        workers->workers_[static_cast<std::size_t>(std::countr_zero(mask))]->wake_if_asleep();
    };
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = count == 1 ? "merlond-data" : fmt::format("merlond-data{}", i);
    MERLON_TRY(auto worker,
               DataWorker::create({queues[i], sockets.workers[i], mailbox, *out->pools_[i],
                                   out->data_plane_->worker({static_cast<std::uint8_t>(i)}), name},
                                  wake_others));
    out->workers_.push_back(std::move(worker));
  }
  return out;
}

// The threads end before anything that they use, another thread's part included.
DataWorkers::~DataWorkers() {
  stop();
}

void DataWorkers::start() {
  for (const auto& worker : workers_) worker->start();
}

void DataWorkers::stop() {
  for (const auto& worker : workers_) worker->stop();
}

void DataWorkers::wake() {
  for (const auto& worker : workers_) worker->wake();
}

std::vector<std::uint64_t> DataWorkers::heartbeats() const {
  std::vector<std::uint64_t> out;
  for (const auto& worker : workers_) out.push_back(worker->heartbeat());
  return out;
}

bool DataWorkers::has_lost_tun() const {
  return std::ranges::any_of(workers_, [](const auto& worker) {
    return worker->counters().tun_lost.load(std::memory_order_relaxed);
  });
}

std::uint64_t DataWorkers::sum(std::atomic<std::uint64_t> WorkerCounters::*counter) const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) sum += (worker->counters().*counter).load(std::memory_order_relaxed);
  return sum;
}

}  // namespace merlon::daemon
