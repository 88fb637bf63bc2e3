// What an established IKE SA does by itself: begins what it intends, keeps its timers, follows a peer that
// moves.
#pragma once

#include "ikev2/ike_sa.h"
#include "ikev2/next.h"

namespace merlon::ikev2 {

Next<Established, Closing, Closed> on_established_timer(Shard& shard, IkeSa& sa, Established&& phase);
[[nodiscard]] Instant established_deadline(const IkeSa& sa, const Established& established);
// RFC 7296 2.23: an authentic, newest message came from elsewhere.
void follow_peer(Shard& shard, IkeSa& sa, Established& established, const Path& from);
// After that: an authentic request that came from where we do not send says that the peer lives, not that it hears us. So it is asked,
// on our path.
void doubt_path(Shard& shard, Established& established, const Path& from);

// When this task may begin, provided that nothing of ours is in flight; kNever while something else must
// happen first.
[[nodiscard]] Instant task_ready_at(const Established& established, const Task& task);

void queue_rekey_child(Established& established, ChildSaRecord& record);
void queue_rekey_ike(Established& established);
void queue_delete_child(Shard& shard, Established& established, ChildSaRecord& record, std::string reason);
void queue_delete_ike(Shard& shard, Established& established, ike::Failure reason);
void queue_probe(Established& established);
// An error notification in an exchange of its own; dropped when one went out a short while ago (RFC 7296 1.5, 2.3:
// they MUST be rate-limited).
void queue_notice(Shard& shard, Established& established, NoticeTask notice);
inline constexpr Duration kNoticeInterval = std::chrono::seconds(10);
// The intention to delete the IKE SA, if there is one.
[[nodiscard]] const DeleteIkeTask* delete_ike_task(const Established& established);
// Whether a Child SA stands that does what is asked for; a narrowed one may not carry the packet that asks.
[[nodiscard]] bool carries(const Established& established, const ChildIntent& intent);
// Unless it is there, in flight, or queued already. False: a Child SA that does it stands already.
[[nodiscard]] bool queue_new_child(Instant now, Established& established, ChildIntent intent);

// A Delete that cannot go out, since another request is still unanswered, is given up after this long.
inline constexpr Duration kDeletePatience = std::chrono::seconds(5);

}  // namespace merlon::ikev2
