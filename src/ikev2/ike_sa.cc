// Which handler an IKE SA's phase gives a message, an answer or a timer to.
//
//   phase         message                          answer                timer
//   InitSent      IKE_SA_INIT response             key pair              retransmission, end of patience
//   AuthSent      IKE_SA_INIT, IKE_AUTH response   secret, signature     retransmission
//   HalfOpen      IKE_AUTH request                 key pair, secret      half-open timeout
//   Proving       -                                signature             half-open timeout
//   Established   CREATE_CHILD_SA, INFORMATIONAL   key pair, secret      lifetimes, liveness, retransmission
//   Closing       INFORMATIONAL                    -                     retransmission
//   Lingering     repeated requests                -                     its end
#include "ikev2/ike_sa.h"

#include "base/overloaded.h"
#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/exchanges/ike_auth.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "ikev2/exchanges/informational.h"

namespace merlon::ikev2 {

using ike::Counter;
using ike::RarePath;
using ike::diagnosis::Exchange;
using wire::ExchangeType;
using wire::NotifyType;

const std::string& IkeSa::connection_name() const {
  static const std::string kNone;
  return connection ? connection->name : kNone;
}

namespace {

// Consumes the phase and puts the next one into its place.
template <class... Handlers>
void step(IkeSa& sa, Handlers... handlers) {
  const Overloaded overloaded{std::move(handlers)...};
  sa.phase =
      std::visit([&](auto&& phase) -> Phase { return overloaded(std::forward<decltype(phase)>(phase)); },
                 std::move(sa.phase));
}

bool is_init(const Arrival& arrival) {
  return arrival.message.header.exchange_type == ExchangeType::kIkeSaInit;
}

// ---- established

bool deletes_ike(const Incoming& incoming) {
  for (const auto* one : wire::find_all<wire::DeletePayload>(incoming.payloads))
    if (one->protocol == SecurityProtocol::kIke) return true;
  return false;
}

// RFC 7296 2.8.2: the peer works on the IKE SA that its rekey made, so for the peer it is the one that stays.
void settle_predecessor(Shard& shard, IkeSa& sa) {
  auto* established = sa.established();
  if (!established->predecessor) return;
  auto* old = shard.find(*established->predecessor);
  established->predecessor.reset();
  if (!old || !old->established() || old->established()->successor) return;
  shard.count(RarePath::kPeersIkeRekeyTaken);
  inherit(shard, *old, *old->established(), sa);
}

Phase on_request(Shard& shard, IkeSa& sa, Established&& phase, Incoming&& incoming) {
  if (!incoming.malformed && incoming.exchange == ExchangeType::kCreateChildSa)
    return on_create_child_request(shard, sa, std::move(phase), std::move(incoming)).take();
  if (!incoming.malformed && incoming.exchange == ExchangeType::kInformational)
    return on_informational_request(shard, sa, std::move(phase), std::move(incoming)).take();
  return on_improper_request(shard, sa, std::move(phase), std::move(incoming)).take();
}

Phase on_response(Shard& shard, IkeSa& sa, Established&& phase, Incoming&& incoming) {
  if (incoming.malformed) {
    // RFC 7296 2.21.3: there is no way to say so but to close.
    auto why =
        ike::diagnosis::protocol(subject_of(sa), Exchange::kInformational, incoming.malformed->error.message);
    settle_in_flight_own(shard, sa, phase);
    release_in_flight_own(shard, phase);
    queue_delete_ike(shard, phase, std::move(why));
    return std::move(phase);
  }
  // RFC 7296 2.21.2, 2.21.3: with these the peer has closed the IKE SA already.
  for (const auto type : {NotifyType::kInvalidSyntax, NotifyType::kAuthenticationFailed})
    if (wire::find_notify(incoming.payloads, type)) {
      (void)give_up(shard, sa, phase,
                    ike::diagnosis::peer_refused(subject_of(sa), Exchange::kInformational, type, true));
      return Closed{};
    }
  const bool creating = std::holds_alternative<std::unique_ptr<CreatingChild>>(phase.own) ||
                        std::holds_alternative<std::unique_ptr<RekeyingIke>>(phase.own);
  if (creating != (incoming.exchange == ExchangeType::kCreateChildSa)) {
    settle_in_flight_own(shard, sa, phase);
    release_in_flight_own(shard, phase);
    queue_delete_ike(shard, phase,
                     ike::diagnosis::protocol(subject_of(sa), Exchange::kInformational,
                                              "it answered with another exchange"));
    return std::move(phase);
  }
  if (creating) return on_create_child_response(shard, sa, std::move(phase), std::move(incoming)).take();
  return on_informational_response(shard, sa, std::move(phase), std::move(incoming)).take();
}

// RFC 7296 2.3: said in an exchange of our own, never in a response, and not often: so most are not even looked at.
void tell_invalid_message_id(Shard& shard, const IkeSa& sa, Established& established,
                             const Arrival& arrival) {
  if (shard.time() < established.next_notice) return;
  if (const auto id = established.channel.beyond_window(arrival))
    queue_notice(shard, established,
                 {wire::make_invalid_message_id(*id), fmt::format("Message ID {}", id->value), sa.own_spi()});
}

void receive_established(Shard& shard, IkeSa& sa, const Arrival& arrival) {
  auto& established = *sa.established();
  // RFC 7296 1.5, 2.4: an unprotected "I do not know you" proves nothing; it is a reason to ask.
  if (wire::find_notify(arrival.message.payloads, NotifyType::kInvalidIkeSpi) ||
      wire::find_notify(arrival.message.payloads, NotifyType::kInvalidSpi)) {
    shard.count(Counter::kUnprotectedErrorsDelayed);
    shard.count_notifies(arrival.message.payloads, false);
    if (shard.time() - established.last_inbound > kUnprotectedErrorPatience) queue_probe(established);
    return;
  }
  // What is not authentic, or outside the window, ends here: no phase is consumed.
  auto incoming = established.channel.open(shard, sa, arrival);
  if (!incoming) return tell_invalid_message_id(shard, sa, established, arrival);
  established.last_inbound = shard.time();
  heed_window_size(established, incoming->payloads);
  follow_peer(shard, sa, established, incoming->path);
  if (!incoming->response) {
    doubt_path(shard, established, incoming->path);
    // With a window of one, a new request says that the answer to the one before has arrived.
    for (auto& record : established.children) record.unconfirmed_until = Instant{};
    if (!deletes_ike(*incoming)) settle_predecessor(shard, sa);
  }
  step(sa, [&](auto&& phase) -> Phase {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(phase)>, Established>)
      return incoming->response ? on_response(shard, sa, std::move(phase), std::move(*incoming))
                                : on_request(shard, sa, std::move(phase), std::move(*incoming));
    else
      return std::move(phase);
  });
}

}  // namespace

