// The vnet header before each packet of a TUN device (struct virtio_net_hdr; Linux's tuntap, VIRTIO 1.2 5.1.6):
// whether the packet is a super-packet, and where a checksum is still to be finished.
//
//   flags (1)  gso_type (1)  hdr_len (2)  gso_size (2)  csum_start (2)  csum_offset (2)    in the host's order
#pragma once

#include <array>
#include <optional>

#include "packet/packet.h"

namespace merlon::io {

inline constexpr std::size_t kVnetHeaderSize = 10;
using VnetHeader = std::array<std::uint8_t, kVnetHeaderSize>;

// What the header says about the packet, into its metadata (the bytes are there already). False where it
// cannot be understood: an unknown kind of segments, or places beyond the packet.
[[nodiscard]] bool take_vnet_header(const VnetHeader& header, packet::Packet& packet);

// The header for a packet; nothing where its metadata fit neither TCP nor UDP.
[[nodiscard]] std::optional<VnetHeader> vnet_header_of(const packet::Packet& packet);

}  // namespace merlon::io
