// A snapshot of an engine for `merlon status` and the metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "ike/failure.h"
#include "policy/sad.h"

namespace merlon::ike {

struct ChildSaStatus {
  policy::ChildSaId id;
  std::string child;
  Spi inbound_spi, outbound_spi;
  std::string algorithms, local_ts, remote_ts;
  bool udp_encapsulation = false;
  bool rekeying = false;
  bool outbound_in_use = true;
  Instant established;
  Instant soft_expiry = kNever, hard_expiry = kNever;
};

struct IkeSaStatus {
  std::string connection;
  IkeSaId id;
  bool initiator = false;
  std::string phase;  // "IKE_SA_INIT sent", "established", ...
  Endpoint local, remote;
  bool natt = false, local_behind_nat = false, remote_behind_nat = false;
  std::string local_id, remote_id;
  std::string algorithms;
  Instant established;
  Instant soft_expiry = kNever, hard_expiry = kNever;
  Instant last_inbound;
  std::uint32_t peer_window = 1;             // SET_WINDOW_SIZE of the peer (RFC 7296 2.3); we use one
  std::optional<UnixTime> peer_valid_until;  // when the certificates that the peer proved itself with end
  std::vector<ChildSaStatus> children;
};

}  // namespace merlon::ike
