// CREATE_CHILD_SA that rekeys the IKE SA, both sides (RFC 7296 1.3.2, 2.8, 2.8.2, 2.18).
//
//   initiator                                  responder
//     HDR, SK {SA(SPIi'), Ni, KEi}         -->
//                                          <--   HDR, SK {SA(SPIr'), Nr, KEr}
//     the new IKE SA: Message IDs from 0 on, all Child SAs go over to it
//     HDR (old), SK {D(IKE)}               -->
//                                          <--   HDR (old), SK {}
//
// When both begin at once, both new IKE SAs exist until the nonces decide (2.8.2); the children stay with the
// old one until then.
#include "crypto/key_exchange.h"
#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"

namespace merlon::ikev2 {

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;

void inherit(Shard& shard, IkeSa& from, Established& established, IkeSa& to) {
  established.successor = to.own_spi();
  established.replaced_until = shard.time() + kReplacedPatience;
  auto* heir = to.established();
  if (!heir) return;
  heir->predecessor.reset();
  for (auto& record : established.children) {
    shard.child_belongs(record.sa->id, to);
    heir->children.push_back(std::move(record));
  }
  established.children.clear();
  // What was to end for good (a reload took its connection away) must not live on in its heir.
  if (const auto* remove = delete_ike_task(established)) queue_delete_ike(shard, *heir, *remove->reason);
  std::erase_if(established.tasks, [&](Task& task) {
    const bool about_ike = std::holds_alternative<RekeyIkeTask>(task.what) ||
                           std::holds_alternative<DeleteIkeTask>(task.what) ||
                           std::holds_alternative<ProbeTask>(task.what);
    if (about_ike) return std::holds_alternative<RekeyIkeTask>(task.what);
    heir->tasks.push_back(std::move(task));
    return true;
  });
  // RFC 7296 2.23: the peer may have moved since the heir was made; it is where it was heard last.
  if (established.last_inbound > heir->last_inbound)
    follow_peer(shard, to, *heir, established.channel.path());
  update_child_paths(shard, to, *heir);
  heir->last_inbound = std::max(heir->last_inbound, established.last_inbound);
  shard.touch(to);
  shard.touch(from);
}

void settle_for_peers_rekey(Shard& shard, IkeSa& sa, Established& established,
                            const std::optional<Crossed>& crossed) {
  if (!crossed) return;
  if (auto* theirs = shard.find(crossed->ike_sa); theirs && theirs->established()) {
    shard.count(RarePath::kPeersIkeRekeyTaken);
    inherit(shard, sa, established, *theirs);
  }
}

namespace {

struct Made {
  IkeSaId id;
  bool initiator = false;
  policy::ChosenIke chosen;
  ByteView nonce_i, nonce_r;
};

// The new IKE SA, beside the old one. It has no children yet. RFC 7296 2.18: Message IDs begin anew.
Result<IkeSa*> make_successor(Shard& shard, const IkeSa& old, const Established& established,
                              const Made& made, const Secret& shared_secret) {
  const auto algorithms = to_algorithms(made.chosen);
  MERLON_TRY(auto keys, derive_rekeyed_ike_keys(established.algorithms.prf, established.sk_d, algorithms,
                                                {made.nonce_i, made.nonce_r, made.id}, shared_secret));
  MERLON_TRY(auto protection, MessageProtection::create(algorithms.cipher, keys, made.initiator));
  auto sa = std::make_unique<IkeSa>();
  sa->initiator = made.initiator;
  sa->id = made.id;
  sa->path = established.channel.path();
  sa->nat = old.nat;
  sa->connection = old.connection;
  sa->next_keepalive = old.next_keepalive;
  Channel::Setup setup{made.id,
                       made.initiator,
                       sa->path,
                       established.channel.fragmentation(),
                       old.connection->fragment_size,
                       0,
                       0};
  trace_keys(shard, *sa, algorithms, keys);
  auto phase = establish(shard, *sa,
                         {Channel(setup, std::move(protection)), algorithms, std::move(keys),
                          established.peer.inherited(), established.local_id, established.local_auth, true});
  phase.predecessor = old.own_spi();
  phase.replaces = old.own_spi();
  sa->phase = std::move(phase);
  return &shard.adopt(std::move(sa));
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------

void begin_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const RekeyIkeTask& task) {
  if (established.successor) return;
  auto own = std::make_unique<RekeyingIke>();
  own->attempts = task.attempts;
  own->spi = shard.new_ike_spi();
  own->nonce = shard.rng().bytes(kNonceSize);
  wire::Proposal with_spi;
  with_spi.set_spi(own->spi);
  own->offer = policy::ike_offer(sa.connection->ike_proposals, with_spi.spi);
  const bool current_fits = policy::allows_ke(own->offer, established.algorithms.ke);
  // The method that both are known to have spares a round trip.
  own->method = task.method != KeMethod::kNone ? task.method
                : current_fits                 ? established.algorithms.ke
                                               : policy::ke_methods(own->offer).front();
  own->pending = shard.generate_key_pair(sa, own->method);
  established.own = std::move(own);
}

void send_rekey_ike_request(Shard& shard, IkeSa& sa, Established& established) {
  auto& own = *std::get<std::unique_ptr<RekeyingIke>>(established.own);
  std::vector<wire::Payload> payloads;
  payloads.emplace_back(wire::SaPayload{own.offer, false});
  payloads.emplace_back(wire::NoncePayload{own.nonce, false});
  payloads.emplace_back(wire::KePayload{own.method, to_bytes(own.exchange->public_value()), false});
  auto sent = established.channel.request(shard, sa, wire::ExchangeType::kCreateChildSa, payloads,
                                          RetransmissionSchedule::of(*sa.connection));
  own.sent = sent.has_value();
  if (!sent) fail_own_rekey_ike(shard, sa, established, *take_own_rekey_ike(established), sent.error());
}

std::unique_ptr<RekeyingIke> take_own_rekey_ike(Established& established) {
  auto own = std::move(std::get<std::unique_ptr<RekeyingIke>>(established.own));
  established.own = std::monostate{};
  return own;
}

void fail_own_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const RekeyingIke& own,
                        const Error& why) {
  settle_for_peers_rekey(shard, sa, established, own.crossed);
  if (established.successor) return;
  if (!own.sent)
    return rekey_ike_failed(shard, sa, established, ike::diagnosis::internal(subject_of(sa), why));
  // The peer has an IKE SA that we have not: both are better closed.
  queue_delete_ike(shard, established,
                   ike::diagnosis::protocol(subject_of(sa), Exchange::kRekeyIkeSa, why.message));
}

void on_rekey_ike_response(Shard& shard, IkeSa& sa, Established& established, Incoming&& incoming) {
  auto& own = *std::get<std::unique_ptr<RekeyingIke>>(established.own);
  const auto& payloads = incoming.payloads;
  const auto give_up_rekey = [&](ike::ExchangeResult result) {
    shard.counters().add(ike::ExchangeKind::kRekeyIkeSa, ike::ExchangeRole::kInitiator, result);
    auto kept = take_own_rekey_ike(established);
    settle_for_peers_rekey(shard, sa, established, kept->crossed);
    return kept;
  };
  if (const auto* error = wire::find_error_notify(payloads)) {
    const auto type = error->type;
    const auto wanted = type == NotifyType::kInvalidKePayload ? wire::read_invalid_ke_payload(*error)
                                                              : Result<KeMethod>(KeMethod::kNone);
    const auto kept = give_up_rekey(ike::ExchangeResult::kRefusedByPeer);
    if (kept->crossed) return shard.count(RarePath::kCrossingIkeRekeyGivenUp);
    if (type == NotifyType::kInvalidKePayload && wanted && *wanted != kept->method &&
        kept->attempts + 1 < kMaxAttempts && policy::allows_ke(kept->offer, *wanted)) {
      shard.count(Counter::kInvalidKeRetries);
      established.tasks.insert(established.tasks.begin(), {RekeyIkeTask{kept->attempts + 1, *wanted}, {}});
      return;
    }
    on_own_error(
        shard, sa, established, OwnExchange::kRekeyingIkeSa, type, false, {RekeyIkeTask{}, {}}, std::nullopt,
        ike::diagnosis::peer_refused(subject_of(sa), Exchange::kRekeyIkeSa, type, true), std::nullopt);
    return;
  }
  established.temporary_failures_since.reset();
  const auto* chosen = wire::find<wire::SaPayload>(payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(payloads);
  const auto* ke = wire::find<wire::KePayload>(payloads);
  auto algorithms = chosen ? policy::verify_ike_choice(own.offer, chosen->proposals)
                           : Result<policy::ChosenIke>(fail(ErrorCode::kMalformed, "no SA payload"));
  const auto peer_spi = chosen ? chosen->proposals.front().ike_spi() : std::nullopt;
  if (!algorithms || !nonce || !ke || ke->method != own.method || algorithms->ke != own.method || !peer_spi ||
      peer_spi->value == 0 || !check_nonce_size(algorithms->prf, nonce->data.size())) {
    (void)give_up_rekey(ike::ExchangeResult::kProtocolError);
    // The peer has an IKE SA that we have not: both are better closed.
    established.tasks.push_back(
        {DeleteIkeTask{ike::diagnosis::protocol(subject_of(sa), Exchange::kRekeyIkeSa,
                                                "its answer is not one of our proposals")},
         {}});
    return;
  }
  own.chosen = *algorithms;
  own.peer_spi = *peer_spi;
  own.nonce_r = nonce->data;
  own.pending = shard.derive_secret(sa, own.exchange, ke->data);
}

void finish_own_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const Secret& shared_secret) {
  if (is_answering_a_crossing_rekey(established)) {
    auto& own = *std::get<std::unique_ptr<RekeyingIke>>(established.own);
    shard.count(RarePath::kIkeRekeyHeldBack);
    own.held_back.emplace().shared_secret = Secret::copy_of(shared_secret.bytes());
    return;
  }
  const auto own = take_own_rekey_ike(established);
  auto made = make_successor(shard, sa, established,
                             {{own->spi, own->peer_spi}, true, *own->chosen, own->nonce, own->nonce_r},
                             shared_secret);
  shard.counters().add(ike::ExchangeKind::kRekeyIkeSa, ike::ExchangeRole::kInitiator,
                       made ? ike::ExchangeResult::kOk : ike::ExchangeResult::kRefusedByUs);
  if (!made) return fail_own_rekey_ike(shard, sa, established, *own, made.error());
  const auto replaced = ike::diagnosis::deleted_by_us(subject_of(sa), "replaced by a rekey");
  // RFC 7296 2.8.2: the lowest of four nonces says which of the two new IKE SAs goes.
  const bool lost =
      own->crossed && redundant_rekey({own->nonce, own->nonce_r},
                                      {own->crossed->nonce_i, own->crossed->nonce_r}) == Redundant::kOurs;
  if (own->crossed) shard.count(lost ? RarePath::kCrossingIkeRekeyLost : RarePath::kCrossingIkeRekeyWon);
  if (lost) {
    (*made)->established()->tasks.push_back({DeleteIkeTask{replaced}, {}});
    (*made)->established()->predecessor.reset();
    shard.touch(**made);
    return settle_for_peers_rekey(shard, sa, established, own->crossed);
  }
  inherit(shard, sa, established, **made);
  established.tasks.push_back({DeleteIkeTask{replaced}, {}});
  if (!own->crossed) return;
  // The peer deletes what it made; but our answer may never have reached it, and then it does not even have
  // it.
  auto* theirs = shard.find(own->crossed->ike_sa);
  auto* loser = theirs ? theirs->established() : nullptr;
  if (!loser) return;
  loser->predecessor.reset();
  loser->successor = (*made)->own_spi();
  loser->replaced_until = shard.time() + kLoserPatience;
  established.redundant = own->crossed->ike_sa;
  shard.touch(*theirs);
}

// ---- responder
// -----------------------------------------------------------------------------------------------------

// One after the other: else a peer that rekeys and never deletes could have any number of IKE SAs.
static bool replaces_a_living_one(Shard& shard, const Established& established) {
  if (!established.replaces) return false;
  const auto* old = shard.find(*established.replaces);
  return old && old->established();
}

void answer_rekey_ike_request(Shard& shard, IkeSa& sa, Established& established, const Incoming& incoming) {
  const auto decision =
      on_peer_request(own_exchange(established), PeerRequest::kRekeyIkeSa, NamedChild::kNone);
  shard.counters().add_collision(decision.row);
  const bool waits = decision.reply == Reply::kAccept && replaces_a_living_one(shard, established);
  if (waits) shard.count(RarePath::kSecondIkeRekeyWaits);
  if (decision.reply != Reply::kAccept || waits)
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kTemporaryFailure));
  const auto* offered = wire::find<wire::SaPayload>(incoming.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(incoming.payloads);
  const auto* ke = wire::find<wire::KePayload>(incoming.payloads);
  auto selection = policy::select_ike(sa.connection->ike_proposals, offered->proposals, {ke->method});
  if (!selection) {
    respond_error(shard, sa, established, wire::make_notify(NotifyType::kNoProposalChosen));
    shard.emit(ike::Event(ike::NegotiationFailed{
        sa.connection_name(),
        {},
        sa.path.remote,
        ike::diagnosis::no_proposal(subject_of(sa), sa.connection->ike_proposals, offered->proposals)}));
    return;
  }
  const auto& proposal = offered->proposals[selection->offered_index];
  if (selection->chosen.ke != ke->method) {
    shard.count(Counter::kInvalidKeSent);
    return respond_error(shard, sa, established, wire::make_invalid_ke_payload(selection->chosen.ke));
  }
  const auto peer_spi = proposal.ike_spi();
  if (!peer_spi || peer_spi->value == 0 || ke->data.size() != crypto::public_value_size(ke->method) ||
      !check_nonce_size(selection->chosen.prf, nonce->data.size()))
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kInvalidSyntax));
  auto answering = std::make_unique<AnsweringRekeyIke>();
  answering->selection = std::move(*selection);
  answering->followup = decision.followup;
  answering->spi = shard.new_ike_spi();
  answering->peer_spi = *peer_spi;
  answering->nonce_i = nonce->data;
  answering->nonce_r = shard.rng().bytes(kNonceSize);
  answering->public_value = ke->data;
  answering->pending = shard.generate_key_pair(sa, ke->method);
  established.answering = std::move(answering);
}

