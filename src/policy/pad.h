// The Peer Authorization Database (RFC 4301 4.4.3): which connections a peer may be, by addresses and
// identities. That the peer is who it says is proved later, by the connection's own credentials.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/ip_address.h"
#include "policy/connection.h"

namespace merlon::policy {

struct PadQuery {
  IpAddress remote_address, local_address;
  std::optional<Identity>
      remote_id;  // IDi of an IKE_AUTH request; nullopt while only addresses are known (IKE_SA_INIT)
  std::optional<Identity> local_id;  // IDr, when the initiator sent one
  unsigned ike_version = 2;
};

// What policy/ cannot know by itself. Both may be empty.
struct PadHelpers {
  // The addresses that a host name of remote_addresses or local_addresses stands for at the moment; empty:
  // not resolved.
  std::function<std::vector<IpAddress>(std::string_view host_name)> resolve;
  // Whether an identity fits RemoteAuth::id_pattern. Without it a pattern fits nothing.
  std::function<bool(std::string_view pattern, const Identity& identity)> pattern_matches;
};

// How well something fits; greater is better.
enum class PadFit { kNone = 0, kAny, kUnresolvedName, kPattern, kPrefix, kExact };

struct PadCandidate {
  ConnectionPtr connection;
  PadFit remote_id = PadFit::kNone, local_id = PadFit::kNone, remote_address = PadFit::kNone,
         local_address = PadFit::kNone;
};

// Best first: an exact remote identity before a pattern before any; then the local identity, the remote
// address (address, prefix, host name not resolved, any), the local address; then the order of the
// configuration. Connections without a protect child do not count.
[[nodiscard]] std::vector<PadCandidate> find_connections(std::span<const ConnectionPtr> connections,
                                                         const PadQuery& query,
                                                         const PadHelpers& helpers = {});

// For our own log, never for the peer: why find_connections gave nothing. "no connection accepts identity 'x'
// from 192.0.2.7; ...".
[[nodiscard]] std::string explain_no_connection(std::span<const ConnectionPtr> connections,
                                                const PadQuery& query, const PadHelpers& helpers = {});

}  // namespace merlon::policy
