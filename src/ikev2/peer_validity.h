// An IKE SA does not outlive what its peer proved itself with: it ends when a certificate of the peer's chain ends, or
// when a reload brings a CRL (or takes a CA away) that would refuse the peer now. Who began the IKE SA makes a new one
// a while before the end (RFC 7296 2.8.3: reauthentication is a new IKE SA), so that a peer whose certificate was
// renewed in time is not cut off.
#pragma once

#include "ikev2/ike_sa.h"

namespace merlon::ikev2 {

// Sets the times of `established`, which is new, by its peer's certificates.
void begin_peer_validity(Shard& shard, const IkeSa& sa, Established& established);
// When it is time: looks, and queues the delete or begins the new IKE SA.
void check_peer_validity(Shard& shard, IkeSa& sa, Established& established);
// There may be new CRLs and anchors: looks again at `when`.
void recheck_peer_at(Established& established, Instant when);

// A whole new IKE SA to the same peer with the children that this one carries, on its path. False: it carries none, or
// Shard::may_begin says no.
bool begin_again(Shard& shard, const IkeSa& sa, const Established& established);

// How long before the end a new IKE SA is begun.
inline constexpr std::chrono::seconds kReauthenticationMargin = std::chrono::minutes(10);
// The wall clock may be set, so it is looked at at least this often.
inline constexpr std::chrono::seconds kLongestValidityWait = std::chrono::hours(24);

}  // namespace merlon::ikev2
