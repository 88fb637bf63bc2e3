// IKE_AUTH, the initiator's side (RFC 7296 1.2, 2.15, 2.21.2).
//
//   initiator                                                   responder
//     HDR, SK {IDi, [CERT,] [N(INITIAL_CONTACT),] [CERTREQ,]
//              [IDr,] AUTH, SAi2, TSi, TSr}                -->
//                                                          <--   HDR, SK {IDr, [CERT,] AUTH, SAr2, TSi, TSr}
//                                                          or    HDR, SK {IDr, [CERT,] AUTH, N(...)}   no Child SA
//                                                          or    HDR, SK {N(AUTHENTICATION_FAILED)}
//     HDR, SK {N(AUTHENTICATION_FAILED)}                   -->   the responder failed to prove itself
//
// Every candidate answer to IKE_SA_INIT is followed by itself until one of them proves to be the peer (RFC
// 7296 2.4).
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_auth.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "ikev2/per_resource.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_candidate_secret, AuthSent, Next<InitSent, AuthSent, Closed>>);
static_assert(leads_to<&on_initiator_signature, AuthSent, Next<InitSent, AuthSent, Closed>>);
static_assert(
    leads_to<&on_ike_auth_response, AuthSent, Next<InitSent, AuthSent, Established, Closing, Closed>>);
