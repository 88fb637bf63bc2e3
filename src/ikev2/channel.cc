#include "ikev2/channel.h"

#include <algorithm>

#include "ikev2/ike_sa.h"
#include "ikev2/shard.h"

namespace merlon::ikev2 {

using ike::Counter;
using ike::RarePath;

wire::IkeHeader Channel::header(wire::ExchangeType exchange, bool response, std::uint32_t message_id) const {
  wire::IkeHeader made;
  made.initiator_spi = id_.initiator;
  made.responder_spi = id_.responder;
  made.exchange_type = exchange;
  made.flags.initiator = initiator_;
  made.flags.response = response;
  made.message_id = MessageId{message_id};
  return made;
}

DatagramLimit Channel::limit(const Path& path) const {
  return {fragment_size_, path.remote.address.family(), path.natt};
}

void Channel::transmit(Shard& shard, const std::vector<Bytes>& datagrams, const Path& path) const {
  for (const auto& datagram : datagrams) shard.transmit(path, datagram);
}

Result<> Channel::request(Shard& shard, const IkeSa& sa, wire::ExchangeType exchange,
                          std::span<const wire::Payload> payloads, const RetransmissionSchedule& schedule) {
  MERLON_ASSERT(!own_);
  const auto head = header(exchange, false, own_id_);
  MERLON_TRY(auto datagrams,
             seal_fragmented(protection_, head, payloads, limit(path_), fragmentation_, shard.rng()));
  if (datagrams.size() > 1) shard.count(Counter::kFragmentsSent, datagrams.size());
  shard.note_message(sa, head, payloads, path_, true);
  ++own_id_;
  own_ = OwnRequest{std::move(datagrams), schedule, 1, shard.time(), shard.time() + schedule.wait_after(1)};
  responses_.clear();
  transmit(shard, own_->datagrams, path_);
  return {};
}

Result<> Channel::probe(Shard& shard, const IkeSa& sa, std::size_t datagram_size,
                        const RetransmissionSchedule& schedule) {
  MERLON_ASSERT(!own_ && fragmentation_);
  // A status notification of the private range, which peers must ignore (RFC 7296 3.10.1).
  constexpr auto kPadding = static_cast<wire::NotifyType>(0xED51);
  constexpr std::size_t kNotifyHeader = wire::kGenericHeaderSize + 4;
  constexpr std::size_t kSkHeader = wire::kIkeHeaderSize + wire::kGenericHeaderSize;
  const auto message =
      DatagramLimit{datagram_size, path_.remote.address.family(), path_.natt}.ike_message_bytes();
  const auto content = message > kSkHeader ? protection_.content_that_fits(message - kSkHeader) : 0;
  if (content < kNotifyHeader)
    return fail(ErrorCode::kInvalidArgument, "{} bytes hold no IKE message", datagram_size);
  wire::NotifyPayload padding;
  padding.type = kPadding;
  padding.data.resize(content - kNotifyHeader);
  const std::vector<wire::Payload> payloads{std::move(padding)};
  const auto head = header(wire::ExchangeType::kInformational, false, own_id_);
  MERLON_TRY(auto whole, protection_.seal(head, payloads, shard.rng()));
  MERLON_TRY(auto again, seal_fragmented(protection_, head, payloads, limit(path_), true, shard.rng()));
  // RFC 7296 2.1: what is no fragment is sent again bit for bit.
  if (again.size() == 1) again.front() = whole;
  shard.note_message(sa, head, payloads, path_, true);
  ++own_id_;
  own_ = OwnRequest{std::move(again), schedule, 1, shard.time(), shard.time() + schedule.wait_after(1)};
  responses_.clear();
  shard.transmit(path_, std::move(whole), true);
  return {};
}

Result<> Channel::respond(Shard& shard, const IkeSa& sa, wire::ExchangeType exchange,
                          std::span<const wire::Payload> payloads) {
  MERLON_ASSERT(answering_);
  const auto head = header(exchange, true, peer_id_);
  MERLON_TRY(auto datagrams,
             seal_fragmented(protection_, head, payloads, limit(reply_path_), fragmentation_, shard.rng()));
  if (datagrams.size() > 1) shard.count(Counter::kFragmentsSent, datagrams.size());
  shard.note_message(sa, head, payloads, reply_path_, true);
  answering_ = false;
  ++peer_id_;
  last_response_ = std::move(datagrams);
  // Whoever sees a small fragment could otherwise have a large answer sent to anybody. The peer asks again, with all of them.
  if (from_several_places_) {
    shard.count(RarePath::kAnswerWithheld);
  } else {
    transmit(shard, last_response_, reply_path_);
  }
  return {};
}

Channel::Window Channel::judge(const wire::IkeHeader& received) const {
  const auto id = received.message_id.value;
  if (received.flags.response) {
    // RFC 7296 2.3: a response that answers nothing outstanding is ignored.
    return own_ && id + 1 == own_id_ ? Window::kResponse : Window::kOutside;
  }
  // RFC 7296 2.2: they never begin again from 0.
  if (id == peer_id_) return id < last_id_ ? Window::kRequest : Window::kOutside;
  // RFC 7296 2.1: the responder remembers its last response, our window being one.
  if (id + 1 == peer_id_ && !last_response_.empty()) return Window::kRepeatedRequest;
  return Window::kOutside;
}

std::optional<Incoming> Channel::open(Shard& shard, const IkeSa& sa, const Arrival& arrival) {
  const auto& head = arrival.message.header;
  // RFC 7296 3.1: the I flag tells which of the two the sender is. Shard::receive() gives us only the peer's.
  const auto window = judge(head);
  if (window == Window::kOutside || (window == Window::kRequest && answering_)) {
    shard.count(head.flags.response || answering_ ? Counter::kDuplicatesIgnored : Counter::kDropWindow);
    if (window == Window::kRequest) shard.count(RarePath::kRequestAgainWhileAnswering);
    return std::nullopt;
  }
  const bool repeated = window == Window::kRepeatedRequest;
  if (only_repeats_ && !repeated) {
    shard.count(Counter::kDropWrongPhase);
    return std::nullopt;
  }
  const bool fragment = !arrival.message.payloads.empty() &&
                        std::holds_alternative<wire::SkfPayload>(arrival.message.payloads.back());
  auto incoming = fragment ? open_fragment(shard, arrival, repeated) : open_whole(shard, arrival);
  if (!incoming) return std::nullopt;
  if (repeated) {
    if (!fragment) take_copy(shard, arrival.path(), arrival.datagram.payload.size(), true);
    return std::nullopt;
  }
  if (!head.flags.response) from_several_places_ = fragment && from_several_places_;
  incoming->exchange = head.exchange_type;
  incoming->response = head.flags.response;
  // Of several places the one that is known already, except where the peer has just gone to port 4500.
  const bool known = from_several_places_ && !head.flags.response && path_.natt == arrival.path().natt;
  incoming->path = known ? path_ : arrival.path();
  if (head.flags.response) {
    answered_sends_ = own_->sends;
    own_.reset();
  } else {
    answering_ = true;
    reply_path_ = incoming->path;
  }
  shard.note_message(sa, head, incoming->payloads, arrival.path(), false);
  return incoming;
}

// A copy that somebody on the path sends from another address is as authentic as what comes from a NAT that has forgotten. There the
// answer, which may be much larger, goes only so often, and never in more than one and a half times the bytes that came.
bool Channel::may_answer_elsewhere(Shard& shard, const Path& path, std::size_t size, bool again) {
  if (path.remote != elsewhere_) credit_elsewhere_ = 0;
  elsewhere_ = path.remote;
  std::size_t answer = 0;
  for (const auto& datagram : last_response_) answer += datagram.size();
  credit_elsewhere_ = std::min(credit_elsewhere_ + size, 2 * answer);
  if (!again) return false;
  if (3 * credit_elsewhere_ < 2 * answer || !repeats_elsewhere_.take(shard.time())) return false;
  credit_elsewhere_ = 0;
  return true;
}

// RFC 7296 2.1: the same bytes again, to where the request came from (2.11).
void Channel::take_copy(Shard& shard, const Path& path, std::size_t size, bool again) {
  const bool elsewhere = from_several_places_ || path.remote != reply_path_.remote;
  if (elsewhere && !may_answer_elsewhere(shard, path, size, again)) {
    shard.count(Counter::kDuplicatesIgnored);
    return shard.count(RarePath::kNotAnsweredAgainElsewhere);
  }
  if (!again) return shard.count(RarePath::kLaterFragmentNotAnsweredAgain);
  shard.count(Counter::kDuplicatesAnswered);
  if (last_response_.size() > 1) shard.count(RarePath::kFragmentsAnsweredAgain);
  if (only_repeats_) shard.count(RarePath::kAnsweredAgainAfterTheEnd);
  transmit(shard, last_response_, path);
}

std::optional<Incoming> Channel::open_whole(Shard& shard, const Arrival& arrival) {
  auto opened = protection_.open(arrival.datagram.payload, arrival.message);
  Incoming incoming;
  if (opened) {
    incoming.payloads = std::move(opened->payloads);
    return incoming;
  }
  switch (opened.error().kind) {
    case OpenFailure::kNotEncrypted:
      shard.count(Counter::kDropUnprotected);
      return std::nullopt;
    case OpenFailure::kBadIcv:
      shard.count(Counter::kDropBadIcv);
      return std::nullopt;
    case OpenFailure::kMalformed:
      break;
  }
  shard.count(Counter::kDropMalformedContent);
  incoming.malformed = opened.error().parse;
  return incoming;
}

std::optional<Incoming> Channel::open_fragment(Shard& shard, const Arrival& arrival, bool repeated) {
  shard.count(Counter::kFragmentsReceived);
  // RFC 7383 2.3: fragments only after both sides announced them.
  if (!fragmentation_) {
    shard.count(Counter::kFragmentsDropped);
    return std::nullopt;
  }
  auto opened = protection_.open_fragment(arrival.datagram.payload, arrival.message);
  if (!opened) {
    shard.count(opened.error().kind == OpenFailure::kBadIcv ? Counter::kDropBadIcv
                                                            : Counter::kFragmentsDropped);
    return std::nullopt;
  }
  // RFC 7383 2.6.1: only the first fragment of a repeated request makes us answer again.
  if (repeated) {
    take_copy(shard, arrival.path(), arrival.datagram.payload.size(), opened->number == 1);
    return std::nullopt;
  }
  const bool response = arrival.message.header.flags.response;
  auto& collected = response ? responses_ : requests_;
  const auto outcome =
      collected.add(arrival.message.header.message_id, std::move(*opened), shard.time(), &shard.memory());
  if (!response) note_source(outcome, arrival.path());
  if (outcome != Reassembly::Outcome::kComplete) {
    if (outcome == Reassembly::Outcome::kNoMemory) shard.count(Counter::kDropMemoryLimit);
    if (outcome == Reassembly::Outcome::kDropped) shard.count(Counter::kFragmentsDropped);
    if (outcome == Reassembly::Outcome::kDuplicate) shard.count(RarePath::kFragmentRepeated);
    return std::nullopt;
  }
  shard.count(Counter::kFragmentsReassembled);
  auto whole = collected.take();
  if (!whole) return std::nullopt;
  Incoming incoming;
  auto parsed = wire::parse_payloads(whole->first, whole->content);
  if (parsed) {
    incoming.payloads = std::move(*parsed);
  } else {
    shard.count(Counter::kDropMalformedContent);
    incoming.malformed = parsed.error();
  }
  wipe(whole->content);
  return incoming;
}

// Of a fragment that requests_ has taken.
void Channel::note_source(Reassembly::Outcome outcome, const Path& from) {
  if (outcome != Reassembly::Outcome::kStored && outcome != Reassembly::Outcome::kComplete) return;
  if (requests_.fragments() == 1) {
    fragments_from_ = from;
    from_several_places_ = false;
  } else if (from != fragments_from_) {
    from_several_places_ = true;
  }
}

std::optional<MessageId> Channel::beyond_window(const Arrival& arrival) {
  const auto& head = arrival.message.header;
  if (head.flags.response || head.flags.initiator == initiator_ || only_repeats_ ||
      head.message_id.value <= peer_id_)
    return std::nullopt;
  const bool fragment = !arrival.message.payloads.empty() &&
                        std::holds_alternative<wire::SkfPayload>(arrival.message.payloads.back());
  const bool authentic =
      fragment
          ? fragmentation_ && protection_.open_fragment(arrival.datagram.payload, arrival.message).has_value()
          : protection_.open(arrival.datagram.payload, arrival.message).has_value();
  return authentic ? std::optional(head.message_id) : std::nullopt;
}

void Channel::trust() {
  requests_.set_limit(kMaxReassembledBytes);
  responses_.set_limit(kMaxReassembledBytes);
}

void Channel::only_repeat() {
  only_repeats_ = true;
  requests_.clear();
  responses_.clear();
}

Instant Channel::fragments_deadline() const {
  return std::min(requests_.deadline(), responses_.deadline());
}

void Channel::drop_stale_fragments(Shard& shard) {
  for (auto* collected : {&requests_, &responses_}) {
    if (shard.time() < collected->deadline()) continue;
    shard.count(RarePath::kFragmentsOutdated);
    collected->clear();
  }
}

Channel::Due Channel::advance(Shard& shard, const IkeSa& sa) {
  if (!own_ || shard.time() < own_->next_send) return Due::kNothing;
  if (!own_->schedule.may_send_again(own_->sends)) return Due::kGivenUp;
  ++own_->sends;
  own_->next_send = shard.time() + own_->schedule.wait_after(own_->sends);
  shard.count(Counter::kRetransmissionsSent);
  if (own_->datagrams.size() > 1) shard.count(RarePath::kFragmentsSentAgain);
  shard.trace_retransmission(sa, path_);
  transmit(shard, own_->datagrams, path_);
  return Due::kSentAgain;
}

}  // namespace merlon::ikev2
