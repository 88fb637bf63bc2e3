// What the kernel dropped before we read it, because we read too slowly: at the sockets and in the TUN device's queue. That is
// where overload drops, so it must have a name. The kernel counts; we ask it now and then, and no packet pays for it.
#pragma once

#include "daemon/sockets.h"

namespace merlon::daemon {

struct EdgeCounts {       // since the start
  std::uint64_t ike = 0;  // at the sockets that carry IKE
  std::uint64_t esp = 0;  // at the data workers' sockets
  std::uint64_t tun = 0;  // packets that waited for encryption
};

class EdgeDrops {
 public:
  explicit EdgeDrops(Sockets& sockets);  // which stay where they are, and outlive it

  // Asks the sockets. Their counters have 32 bits: to be called more often than those can go round, once a second.
  void look();
  void set_tun(std::uint64_t dropped) { counts_.tun = dropped; }
  [[nodiscard]] const EdgeCounts& counts() const { return counts_; }

 private:
  struct Watched {
    const io::DatagramSocket* socket;
    std::uint64_t EdgeCounts::*counter;
    std::uint32_t last = 0;
  };
  std::vector<Watched> watched_;
  EdgeCounts counts_;
};

}  // namespace merlon::daemon
