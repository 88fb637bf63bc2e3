// IKE_SA_INIT (RFC 7296 1.2, 2.6, 2.7, 2.10, 2.23). Figure in ike_sa_init_initiator.cc.
#pragma once

#include <memory>

#include "ikev2/ike_sa.h"
#include "ikev2/next.h"

namespace merlon::ikev2 {

// ---- initiator
// Puts a new IKE SA into the table, whose key pair is being made. `path`: local port 0 for our own. `intents`: the
// children to negotiate, at least one. False: Shard::may_begin says no, and nothing was begun.
bool begin_ike_sa_init(Shard& shard, const policy::ConnectionPtr& connection, const Path& path,
                       std::vector<ChildIntent> intents);
Next<InitSent, Closed> on_init_key_pair(Shard& shard, IkeSa& sa, InitSent&& phase,
                                        ike::KeyExchangeDone&& done);
Next<InitSent, AuthSent> on_ike_sa_init_response(Shard& shard, IkeSa& sa, InitSent&& phase,
                                                 const Arrival& arrival);
// One more answer while IKE_AUTH is under way: kept beside the others (RFC 7296 2.4).
Next<AuthSent> on_further_ike_sa_init_response(Shard& shard, IkeSa& sa, AuthSent&& phase,
                                               const Arrival& arrival);
Next<InitSent, Closed> on_init_timer(Shard& shard, IkeSa& sa, InitSent&& phase);

// RFC 7296 2.21.1: how long after an unprotected error an answer is still waited for.
inline constexpr Duration kUnprotectedErrorPatience = std::chrono::seconds(4);
inline constexpr unsigned kMaxCookieRounds = 5, kMaxKeRetries = 3;

// ---- responder
// Judges a request without keeping anything (RFC 7296 2.6); null when it was answered in clear or dropped,
// else a half-open IKE SA whose key pair is being made.
[[nodiscard]] std::unique_ptr<IkeSa> answer_ike_sa_init(Shard& shard, const Arrival& arrival);
Next<HalfOpen, Closed> on_responder_key_pair(Shard& shard, IkeSa& sa, HalfOpen&& phase,
                                             ike::KeyExchangeDone&& done);

[[nodiscard]] PeerCapabilities capabilities_of(const Arrival& arrival, const IkeSaId& digested);

}  // namespace merlon::ikev2
