#include "ikev2/exchanges/common.h"

#include <utility>

#include "ikev2/established.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/peer_validity.h"
#include "pki/identity_text.h"

namespace merlon::ikev2 {

using ike::Counter;
using ike::RarePath;

IkeAlgorithms to_algorithms(const policy::ChosenIke& chosen) {
  return {{chosen.encr, chosen.key_bits, chosen.integ}, chosen.prf, chosen.ke};
}

Path auth_path(const Shard& shard, const IkeSa& sa, const Path& answered_on, const NatDetection& nat) {
  Path path{answered_on.local, answered_on.remote, answered_on.natt};
  const bool wanted = nat.any() || sa.connection->encapsulation == policy::PathProtocol::kUdp;
  if (path.natt || !wanted) return path;
  path.natt = true;
  path.local.port = shard.options().natt_port;
  if (path.remote.port == 500) path.remote.port = 4500;
  return path;
}

void close_if_redundant(Shard& shard, IkeSa& sa, Established& established) {
  if (sa.redundant)
    queue_delete_ike(shard, established,
                     ike::diagnosis::deleted_by_us(subject_of(sa), "the peer made one at the same time"));
}

void heed_window_size(Established& established, std::span<const wire::Payload> payloads) {
  if (const auto* notify = wire::find_notify(payloads, wire::NotifyType::kSetWindowSize))
    if (const auto size = wire::read_set_window_size(*notify)) established.peer_window = *size;
}

void trace_keys(Shard& shard, const IkeSa& sa, const IkeAlgorithms& algorithms, const IkeKeys& keys) {
  if (!shard.keys_traced(sa)) return;
  ike::IkeKeysTraced event;
  event.id = sa.id;
  event.encr = algorithms.cipher.encr;
  event.key_bits = algorithms.cipher.key_bits;
  event.integ = algorithms.cipher.integ;
  event.sk_ei = keys.sk_ei.clone();
  event.sk_er = keys.sk_er.clone();
  event.sk_ai = keys.sk_ai.clone();
  event.sk_ar = keys.sk_ar.clone();
  event.sk_d = keys.sk_d.clone();
  event.sk_pi = keys.sk_pi.clone();
  event.sk_pr = keys.sk_pr.clone();
  shard.emit(ike::Event(std::move(event)));
}

// A half-open place stays taken until the IKE SA is gone: who is refused in IKE_AUTH cannot try again and again.
Closed give_up(Shard& shard, IkeSa& sa, ike::Failure failure) {
  if (sa.established_once) {
    shard.count(Counter::kIkeSasClosed);
    shard.emit(ike::Event(ike::IkeSaClosed{sa.connection_name(), sa.id, std::move(failure)}));
  } else {
    shard.emit(
        ike::Event(ike::NegotiationFailed{sa.connection_name(), {}, sa.path.remote, std::move(failure)}));
  }
  return {};
}

// Both ends may have begun an IKE SA at once, and this is the one that goes: children that it was to make are made on the
// other, since whoever waits for them hears nothing as long as one IKE SA stands.
static void hand_over_new_children(Shard& shard, const IkeSa& sa, Established& established) {
  auto* other = established.successor ? nullptr : shard.standing_beside(sa);
  if (!other) return;
  bool any = false;
  const auto hand_over = [&](const ChildIntent& intent) {
    if (intent.additional) return;  // those beside which it was to stand go with this IKE SA
    any |= queue_new_child(shard.time(), *other->established(), intent);
  };
  if (auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own); own && !(*own)->rekeys)
    hand_over((*own)->intent);
  for (const auto& task : established.tasks)
    if (const auto* create = std::get_if<NewChildTask>(&task.what)) hand_over(create->intent);
  if (any) shard.count(RarePath::kChildrenHandedOver);
  shard.touch(*other);
}