void receive(Shard& shard, IkeSa& sa, const Arrival& arrival) {
  shard.touch(sa);
  if (sa.established()) return receive_established(shard, sa, arrival);
  const auto drop = [&](auto&& phase) -> Phase {
    shard.count(Counter::kDropWrongPhase);
    return std::forward<decltype(phase)>(phase);
  };
  step(
      sa,
      [&](InitSent&& phase) -> Phase {
        return is_init(arrival) ? on_ike_sa_init_response(shard, sa, std::move(phase), arrival).take()
                                : drop(std::move(phase));
      },
      [&](AuthSent&& phase) -> Phase {
        return is_init(arrival)
                   ? Phase(on_further_ike_sa_init_response(shard, sa, std::move(phase), arrival).take())
                   : on_ike_auth_response(shard, sa, std::move(phase), arrival).take();
      },
      [&](HalfOpen&& phase) -> Phase {
        const bool fits = arrival.message.header.exchange_type == ExchangeType::kIkeAuth;
        return fits ? on_ike_auth_request(shard, sa, std::move(phase), arrival).take()
                    : drop(std::move(phase));
      },
      [&](Proving&& phase) -> Phase { return drop(std::move(phase)); },
      [&](Lingering&& phase) -> Phase {
        // Only what was answered before is answered again.
        (void)phase.channel.open(shard, sa, arrival);
        return std::move(phase);
      },
      [&](Established&& phase) -> Phase { return std::move(phase); },
      [&](Closing&& phase) -> Phase {
        auto incoming = phase.channel.open(shard, sa, arrival);
        if (!incoming) return std::move(phase);
        return on_message_while_closing(shard, sa, std::move(phase), std::move(*incoming)).take();
      },
      [&](Closed&& phase) -> Phase { return std::move(phase); });
}

