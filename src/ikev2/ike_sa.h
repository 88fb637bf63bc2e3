// One IKE SA: what every phase of it has, and the phase.
#pragma once

#include "base/ids.h"
#include "ikev2/phases.h"
#include "policy/connection.h"

namespace merlon::ikev2 {

struct IkeSa {
  bool initiator = false;  // we are its original initiator (RFC 7296 2.2): for a rekeyed one, of the rekey
  IkeSaId id;
  Path path;  // where its messages go; once there is a Channel, a copy of its path
  NatDetection nat;
  policy::ConnectionPtr connection;  // null in a responder before IKE_AUTH
  bool established_once = false;
  bool indexed = false;            // the shard finds it by its connection
  std::uint64_t identity_key = 0;  // the shard finds it by its two identities; 0: not yet
  bool redundant = false;          // lost against one that the peer began at the same time
  Instant began{};                 // its first message
  Instant next_keepalive = kNever;
  Phase phase = Closed{};

  [[nodiscard]] IkeSpi own_spi() const { return initiator ? id.initiator : id.responder; }
  [[nodiscard]] const std::string& connection_name() const;
  [[nodiscard]] bool closed() const { return std::holds_alternative<Closed>(phase); }
  [[nodiscard]] Established* established() { return std::get_if<Established>(&phase); }
  [[nodiscard]] const Established* established() const { return std::get_if<Established>(&phase); }
  [[nodiscard]] bool half_open() const {
    return std::holds_alternative<HalfOpen>(phase) || std::holds_alternative<Proving>(phase);
  }
};

// What happens to an IKE SA. Each leaves it in its next phase.
void receive(Shard& shard, IkeSa& sa, const Arrival& arrival);
void complete(Shard& shard, IkeSa& sa, ike::Answer answer);
void advance(Shard& shard, IkeSa& sa);
[[nodiscard]] Instant next_deadline(const IkeSa& sa);

}  // namespace merlon::ikev2
