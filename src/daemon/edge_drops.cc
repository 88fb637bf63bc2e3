#include "daemon/edge_drops.h"

namespace merlon::daemon {

EdgeDrops::EdgeDrops(Sockets& sockets) {
  const auto watch = [this](const io::DatagramSocket* socket, std::uint64_t EdgeCounts::*counter) {
    if (socket != nullptr) watched_.push_back({socket, counter});
  };
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    watch(sockets.ike(family), &EdgeCounts::ike);
    for (WorkerSockets& worker : sockets.workers) {
      watch(worker.natt_ike(family), &EdgeCounts::ike);
      watch(worker.natt(family), &EdgeCounts::esp);
      watch(worker.esp(family), &EdgeCounts::esp);
    }
  }
}

void EdgeDrops::look() {
  for (Watched& watched : watched_) {
    const std::uint32_t now = watched.socket->dropped();
    counts_.*watched.counter += now - watched.last;  // modulo 2^32
    watched.last = now;
  }
}

}  // namespace merlon::daemon
