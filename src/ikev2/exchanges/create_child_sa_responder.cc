// CREATE_CHILD_SA, the responder's side (RFC 7296 1.3, 2.8, 2.25). The figures are in
// create_child_sa_initiator.cc and create_child_sa_rekey_ike.cc.
//
// Which of the three it is: N(REKEY_SA) names a Child SA; an SA payload with IKE proposals is about the IKE
// SA; else it is a new Child SA. How exchanges of ours that cross it change the answer is ikev2/collision.h's
// to say.
#include "crypto/key_exchange.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/exchanges/informational.h"
#include "ikev2/per_resource.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_create_child_request, Established, Next<Established, Lingering>>);
static_assert(leads_to<&on_peer_key_exchange, Established, Next<Established, Lingering>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;

void respond_error(Shard& shard, IkeSa& sa, Established& established, wire::NotifyPayload notify) {
  // RFC 7296 2.21.3: the peer takes the IKE SA for closed, and so do we.
  if (notify.type == NotifyType::kInvalidSyntax) established.broken = true;
  const std::vector<wire::Payload> payloads{std::move(notify)};
  (void)established.channel.respond(shard, sa, wire::ExchangeType::kCreateChildSa, payloads);
}

namespace {
Next<Established, Lingering> unless_broken(Shard& shard, IkeSa& sa, Established&& phase) {
  if (!phase.broken) return std::move(phase);
  return linger(
      shard, sa, std::move(phase),
      ike::diagnosis::protocol(subject_of(sa), Exchange::kCreateChild,
                               "its CREATE_CHILD_SA request is malformed", NotifyType::kInvalidSyntax));
}
}  // namespace

Next<Established, Lingering> on_create_child_request(Shard& shard, IkeSa& sa, Established&& phase,
                                                     Incoming&& incoming) {
  const auto* offered = wire::find<wire::SaPayload>(incoming.payloads);
  const bool for_ike = offered && offered->proposals.front().protocol == SecurityProtocol::kIke;
  const bool complete = offered && wire::find<wire::NoncePayload>(incoming.payloads) &&
                        (for_ike ? wire::find<wire::KePayload>(incoming.payloads) != nullptr
                                 : wire::find<wire::TsiPayload>(incoming.payloads) &&
                                       wire::find<wire::TsrPayload>(incoming.payloads));
  if (!complete)
    respond_error(shard, sa, phase, wire::make_notify(NotifyType::kInvalidSyntax));
  else if (for_ike)
    answer_rekey_ike_request(shard, sa, phase, incoming);
  else
    answer_child_request(shard, sa, phase, incoming);
  return unless_broken(shard, sa, std::move(phase));
}

Next<Established, Lingering> on_peer_key_exchange(Shard& shard, IkeSa& sa, Established&& phase,
                                                  ike::KeyExchangeDone&& done) {
  const auto advance = [&](auto& answering, auto finish) {
    answering.pending = 0;
    if (!answering.exchange && done.exchange) {
      answering.exchange = std::move(done.exchange);
      answering.pending = shard.derive_secret(sa, answering.exchange, answering.public_value);
    } else if (answering.exchange && done.shared_secret) {
      finish(*done.shared_secret);
    } else {
      respond_error(shard, sa, phase, wire::make_notify(NotifyType::kInvalidSyntax));  // RFC 6989
    }
  };
  if (auto* child = std::get_if<std::unique_ptr<AnsweringChild>>(&phase.answering))
    advance(**child, [&](const Secret& secret) { finish_peer_child(shard, sa, phase, &secret); });
  else if (auto* rekey = std::get_if<std::unique_ptr<AnsweringRekeyIke>>(&phase.answering))
    advance(**rekey, [&](const Secret& secret) { finish_peer_rekey_ike(shard, sa, phase, secret); });
  finish_held_back(shard, sa, phase);
  return unless_broken(shard, sa, std::move(phase));
}

namespace {

struct Named {
  std::optional<wire::ChildSaName> name;  // of N(REKEY_SA)
  ChildSaRecord* record = nullptr;
};
Named named_by(Established& established, std::span<const wire::Payload> payloads) {
  Named named;
  if (const auto* rekey = wire::find_notify(payloads, NotifyType::kRekeySa)) {
    const auto name = wire::read_child_sa_name(*rekey);
    named.name = name ? *name : wire::ChildSaName{};
    if (name && name->protocol == SecurityProtocol::kEsp)
      named.record = find_child_by_outbound(established, name->spi);
  }
  return named;
}

// False: answered already with what the table says.
std::optional<CollisionDecision> decide(Shard& shard, IkeSa& sa, Established& established,
                                        const Named& named) {
  const auto request = named.name ? PeerRequest::kRekeyChild : PeerRequest::kCreateChild;
  const auto decision =
      on_peer_request(own_exchange(established), request,
                      named.name ? named_child(established, named.record) : NamedChild::kNone);
  shard.counters().add_collision(decision.row);
  switch (decision.reply) {
    case Reply::kAccept:
      return decision;
    case Reply::kChildSaNotFound:
      // Perhaps what our own exchange is about to make: the peer shall ask again when we have its answer.
      if (std::holds_alternative<std::unique_ptr<CreatingChild>>(established.own)) {
        shard.count(RarePath::kUnknownChildMayBeInTheMaking);
        break;
      }
      respond_error(shard, sa, established, wire::make_child_sa_not_found(*named.name));
      return std::nullopt;
    case Reply::kTemporaryFailure:
    case Reply::kEmpty:
      break;
  }
  respond_error(shard, sa, established, wire::make_notify(NotifyType::kTemporaryFailure));
  return std::nullopt;
}

bool too_many_children(const Shard& shard, const IkeSa& sa, const Established& established) {
  std::size_t wanted = 0;
  for (const auto& child : sa.connection->children) wanted += wanted_child_sas(shard, child);
  return established.children.size() >= 2 * wanted + kMaxSpareChildSas;
}

}  // namespace

void answer_child_request(Shard& shard, IkeSa& sa, Established& established, const Incoming& incoming) {
  const auto named = named_by(established, incoming.payloads);
  const auto decision = decide(shard, sa, established, named);
  if (!decision) return;
  // RFC 7296 1.3.1
  if (too_many_children(shard, sa, established)) {
    shard.count(RarePath::kTooManyChildSas);
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kNoAdditionalSas));
  }
  const auto* ke = wire::find<wire::KePayload>(incoming.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(incoming.payloads);
  ChildQuestion question{wire::find<wire::SaPayload>(incoming.payloads),
                         wire::find<wire::TsiPayload>(incoming.payloads),
                         wire::find<wire::TsrPayload>(incoming.payloads),
                         true,
                         ke ? ke->method : KeMethod::kNone,
                         std::nullopt};
  if (named.record) question.child_index = named.record->child_index;
  auto answer = answer_child(sa, *sa.connection, question);
  if (!answer) {
    shard.counters().add(named.record ? ike::ExchangeKind::kRekeyChild : ike::ExchangeKind::kCreateChild,
                         ike::ExchangeRole::kResponder, ike::ExchangeResult::kRefusedByUs);
    respond_error(shard, sa, established, std::move(answer.error().notify));
    shard.emit(ike::Event(ike::NegotiationFailed{sa.connection_name(), answer.error().child, sa.path.remote,
                                                 std::move(answer.error().failure)}));
    return;
  }
  // RFC 7296 2.10
  if (!check_nonce_size(established.algorithms.prf, nonce->data.size()))
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kInvalidSyntax));
  const auto method = answer->selection.chosen.ke;
  // RFC 7296 1.3: a KE payload of the method that is chosen.
  if (method != KeMethod::kNone && (!ke || ke->method != method)) {
    shard.count(Counter::kInvalidKeSent);
    return respond_error(shard, sa, established, wire::make_invalid_ke_payload(method));
  }
  if (method != KeMethod::kNone && ke->data.size() != crypto::public_value_size(method))
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kInvalidSyntax));
  std::optional<unsigned> resource;
  if (named.record) {
    resource = named.record->sa->resource;
  } else if (has_resource_info(incoming.payloads) &&
             wanted_child_sas(shard, sa.connection->children[answer->child_index]) > 1) {
    resource = free_resource(shard, sa, established, answer->child_index, For::kPeers);
    // RFC 9611 4: as many as we can make use of stand already.
    if (!resource) return respond_error(shard, sa, established, wire::make_notify(NotifyType::kTsMaxQueue));
  }
  auto spi = named.record ? shard.spis().allocate_like(named.record->sa->inbound_spi)
             : resource   ? shard.spis().allocate_for(*resource)
                          : shard.spis().allocate();
  if (!spi) {
    shard.count(RarePath::kNoSpiLeft);
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kNoAdditionalSas));
  }
  auto answering = std::make_unique<AnsweringChild>();
  answering->answer = std::move(*answer);
  if (named.record) {
    answering->rekeys = named.record->sa->id;
    answering->line = named.record->line;
  }
  answering->resource = resource;
  answering->followup = decision->followup;
  answering->inbound_spi = *spi;
  answering->nonce_i = nonce->data;
  answering->nonce_r = shard.rng().bytes(kNonceSize);
  if (method == KeMethod::kNone) {
    established.answering = std::move(answering);
    return finish_peer_child(shard, sa, established, nullptr);
  }
  answering->public_value = ke->data;
  answering->pending = shard.generate_key_pair(sa, method);
  established.answering = std::move(answering);
}

