// The sockets of the daemon: UDP for IKE, UDP for NAT traversal (IKE and ESP), raw for native ESP; each for both families
// where the host has them. The control thread reads the first kind, the data worker the others; both may send.
#pragma once

#include <optional>

#include "control/config.h"
#include "io/raw_esp_socket.h"
#include "io/udp_socket.h"

namespace merlon::daemon {

struct Sockets {
  std::optional<io::UdpSocket> ike_v4, ike_v6, natt_v4, natt_v6;
  std::optional<io::RawEspSocket> esp_v4, esp_v6;

  // At least one family must work for UDP; what is missing besides is a warning.
  [[nodiscard]] static Result<Sockets> open(const control::DaemonConfig& config,
                                            std::vector<std::string>& warnings);

  [[nodiscard]] io::UdpSocket* ike(IpFamily family) {
    return pointer(family == IpFamily::kIpv4 ? ike_v4 : ike_v6);
  }
  [[nodiscard]] io::UdpSocket* natt(IpFamily family) {
    return pointer(family == IpFamily::kIpv4 ? natt_v4 : natt_v6);
  }
  [[nodiscard]] io::RawEspSocket* esp(IpFamily family) {
    return pointer(family == IpFamily::kIpv4 ? esp_v4 : esp_v6);
  }

 private:
  template <class T>
  static T* pointer(std::optional<T>& socket) {
    return socket ? &*socket : nullptr;
  }
};

}  // namespace merlon::daemon
