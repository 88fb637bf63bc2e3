// Several threads that carry ESP, each with sockets of its own: the kernel hands a packet to the one that its SPI names.
//
//   number = the highest `bits` of the SPI, modulo `count`
//
// IKE behind its non-ESP marker (an SPI of zero, RFC 7296 2.23) goes to a number of its own choice: then no overload by ESP pushes
// it out of a queue. These are classic BPF programs: they need no privilege.
#pragma once

#include <cstdint>

#include "io/raw_esp_socket.h"
#include "io/udp_socket.h"

namespace merlon::io {

struct SpiSteering {
  unsigned bits = 0;   // 1 to 8
  unsigned count = 1;  // sockets for ESP
  unsigned ike = 0;    // the number of the UDP socket for IKE: one of those, or `count`, the next one
};

// For all UDP sockets with reuse_port of one address and port: the number counts them in the order in which they were opened.
// UDP_GRO asks for the first datagram only; what it put behind that may belong to another. What has less than four bytes goes
// to number 0.
[[nodiscard]] Result<> steer_by_spi(UdpSocket& socket, const SpiSteering& steering);
// Every raw socket gets every packet, so each keeps its own. To be called before anything is expected.
[[nodiscard]] Result<> keep_own_spis(RawEspSocket& socket, const SpiSteering& steering, unsigned number);

}  // namespace merlon::io