namespace {

template <class InFlight>
bool waits_for(const InFlight& in_flight, ike::RequestId request) {
  return std::visit(
      [&](const auto& one) {
        if constexpr (requires { one->pending; })
          return one->pending == request;
        else
          return false;
      },
      in_flight);
}

void complete_key_exchange(Shard& shard, IkeSa& sa, ike::KeyExchangeDone&& done) {
  const auto ignore = [](auto&& phase) -> Phase { return std::forward<decltype(phase)>(phase); };
  step(
      sa, ignore,
      [&](InitSent&& phase) -> Phase {
        return on_init_key_pair(shard, sa, std::move(phase), std::move(done)).take();
      },
      [&](AuthSent&& phase) -> Phase {
        return on_candidate_secret(shard, sa, std::move(phase), std::move(done)).take();
      },
      [&](HalfOpen&& phase) -> Phase {
        if (phase.pending != done.request) return std::move(phase);
        phase.pending = 0;
        if (phase.deriving) return on_responder_secret(shard, sa, std::move(phase), std::move(done)).take();
        return on_responder_key_pair(shard, sa, std::move(phase), std::move(done)).take();
      },
      [&](Established&& phase) -> Phase {
        if (waits_for(phase.own, done.request))
          return on_own_key_exchange(shard, sa, std::move(phase), std::move(done)).take();
        if (waits_for(phase.answering, done.request))
          return on_peer_key_exchange(shard, sa, std::move(phase), std::move(done)).take();
        return std::move(phase);
      });
}

}  // namespace

void complete(Shard& shard, IkeSa& sa, ike::Answer answer) {
  shard.touch(sa);
  if (auto* done = std::get_if<ike::KeyExchangeDone>(&answer))
    return complete_key_exchange(shard, sa, std::move(*done));
  auto& done = std::get<ike::SignDone>(answer);
  const auto ignore = [](auto&& phase) -> Phase { return std::forward<decltype(phase)>(phase); };
  step(
      sa, ignore,
      [&](AuthSent&& phase) -> Phase {
        return on_initiator_signature(shard, sa, std::move(phase), std::move(done)).take();
      },
      [&](Proving&& phase) -> Phase {
        return on_responder_signature(shard, sa, std::move(phase), std::move(done)).take();
      });
}

void advance(Shard& shard, IkeSa& sa) {
  shard.touch(sa);
  const auto now = shard.time();
  step(
      sa, [&](InitSent&& phase) -> Phase { return on_init_timer(shard, sa, std::move(phase)).take(); },
      [&](AuthSent&& phase) -> Phase { return on_auth_timer(shard, sa, std::move(phase)).take(); },
      [&](HalfOpen&& phase) -> Phase {
        if (now < phase.expires) return std::move(phase);
        shard.count(RarePath::kHalfOpenExpired);
        return Closed{};
      },
      [&](Proving&& phase) -> Phase {
        return now >= phase.init.expires ? Phase(Closed{}) : Phase(std::move(phase));
      },
      [&](Established&& phase) -> Phase { return on_established_timer(shard, sa, std::move(phase)).take(); },
      [&](Closing&& phase) -> Phase {
        const auto due = phase.channel.advance(shard, sa);
        if (due == Channel::Due::kSentAgain) shard.count(RarePath::kDeleteIkeSentAgain);
        if (due == Channel::Due::kGivenUp) shard.count(RarePath::kDeleteIkeGivenUp);
        const bool over = due == Channel::Due::kGivenUp || !phase.channel.requesting();
        return over ? Phase(Closed{}) : Phase(std::move(phase));
      },
      [&](Lingering&& phase) -> Phase {
        return now >= phase.until ? Phase(Closed{}) : Phase(std::move(phase));
      },
      [&](Closed&& phase) -> Phase { return std::move(phase); });
}

Instant next_deadline(const IkeSa& sa) {
  const Overloaded deadline{
      [](const InitSent& phase) { return std::min(phase.init.next_send, phase.init.give_up); },
      [](const AuthSent& phase) {
        Instant earliest = kNever;
        for (const auto& candidate : phase.candidates)
          if (candidate.channel) earliest = std::min(earliest, candidate.channel->deadline());
        return earliest;
      },
      [](const HalfOpen& phase) { return phase.expires; },
      [](const Proving& phase) { return phase.init.expires; },
      [&](const Established& phase) { return established_deadline(sa, phase); },
      [](const Closing& phase) { return phase.channel.requesting() ? phase.channel.deadline() : Instant{}; },
      [](const Lingering& phase) { return phase.until; },
      [](const Closed&) { return Instant{}; },
  };
  return std::visit(deadline, sa.phase);
}

}  // namespace merlon::ikev2
