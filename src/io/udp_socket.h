// The UDP sockets that carry IKE (port 500) and, with ESP, NAT traversal (port 4500; RFC 3948, RFC
// 7296 2.23).
#pragma once

#include "io/datagram_socket.h"

namespace merlon::io {

struct UdpSocketOptions : DatagramSocketOptions {
  // An unspecified address receives on all addresses of its family (IPv6 sockets never see IPv4); port 0: any
  // free one.
  Endpoint local = {};
  // SO_REUSEADDR. Off: UDP would let a second IKE daemon bind the same port unnoticed, and each would get
  // some of the packets.
  bool reuse_address = false;
  // SO_REUSEPORT: others of this process (and of its user) may share the address; spi_steering.h says who gets what.
  bool reuse_port = false;
  bool send_checksum =
      true;  // IPv4 only; RFC 3948 2.1 wants a zero checksum on ESP in UDP, receivers take either
  // UDP_NO_CHECK6_RX: over IPv6, datagrams with a zero checksum are taken too (RFC 6935), as over IPv4.
  bool accept_zero_checksum = false;
  // UDP_GRO: what the kernel put together is received at once (ReceivedDatagram::segment_size). Its absence is
  // no error.
  bool receive_segments = false;
};

// What the kernel has to carry several datagrams in one call. Its absence costs speed and nothing else.
struct UdpOffloads {
  bool segment =
      false;  // UDP_SEGMENT (kernel 4.18): in one send. Without, segments leave as datagrams of their own
  bool gro = false;  // UDP_GRO (kernel 5.0): in one receive, where that was asked for
  friend bool operator==(const UdpOffloads&, const UdpOffloads&) = default;
};

class UdpSocket : public DatagramSocket {
 public:
  [[nodiscard]] static Result<UdpSocket> open(const UdpSocketOptions& options);
  [[nodiscard]] UdpOffloads offloads() const { return {joins(), gro_}; }

 private:
  UdpSocket(DatagramSocket socket, UdpOffloads offloads)
      : DatagramSocket(std::move(socket)), gro_(offloads.gro) {
    set_joins(offloads.segment);
  }
  bool gro_;
};

}  // namespace merlon::io
