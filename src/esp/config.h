// The numbers of one packet engine.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/ip_address.h"

namespace merlon::esp {

// What one AEAD burst takes at most, in bytes: it was just written or will be read at once, and should stay in
// the first level's cache. A cipher with an integrity algorithm gets as many packets as there are: ipsec-mb works on 16 of
// them side by side, and a 17th alone would take as long as they.
inline constexpr std::size_t kCipherBytes = 32U << 10U;

// What the surroundings take beside single packets; by default nothing.
struct Offloads {
  bool segmented_sends = false;                             // UDP_SEGMENT
  bool tcp_segmentation = false, udp_segmentation = false;  // TUN's TSO and USO
};

struct EngineConfig {
  // What a gateway runs with, but for the limits that are its administrator's. The daemon and the benchmarks both begin here.
  static EngineConfig for_gateway(const Offloads& offloads) {
    EngineConfig config;
    if (offloads.segmented_sends) config.max_joined = kMostJoined;
    config.coalesce_tcp = offloads.tcp_segmentation;
    config.coalesce_udp = offloads.udp_segmentation;
    return config;
  }

  static constexpr unsigned kMostJoined = 64;  // the kernel's UDP_MAX_SEGMENTS (128 since 6.9)

  std::size_t sa_capacity = std::size_t{1} << 17U;  // inbound SAs at once; at most 2^22
  unsigned default_path_mtu = 1500;                 // bytes of the outer IP packet, until set_path_mtu()

  // How many ESP packets of one SA may stand back to back in one packet of OutboundResult::transmit: what one
  // UDP_SEGMENT send takes. 1 = each is a packet of its own.
  unsigned max_joined = 1;
  std::size_t max_joined_bytes = 65507;
  // Which inner packets that stand in sequence may be put together to super-packets before they go to TUN.
  bool coalesce_tcp = false, coalesce_udp = false;

  // The last sequence number that an SA may use; the lesser of it and what the RFC allows (2^32 - 1, or 2^64
  // - 1 with ESN) counts. Lower in tests.
  std::uint64_t sequence_limit = UINT64_MAX;
  // The first sequence number of an SA (RFC 4303 2.2: 1). Another only in tests.
  std::uint64_t first_sequence = 1;

  // Packets held back while an SA is negotiated for them, oldest kept.
  unsigned held_packets_per_child = 4;
  unsigned held_packets = 512;
  Duration hold_timeout = std::chrono::seconds(10);
  Duration acquire_interval = std::chrono::seconds(1);  // between two Acquire events of one child

  // Packets that may wait for another worker, in each direction from each worker; fewer where that is much of its pool.
  std::size_t crossing_capacity = 512;

  std::size_t event_capacity = 4096;  // of the ring
  unsigned icmp_per_second = 100;     // errors into the inner network, and as many at once
  unsigned unknown_spi_per_second = 10;
  unsigned audit_per_second = 10;

  // The source of our ICMP errors. Unset: the destination of the packet that was too big, since an address of
  // our own that came back from the TUN device would be dropped by the kernel as a martian.
  std::optional<IpAddress> icmp_source_v4, icmp_source_v6;
};

}  // namespace merlon::esp