Closed give_up(Shard& shard, IkeSa& sa, Established& established, ike::Failure failure) {
  const auto reason = failure.sentence;
  settle_in_flight_own(shard, sa, established);
  hand_over_new_children(shard, sa, established);
  (void)give_up(shard, sa, std::move(failure));
  release_in_flight(shard, established);
  for (auto& record : established.children) {
    record.replaced = false;  // nothing is late on an IKE SA that is gone
    close_child(shard, sa, record, reason);
    record.remove_at = shard.time();
  }
  sweep_children(shard, established);
  return {};
}

void settle_in_flight_own(Shard& shard, IkeSa& sa, Established& established) {
  if (auto* own = std::get_if<std::unique_ptr<RekeyingIke>>(&established.own)) {
    const auto crossed = std::exchange((*own)->crossed, std::nullopt);
    settle_for_peers_rekey(shard, sa, established, crossed);
  }
}

void release_in_flight_own(Shard& shard, Established& established) {
  if (auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && (*own)->inbound_spi.value != 0)
    shard.spis().release((*own)->inbound_spi);
  established.own = std::monostate{};
}

void release_in_flight(Shard& shard, Established& established) {
  release_in_flight_own(shard, established);
  if (auto* peers = std::get_if<std::unique_ptr<AnsweringChild>>(&established.answering);
      peers && (*peers)->inbound_spi.value != 0)
    shard.spis().release((*peers)->inbound_spi);
  established.answering = std::monostate{};
}

Lingering linger(const Shard& shard, Channel&& channel) {
  channel.only_repeat();
  return Lingering{std::move(channel), shard.time() + kLingering};
}

Lingering linger(Shard& shard, IkeSa& sa, Established&& established, ike::Failure failure) {
  (void)give_up(shard, sa, established, std::move(failure));
  return linger(shard, std::move(established.channel));
}

void tell_child_failed(Shard& shard, const IkeSa& sa, std::size_t child_index, ike::Failure failure) {
  shard.emit(ike::Event(ike::NegotiationFailed{
      sa.connection_name(), sa.connection->children[child_index].name, sa.path.remote, std::move(failure)}));
}

Established establish(Shard& shard, IkeSa& sa, NewlyEstablished made) {
  Established established{.channel = std::move(made.channel),
                          .algorithms = made.algorithms,
                          .sk_d = std::move(made.keys.sk_d),
                          .peer = std::move(made.peer),
                          .local_id = std::move(made.local_id),
                          .local_auth = std::move(made.local_auth),
                          .established = shard.time(),
                          .soft = soft_expiry(shard, sa.connection->ike_lifetime),
                          .hard = hard_expiry(shard, sa.connection->ike_lifetime),
                          .last_inbound = shard.time(),
                          .last_sent = shard.time(),
                          .children = {},
                          .tasks = {},
                          .own = {},
                          .answering = {},
                          .successor = {},
                          .predecessor = {},
                          .replaces = {},
                          .replaced_until = kNever,
                          .temporary_failures_since = {},
                          .soft_expired = false,
                          .rekey_backoff = {},
                          .delete_waits = false,
                          .broken = false,
                          .peer_window = 1,
                          .next_notice = {},
                          .next_heard = {},
                          .validity_check = kNever,
                          .recheck_trust = false,
                          .reauthenticate = false};
  sa.established_once = true;
  shard.count(made.rekeyed ? Counter::kIkeSasRekeyed : Counter::kIkeSasEstablished);
  ike::IkeSaEstablished event;
  event.connection = sa.connection_name();
  event.id = sa.id;
  event.initiator = sa.initiator;
  event.rekeyed = made.rekeyed;
  event.local = sa.path.local;
  event.remote = sa.path.remote;
  event.natt = sa.path.natt;
  event.local_id = pki::identity_to_text(established.local_id);
  event.remote_id = pki::identity_to_text(established.peer.identity());
  event.algorithms = describe(established.algorithms);
  event.local_auth = established.local_auth;
  event.remote_auth = established.peer.text();
  shard.emit(ike::Event(std::move(event)));
  shard.know_identity(sa, established);
  established.channel.trust();
  established.channel.limit_message_ids(shard.options().last_message_id);
  begin_peer_validity(shard, sa, established);
  return established;
}

}  // namespace merlon::ikev2
