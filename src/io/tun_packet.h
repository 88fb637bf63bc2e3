// Packets and super-packets through a TUN device whose packets begin with a vnet header (virtio_net_hdr), and
// single packets through one without:
//
//   read    | vnet header | IP packet, up to 64 KiB |   ->  packet::Packet: meta.segment_size, checksum_start
//   write   | vnet header | IP packet, up to 64 KiB |   <-      "
#pragma once

#include "io/tun.h"
#include "packet/packet.h"

namespace merlon::io {

enum class TunRead : std::uint8_t {
  kPacket,  // one stands in the packet now
  kEmpty,   // none waits
  kOdd,     // one was read, and thrown away: a vnet header that says what was never offered
};

// Reads the next packet into the receive area of a fresh `packet`. Errors: the device is gone or down.
[[nodiscard]] Result<TunRead> read_packet(Tun& tun, packet::Packet& packet);

// Gives the packet to the kernel's stack. A super-packet needs a device with vnet headers, a checksum that is
// still to be finished too (else kFailed).
[[nodiscard]] SendOutcome write_packet(Tun& tun, const packet::Packet& packet);

}  // namespace merlon::io
