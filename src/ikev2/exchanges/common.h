// What several exchanges need.
#pragma once

#include <algorithm>

#include "ike/diagnosis.h"
#include "ikev2/ike_sa.h"
#include "ikev2/shard.h"
#include "wire/ike/notify_data.h"

namespace merlon::ikev2 {

[[nodiscard]] inline ike::diagnosis::Subject subject_of(const IkeSa& sa, std::string child = {}) {
  return {sa.connection.get(), std::move(child), sa.path.remote};
}
[[nodiscard]] IkeAlgorithms to_algorithms(const policy::ChosenIke& chosen);
// RFC 7296 2.23: behind a NAT (or where the configuration wants UDP) IKE_AUTH and all after it goes to port
// 4500.
[[nodiscard]] Path auth_path(const Shard& shard, const IkeSa& sa, const Path& answered_on,
                             const NatDetection& nat);

// The IKE SA could not be made, or an established one is lost: tells the world, closes its children without a
// word to the peer.
Closed give_up(Shard& shard, IkeSa& sa, ike::Failure failure);
Closed give_up(Shard& shard, IkeSa& sa, Established& established, ike::Failure failure);
// SPIs that were set aside for exchanges that will not come to an end.
void release_in_flight(Shard& shard, Established& established);
void release_in_flight_own(Shard& shard, Established& established);
// A rekey of the IKE SA that will not come to an end: where one of the peer's crossed it, that one takes over (RFC 7296
// 2.8.2).
void settle_in_flight_own(Shard& shard, IkeSa& sa, Established& established);
// Only answers retransmissions from now on, and collects nothing.
[[nodiscard]] Lingering linger(const Shard& shard, Channel&& channel);
// The same after our last response, which is repeated for a while.
Lingering linger(Shard& shard, IkeSa& sa, Established&& established, ike::Failure failure);
void tell_child_failed(Shard& shard, const IkeSa& sa, std::size_t child_index, ike::Failure failure);

// The IKE SA is proved on both sides. Makes the phase, tells the world.
struct NewlyEstablished {
  Channel channel;
  IkeAlgorithms algorithms;
  IkeKeys keys;
  PeerAuthenticated peer;
  Identity local_id;
  std::string local_auth;
  bool rekeyed = false;
};
[[nodiscard]] Established establish(Shard& shard, IkeSa& sa, NewlyEstablished made);
// After Shard::resolve_uniqueness.
void close_if_redundant(Shard& shard, IkeSa& sa, Established& established);
// RFC 7296 2.3: SET_WINDOW_SIZE in any protected message of the peer. What is malformed in it is ignored.
void heed_window_size(Established& established, std::span<const wire::Payload> payloads);
void trace_keys(Shard& shard, const IkeSa& sa, const IkeAlgorithms& algorithms, const IkeKeys& keys);

inline constexpr Duration kLingering = std::chrono::seconds(15);

}  // namespace merlon::ikev2
