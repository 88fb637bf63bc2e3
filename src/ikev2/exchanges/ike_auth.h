// IKE_AUTH (RFC 7296 1.2, 2.15, 2.16, 2.21.2). Figure in ike_auth_initiator.cc.
#pragma once

#include "ikev2/ike_sa.h"
#include "ikev2/next.h"

namespace merlon::ikev2 {

// ---- initiator
// Begins to follow an answer to IKE_SA_INIT: asks for its shared secret.
void add_candidate(Shard& shard, IkeSa& sa, AuthSent& phase, Candidate candidate);
Next<InitSent, AuthSent, Closed> on_candidate_secret(Shard& shard, IkeSa& sa, AuthSent&& phase,
                                                     ike::KeyExchangeDone&& done);
Next<InitSent, AuthSent, Closed> on_initiator_signature(Shard& shard, IkeSa& sa, AuthSent&& phase,
                                                        ike::SignDone&& done);
Next<InitSent, AuthSent, Established, Closing, Closed> on_ike_auth_response(Shard& shard, IkeSa& sa,
                                                                            AuthSent&& phase,
                                                                            const Arrival& arrival);
Next<InitSent, AuthSent, Closed> on_auth_timer(Shard& shard, IkeSa& sa, AuthSent&& phase);

// ---- responder
Next<HalfOpen, Proving, Established, Lingering, Closed> on_ike_auth_request(Shard& shard, IkeSa& sa,
                                                                            HalfOpen&& phase,
                                                                            const Arrival& arrival);
Next<HalfOpen, Proving, Established, Lingering, Closed> on_responder_secret(Shard& shard, IkeSa& sa,
                                                                            HalfOpen&& phase,
                                                                            ike::KeyExchangeDone&& done);
Next<Proving, Established, Lingering, Closed> on_responder_signature(Shard& shard, IkeSa& sa, Proving&& phase,
                                                                     ike::SignDone&& done);

// What a peer may send before the keys are there.
inline constexpr std::size_t kMaxWaitingDatagrams = 64, kMaxWaitingBytes = 64U * 1024;

}  // namespace merlon::ikev2
