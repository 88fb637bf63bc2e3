// INFORMATIONAL (RFC 7296 1.4, 2.4, 2.21.3, 2.25): deletes, liveness, errors. Figure in informational.cc.
#pragma once

#include "ikev2/ike_sa.h"
#include "ikev2/next.h"

namespace merlon::ikev2 {

// ---- ours
// One message for every Child SA whose delete is queued and due.
void begin_delete_children(Shard& shard, IkeSa& sa, Established& established);
// `datagram_size`: of a probe of the path (Channel::probe); 0: only whether the peer lives.
void begin_probe(Shard& shard, IkeSa& sa, Established& established, unsigned datagram_size);
// Nothing, when what it is about is settled meanwhile.
void begin_notice(Shard& shard, IkeSa& sa, Established& established, NoticeTask notice);
// Tells the world, closes the children, and goes on until the peer has heard it.
Next<Closing, Closed> begin_delete_ike(Shard& shard, IkeSa& sa, Established&& phase, ike::Failure reason);
Next<Established> on_informational_response(Shard& shard, IkeSa& sa, Established&& phase,
                                            Incoming&& incoming);

// ---- the peer's
Next<Established, Lingering> on_informational_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                      Incoming&& incoming);
// Delete of the IKE SA; once more where it waited (Established::delete_waits).
Next<Established, Lingering> deleted_by_peer(Shard& shard, IkeSa& sa, Established&& phase);
// Authentic, but malformed or of an exchange that has no place here (RFC 7296 2.5, 2.21.3).
Next<Established, Lingering> on_improper_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                 Incoming&& incoming);

// ---- while our Delete of the IKE SA is on its way
Next<Closing, Lingering, Closed> on_message_while_closing(Shard& shard, IkeSa& sa, Closing&& phase,
                                                          Incoming&& incoming);

inline constexpr unsigned kMaxDeleteSends = 4;

}  // namespace merlon::ikev2
