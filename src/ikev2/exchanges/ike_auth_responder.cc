// IKE_AUTH, the responder's side (RFC 7296 1.2, 2.15, 2.21.2; RFC 4301 4.4.3: the PAD). The figure is in
// ike_auth_initiator.cc.
//
//   HalfOpen --IKE_AUTH request, AUTH verified--> Proving --our signature--> Established
//        \                                          (a PSK needs no waiting)
//         \--anything wrong--> Lingering: N(AUTHENTICATION_FAILED), encrypted, and again when asked again
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_auth.h"
#include "ikev2/per_resource.h"
#include "pki/identity_text.h"
#include "policy/pad.h"

namespace merlon::ikev2 {

using AuthNext = Next<HalfOpen, Proving, Established, Lingering, Closed>;
static_assert(leads_to<&on_ike_auth_request, HalfOpen, AuthNext>);
static_assert(leads_to<&on_responder_secret, HalfOpen, AuthNext>);
static_assert(leads_to<&on_responder_signature, Proving, Next<Proving, Established, Lingering, Closed>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;

namespace {

policy::PadHelpers pad_helpers() {
  policy::PadHelpers helpers;
  helpers.pattern_matches = [](std::string_view pattern, const Identity& identity) {
    return identity.type == IdType::kDerAsn1Dn && pki::dn_matches_pattern(identity.data, pattern);
  };
  return helpers;
}

// Says no in a protected response. RFC 7296 2.21.2: the IKE SA is not made.
// The half-open place stays taken while it lingers: it limits how often one source may fail.
Next<Lingering, Closed> refuse(Shard& shard, IkeSa& sa, Channel&& channel, wire::NotifyPayload notify,
                               ike::Failure why, const policy::ConnectionPtr& nearest = {}) {
  const auto type = notify.type;
  shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kResponder,
                       ike::ExchangeResult::kRefusedByUs);
  if (type == NotifyType::kAuthenticationFailed) shard.count(Counter::kAuthenticationFailures);
  why.notify_type = static_cast<std::uint16_t>(type);
  const std::vector<wire::Payload> payloads{std::move(notify)};
  const bool answered = channel.respond(shard, sa, wire::ExchangeType::kIkeAuth, payloads).has_value();
  shard.emit(ike::Event(ike::NegotiationFailed{
      nearest ? nearest->name : sa.connection_name(), {}, sa.path.remote, std::move(why), true}));
  if (!answered) return Closed{};
  return linger(shard, std::move(channel));
}
Next<Lingering, Closed> refuse(Shard& shard, IkeSa& sa, Channel&& channel, NotifyType type, ike::Failure why,
                               const policy::ConnectionPtr& nearest = {}) {
  return refuse(shard, sa, std::move(channel), wire::make_notify(type), std::move(why), nearest);
}

struct AuthRequest {
  const wire::IdiPayload* idi = nullptr;
  const wire::IdrPayload* idr = nullptr;
  const wire::AuthPayload* auth = nullptr;
  explicit AuthRequest(std::span<const wire::Payload> payloads)
      : idi(wire::find<wire::IdiPayload>(payloads)),
        idr(wire::find<wire::IdrPayload>(payloads)),
        auth(wire::find<wire::AuthPayload>(payloads)) {}
};

struct Verified {
  policy::ConnectionPtr connection;
  PeerAuthenticated peer;
};
struct Refused {
  ike::Failure failure;
  policy::ConnectionPtr nearest;  // the connection that the failure speaks of, if any
};

policy::PadQuery pad_query(const Path& path, const AuthRequest& request) {
  policy::PadQuery query;
  query.remote_address = path.remote.address;
  query.local_address = path.local.address;
  query.remote_id = request.idi->identity;
  if (request.idr) query.local_id = request.idr->identity;
  return query;
}

Refused nobody_accepts(Shard& shard, const Path& path, const AuthRequest& request) {
  auto by_address = pad_query(path, request);
  by_address.remote_id.reset();
  by_address.local_id.reset();
  std::vector<std::string> expected;
  policy::ConnectionPtr nearest;
  for (const auto& candidate : policy::find_connections(shard.connections(), by_address, pad_helpers())) {
    if (!nearest) nearest = candidate.connection;
    for (const auto& auth : candidate.connection->remote_auth) {
      std::string text = auth.id                ? pki::identity_to_text(*auth.id)
                         : auth.id_text.empty() ? "%any"
                                                : auth.id_text;
      // Where it asked for one of us, that may be what does not fit.
      if (request.idr && !candidate.connection->local_auth.empty())
        if (const auto& local = candidate.connection->local_auth.front().id; !local.data.empty())
          text += fmt::format(" who talks to '{}'", pki::identity_to_text(local));
      expected.push_back(std::move(text));
    }
  }
  std::optional<Identity> asked;
  if (request.idr) asked = request.idr->identity;
  return {ike::diagnosis::no_connection_for_identity({nearest.get(), {}, path.remote}, request.idi->identity,
                                                     asked, expected),
          nearest};
}

// RFC 4301 4.4.3: the connection is chosen by the identities and then proved by its own credentials. Several
// may fit the same names (a rollover of keys, "any" beside "any"); few are tried.
constexpr std::size_t kMaxTried = 4;

tl::expected<Verified, Refused> verify(Shard& shard, const IkeSa& sa, const HalfOpen& phase, const Path& path,
                                       std::span<const wire::Payload> payloads) {
  const AuthRequest request(payloads);
  const ike::diagnosis::Subject subject{nullptr, {}, sa.path.remote};
  if (!request.idi)
    return tl::unexpected(
        Refused{ike::diagnosis::protocol(subject, Exchange::kIkeAuth, "the request lacks IDi",
                                         NotifyType::kAuthenticationFailed),
                {}});
  // RFC 7296 2.16: without AUTH it asks for EAP.
  if (!request.auth)
    return tl::unexpected(Refused{ike::diagnosis::protocol(subject, Exchange::kIkeAuth,
                                                           "it asks for EAP, which this side does not offer",
                                                           NotifyType::kAuthenticationFailed),
                                  {}});
  const auto found = policy::find_connections(shard.connections(), pad_query(path, request), pad_helpers());
  if (found.empty()) return tl::unexpected(nobody_accepts(shard, path, request));
  MERLON_ASSERT(phase.channel.has_value());
  auto octets = signed_octets({phase.request, phase.nonce_r, phase.algorithms.prf, phase.keys.sk_pi.bytes(),
                               wire::encode_id_body(request.idi->identity)});
  if (!octets) return tl::unexpected(Refused{ike::diagnosis::internal(subject, octets.error()), {}});
  const auto certificates = wire::find_all<wire::CertPayload>(payloads);
  const policy::Proposals chosen{policy::to_proposal(phase.chosen)};
  std::optional<Refused> first_failure;
  std::size_t tried = 0;
  for (const auto& candidate : found) {
    // The proposal was chosen from all connections for this address: it must be one of this connection's,
    // too.
    if (!policy::select_ike(candidate.connection->ike_proposals, chosen, {phase.chosen.ke})) {
      if (!first_failure)
        first_failure = {ike::diagnosis::no_proposal({candidate.connection.get(), {}, path.remote},
                                                     candidate.connection->ike_proposals, chosen),
                         candidate.connection};
      continue;
    }
    if (++tried > kMaxTried) break;
    auto peer = authenticate_peer(candidate.connection, shard.credentials(candidate.connection->name),
                                  path.remote, phase.algorithms.prf,
                                  {request.idi->identity, certificates, request.auth, *octets}, shard.wall());
    if (peer) return Verified{candidate.connection, std::move(*peer)};
    if (!first_failure || tried == 1) first_failure = {peer.error(), candidate.connection};
  }
  return tl::unexpected(std::move(*first_failure));
}

struct ChildOutcome {
  std::optional<ChildAgreement> agreement;
  std::optional<ike::Failure> failure;
  std::string failed_child;
};

// SAi2, TSi, TSr of the request; appends the answer, or the notification that refuses (RFC 7296 2.21.2).
ChildOutcome answer_first_child(Shard& shard, const IkeSa& sa, std::span<const wire::Payload> request,
                                std::vector<wire::Payload>& payloads) {
  ChildQuestion question{wire::find<wire::SaPayload>(request),
                         wire::find<wire::TsiPayload>(request),
                         wire::find<wire::TsrPayload>(request),
                         false,
                         KeMethod::kNone,
                         std::nullopt};
  ChildOutcome outcome;
  if (!question.sa && !question.tsi && !question.tsr) return outcome;  // a childless IKE SA (RFC 6023)
  const auto refuse_child = [&](wire::NotifyPayload notify, ike::Failure why) {
    payloads.emplace_back(std::move(notify));
    outcome.failure = std::move(why);
    return std::move(outcome);
  };
  if (!question.sa || !question.tsi || !question.tsr)
    return refuse_child(
        wire::make_notify(NotifyType::kNoProposalChosen),
        ike::diagnosis::protocol(subject_of(sa), Exchange::kIkeAuth, "the request lacks SA, TSi or TSr"));
  auto answer = answer_child(sa, *sa.connection, question);
  if (!answer) outcome.failed_child = answer.error().child;
  if (!answer) return refuse_child(std::move(answer.error().notify), std::move(answer.error().failure));
  // RFC 9611 3
  const bool several =
      has_resource_info(request) && wanted_child_sas(shard, sa.connection->children[answer->child_index]) > 1;
  auto spi = several ? shard.spis().allocate_for(0) : shard.spis().allocate();
  if (!spi) {
    shard.count(RarePath::kNoSpiLeft);
    return refuse_child(wire::make_notify(NotifyType::kNoAdditionalSas),
                        ike::diagnosis::internal(subject_of(sa), spi.error()));
  }
  std::vector<wire::Payload> child;
  append_child_answer(child, *answer, *spi);
  if (several) child.emplace_back(make_resource_info(0));
  for (auto& payload : child) payloads.push_back(std::move(payload));
  ChildAgreement agreement;
  agreement.child_index = answer->child_index;
  agreement.chosen = answer->selection.chosen;
  agreement.inbound_spi = *spi;
  agreement.outbound_spi = answer->outbound_spi;
  agreement.local_ts = std::move(answer->narrowed.local_ts);
  agreement.remote_ts = std::move(answer->narrowed.remote_ts);
  if (several) agreement.resource = 0;
  outcome.agreement = std::move(agreement);
  return outcome;
}

// Both are proved: answers, and the IKE SA stands.
Next<Established, Lingering, Closed> accept(Shard& shard, IkeSa& sa, Proving&& phase,
                                            wire::AuthPayload auth) {
  const auto& credentials = shard.credentials(sa.connection->name);
  std::vector<wire::Payload> payloads;
  payloads.emplace_back(wire::IdrPayload{phase.local_id, false});
  const auto asked = wire::find_all<wire::CertreqPayload>(phase.request);
  for (auto& certificate : local_cert_payloads(*sa.connection, credentials, asked))
    payloads.emplace_back(std::move(certificate));
  payloads.emplace_back(std::move(auth));
  auto child = answer_first_child(shard, sa, phase.request, payloads);
  auto& init = phase.init;
  if (auto answered = init.channel->respond(shard, sa, wire::ExchangeType::kIkeAuth, payloads); !answered) {
    if (child.agreement) shard.spis().release(child.agreement->inbound_spi);
    return give_up(shard, sa, ike::diagnosis::internal(subject_of(sa), answered.error()));
  }
  shard.end_half_open(sa);
  const bool initial_contact = wire::find_notify(phase.request, NotifyType::kInitialContact) != nullptr;
  if (initial_contact) shard.count(Counter::kInitialContactsReceived);
  shard.counters().add(ike::ExchangeKind::kIkeAuth, ike::ExchangeRole::kResponder, ike::ExchangeResult::kOk);
  auto established = establish(shard, sa,
                               {std::move(*init.channel), init.algorithms, std::move(init.keys),
                                std::move(phase.peer), phase.local_id, phase.plan.text, false});
  heed_window_size(established, phase.request);
  shard.resolve_uniqueness(sa, established, initial_contact);
  close_if_redundant(shard, sa, established);
  if (child.failure) {
    if (child.failed_child.empty()) child.failed_child = sa.connection->children.front().name;
    shard.emit(ike::Event(
        ike::NegotiationFailed{sa.connection_name(), child.failed_child, sa.path.remote, *child.failure}));
  }
  if (child.agreement) {
    child.agreement->nonce_i = init.nonce_i;
    child.agreement->nonce_r = init.nonce_r;
    if (auto made = create_child_sa(shard, sa, established, *child.agreement); !made) {
      shard.spis().release(child.agreement->inbound_spi);
      established.tasks.push_back({DeleteChildTask{child.agreement->inbound_spi, made.error().message}, {}});
    }
  }
  return established;
}

AuthNext prove(Shard& shard, IkeSa& sa, HalfOpen&& init, Verified&& verified,
               std::vector<wire::Payload>&& request, const Path& from) {
  sa.connection = verified.connection;
  // RFC 7296 2.23: the port changes between the exchanges where there is a NAT, and nothing does where there is none. A copy that
  // somebody lets arrive from elsewhere is answered there, and that is all.
  const Path path = from.natt ? from : sa.path;
  const auto& credentials = shard.credentials(sa.connection->name);
  auto local_id = local_identity(*sa.connection, credentials, path.local.address);
  if (shard.refuses_duplicate(sa, verified.peer, local_id)) {
    shard.count(RarePath::kDuplicateIkeSaRefused);
    return refuse(shard, sa, std::move(*init.channel), NotifyType::kAuthenticationFailed,
                  {ike::FailureKind::kAuthentication, ike::FailureSide::kLocal, 0,
                   fmt::format("{} says unique = \"keep\", and '{}' is connected already",
                               ike::diagnosis::describe(subject_of(sa)),
                               pki::identity_to_text(verified.peer.identity())),
                   false});
  }
  auto plan = plan_local_auth(*sa.connection, credentials, init.peer.hashes ? &*init.peer.hashes : nullptr);
  if (!plan)
    return refuse(shard, sa, std::move(*init.channel), NotifyType::kAuthenticationFailed, plan.error());
  auto octets = signed_octets({init.response, init.nonce_i, init.algorithms.prf, init.keys.sk_pr.bytes(),
                               wire::encode_id_body(local_id)});
  if (!octets)
    return refuse(shard, sa, std::move(*init.channel), NotifyType::kAuthenticationFailed,
                  ike::diagnosis::internal(subject_of(sa), octets.error()));
  sa.path = path;
  init.channel->set_path(path);
  init.channel->set_fragment_size(sa.connection->fragment_size);
  Proving phase{std::move(init),     std::move(verified.peer), std::move(*plan),
                std::move(local_id), std::move(request),       0};
  if (phase.plan.method == AuthMethod::kSharedKeyMic) {
    auto auth = psk_auth_payload(phase.init.algorithms.prf, credentials.local_psk, *octets);
    if (!auth)
      return refuse(shard, sa, std::move(*phase.init.channel), NotifyType::kAuthenticationFailed,
                    ike::diagnosis::internal(subject_of(sa), auth.error()));
    return accept(shard, sa, std::move(phase), std::move(*auth));
  }
  phase.pending = shard.register_request(sa);
  shard.emit(sign_request(phase.pending, *sa.connection, credentials, phase.plan, std::move(*octets)));
  return phase;
}

AuthNext open_request(Shard& shard, IkeSa& sa, HalfOpen&& phase, const Arrival& arrival) {
  auto incoming = phase.channel->open(shard, sa, arrival);
  if (!incoming || incoming->response) return std::move(phase);
  auto& channel = *phase.channel;
  const ike::diagnosis::Subject subject{nullptr, {}, arrival.datagram.remote};
  if (incoming->malformed) {
    auto why = ike::diagnosis::protocol(subject, Exchange::kIkeAuth, incoming->malformed->error.message,
                                        incoming->malformed->notify);
    // RFC 7296 2.5: the notification names the payload type.
    auto notify = incoming->malformed->notify == NotifyType::kUnsupportedCriticalPayload
                      ? wire::make_unsupported_critical_payload(incoming->malformed->payload_type)
                      : wire::make_notify(incoming->malformed->notify);
    return refuse(shard, sa, std::move(channel), std::move(notify), std::move(why));
  }
  auto verified = verify(shard, sa, phase, incoming->path, incoming->payloads);
  if (!verified) {
    auto& [why, nearest] = verified.error();
    const auto type = why.kind == ike::FailureKind::kNoProposalChosen ? NotifyType::kNoProposalChosen
                                                                      : NotifyType::kAuthenticationFailed;
    return refuse(shard, sa, std::move(channel), type, std::move(why), nearest);
  }
  return prove(shard, sa, std::move(phase), std::move(*verified), std::move(incoming->payloads),
               incoming->path);
}

}  // namespace

AuthNext on_ike_auth_request(Shard& shard, IkeSa& sa, HalfOpen&& phase, const Arrival& arrival) {
  if (phase.channel) return open_request(shard, sa, std::move(phase), arrival);
  if (phase.response.empty() || arrival.message.header.flags.response) {
    shard.count(Counter::kDropWrongPhase);
    return std::move(phase);
  }
  // Not yet authenticated: kept within limits until the keys are there.
  if (phase.waiting.size() >= kMaxWaitingDatagrams ||
      phase.waiting_bytes + arrival.datagram.payload.size() > kMaxWaitingBytes) {
    shard.count(Counter::kDropWindow);
    return std::move(phase);
  }
  if (!phase.waiting_share.grow(shard.memory(), arrival.datagram.payload.size(), false)) {
    shard.count(Counter::kDropMemoryLimit);
    return std::move(phase);
  }
  if (!phase.waiting.empty()) shard.count(RarePath::kSeveralAuthsWaitForKeys);
  phase.waiting_bytes += arrival.datagram.payload.size();
  phase.waiting.push_back({arrival.path(), to_bytes(arrival.datagram.payload)});
  if (!phase.deriving) {
    phase.deriving = true;
    phase.pending = shard.derive_secret(sa, phase.exchange, phase.public_value);
  }
  return std::move(phase);
}

AuthNext on_responder_secret(Shard& shard, IkeSa& sa, HalfOpen&& phase, ike::KeyExchangeDone&& done) {
  if (!done.shared_secret) {
    // RFC 6989: a public value that must not be used; nobody is authenticated, so nobody is told.
    shard.count(Counter::kDropMalformed);
    return Closed{};
  }
  auto keys = derive_ike_keys(phase.algorithms, {phase.nonce_i, phase.nonce_r, sa.id}, *done.shared_secret);
  if (!keys) return Closed{};
  phase.keys = std::move(*keys);
  auto protection = MessageProtection::create(phase.algorithms.cipher, phase.keys, false);
  if (!protection) return Closed{};
  Channel::Setup setup;
  setup.id = sa.id;
  setup.path = sa.path;
  setup.fragmentation = phase.peer.fragmentation;
  setup.next_peer_id = 1;
  phase.channel.emplace(setup, std::move(*protection));
  phase.exchange.reset();
  trace_keys(shard, sa, phase.algorithms, phase.keys);
  auto waiting = std::move(phase.waiting);
  phase.waiting.clear();
  phase.waiting_share.clear();
  AuthNext next = std::move(phase);
  for (const auto& kept : waiting) {
    auto current = std::move(next).take();
    auto* still = std::get_if<HalfOpen>(&current);
    // Answered already: what is left are retransmissions, which come again by themselves.
    if (!still) return AuthNext::of(std::move(current));
    const ike::Datagram datagram{kept.path.local, kept.path.remote, kept.path.natt, kept.datagram};
    auto message = wire::parse_message(kept.datagram);
    next = message ? open_request(shard, sa, std::move(*still), {datagram, std::move(*message)})
                   : AuthNext(std::move(*still));
  }
  return next;
}

Next<Proving, Established, Lingering, Closed> on_responder_signature(Shard& shard, IkeSa& sa, Proving&& phase,
                                                                     ike::SignDone&& done) {
  if (done.request != phase.pending) return std::move(phase);
  auto auth = done.signature ? signature_auth_payload(phase.plan, *done.signature)
                             : Result<wire::AuthPayload>(tl::unexpected(done.signature.error()));
  if (!auth)
    return refuse(shard, sa, std::move(*phase.init.channel), NotifyType::kAuthenticationFailed,
                  ike::diagnosis::cannot_sign(subject_of(sa), auth.error()));
  return accept(shard, sa, std::move(phase), std::move(*auth));
}

}  // namespace merlon::ikev2
