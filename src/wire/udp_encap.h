// What shares UDP port 4500 (RFC 3948 2): ESP, IKE behind the non-ESP marker, NAT keepalives.
#pragma once

#include <array>

#include "base/bytes.h"

namespace merlon::wire {

inline constexpr std::uint16_t kIkePort = 500;
inline constexpr std::uint16_t kNatTraversalPort = 4500;
inline constexpr std::array<std::uint8_t, 4> kNonEspMarker{0, 0, 0, 0};  // RFC 3948 2.2
inline constexpr std::array<std::uint8_t, 1> kNatKeepalive{0xff};        // RFC 3948 2.3

enum class UdpEncapKind : std::uint8_t { kKeepalive, kIke, kEsp, kInvalid };

struct UdpEncapDatagram {
  UdpEncapKind kind = UdpEncapKind::kInvalid;
  ByteView payload;  // kIke: the message behind the marker; kEsp: the packet from its SPI on; otherwise the
                     // datagram
};

// A datagram received on port 4500. kEsp has at least an ESP header and a non-zero SPI; nothing more is known
// of either.
[[nodiscard]] UdpEncapDatagram classify_udp_encap(ByteView datagram);

// An IKE message as it is sent on port 4500.
[[nodiscard]] Bytes with_non_esp_marker(ByteView message);

}  // namespace merlon::wire
