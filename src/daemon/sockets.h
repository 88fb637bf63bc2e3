// The sockets of the daemon: UDP for IKE, UDP for NAT traversal (IKE and ESP), raw for native ESP; each for both families
// where the host has them. The control thread reads the first kind, the data workers the others, each its own: the kernel
// chooses by the SPI (io/spi_steering.h); native ESP, where only the first workers read. All may send.
//
//   port 500    IKE                 one socket                     control thread
//   port 4500   IKE behind a marker one socket                     worker 0, which hands it on (mailbox.h)
//   port 4500   ESP                 one socket for each worker     that worker
//   protocol 50                     one socket for each worker     the first workers
//
// IKE for NAT traversal has a receive buffer of its own since that of ESP may be full: then an SA could neither be rekeyed nor its
// peer's life be asked after. The kernel's choice costs some 30 ns for what it hands over at once. A worker reads it nevertheless,
// since UDP_GRO may put ESP behind it.
#pragma once

#include <optional>
#include <vector>

#include "control/config.h"
#include "io/raw_esp_socket.h"
#include "io/udp_socket.h"

namespace merlon::daemon {

template <class T>
[[nodiscard]] T* pointer_to(std::optional<T>& socket) {
  return socket ? &*socket : nullptr;
}

// One data worker's.
struct WorkerSockets {
  std::optional<io::UdpSocket> natt_v4, natt_v6;
  // For IKE behind a marker: the first worker's alone. Empty where the kernel cannot tell it from ESP: then it comes with that.
  std::optional<io::UdpSocket> natt_ike_v4, natt_ike_v6;
  std::optional<io::RawEspSocket> esp_v4, esp_v6;

  [[nodiscard]] io::UdpSocket* natt(IpFamily family) {
    return pointer_to(family == IpFamily::kIpv4 ? natt_v4 : natt_v6);
  }
  [[nodiscard]] io::UdpSocket* natt_ike(IpFamily family) {
    return pointer_to(family == IpFamily::kIpv4 ? natt_ike_v4 : natt_ike_v6);
  }
  [[nodiscard]] io::RawEspSocket* esp(IpFamily family) {
    return pointer_to(family == IpFamily::kIpv4 ? esp_v4 : esp_v6);
  }
};

// The kernel copies a packet of native ESP for every raw socket before the socket's filter is asked, so that with each socket
// receiving costs more (docs/performance.md has how much). Few therefore receive, whatever the number of workers.
inline constexpr unsigned kMostEspReaders = 2;
[[nodiscard]] constexpr unsigned esp_readers(unsigned workers) {
  return workers < kMostEspReaders ? workers : kMostEspReaders;
}

struct Sockets {
  std::optional<io::UdpSocket> ike_v4, ike_v6;
  std::vector<WorkerSockets> workers;

  // For so many data workers. At least one family must work for UDP; what is missing besides is a warning.
  [[nodiscard]] static Result<Sockets> open(const control::DaemonConfig& config, unsigned worker_count,
                                            std::vector<std::string>& warnings);

  [[nodiscard]] io::UdpSocket* ike(IpFamily family) {
    return pointer_to(family == IpFamily::kIpv4 ? ike_v4 : ike_v6);
  }
  // What all sockets that carry ESP have.
  [[nodiscard]] io::UdpOffloads offloads();
  // What the control thread sends through.
  [[nodiscard]] io::UdpSocket* natt(IpFamily family) {
    WorkerSockets& first = workers.front();
    return first.natt_ike(family) != nullptr ? first.natt_ike(family) : first.natt(family);
  }
};

}  // namespace merlon::daemon
