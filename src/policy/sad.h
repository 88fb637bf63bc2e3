// An entry of the Security Association Database (RFC 4301 4.4.2) as it is negotiated: everything the packet
// engine needs to carry one Child SA, both directions. Immutable once published; what changes with packets
// belongs to esp/.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/iana.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/secret.h"
#include "policy/connection.h"
#include "policy/traffic_selector.h"

namespace merlon::policy {

// Names a Child SA pair for its whole life inside one process; never used again.
struct ChildSaIdTag;
using ChildSaId = StrongNumber<ChildSaIdTag, std::uint64_t>;

struct EspAlgorithms {
  EncrId encr = EncrId::kAesGcm16;
  unsigned key_bits = 0;
  IntegId integ = IntegId::kNone;
  bool esn = false;
};

// Where the ESP packets of an SA travel.
struct OuterPath {
  Endpoint local, remote;  // ports count only with UDP encapsulation
  bool udp_encapsulation = false;
  friend bool operator==(const OuterPath&, const OuterPath&) = default;
};

struct DirectionKeys {
  Secret encryption;  // with its salt behind it (RFC 4106 8.1, RFC 7634 2, RFC 3686 5.1)
  Secret integrity;
};

struct ChildSa {
  ChildSaId id;
  ConnectionPtr connection;
  std::size_t child_index = 0;  // into connection->children
  Spi inbound_spi, outbound_spi;
  EspAlgorithms algorithms;
  DirectionKeys inbound, outbound;
  TrafficSelectors local_ts, remote_ts;  // as narrowed
  OuterPath path;
  // A rekeyed Child SA is installed inbound first; outbound traffic moves to it when it becomes preferred
  // (RFC 7296 2.8): the newest ChildSa of a (connection, child) whose `use_outbound` is set carries what goes
  // out.
  bool use_outbound = true;
  // One of several for the same selectors (RFC 9611): our number of it. The data worker that carries it is this number modulo
  // the number of workers; its inbound SPI names the worker too (esp::DataPlane::allocate_spi). Empty: for all packets.
  std::optional<unsigned> resource;
  std::uint64_t soft_bytes = 0, hard_bytes = 0, soft_packets = 0, hard_packets = 0;  // 0 = no limit

  [[nodiscard]] const ChildConfig& child() const { return connection->children[child_index]; }
};

using ChildSaPtr = std::shared_ptr<const ChildSa>;

// Everything but the keys: what the control side remembers of an SA once the packet engine has it.
[[nodiscard]] inline ChildSa without_keys(const ChildSa& sa) {
  ChildSa out;
  out.id = sa.id;
  out.connection = sa.connection;
  out.child_index = sa.child_index;
  out.inbound_spi = sa.inbound_spi;
  out.outbound_spi = sa.outbound_spi;
  out.algorithms = sa.algorithms;
  out.local_ts = sa.local_ts;
  out.remote_ts = sa.remote_ts;
  out.path = sa.path;
  out.use_outbound = sa.use_outbound;
  out.resource = sa.resource;
  out.soft_bytes = sa.soft_bytes;
  out.hard_bytes = sa.hard_bytes;
  out.soft_packets = sa.soft_packets;
  out.hard_packets = sa.hard_packets;
  return out;
}

}  // namespace merlon::policy
