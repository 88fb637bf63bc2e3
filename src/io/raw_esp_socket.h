// Native ESP (IP protocol 50, RFC 4303) through raw sockets. The kernel gives each such socket a copy of
// every ESP packet that arrives for this host, reassembled; while one is open the kernel does not answer
// "protocol unreachable".
#pragma once

#include "base/iana.h"
#include "io/datagram_socket.h"

namespace merlon::io {

struct RawEspSocketOptions : DatagramSocketOptions {
  IpAddress local = {};                    // unspecified: all addresses of its family
  IpProtocol protocol = IpProtocol::kEsp;  // or kAh
  // Nothing arrives on it, and the kernel makes no copy of what arrives for it either, which a filter alone would not spare.
  // Everything sent must name its source. ICMP errors come to the sockets that receive, also those about what this one sent.
  bool send_only = false;
};

class RawEspSocket : public DatagramSocket {
 public:
  // Needs CAP_NET_RAW.
  [[nodiscard]] static Result<RawEspSocket> open(const RawEspSocketOptions& options);

 private:
  explicit RawEspSocket(DatagramSocket socket) : DatagramSocket(std::move(socket)) {}
};

}  // namespace merlon::io
