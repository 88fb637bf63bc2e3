// CREATE_CHILD_SA for a Child SA, the initiator's side (RFC 7296 1.3.1, 1.3.3, 2.8).
//
//   initiator                                              responder
//     HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr} -->
//                                                      <--   HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//                                                      or    HDR, SK {N(NO_PROPOSAL_CHOSEN | TS_UNACCEPTABLE |
//                                                                     INVALID_KE_PAYLOAD | NO_ADDITIONAL_SAS |
//                                                                     TEMPORARY_FAILURE | CHILD_SA_NOT_FOUND)}
//   and after a rekey, from whoever began it:
//     HDR, SK {D(old)}                                 -->
//                                                      <--   HDR, SK {D(old)}
//
// Nothing is lost over a rekey: the answer says that the responder receives on the new SA, so we send on it
// from then on; what is still coming on the old one is taken until its delete, and a moment longer.
#include <utility>

#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "ikev2/exchanges/informational.h"
#include "ikev2/per_resource.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_own_key_exchange, Established, Next<Established, Lingering>>);
static_assert(leads_to<&on_create_child_response, Established, Next<Established>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;

OwnExchange own_exchange(const Established& established) {
  if (const auto* child = std::get_if<std::unique_ptr<CreatingChild>>(&established.own))
    return (*child)->rekeys ? OwnExchange::kRekeyingChild : OwnExchange::kCreatingChild;
  if (std::holds_alternative<std::unique_ptr<RekeyingIke>>(established.own))
    return OwnExchange::kRekeyingIkeSa;
  if (std::holds_alternative<DeletingChild>(established.own)) return OwnExchange::kDeletingChild;
  return established.successor ? OwnExchange::kIkeSaReplaced : OwnExchange::kNone;
}

ChildSaRecord* find_child(Established& established, policy::ChildSaId id) {
  for (auto& record : established.children)
    if (record.sa->id == id && record.remove_at == kNever) return &record;
  return nullptr;
}

ChildSaRecord* find_child_by_outbound(Established& established, Spi outbound_spi) {
  for (auto& record : established.children)
    if (record.sa->outbound_spi == outbound_spi && record.remove_at == kNever) return &record;
  return nullptr;
}

NamedChild named_child(const Established& established, const ChildSaRecord* record) {
  if (!record) return NamedChild::kUnknown;
  if (const auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && (*own)->rekeys == record->sa->id)
    return NamedChild::kInFlight;
  if (const auto* own = std::get_if<DeletingChild>(&established.own))
    if (std::find(own->inbound_spis.begin(), own->inbound_spis.end(), record->sa->inbound_spi) !=
        own->inbound_spis.end())
      return NamedChild::kInFlight;
  return record->replaced || record->deleting ? NamedChild::kReplaced : NamedChild::kLive;
}

namespace {

ike::ExchangeKind kind_of(const CreatingChild& own) {
  return own.rekeys ? ike::ExchangeKind::kRekeyChild : ike::ExchangeKind::kCreateChild;
}

// Nothing was agreed: the peer has what it had.
void fail_own_child(Shard& shard, IkeSa& sa, Established& established, const CreatingChild& own,
                    ike::Failure failure) {
  if (own.rekeys) return rekey_child_failed(shard, sa, established, *own.rekeys, std::move(failure));
  tell_child_failed(shard, sa, own.intent.child_index, std::move(failure));
}

// The same before the request went out.
void fail_unsent_child(Shard& shard, IkeSa& sa, Established& established, const Error& why) {
  const auto own = std::move(std::get<std::unique_ptr<CreatingChild>>(established.own));
  established.own = std::monostate{};
  shard.spis().release(own->inbound_spi);
  fail_own_child(shard, sa, established, *own, ike::diagnosis::internal(subject_of(sa), why));
}

// Makes the request; with a key exchange of its own only after the key pair is there.
void begin(Shard& shard, IkeSa& sa, Established& established, std::unique_ptr<CreatingChild> own) {
  const ChildSaRecord* replaced = own->rekeys ? find_child(established, *own->rekeys) : nullptr;
  auto spi = replaced != nullptr ? shard.spis().allocate_like(replaced->sa->inbound_spi)
             : own->resource     ? shard.spis().allocate_for(*own->resource)
                                 : shard.spis().allocate();
  if (!spi) {
    shard.count(RarePath::kNoSpiLeft);
    return fail_own_child(shard, sa, established, *own,
                          ike::diagnosis::internal(subject_of(sa), spi.error()));
  }
  own->inbound_spi = *spi;
  own->nonce = shard.rng().bytes(kNonceSize);
  own->proposed = propose_child(*sa.connection, own->intent, *spi, true);
  if (const auto* model = own->intent.additional ? model_of(established, own->intent.child_index) : nullptr) {
    own->proposed.tsi = model->local_ts;
    own->proposed.tsr = model->remote_ts;
  }
  if (own->only_packet && own->intent.packet) {
    own->proposed.tsi = {own->intent.packet->local};
    own->proposed.tsr = {own->intent.packet->remote};
  }
  const auto methods = policy::ke_methods(own->proposed.offer);
  if (own->method == KeMethod::kNone && !methods.empty()) own->method = methods.front();
  auto& kept = *own;
  established.own = std::move(own);
  if (kept.method == KeMethod::kNone) return send_child_request(shard, sa, established);
  kept.pending = shard.generate_key_pair(sa, kept.method);
}

}  // namespace

void begin_new_child(Shard& shard, IkeSa& sa, Established& established, NewChildTask task) {
  const auto resource = free_resource(shard, sa, established, task.intent.child_index, For::kOurs);
  // Meanwhile the peer made it, or those it was to stand beside are gone.
  if (task.intent.additional ? !resource || !model_of(established, task.intent.child_index)
                             : carries(established, task.intent))
    return;
  auto own = std::make_unique<CreatingChild>();
  own->resource = resource;
  own->intent = std::move(task.intent);
  own->attempts = task.attempts;
  own->method = task.method;
  own->only_packet = task.only_packet;
  begin(shard, sa, established, std::move(own));
}

void begin_rekey_child(Shard& shard, IkeSa& sa, Established& established, const RekeyChildTask& task) {
  const auto* record = find_child(established, task.id);
  if (!record || !record->live() || record->replaced) return;
  auto own = std::make_unique<CreatingChild>();
  own->intent.child_index = record->child_index;
  own->rekeys = task.id;
  own->line = record->line;
  own->resource = record->sa->resource;
  own->attempts = task.attempts;
  own->method = task.method;
  begin(shard, sa, established, std::move(own));
}

void send_child_request(Shard& shard, IkeSa& sa, Established& established) {
  auto& own = *std::get<std::unique_ptr<CreatingChild>>(established.own);
  std::vector<wire::Payload> payloads;
  if (own.rekeys) {
    auto* old = find_child(established, *own.rekeys);
    // While the key pair was made it went, or the peer's rekey of it came first: then ours never was.
    if (!old || old->replaced || own.crossed) {
      shard.count(RarePath::kChildRekeyMoot);
      if (old) old->replaced = true;
      shard.spis().release(own.inbound_spi);
      established.own = std::monostate{};
      return;
    }
    // RFC 7296 1.3.3: the SPI is the one that we expect in inbound packets.
    payloads.emplace_back(wire::make_rekey_sa({SecurityProtocol::kEsp, old->sa->inbound_spi}));
  }
  payloads.emplace_back(wire::SaPayload{own.proposed.offer, false});
  payloads.emplace_back(wire::NoncePayload{own.nonce, false});
  if (own.exchange)
    payloads.emplace_back(wire::KePayload{own.method, to_bytes(own.exchange->public_value()), false});
  payloads.emplace_back(wire::TsiPayload{own.proposed.tsi, {}, false});
  payloads.emplace_back(wire::TsrPayload{own.proposed.tsr, {}, false});
  if (own.resource) payloads.emplace_back(make_resource_info(*own.resource));
  own.sent = true;
  auto sent = established.channel.request(shard, sa, wire::ExchangeType::kCreateChildSa, payloads,
                                          RetransmissionSchedule::of(*sa.connection));
  if (!sent) fail_unsent_child(shard, sa, established, sent.error());
}

Next<Established, Lingering> on_own_key_exchange(Shard& shard, IkeSa& sa, Established&& phase,
                                                 ike::KeyExchangeDone&& done) {
  if (auto* child = std::get_if<std::unique_ptr<CreatingChild>>(&phase.own)) {
    auto& own = **child;
    own.pending = 0;
    if (!own.sent) {
      own.exchange = std::move(done.exchange);
      if (own.exchange)
        send_child_request(shard, sa, phase);
      else
        fail_unsent_child(shard, sa, phase, {ErrorCode::kSystem, "no key pair"});
    } else if (done.shared_secret) {
      finish_own_child(shard, sa, phase, &*done.shared_secret);
    } else {
      phase.tasks.push_back({DeleteChildTask{own.inbound_spi, "bad public value"}, {}});
      tell_child_failed(shard, sa, own.intent.child_index,
                        ike::diagnosis::protocol(subject_of(sa), Exchange::kCreateChild,
                                                 done.shared_secret.error().message));
      release_in_flight_own(shard, phase);
    }
    return std::move(phase);
  }
  if (auto* rekey = std::get_if<std::unique_ptr<RekeyingIke>>(&phase.own)) {
    auto& own = **rekey;
    own.pending = 0;
    if (!own.sent) {
      own.exchange = std::move(done.exchange);
      if (own.exchange)
        send_rekey_ike_request(shard, sa, phase);
      else
        fail_own_rekey_ike(shard, sa, phase, *take_own_rekey_ike(phase), {ErrorCode::kSystem, "no key pair"});
    } else if (done.shared_secret) {
      finish_own_rekey_ike(shard, sa, phase, *done.shared_secret);
    } else {
      fail_own_rekey_ike(shard, sa, phase, *take_own_rekey_ike(phase), done.shared_secret.error());
    }
    if (phase.delete_waits && !std::holds_alternative<std::unique_ptr<RekeyingIke>>(phase.own))
      return deleted_by_peer(shard, sa, std::move(phase));
  }
  return std::move(phase);
}

Next<Established> on_create_child_response(Shard& shard, IkeSa& sa, Established&& phase,
                                           Incoming&& incoming) {
  if (std::holds_alternative<std::unique_ptr<CreatingChild>>(phase.own))
    on_child_response(shard, sa, phase, std::move(incoming));
  else if (std::holds_alternative<std::unique_ptr<RekeyingIke>>(phase.own))
    on_rekey_ike_response(shard, sa, phase, std::move(incoming));
  return std::move(phase);
}

namespace {

// RFC 7296 1.3: another method is wanted; true when we go for it.
bool retry_with_method(Shard& shard, Established& established, const CreatingChild& own,
                       const wire::NotifyPayload& notify) {
  const auto wanted = wire::read_invalid_ke_payload(notify);
  if (!wanted || *wanted == own.method || own.attempts + 1 >= kMaxAttempts ||
      !policy::allows_ke(own.proposed.offer, *wanted))
    return false;
  shard.count(Counter::kInvalidKeRetries);
  if (own.rekeys)
    established.tasks.insert(established.tasks.begin(),
                             {RekeyChildTask{*own.rekeys, own.attempts + 1, *wanted}, {}});
  else
    established.tasks.insert(established.tasks.begin(),
                             {NewChildTask{own.intent, own.attempts + 1, *wanted, own.only_packet}, {}});
  return true;
}

void on_refused(Shard& shard, IkeSa& sa, Established& established, const wire::NotifyPayload& notify) {
  const auto own = std::move(std::get<std::unique_ptr<CreatingChild>>(established.own));
  established.own = std::monostate{};
  shard.spis().release(own->inbound_spi);
  shard.counters().add(kind_of(*own), ike::ExchangeRole::kInitiator, ike::ExchangeResult::kRefusedByPeer);
  if (notify.type == NotifyType::kInvalidKePayload && retry_with_method(shard, established, *own, notify))
    return;
  if (notify.type == NotifyType::kSinglePairRequired && own->intent.packet && !own->only_packet) {
    shard.count(RarePath::kSinglePairAskedFor);
    established.tasks.push_back({NewChildTask{own->intent, own->attempts + 1, own->method, true}, {}});
    return;
  }
  // RFC 9611 4: those that stand, if any does, are what there will be. (TEMPORARY_FAILURE says that it may be asked again.)
  if (own->intent.additional && notify.type != NotifyType::kTemporaryFailure &&
      model_of(established, own->intent.child_index))
    return;
  const auto& name = sa.connection->children[own->intent.child_index].name;
  const auto exchange = own->rekeys ? Exchange::kRekeyChild : Exchange::kCreateChild;
  Task retry;
  if (own->rekeys)
    retry.what = RekeyChildTask{*own->rekeys, 0, KeMethod::kNone};
  else
    retry.what = NewChildTask{own->intent, 0, KeMethod::kNone, own->only_packet};
  on_own_error(shard, sa, established,
               own->rekeys ? OwnExchange::kRekeyingChild : OwnExchange::kCreatingChild, notify.type,
               own->target_gone, std::move(retry), own->rekeys,
               ike::diagnosis::peer_refused(subject_of(sa, name), exchange, notify.type, true),
               own->intent.child_index);
}

void refuse_answer(Shard& shard, IkeSa& sa, Established& established, ike::Failure why) {
  const auto& own = *std::get<std::unique_ptr<CreatingChild>>(established.own);
  // The responder has it installed: it must go again.
  established.tasks.push_back({DeleteChildTask{own.inbound_spi, why.sentence}, {}});
  shard.counters().add(kind_of(own), ike::ExchangeRole::kInitiator, ike::ExchangeResult::kRefusedByUs);
  tell_child_failed(shard, sa, own.intent.child_index, std::move(why));
  release_in_flight_own(shard, established);
}

}  // namespace

void on_child_response(Shard& shard, IkeSa& sa, Established& established, Incoming&& incoming) {
  auto& own = *std::get<std::unique_ptr<CreatingChild>>(established.own);
  if (const auto* error = wire::find_error_notify(incoming.payloads))
    return on_refused(shard, sa, established, *error);
  established.temporary_failures_since.reset();
  auto accepted =
      check_child_answer(sa, *sa.connection, own.intent.child_index, own.proposed, incoming.payloads);
  if (!accepted) return refuse_answer(shard, sa, established, accepted.error());
  const auto* nonce = wire::find<wire::NoncePayload>(incoming.payloads);
  const auto* ke = wire::find<wire::KePayload>(incoming.payloads);
  const bool with_ke = accepted->chosen.ke != KeMethod::kNone;
  // RFC 7296 1.3.1, 2.10: the chosen method is that of the KE payloads.
  if (!nonce || !check_nonce_size(established.algorithms.prf, nonce->data.size()) ||
      (with_ke && (!ke || ke->method != accepted->chosen.ke || ke->method != own.method)))
    return refuse_answer(
        shard, sa, established,
        ike::diagnosis::protocol(subject_of(sa), Exchange::kCreateChild,
                                 "the answer lacks a nonce of the right size or the right KE payload"));
  const auto* model = own.intent.additional ? model_of(established, own.intent.child_index) : nullptr;
  if (model && !is_like(*accepted, *model))
    return refuse_answer(shard, sa, established,
                         ike::diagnosis::protocol(subject_of(sa), Exchange::kCreateChild,
                                                  "one more Child SA for the same selectors is to have the "
                                                  "algorithms and selectors of the first (RFC 9611)"));
  // RFC 9611 3: whoever does not answer it has no part in it. A rekey need not say it again.
  if (!own.rekeys && !has_resource_info(incoming.payloads)) own.resource.reset();
  own.nonce_r = nonce->data;
  own.accepted = std::move(*accepted);
  if (with_ke)
    own.pending = shard.derive_secret(sa, own.exchange, ke->data);
  else
    finish_own_child(shard, sa, established, nullptr);
}

bool is_answering_a_crossing_rekey(const Established& established) {
  if (const auto* child = std::get_if<std::unique_ptr<AnsweringChild>>(&established.answering))
    return (*child)->followup == Followup::kCompareNonces;
  if (const auto* ike = std::get_if<std::unique_ptr<AnsweringRekeyIke>>(&established.answering))
    return (*ike)->followup == Followup::kCompareNonces;
  return false;
}

void finish_held_back(Shard& shard, IkeSa& sa, Established& established) {
  if (is_answering_a_crossing_rekey(established)) return;
  if (auto* child = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      child && (*child)->held_back) {
    const auto held_back = std::exchange((*child)->held_back, std::nullopt);
    finish_own_child(shard, sa, established, held_back->shared_secret ? &*held_back->shared_secret : nullptr);
  } else if (auto* ike = std::get_if<std::unique_ptr<RekeyingIke>>(&established.own);
             ike && (*ike)->held_back) {
    const auto held_back = std::exchange((*ike)->held_back, std::nullopt);
    finish_own_rekey_ike(shard, sa, established, *held_back->shared_secret);
  }
}

namespace {
void settle_own_rekey(Established& established, const CreatingChild& own, policy::ChildSaId made,
                      bool redundant) {
  auto* old = find_child(established, *own.rekeys);
  if (redundant) {
    // What the peer made stays, and the peer deletes the old one, whose rekey this was: there is no other. Until then, or
    // until packets come in on the new one, the peer may not be ready for it: the old one still carries ours (RFC 7296 2.8).
    if (old) old->replaced = true;
    return delete_redundant(established, *find_child(established, made), "a simultaneous rekey won");
  }
  if (own.crossed)
    if (auto* theirs = find_child(established, own.crossed->child))
      theirs->replaced = true;  // the peer deletes it
  if (old) delete_redundant(established, *old, "rekeyed");
}

// RFC 7296 2.9: a packet asked for it, and the peer narrowed it so that it does not hold the packet. The next packet would have one more
// of the same made, and so on: for a while none is asked for.
constexpr Duration kNarrowedAwayPatience = std::chrono::minutes(10);
bool is_narrowed_away(const CreatingChild& own, const ChildAgreement& agreement) {
  return !own.rekeys && own.intent.packet &&
         !(policy::contains(agreement.local_ts, std::span(&own.intent.packet->local, 1)) &&
           policy::contains(agreement.remote_ts, std::span(&own.intent.packet->remote, 1)));
}

// Begun by us: with one that the peer began it makes twins, and of those both ends know which one goes (settle_twins()).
bool stands_already(const Established& established, const ChildAgreement& agreement) {
  return std::ranges::any_of(established.children, [&](const ChildSaRecord& record) {
    return record.child_index == agreement.child_index && record.live() && !record.replaced &&
           record.line.initiated && policy::same_set(record.sa->local_ts, agreement.local_ts) &&
           policy::same_set(record.sa->remote_ts, agreement.remote_ts);
  });
}

void wait_for_packets(Shard& shard, Established& established, std::size_t child_index) {
  shard.count(RarePath::kNarrowedAway);
  std::erase_if(established.narrowed_away, [&](const auto& one) { return one.child_index == child_index; });
  established.narrowed_away.push_back({child_index, shard.time() + kNarrowedAwayPatience});
}
}  // namespace

void finish_own_child(Shard& shard, IkeSa& sa, Established& established, const Secret* shared_secret) {
  if (is_answering_a_crossing_rekey(established)) {
    shard.count(RarePath::kChildRekeyHeldBack);
    auto& held_back = std::get<std::unique_ptr<CreatingChild>>(established.own)->held_back.emplace();
    if (shared_secret) held_back.shared_secret = Secret::copy_of(shared_secret->bytes());
    return;
  }
  const auto own = std::move(std::get<std::unique_ptr<CreatingChild>>(established.own));
  established.own = std::monostate{};
  const auto& early = own->deleted_early;
  if (std::find(early.begin(), early.end(), own->accepted->outbound_spi) != early.end()) {
    shard.count(RarePath::kChildDeletedBeforeItStands);
    shard.spis().release(own->inbound_spi);
    if (!own->rekeys)
      tell_child_failed(shard, sa, own->intent.child_index, ike::diagnosis::deleted_by_peer(subject_of(sa)));
    return;
  }
  ChildAgreement agreement;
  agreement.child_index = own->intent.child_index;
  agreement.chosen = own->accepted->chosen;
  agreement.inbound_spi = own->inbound_spi;
  agreement.outbound_spi = own->accepted->outbound_spi;
  agreement.local_ts = std::move(own->accepted->local_ts);
  agreement.remote_ts = std::move(own->accepted->remote_ts);
  agreement.nonce_i = own->nonce;
  agreement.nonce_r = own->nonce_r;
  agreement.shared_secret = shared_secret;
  agreement.initiator = true;
  agreement.replaces = own->rekeys;
  agreement.resource = own->resource;
  agreement.line = own->line;
  // RFC 7296 2.8.1: of two SAs that replace the same one, the one with the lowest nonce goes.
  const bool redundant =
      own->crossed && redundant_rekey({own->nonce, own->nonce_r},
                                      {own->crossed->nonce_i, own->crossed->nonce_r}) == Redundant::kOurs;
  if (own->crossed)
    shard.count(redundant ? RarePath::kCrossingChildRekeyLost : RarePath::kCrossingChildRekeyWon);
  const bool narrowed_away = is_narrowed_away(*own, agreement);
  const bool useless = narrowed_away && stands_already(established, agreement);
  agreement.use_outbound = !redundant && !useless;
  auto made = create_child_sa(shard, sa, established, agreement);
  shard.counters().add(kind_of(*own), ike::ExchangeRole::kInitiator,
                       made ? ike::ExchangeResult::kOk : ike::ExchangeResult::kRefusedByUs);
  if (!made) {
    shard.spis().release(own->inbound_spi);
    established.tasks.push_back({DeleteChildTask{own->inbound_spi, made.error().message}, {}});
    tell_child_failed(shard, sa, own->intent.child_index,
                      ike::diagnosis::internal(subject_of(sa), made.error()));
    return;
  }
  if (own->rekeys) settle_own_rekey(established, *own, *made, redundant);
  if (narrowed_away) wait_for_packets(shard, established, own->intent.child_index);
  if (useless)
    queue_delete_child(shard, established, established.children.back(),
                       "the peer takes no more for it than another Child SA carries");
  settle_twins(shard, established, own->intent.child_index);
  // Also after a rekey: one that was lost alone, or never came to be made, comes back with it.
  if (own->resource) queue_another(shard, sa, established, own->intent.child_index);
}

}  // namespace merlon::ikev2
