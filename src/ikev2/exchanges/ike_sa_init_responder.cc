// IKE_SA_INIT, the responder's side (RFC 7296 1.2, 2.6, 2.7, 2.10). The figure is in
// ike_sa_init_initiator.cc.
//
// Every check that can refuse a request comes before anything is remembered; under load a request without a
// valid cookie costs one hash (2.6). The shared secret is only computed when IKE_AUTH comes.
#include <algorithm>

#include "crypto/key_exchange.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "pki/identity_text.h"
#include "policy/pad.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_responder_key_pair, HalfOpen, Next<HalfOpen, Closed>>);

using ike::Counter;
using ike::diagnosis::Exchange;
using wire::NotifyType;

PeerCapabilities capabilities_of(const Arrival& arrival, const IkeSaId& digested) {
  const auto& payloads = arrival.message.payloads;
  PeerCapabilities peer;
  peer.nat = detect_nat(digested, arrival.datagram.local, arrival.datagram.remote, payloads);
  peer.fragmentation = wire::find_notify(payloads, NotifyType::kIkev2FragmentationSupported) != nullptr;
  if (const auto* notify = wire::find_notify(payloads, NotifyType::kSignatureHashAlgorithms))
    if (auto hashes = wire::read_signature_hash_algorithms(*notify)) peer.hashes = std::move(*hashes);
  for (const auto* request : wire::find_all<wire::CertreqPayload>(payloads))
    peer.certreqs.push_back(*request);
  return peer;
}