static_assert(leads_to<&on_auth_timer, AuthSent, Next<InitSent, AuthSent, Closed>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;
using Continues = Next<InitSent, AuthSent, Closed>;

namespace {

enum class Weight {
  kForgeable,  // anybody could have caused it: go on waiting for other answers
  kFinal,      // as sure as it gets: when no other candidate is left, the attempt has failed
};

void release_child_spi(Shard& shard, AuthSent& phase) {
  if (phase.inbound_spi.value != 0) shard.spis().release(phase.inbound_spi);
  phase.inbound_spi = {};
}

Continues drop_candidate(Shard& shard, IkeSa& sa, AuthSent&& phase, std::size_t index, ike::Failure why,
                         Weight weight) {
  shard.count(Counter::kCandidatesDiscarded);
  phase.candidates.erase(phase.candidates.begin() + static_cast<std::ptrdiff_t>(index));
  if (weight == Weight::kFinal || !phase.last_failure) phase.last_failure = std::move(why);
  if (!phase.candidates.empty()) return std::move(phase);
  release_child_spi(shard, phase);
  if (weight == Weight::kFinal) return give_up(shard, sa, *phase.last_failure);
  shard.count(RarePath::kNoCandidateLeft);
  InitSent back{std::move(phase.intents), std::move(phase.init)};
  back.init.hint = std::move(phase.last_failure);
  return back;
}

std::vector<wire::Payload> request_payloads(Shard& shard, const IkeSa& sa, const AuthSent& phase,
                                            const Candidate& candidate, wire::AuthPayload auth) {
  const auto& connection = *sa.connection;
  const auto& credentials = shard.credentials(connection.name);
  std::vector<wire::Payload> payloads;
  payloads.emplace_back(wire::IdiPayload{phase.local_id, false});
  std::vector<const wire::CertreqPayload*> asked;
  for (const auto& request : candidate.peer.certreqs) asked.push_back(&request);
  for (auto& certificate : local_cert_payloads(connection, credentials, asked))
    payloads.emplace_back(std::move(certificate));
  // RFC 7296 2.4: only when we know of no other IKE SA between these two identities.
  if (connection.initial_contact && !shard.has_established(sa, connection))
    payloads.emplace_back(wire::make_notify(NotifyType::kInitialContact));
  for (auto& request : certreq_payloads(connection, credentials)) payloads.emplace_back(std::move(request));
  if (!connection.remote_auth.empty() && connection.remote_auth.front().id)
    payloads.emplace_back(wire::IdrPayload{*connection.remote_auth.front().id, false});
  payloads.emplace_back(std::move(auth));
  payloads.emplace_back(wire::SaPayload{phase.proposed.offer, false});
  payloads.emplace_back(wire::TsiPayload{phase.proposed.tsi, {}, false});
  payloads.emplace_back(wire::TsrPayload{phase.proposed.tsr, {}, false});
  if (wanted_child_sas(shard, connection.children[phase.intents.front().child_index]) > 1)
    payloads.emplace_back(make_resource_info(0));
  return payloads;
}

Continues send_request(Shard& shard, IkeSa& sa, AuthSent&& phase, std::size_t index, wire::AuthPayload auth) {
  auto& candidate = phase.candidates[index];
  const auto payloads = request_payloads(shard, sa, phase, candidate, std::move(auth));
  auto sent = candidate.channel->request(shard, sa, wire::ExchangeType::kIkeAuth, payloads,
                                         RetransmissionSchedule::of(*sa.connection));
  if (!sent)
    return drop_candidate(shard, sa, std::move(phase), index,
                          ike::diagnosis::internal(subject_of(sa), sent.error()), Weight::kFinal);
  return std::move(phase);
}

// Proves who we are: at once with a PSK, else with an action.
Continues prove(Shard& shard, IkeSa& sa, AuthSent&& phase, std::size_t index) {
  auto& candidate = phase.candidates[index];
  const auto& credentials = shard.credentials(sa.connection->name);
  auto plan =
      plan_local_auth(*sa.connection, credentials, candidate.peer.hashes ? &*candidate.peer.hashes : nullptr);
  // What the candidate said about hashes is not authenticated.
  if (!plan) return drop_candidate(shard, sa, std::move(phase), index, plan.error(), Weight::kForgeable);
  candidate.plan = std::move(*plan);
  auto octets = signed_octets({phase.init.request, candidate.nonce_r, candidate.algorithms.prf,
                               candidate.keys.sk_pi.bytes(), wire::encode_id_body(phase.local_id)});
  const auto internal = [&](const Error& why) {
    return drop_candidate(shard, sa, std::move(phase), index, ike::diagnosis::internal(subject_of(sa), why),
                          Weight::kFinal);
  };
  if (!octets) return internal(octets.error());
  if (candidate.plan.method == AuthMethod::kSharedKeyMic) {
    auto auth = psk_auth_payload(candidate.algorithms.prf, credentials.local_psk, *octets);
    if (!auth) return internal(auth.error());
    return send_request(shard, sa, std::move(phase), index, std::move(*auth));
  }
  candidate.pending = shard.register_request(sa);
  shard.emit(
      sign_request(candidate.pending, *sa.connection, credentials, candidate.plan, std::move(*octets)));
  return std::move(phase);
}

std::optional<std::size_t> find_pending(const AuthSent& phase, ike::RequestId request) {
  for (std::size_t i = 0; i < phase.candidates.size(); ++i)
    if (phase.candidates[i].pending == request) return i;
  return std::nullopt;
}

Result<Channel> open_channel(const IkeSa& sa, const Candidate& candidate) {
  MERLON_TRY(auto protection, MessageProtection::create(candidate.algorithms.cipher, candidate.keys, true));
  Channel::Setup setup;
  setup.id = {sa.id.initiator, candidate.responder_spi};
  setup.initiator = true;
  setup.path = candidate.path;
  setup.fragmentation = sa.connection->fragmentation && candidate.peer.fragmentation;
  setup.fragment_size = sa.connection->fragment_size;
  setup.next_own_id = 1;  // IKE_SA_INIT was 0 (RFC 7296 2.2)
  return Channel(setup, std::move(protection));
}

// The children that did not go along with IKE_AUTH.
void queue_other_children(const std::vector<ChildIntent>& intents, Established& established) {
  for (std::size_t i = 1; i < intents.size(); ++i)
    established.tasks.push_back({NewChildTask{intents[i], 0, KeMethod::kNone, false}, {}});
}

void make_first_child(Shard& shard, IkeSa& sa, AuthSent& phase, const Candidate& candidate,
                      Established& established, std::span<const wire::Payload> payloads) {
  const auto child_index = phase.intents.front().child_index;
  const auto refused = [&](ike::Failure why) {
    release_child_spi(shard, phase);
    tell_child_failed(shard, sa, child_index, std::move(why));
  };
  // RFC 7296 2.21.2: the IKE SA stands even where the Child SA could not be made.
  if (const auto* error = wire::find_error_notify(payloads)) {
    auto subject = subject_of(sa, sa.connection->children[child_index].name);
    if (error->type == NotifyType::kSinglePairRequired && phase.intents.front().packet) {
      shard.count(RarePath::kSinglePairAskedFor);
      release_child_spi(shard, phase);
      established.tasks.push_back({NewChildTask{phase.intents.front(), 1, KeMethod::kNone, true}, {}});
      return;
    }
    return refused(ike::diagnosis::peer_refused(subject, Exchange::kIkeAuth, error->type, true));
  }
  auto accepted = check_child_answer(sa, *sa.connection, child_index, phase.proposed, payloads);
  if (!accepted) {
    // The peer believes that it exists: tell it that it does not.
    established.tasks.push_back({DeleteChildTask{phase.inbound_spi, accepted.error().sentence}, {}});
    return refused(accepted.error());
  }
  ChildAgreement agreement;
  agreement.child_index = child_index;
  agreement.chosen = accepted->chosen;
  agreement.inbound_spi = phase.inbound_spi;
  agreement.outbound_spi = accepted->outbound_spi;
  agreement.local_ts = std::move(accepted->local_ts);
  agreement.remote_ts = std::move(accepted->remote_ts);
  agreement.nonce_i = phase.init.nonce;
  agreement.nonce_r = candidate.nonce_r;
  agreement.initiator = true;
  const bool several = wanted_child_sas(shard, sa.connection->children[child_index]) > 1;
  if (several && has_resource_info(payloads)) agreement.resource = 0;
  if (auto made = create_child_sa(shard, sa, established, agreement); !made)
    return refused(ike::diagnosis::internal(subject_of(sa), made.error()));
  phase.inbound_spi = {};
  if (agreement.resource) queue_another(shard, sa, established, child_index);
}

// The responder proved nothing, or something else: RFC 7296 2.21.2, it is told in an exchange of its own.
Closing refuse_responder(Shard& shard, IkeSa& sa, AuthSent& phase, Candidate candidate, ike::Failure why) {
  shard.count(Counter::kAuthenticationFailures);
  release_child_spi(shard, phase);
  const std::vector<wire::Payload> payloads{wire::make_notify(NotifyType::kAuthenticationFailed)};
  auto schedule = RetransmissionSchedule::of(*sa.connection);
  schedule.tries = std::min(schedule.tries, 3U);
  sa.id.responder = candidate.responder_spi;
  sa.path = candidate.path;
  (void)candidate.channel->request(shard, sa, wire::ExchangeType::kInformational, payloads, schedule);
  (void)give_up(shard, sa, std::move(why));
  return Closing{std::move(*candidate.channel)};
}

}  // namespace

void add_candidate(Shard& shard, IkeSa& sa, AuthSent& phase, Candidate candidate) {
  shard.count(Counter::kCandidatesKept);
  if (!phase.candidates.empty()) shard.count(RarePath::kSecondCandidate);
  candidate.pending = shard.derive_secret(sa, phase.init.exchange, candidate.public_value);
  phase.candidates.push_back(std::move(candidate));
}

Continues on_candidate_secret(Shard& shard, IkeSa& sa, AuthSent&& phase, ike::KeyExchangeDone&& done) {
  const auto index = find_pending(phase, done.request);
  if (!index) return std::move(phase);
  auto& candidate = phase.candidates[*index];
  candidate.pending = 0;
  if (!done.shared_secret) {
    auto why =
        ike::diagnosis::protocol(subject_of(sa), Exchange::kIkeSaInit, done.shared_secret.error().message);
    return drop_candidate(shard, sa, std::move(phase), *index, std::move(why), Weight::kForgeable);
  }
  const IkeSaId id{sa.id.initiator, candidate.responder_spi};
  auto keys =
      derive_ike_keys(candidate.algorithms, {phase.init.nonce, candidate.nonce_r, id}, *done.shared_secret);
  const auto internal = [&](const Error& why) {
    return drop_candidate(shard, sa, std::move(phase), *index, ike::diagnosis::internal(subject_of(sa), why),
                          Weight::kFinal);
  };
  if (!keys) return internal(keys.error());
  candidate.keys = std::move(*keys);
  auto channel = open_channel(sa, candidate);
  if (!channel) return internal(channel.error());
  candidate.channel.emplace(std::move(*channel));
  if (sa.id.responder.value == 0) {  // for tracing, until it is known who is who
    sa.id.responder = candidate.responder_spi;
  }
  trace_keys(shard, sa, candidate.algorithms, candidate.keys);
  if (phase.inbound_spi.value == 0) {
    // RFC 9611: the first of several, if the peer takes part.
    const auto& child = sa.connection->children[phase.intents.front().child_index];
    auto spi = wanted_child_sas(shard, child) > 1 ? shard.spis().allocate_for(0) : shard.spis().allocate();
    if (!spi) {
      shard.count(RarePath::kNoSpiLeft);
      return internal(spi.error());
    }
    phase.inbound_spi = *spi;
    phase.local_id =
        local_identity(*sa.connection, shard.credentials(sa.connection->name), candidate.path.local.address);
    phase.proposed = propose_child(*sa.connection, phase.intents.front(), *spi, false);
  }
  return prove(shard, sa, std::move(phase), *index);
}

Continues on_initiator_signature(Shard& shard, IkeSa& sa, AuthSent&& phase, ike::SignDone&& done) {
  const auto index = find_pending(phase, done.request);
  if (!index) return std::move(phase);
  auto& candidate = phase.candidates[*index];
  candidate.pending = 0;
  if (!done.signature)
    return drop_candidate(shard, sa, std::move(phase), *index,
                          ike::diagnosis::cannot_sign(subject_of(sa), done.signature.error()),
                          Weight::kFinal);
  auto auth = signature_auth_payload(candidate.plan, *done.signature);
  if (!auth)
    return drop_candidate(shard, sa, std::move(phase), *index,
                          ike::diagnosis::cannot_sign(subject_of(sa), auth.error()), Weight::kFinal);
  return send_request(shard, sa, std::move(phase), *index, std::move(*auth));
}

Next<InitSent, AuthSent, Established, Closing, Closed> on_ike_auth_response(Shard& shard, IkeSa& sa,
                                                                            AuthSent&& phase,
                                                                            const Arrival& arrival) {
  std::optional<Incoming> incoming;
  std::size_t index = 0;
  // Nobody is authenticated yet: a request of the responder has to wait for its own retransmission.
  if (!arrival.message.header.flags.response) {
    shard.count(Counter::kDropWrongPhase);
    return std::move(phase);
  }
  for (; index < phase.candidates.size() && !incoming; ++index) {
    auto& candidate = phase.candidates[index];
    if (candidate.channel && candidate.responder_spi == arrival.message.header.responder_spi)
      incoming = candidate.channel->open(shard, sa, arrival);
  }
  if (!incoming) return std::move(phase);
  auto& candidate = phase.candidates[--index];
  const auto& payloads = incoming->payloads;
  sa.id.responder = candidate.responder_spi;
  if (incoming->malformed || incoming->exchange != wire::ExchangeType::kIkeAuth) {
    auto why = ike::diagnosis::protocol(
        subject_of(sa), Exchange::kIkeAuth,
        incoming->malformed ? incoming->malformed->error.message : "another exchange's answer");
    return drop_candidate(shard, sa, std::move(phase), index, std::move(why), Weight::kFinal);
  }
  const auto* idr = wire::find<wire::IdrPayload>(payloads);
  const auto* auth = wire::find<wire::AuthPayload>(payloads);
  if (!idr || !auth) {
    const auto* error = wire::find_error_notify(payloads);
    auto why =
        error ? ike::diagnosis::peer_refused(subject_of(sa), Exchange::kIkeAuth, error->type, true)
              : ike::diagnosis::protocol(subject_of(sa), Exchange::kIkeAuth, "the answer lacks IDr or AUTH");
    shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kInitiator,
                         ike::ExchangeResult::kRefusedByPeer);
    return drop_candidate(shard, sa, std::move(phase), index, std::move(why), Weight::kFinal);
  }
  const auto certificates = wire::find_all<wire::CertPayload>(payloads);
  auto octets = signed_octets({candidate.response, phase.init.nonce, candidate.algorithms.prf,
                               candidate.keys.sk_pr.bytes(), wire::encode_id_body(idr->identity)});
  if (!octets)
    return drop_candidate(shard, sa, std::move(phase), index,
                          ike::diagnosis::internal(subject_of(sa), octets.error()), Weight::kFinal);
  const auto& credentials = shard.credentials(sa.connection->name);
  auto peer = authenticate_peer(sa.connection, credentials, candidate.path.remote, candidate.algorithms.prf,
                                {idr->identity, certificates, auth, std::move(*octets)}, shard.wall());
  if (!peer) {
    shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kInitiator,
                         ike::ExchangeResult::kRefusedByUs);
    if (phase.candidates.size() > 1)
      return drop_candidate(shard, sa, std::move(phase), index, peer.error(), Weight::kFinal);
    return refuse_responder(shard, sa, phase, std::move(candidate), peer.error());
  }
  // RFC 7296 2.4: this one it is; what the others were does not matter any more.
  shard.count(Counter::kCandidatesDiscarded, phase.candidates.size() - 1);
  shard.counters().add(ike::ExchangeKind::kIkeSaInit, ike::ExchangeRole::kInitiator,
                       ike::ExchangeResult::kOk);
  shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kInitiator, ike::ExchangeResult::kOk);
  sa.path = candidate.path;
  sa.nat = candidate.peer.nat;
  auto established =
      establish(shard, sa,
                {std::move(*candidate.channel), candidate.algorithms, std::move(candidate.keys),
                 std::move(*peer), phase.local_id, candidate.plan.text, false});
  heed_window_size(established, payloads);
  make_first_child(shard, sa, phase, candidate, established, payloads);
  queue_other_children(phase.intents, established);
  shard.resolve_uniqueness(sa, established, false);
  close_if_redundant(shard, sa, established);
  return established;
}

Continues on_auth_timer(Shard& shard, IkeSa& sa, AuthSent&& phase) {
  for (std::size_t index = 0; index < phase.candidates.size(); ++index) {
    auto& channel = phase.candidates[index].channel;
    if (!channel) continue;
    const auto sends = channel->sends();
    const auto elapsed = shard.time() - channel->first_sent();
    const auto due = channel->advance(shard, sa);
    if (due == Channel::Due::kSentAgain) shard.count(RarePath::kAuthSentAgain);
    if (due != Channel::Due::kGivenUp) continue;
    shard.count(RarePath::kAuthGivenUp);
    shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kInitiator,
                         ike::ExchangeResult::kTimeout);
    auto why = ike::diagnosis::timeout(subject_of(sa), Exchange::kIkeAuth, sends, elapsed, false);
    return drop_candidate(shard, sa, std::move(phase), index, std::move(why), Weight::kFinal);
  }
  return std::move(phase);
}

}  // namespace merlon::ikev2
