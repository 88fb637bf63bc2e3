// IKE_SA_INIT, the initiator's side (RFC 7296 1.2, 2.6, 2.7).
//
//   initiator                                      responder
//     HDR(SPIi, 0), SAi1, KEi, Ni            -->
//                                            <--   HDR(SPIi, 0), N(COOKIE)               under load (2.6)
//     HDR(SPIi, 0), N(COOKIE), SAi1, KEi, Ni -->
//                                            <--   HDR(SPIi, 0), N(INVALID_KE_PAYLOAD)   another method (1.2)
//     HDR(SPIi, 0), [N(COOKIE),] SAi1, KEi', Ni -->
//                                            <--   HDR(SPIi, SPIr), SAr1, KEr, Nr, [CERTREQ]
//
// Nothing here is authenticated: an answer becomes a candidate, an error only a hint.
#include <algorithm>

#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_auth.h"
#include "ikev2/exchanges/ike_sa_init.h"

namespace merlon::ikev2 {

static_assert(leads_to<&on_init_key_pair, InitSent, Next<InitSent, Closed>>);
static_assert(leads_to<&on_ike_sa_init_response, InitSent, Next<InitSent, AuthSent>>);
static_assert(leads_to<&on_further_ike_sa_init_response, AuthSent, Next<AuthSent>>);
static_assert(leads_to<&on_init_timer, InitSent, Next<InitSent, Closed>>);

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::NotifyType;

namespace {

IkeSpi no_spi() {
  return {};
}

void send_request(Shard& shard, IkeSa& sa, InitMaterial& init) {
  wire::Message message;
  message.header.initiator_spi = sa.id.initiator;
  message.header.exchange_type = wire::ExchangeType::kIkeSaInit;
  message.header.flags.initiator = true;
  // RFC 7296 2.6: the cookie comes first, all else as before.
  if (!init.cookie.empty()) message.payloads.emplace_back(wire::make_cookie(init.cookie));
  message.payloads.emplace_back(wire::SaPayload{init.offer, false});
  message.payloads.emplace_back(wire::KePayload{init.method, to_bytes(init.exchange->public_value()), false});
  message.payloads.emplace_back(wire::NoncePayload{init.nonce, false});
  const bool hide = sa.connection->encapsulation == policy::PathProtocol::kUdp;
  for (auto& notify :
       nat_detection_notifies({sa.id.initiator, no_spi()}, sa.path.local, sa.path.remote, hide))
    message.payloads.emplace_back(std::move(notify));
  if (sa.connection->fragmentation)
    message.payloads.emplace_back(wire::make_notify(NotifyType::kIkev2FragmentationSupported));
  message.payloads.emplace_back(wire::make_signature_hash_algorithms(supported_hashes()));
  auto bytes = wire::encode_message(message);
  MERLON_ASSERT(bytes.has_value());  // of our own making
  init.request = std::move(*bytes);
  init.sends = 1;
  init.next_send = shard.time() + RetransmissionSchedule::of(*sa.connection).wait_after(1);
  shard.note_message(sa, message.header, message.payloads, sa.path, true);
  shard.transmit(sa.path, init.request);
}

bool retry_with_cookie(Shard& shard, IkeSa& sa, InitMaterial& init, const wire::NotifyPayload& notify) {
  auto cookie = wire::read_cookie(notify);
  if (!cookie || init.cookies >= kMaxCookieRounds || *cookie == init.cookie ||
      std::ranges::find(init.old_cookies, *cookie) != init.old_cookies.end())
    return false;
  ++init.cookies;
  if (!init.cookie.empty()) init.old_cookies.push_back(std::move(init.cookie));
  init.cookie = std::move(*cookie);
  shard.count(Counter::kCookiesReturned);
  if (init.ke_retries > 0) shard.count(RarePath::kCookieAfterInvalidKe);
  send_request(shard, sa, init);
  return true;
}

bool retry_with_method(Shard& shard, IkeSa& sa, InitMaterial& init, const wire::NotifyPayload& notify) {
  const auto wanted = wire::read_invalid_ke_payload(notify);
  // RFC 7296 1.2: only a method that we offered, and another one than before.
  if (!wanted || *wanted == init.method || init.ke_retries >= kMaxKeRetries ||
      !policy::allows_ke(init.offer, *wanted))
    return false;
  ++init.ke_retries;
  shard.count(Counter::kInvalidKeRetries);
  if (!init.cookie.empty()) shard.count(RarePath::kInvalidKeAfterCookie);
  init.method = *wanted;
  init.exchange.reset();
  init.next_send = kNever;
  init.pending = shard.generate_key_pair(sa, init.method);
  return true;
}

void remember_hint(Shard& shard, const IkeSa& sa, InitMaterial& init, NotifyType type) {
  shard.count(Counter::kUnprotectedErrorsDelayed);
  init.hint = ike::diagnosis::peer_refused(subject_of(sa), Exchange::kIkeSaInit, type, false);
  init.give_up = std::min(init.give_up, shard.time() + kUnprotectedErrorPatience);
}

// Whether this can be an answer to our request at all.
bool answers_us(const IkeSa& sa, const Arrival& arrival) {
  const auto& header = arrival.message.header;
  return header.flags.response && !header.flags.initiator && header.message_id.value == 0 &&
         header.initiator_spi == sa.id.initiator && arrival.datagram.remote.address == sa.path.remote.address;
}

// RFC 7296 2.7, 2.10, 3.4: what is wrong with it makes it no candidate.
Result<Candidate> read_candidate(const Shard& shard, const IkeSa& sa, const InitMaterial& init,
                                 const Arrival& arrival) {
  const auto& payloads = arrival.message.payloads;
  const auto* chosen = wire::find<wire::SaPayload>(payloads);
  const auto* ke = wire::find<wire::KePayload>(payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(payloads);
  if (!chosen || !ke || !nonce || arrival.message.header.responder_spi.value == 0)
    return fail(ErrorCode::kMalformed, "the answer to IKE_SA_INIT lacks SA, KE, nonce or SPI");
  MERLON_TRY(auto algorithms, policy::verify_ike_choice(init.offer, chosen->proposals));
  if (algorithms.ke != ke->method || ke->method != init.method)
    return fail(ErrorCode::kPolicy, "the answer's key exchange method is not the one that we used");
  MERLON_TRY_VOID(check_nonce_size(algorithms.prf, nonce->data.size()));
  Candidate candidate;
  candidate.responder_spi = arrival.message.header.responder_spi;
  candidate.response = to_bytes(arrival.datagram.payload);
  candidate.nonce_r = nonce->data;
  candidate.public_value = ke->data;
  candidate.algorithms = to_algorithms(algorithms);
  candidate.peer = capabilities_of(arrival, {sa.id.initiator, candidate.responder_spi});
  candidate.path = auth_path(shard, sa, arrival.path(), candidate.peer.nat);
  return candidate;
}

}  // namespace

bool begin_ike_sa_init(Shard& shard, const policy::ConnectionPtr& connection, const Path& path,
                       std::vector<ChildIntent> intents) {
  if (!shard.may_begin(connection, path.remote.address)) return false;
  auto sa = std::make_unique<IkeSa>();
  sa->initiator = true;
  sa->connection = connection;
  sa->id.initiator = shard.new_ike_spi();
  sa->path = path;
  if (sa->path.local.port == 0)
    sa->path.local.port = sa->path.natt ? shard.options().natt_port : shard.options().ike_port;
  InitSent phase;
  phase.intents = std::move(intents);
  phase.init.offer = policy::ike_offer(connection->ike_proposals, {});
  phase.init.method = policy::ke_methods(phase.init.offer).front();
  phase.init.nonce = shard.rng().bytes(kNonceSize);
  phase.init.began = shard.time();
  sa->phase = std::move(phase);
  auto& made = shard.adopt(std::move(sa));
  std::get<InitSent>(made.phase).init.pending =
      shard.generate_key_pair(made, std::get<InitSent>(made.phase).init.method);
  return true;
}

Next<InitSent, Closed> on_init_key_pair(Shard& shard, IkeSa& sa, InitSent&& phase,
                                        ike::KeyExchangeDone&& done) {
  if (done.request != phase.init.pending) return std::move(phase);
  phase.init.pending = 0;
  if (!done.exchange) {
    const Error why = done.shared_secret ? Error{ErrorCode::kSystem, "no key pair could be made"}
                                         : done.shared_secret.error();
    return give_up(shard, sa, ike::diagnosis::internal(subject_of(sa), why));
  }
  phase.init.exchange = std::move(done.exchange);
  send_request(shard, sa, phase.init);
  return std::move(phase);
}

Next<InitSent, AuthSent> on_ike_sa_init_response(Shard& shard, IkeSa& sa, InitSent&& phase,
                                                 const Arrival& arrival) {
  auto& init = phase.init;
  if (!answers_us(sa, arrival) || !init.exchange) {
    shard.count(Counter::kDuplicatesIgnored);
    return std::move(phase);
  }
  init.heard = true;
  const auto& payloads = arrival.message.payloads;
  shard.note_message(sa, arrival.message.header, payloads, arrival.path(), false);
  if (const auto* cookie = wire::find_notify(payloads, NotifyType::kCookie);
      cookie && !wire::find<wire::SaPayload>(payloads)) {
    if (!retry_with_cookie(shard, sa, init, *cookie)) shard.count(Counter::kDuplicatesIgnored);
    return std::move(phase);
  }
  if (const auto* wanted = wire::find_notify(payloads, NotifyType::kInvalidKePayload)) {
    if (!retry_with_method(shard, sa, init, *wanted))
      remember_hint(shard, sa, init, NotifyType::kInvalidKePayload);
    return std::move(phase);
  }
  if (const auto* error = wire::find_error_notify(payloads)) {
    remember_hint(shard, sa, init, error->type);
    return std::move(phase);
  }
  auto candidate = read_candidate(shard, sa, init, arrival);
  if (!candidate) {
    shard.count(Counter::kDropMalformed);
    init.hint = ike::diagnosis::protocol(subject_of(sa), Exchange::kIkeSaInit, candidate.error().message);
    return std::move(phase);
  }
  AuthSent next;
  next.intents = std::move(phase.intents);
  next.init = std::move(phase.init);
  add_candidate(shard, sa, next, std::move(*candidate));
  return next;
}

Next<AuthSent> on_further_ike_sa_init_response(Shard& shard, IkeSa& sa, AuthSent&& phase,
                                               const Arrival& arrival) {
  const auto& payloads = arrival.message.payloads;
  const bool known = std::any_of(
      phase.candidates.begin(), phase.candidates.end(),
      [&](const Candidate& candidate) { return equal(candidate.response, arrival.datagram.payload); });
  if (!answers_us(sa, arrival) || known || wire::find_error_notify(payloads) ||
      wire::find_notify(payloads, NotifyType::kCookie)) {
    shard.count(Counter::kDuplicatesIgnored);
    return std::move(phase);
  }
  auto candidate = read_candidate(shard, sa, phase.init, arrival);
  if (!candidate || phase.candidates.size() >= kMaxCandidates) {
    shard.count(candidate ? Counter::kCandidatesDiscarded : Counter::kDropMalformed);
    return std::move(phase);
  }
  add_candidate(shard, sa, phase, std::move(*candidate));
  return std::move(phase);
}

Next<InitSent, Closed> on_init_timer(Shard& shard, IkeSa& sa, InitSent&& phase) {
  auto& init = phase.init;
  const auto schedule = RetransmissionSchedule::of(*sa.connection);
  if (shard.time() >= init.give_up) {
    shard.count(RarePath::kInitGivenUpOnHint);
    return give_up(shard, sa, *init.hint);
  }
  if (shard.time() < init.next_send) return std::move(phase);
  if (!schedule.may_send_again(init.sends)) {
    shard.count(RarePath::kInitGivenUp);
    shard.counters().add(ike::ExchangeKind::kIkeSaInit, ike::ExchangeRole::kInitiator,
                         ike::ExchangeResult::kTimeout);
    if (init.hint) return give_up(shard, sa, *init.hint);
    return give_up(shard, sa,
                   ike::diagnosis::timeout(subject_of(sa), Exchange::kIkeSaInit, init.sends,
                                           shard.time() - init.began, !init.heard));
  }
  ++init.sends;
  init.next_send = shard.time() + schedule.wait_after(init.sends);
  shard.count(Counter::kRetransmissionsSent);
  shard.count(RarePath::kInitSentAgain);
  if (!init.cookie.empty()) shard.count(RarePath::kInitSentAgainWithCookie);
  if (init.ke_retries > 0) shard.count(RarePath::kInitSentAgainAfterInvalidKe);
  shard.trace_retransmission(sa, sa.path);
  shard.transmit(sa.path, init.request);
  return std::move(phase);
}

}  // namespace merlon::ikev2