namespace {

struct Request {
  const wire::SaPayload* sa = nullptr;
  const wire::KePayload* ke = nullptr;
  const wire::NoncePayload* nonce = nullptr;
};

std::vector<policy::ConnectionPtr> candidates_by_address(Shard& shard, const Arrival& arrival) {
  policy::PadQuery query;
  query.remote_address = arrival.datagram.remote.address;
  query.local_address = arrival.datagram.local.address;
  std::vector<policy::ConnectionPtr> found;
  for (auto& candidate : policy::find_connections(shard.connections(), query))
    found.push_back(std::move(candidate.connection));
  return found;
}

// RFC 7296 2.6. Also of a source that has taken half of its own places: what others send in its name must not keep it out,
// and only who is really there can return a cookie.
bool cookie_is_wanted(Shard& shard, const IpAddress& source) {
  return shard.half_open().total() >= shard.options().cookie_threshold ||
         2 * shard.half_open().of(source) >= shard.options().half_open_limit_per_source;
}

bool cookie_is_missing(Shard& shard, const Arrival& arrival, const Request& request) {
  const auto source = arrival.datagram.remote.address;
  if (!cookie_is_wanted(shard, source)) return false;
  const auto spi_i = arrival.message.header.initiator_spi;
  if (const auto* notify = wire::find_notify(arrival.message.payloads, NotifyType::kCookie)) {
    if (shard.cookies().verify(shard.time(), notify->data, request.nonce->data, source, spi_i)) {
      shard.count(Counter::kCookiesVerified);
      return false;
    }
    shard.count(Counter::kCookiesRejected);
  }
  shard.count(Counter::kCookiesSent);
  shard.answer_in_clear(
      arrival.datagram, arrival.message.header,
      {wire::make_cookie(shard.cookies().make(shard.time(), request.nonce->data, source, spi_i))});
  return true;
}

// `explain` gives the ike::Failure: it may be long, and anybody can ask for a refusal, so the limit comes first.
template <class Explain>
void refuse(Shard& shard, const Arrival& arrival, const std::string& connection, wire::NotifyPayload notify,
            Explain explain) {
  if (!shard.may_answer(ClearAnswer::kRefusal, arrival.datagram.remote.address)) return;
  ike::Failure failure = explain();
  failure.notify_type = static_cast<std::uint16_t>(notify.type);
  shard.answer_in_clear(arrival.datagram, arrival.message.header, {std::move(notify)});
  shard.emit(
      ike::Event(ike::NegotiationFailed{connection, {}, arrival.datagram.remote, std::move(failure), true}));
}

// What is looked at of an offer in clear, where every transform costs the same as one of an honest peer, which sends a
// few dozen: the first proposals that hold no more than this in all.
constexpr std::size_t kMaxOfferedTransforms = 512;
policy::ProposalView considered(policy::ProposalView offered) {
  std::size_t transforms = 0, number = 0;
  while (number < offered.size() &&
         (transforms += offered[number].transforms.size()) <= kMaxOfferedTransforms)
    ++number;
  return offered.first(number);
}

policy::Proposals proposals_of(const std::vector<policy::ConnectionPtr>& candidates) {
  policy::Proposals all;
  for (const auto& connection : candidates)
    for (const auto& proposal : connection->ike_proposals)
      if (std::ranges::find(all, proposal) == all.end()) all.push_back(proposal);
  return all;
}

// RFC 7296 2.7: one answer for whoever the peer may turn out to be; IKE_AUTH checks it against the one that
// it is.
std::optional<policy::IkeSelection> select(Shard& shard, const Arrival& arrival, const Request& request,
                                           const std::vector<policy::ConnectionPtr>& candidates) {
  const auto acceptable = proposals_of(candidates);
  const auto offered = considered(request.sa->proposals);
  auto selection = policy::select_ike(acceptable, offered, {request.ke->method});
  const ike::diagnosis::Subject subject{candidates.front().get(), {}, arrival.datagram.remote};
  if (!selection) {
    refuse(shard, arrival, candidates.front()->name, wire::make_notify(NotifyType::kNoProposalChosen),
           [&] { return ike::diagnosis::no_proposal(subject, acceptable, offered); });
    return std::nullopt;
  }
  // RFC 7296 1.2: the method that we want, and the initiator begins anew.
  if (selection->chosen.ke != request.ke->method) {
    shard.count(Counter::kInvalidKeSent);
    shard.answer_in_clear(arrival.datagram, arrival.message.header,
                          {wire::make_invalid_ke_payload(selection->chosen.ke)});
    return std::nullopt;
  }
  // RFC 7296 2.10, 3.4
  if (!check_nonce_size(selection->chosen.prf, request.nonce->data.size()) ||
      request.ke->data.size() != crypto::public_value_size(request.ke->method)) {
    refuse(shard, arrival, candidates.front()->name, wire::make_notify(NotifyType::kInvalidSyntax), [&] {
      return ike::diagnosis::protocol(subject, Exchange::kIkeSaInit,
                                      "its nonce or public value has the wrong size",
                                      NotifyType::kInvalidSyntax);
    });
    return std::nullopt;
  }
  return std::move(*selection);
}

bool admit(Shard& shard, const IpAddress& source) {
  if (shard.is_full()) {
    shard.count(Counter::kDropIkeSaLimit);
    return false;
  }
  switch (shard.half_open().admit(source)) {
    case Admission::kAdmitted:
      return true;
    case Admission::kTotal:
      shard.count(Counter::kDropHalfOpenTotal);
      return false;
    case Admission::kPerSource:
      break;
  }
  shard.count(Counter::kDropHalfOpenPerSource);
  return false;
}

// An honest request has one or two KiB, and it cannot be fragmented (RFC 7383 2.3). The whole of it is kept until IKE_AUTH (RFC 7296
// 2.15), for everybody who returns a cookie.
constexpr std::size_t kMaxInitRequest = 16384;
bool is_too_large(Shard& shard, const Arrival& arrival, const policy::Connection& candidate) {
  if (arrival.datagram.payload.size() <= kMaxInitRequest) return false;
  shard.count(Counter::kDropMemoryLimit);
  refuse(shard, arrival, candidate.name, wire::make_notify(NotifyType::kInvalidSyntax), [&] {
    return ike::diagnosis::protocol({&candidate, {}, arrival.datagram.remote}, Exchange::kIkeSaInit,
                                    "its request is larger than 16 KiB", NotifyType::kInvalidSyntax);
  });
  return true;
}

}  // namespace

