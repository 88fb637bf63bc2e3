// What a worker tells the control side, through a bounded ring. An event that must not be lost (a limit, a
// first packet) is told again with the next packet when the ring was full; the others are rate-limited and
// may be lost.
#pragma once

#include <algorithm>
#include <array>
#include <variant>

#include "esp/drop_reason.h"
#include "esp/ring.h"
#include "policy/sad.h"
#include "wire/ip/packet_view.h"

namespace merlon::esp {

using policy::Direction;
enum class LimitKind : std::uint8_t { kBytes, kPackets, kSequenceNumbers };

// A soft limit is reached: time to rekey. Once per SA direction and kind of limit.
struct SoftExpired {
  policy::ChildSaId sa;
  Direction direction = Direction::kOutbound;
  LimitKind limit = LimitKind::kBytes;
};
// A hard limit is reached: the SA carries nothing more in this direction. Once per SA direction.
struct HardExpired {
  policy::ChildSaId sa;
  Direction direction = Direction::kOutbound;
  LimitKind limit = LimitKind::kBytes;
};
// A packet wants protection and there is no SA for it (RFC 4301 4.4.1, RFC 7296 2.9: the first selectors of
// the proposal are the packet's). At most one per child and EngineConfig::acquire_interval.
struct Acquire {
  policy::ConnectionPtr connection;
  std::size_t child_index = 0;  // into connection->children
  wire::PacketView packet;
};
// An authentic packet, newer than all before it, came from another address than the SA's (RFC 7296 2.23, RFC
// 3948 4). Only for UDP encapsulation. The control side decides, and answers with DataPlane::update().
struct PeerMoved {
  policy::ChildSaId sa;
  Endpoint local, remote;  // as the packet had them: destination and source
};
// The first authentic packet of an inbound SA: the peer uses the SA (RFC 7296 2.8: what tells a responder
// that the initiator of a rekey has moved to it).
struct FirstInbound {
  policy::ChildSaId sa;
};
// A packet for an SA that we do not have (RFC 7296 2.21.4). Unauthenticated, rate-limited.
struct UnknownSpi {
  Spi spi;
  Endpoint source, destination;
  bool udp_encapsulated = false;
};
// As much of a packet as ICMP would quote (RFC 7296 3.10.1, INVALID_SELECTORS).
struct PacketStart {
  std::array<std::uint8_t, 64> octets{};
  std::uint8_t size = 0;

  static PacketStart of(ByteView packet) {
    PacketStart start;
    start.size = static_cast<std::uint8_t>(std::min(packet.size(), start.octets.size()));
    std::copy_n(packet.begin(), start.size, start.octets.begin());
    return start;
  }
  [[nodiscard]] ByteView bytes() const { return ByteView(octets).first(size); }
};
// An auditable drop (RFC 4301 5.2, RFC 4303 3.4 and 4) with what the RFCs want to be logged. Rate-limited.
struct Audit {
  DropReason reason = DropReason::kIntegrity;
  policy::ChildSaId sa;  // 0 where no SA was found
  Spi spi;
  std::uint32_t sequence = 0;    // as on the wire
  Endpoint source, destination;  // outer; of kNoPolicy, which never had an SA: the packet's own
  PacketStart packet{};          // of kSelectorMismatch: the inner packet, for INVALID_SELECTORS
};

using Event = std::variant<SoftExpired, HardExpired, Acquire, PeerMoved, FirstInbound, UnknownSpi, Audit>;
using EventRing = SpscRing<Event>;

}  // namespace merlon::esp
