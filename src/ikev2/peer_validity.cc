#include "ikev2/peer_validity.h"

#include <algorithm>

#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_sa_init.h"

namespace merlon::ikev2 {

using ike::Counter;

namespace {

// notAfter may lie thousands of years ahead, beyond what nanoseconds can count: so seconds, cut first.
Instant next_look(const Shard& shard, const Established& established) {
  const auto& valid_until = established.peer.valid_until();
  if (!valid_until) return kNever;
  auto wait =
      *valid_until - shard.wall() + std::chrono::seconds(1);  // RFC 5280 4.1.2.5: to the end of notAfter
  if (established.reauthenticate) wait -= kReauthenticationMargin;
  return shard.time() + std::clamp<std::chrono::seconds>(wait, std::chrono::seconds(1), kLongestValidityWait);
}

void end(Shard& shard, Established& established, ike::Failure why) {
  shard.count(Counter::kPeerCertificatesEnded);
  established.validity_check = kNever;
  queue_delete_ike(shard, established, std::move(why));
}

}  // namespace

void begin_peer_validity(Shard& shard, const IkeSa& sa, Established& established) {
  const auto& valid_until = established.peer.valid_until();
  // One that is made within the margin, with the same certificate once more, does not begin another one.
  established.reauthenticate =
      sa.initiator && valid_until && *valid_until - shard.wall() > kReauthenticationMargin;
  established.validity_check = next_look(shard, established);
}

void recheck_peer_at(Established& established, Instant when) {
  if (established.peer.chain().empty() || established.successor) return;
  established.recheck_trust = true;
  established.validity_check = std::min(established.validity_check, when);
}

void check_peer_validity(Shard& shard, IkeSa& sa, Established& established) {
  if (shard.time() < established.validity_check) return;
  if (established.successor) {  // the heir has the same peer
    established.validity_check = kNever;
    return;
  }
  const auto& peer = established.peer;
  if (std::exchange(established.recheck_trust, false))
    if (auto good = recheck_peer(peer, *sa.connection, shard.credentials(sa.connection->name), shard.wall());
        !good)
      return end(shard, established,
                 ike::diagnosis::certificate_refused_now(subject_of(sa), peer.identity(), good.error()));
  const auto& valid_until = peer.valid_until();
  if (valid_until && shard.wall() > *valid_until)
    return end(shard, established,
               ike::diagnosis::certificate_expired(subject_of(sa), peer.identity(), *valid_until));
  if (established.reauthenticate && valid_until && *valid_until - shard.wall() <= kReauthenticationMargin) {
    established.reauthenticate = false;
    if (begin_again(shard, sa, established)) shard.count(Counter::kReauthentications);
  }
  established.validity_check = next_look(shard, established);
}

bool begin_again(Shard& shard, const IkeSa& sa, const Established& established) {
  if (delete_ike_task(established)) return false;
  std::vector<ChildIntent> intents;
  for (const auto& record : established.children) {
    const bool listed = std::any_of(intents.begin(), intents.end(), [&](const ChildIntent& intent) {
      return intent.child_index == record.child_index;
    });
    if (record.live() && !record.replaced && !listed) intents.push_back({record.child_index, std::nullopt});
  }
  if (intents.empty()) return false;
  return begin_ike_sa_init(shard, sa.connection, established.channel.path(), std::move(intents));
}

}  // namespace merlon::ikev2