std::unique_ptr<IkeSa> answer_ike_sa_init(Shard& shard, const Arrival& arrival) {
  const auto& payloads = arrival.message.payloads;
  const Request request{wire::find<wire::SaPayload>(payloads), wire::find<wire::KePayload>(payloads),
                        wire::find<wire::NoncePayload>(payloads)};
  if (!request.sa || !request.ke || !request.nonce) {
    shard.count(Counter::kDropMalformed);
    if (shard.may_answer(ClearAnswer::kRefusal, arrival.datagram.remote.address))
      shard.answer_in_clear(arrival.datagram, arrival.message.header,
                            {wire::make_notify(NotifyType::kInvalidSyntax)});
    return nullptr;
  }
  if (cookie_is_missing(shard, arrival, request)) return nullptr;
  shard.count_notifies(payloads, false);
  const auto candidates = candidates_by_address(shard, arrival);
  if (candidates.empty()) {
    shard.count(Counter::kDropNoConnection);
    refuse(shard, arrival, {}, wire::make_notify(NotifyType::kNoProposalChosen), [&] {
      return ike::Failure{ike::FailureKind::kIdentity, ike::FailureSide::kLocal, 0,
                          policy::explain_no_connection(shard.connections(), {arrival.datagram.remote.address,
                                                                              arrival.datagram.local.address,
                                                                              std::nullopt, std::nullopt, 2}),
                          true};
    });
    return nullptr;
  }
  if (is_too_large(shard, arrival, *candidates.front())) return nullptr;
  auto selection = select(shard, arrival, request, candidates);
  if (!selection || !admit(shard, arrival.datagram.remote.address)) return nullptr;

  auto sa = std::make_unique<IkeSa>();
  sa->id = {arrival.message.header.initiator_spi, shard.new_ike_spi()};
  sa->path = arrival.path();
  HalfOpen phase;
  phase.request = to_bytes(arrival.datagram.payload);
  phase.nonce_i = request.nonce->data;
  phase.nonce_r = shard.rng().bytes(kNonceSize);
  phase.public_value = request.ke->data;
  phase.chosen = selection->chosen;
  phase.algorithms = to_algorithms(selection->chosen);
  phase.answer = std::move(selection->answer);
  phase.peer = capabilities_of(arrival, {arrival.message.header.initiator_spi, IkeSpi{}});
  // RFC 7383 2.3: answered only when the initiator announced it and a candidate wants it.
  phase.peer.fragmentation = phase.peer.fragmentation &&
                             std::any_of(candidates.begin(), candidates.end(),
                                         [](const auto& connection) { return connection->fragmentation; });
  phase.hide_local = std::any_of(candidates.begin(), candidates.end(), [](const auto& connection) {
    return connection->encapsulation == policy::PathProtocol::kUdp;
  });
  std::vector<std::pair<const policy::Connection*, const ike::ConnectionCredentials*>> asked;
  for (const auto& connection : candidates)
    asked.emplace_back(connection.get(), &shard.credentials(connection->name));
  phase.certreqs = certreq_payloads(asked);
  phase.expires = shard.time() + shard.options().half_open_timeout;
  sa->nat = phase.peer.nat;
  sa->phase = std::move(phase);
  return sa;
}

Next<HalfOpen, Closed> on_responder_key_pair(Shard& shard, IkeSa& sa, HalfOpen&& phase,
                                             ike::KeyExchangeDone&& done) {
  if (!done.exchange) return Closed{};
  phase.exchange = std::move(done.exchange);
  wire::Message message;
  message.header.initiator_spi = sa.id.initiator;
  message.header.responder_spi = sa.id.responder;
  message.header.exchange_type = wire::ExchangeType::kIkeSaInit;
  message.header.flags.response = true;
  message.payloads.emplace_back(wire::SaPayload{{phase.answer}, false});
  message.payloads.emplace_back(
      wire::KePayload{phase.chosen.ke, to_bytes(phase.exchange->public_value()), false});
  message.payloads.emplace_back(wire::NoncePayload{phase.nonce_r, false});
  for (auto& notify : nat_detection_notifies(sa.id, sa.path.local, sa.path.remote, phase.hide_local))
    message.payloads.emplace_back(std::move(notify));
  for (auto& request : phase.certreqs) message.payloads.emplace_back(std::move(request));
  phase.certreqs.clear();
  if (phase.peer.fragmentation)
    message.payloads.emplace_back(wire::make_notify(NotifyType::kIkev2FragmentationSupported));
  if (phase.peer.hashes)
    message.payloads.emplace_back(wire::make_signature_hash_algorithms(supported_hashes()));
  auto bytes = wire::encode_message(message);
  if (!bytes) return Closed{};
  phase.response = std::move(*bytes);
  shard.note_message(sa, message.header, message.payloads, sa.path, true);
  shard.transmit(sa.path, phase.response);
  shard.counters().add(ike::ExchangeKind::kIkeSaInit, ike::ExchangeRole::kResponder,
                       ike::ExchangeResult::kOk);
  return std::move(phase);
}

}  // namespace merlon::ikev2