void finish_peer_rekey_ike(Shard& shard, IkeSa& sa, Established& established, const Secret& shared_secret) {
  const auto answering = std::move(std::get<std::unique_ptr<AnsweringRekeyIke>>(established.answering));
  established.answering = std::monostate{};
  auto made = make_successor(shard, sa, established,
                             {{answering->peer_spi, answering->spi},
                              false,
                              answering->selection.chosen,
                              answering->nonce_i,
                              answering->nonce_r},
                             shared_secret);
  if (!made) return respond_error(shard, sa, established, wire::make_notify(NotifyType::kNoProposalChosen));
  std::vector<wire::Payload> payloads;
  wire::SaPayload chosen{{answering->selection.answer}, false};
  chosen.proposals.front().set_spi(answering->spi);
  payloads.emplace_back(std::move(chosen));
  payloads.emplace_back(wire::NoncePayload{answering->nonce_r, false});
  payloads.emplace_back(
      wire::KePayload{answering->selection.chosen.ke, to_bytes(answering->exchange->public_value()), false});
  (void)established.channel.respond(shard, sa, wire::ExchangeType::kCreateChildSa, payloads);
  shard.counters().add(ike::ExchangeKind::kRekeyIkeSa, ike::ExchangeRole::kResponder,
                       ike::ExchangeResult::kOk);
  if (auto* own = std::get_if<std::unique_ptr<RekeyingIke>>(&established.own);
      own && answering->followup == Followup::kCompareNonces) {
    (*own)->crossed = Crossed{answering->nonce_i, answering->nonce_r, {}, answering->spi};
    return;
  }
  inherit(shard, sa, established, **made);
}

}  // namespace merlon::ikev2