static void settle_peer_rekey(Established& established, const AnsweringChild& answering,
                              policy::ChildSaId made) {
  if (auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
      own && answering.followup == Followup::kCompareNonces && (*own)->rekeys == answering.rekeys) {
    // RFC 7296 2.8.1: which one stays shows when the answer to ours is here.
    (*own)->crossed = Crossed{answering.nonce_i, answering.nonce_r, made, {}};
    return;
  }
  if (auto* old = find_child(established, *answering.rekeys)) old->replaced = true;
}

void finish_peer_child(Shard& shard, IkeSa& sa, Established& established, const Secret* shared_secret) {
  const auto answering = std::move(std::get<std::unique_ptr<AnsweringChild>>(established.answering));
  established.answering = std::monostate{};
  const auto method = answering->answer.selection.chosen.ke;
  ChildAgreement agreement;
  agreement.child_index = answering->answer.child_index;
  agreement.chosen = answering->answer.selection.chosen;
  agreement.inbound_spi = answering->inbound_spi;
  agreement.outbound_spi = answering->answer.outbound_spi;
  agreement.local_ts = answering->answer.narrowed.local_ts;
  agreement.remote_ts = answering->answer.narrowed.remote_ts;
  agreement.nonce_i = answering->nonce_i;
  agreement.nonce_r = answering->nonce_r;
  agreement.shared_secret = shared_secret;
  agreement.replaces = answering->rekeys;
  agreement.resource = answering->resource;
  agreement.line = answering->line;
  // RFC 7296 2.8: after a rekey the initiator moves first; we follow when it does, or when it deletes the old
  // SA.
  agreement.use_outbound = !answering->rekeys;
  // Inbound stands before the answer leaves: the initiator may send at once.
  auto made = create_child_sa(shard, sa, established, agreement);
  if (!made) {
    shard.spis().release(answering->inbound_spi);
    return respond_error(shard, sa, established, wire::make_notify(NotifyType::kNoProposalChosen));
  }
  std::vector<wire::Payload> payloads;
  payloads.emplace_back(wire::NoncePayload{answering->nonce_r, false});
  if (method != KeMethod::kNone)
    payloads.emplace_back(wire::KePayload{method, to_bytes(answering->exchange->public_value()), false});
  append_child_answer(payloads, answering->answer, answering->inbound_spi);
  if (answering->resource && !answering->rekeys)
    payloads.emplace_back(make_resource_info(*answering->resource));
  if (auto answered = established.channel.respond(shard, sa, wire::ExchangeType::kCreateChildSa, payloads);
      !answered) {
    if (auto* record = find_child(established, *made))
      close_child(shard, sa, *record, answered.error().message);
    return;
  }
  shard.counters().add(answering->rekeys ? ike::ExchangeKind::kRekeyChild : ike::ExchangeKind::kCreateChild,
                       ike::ExchangeRole::kResponder, ike::ExchangeResult::kOk);
  find_child(established, *made)->unconfirmed_until =
      shard.time() + RetransmissionSchedule::of(*sa.connection).total();
  if (answering->rekeys) settle_peer_rekey(established, *answering, *made);
  settle_twins(shard, established, answering->answer.child_index);
}

}  // namespace merlon::ikev2
