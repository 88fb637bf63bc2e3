#include "ikev2/shard.h"

#include <algorithm>

#include "base/reader.h"
#include "crypto/hash.h"
#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "wire/ike/describe.h"

namespace merlon::ikev2 {

using ike::Counter;
using ike::RarePath;
using wire::ExchangeType;
using wire::NotifyType;

Shard::Shard(EngineOptions options, Rng& rng, ike::SpiAllocator& spis)
    : options_(options),
      rng_(rng),
      spis_(spis),
      memory_(options.memory_limit),
      cookies_(rng),
      half_open_(options.half_open_limit, options.half_open_limit_per_source) {
  options_.shard_count = std::max<std::uint64_t>(1, options_.shard_count);
  options_.last_message_id = std::max<std::uint32_t>(64, options_.last_message_id);
}

// ---- what exchanges use

const ike::ConnectionCredentials& Shard::credentials(const std::string& connection) const {
  const auto* found = credentials_ ? credentials_->find(connection) : nullptr;
  return found ? *found : no_credentials_;
}

policy::ConnectionPtr Shard::connection(std::string_view name) const {
  for (const auto& connection : connections_)
    if (connection->name == name) return connection;
  return nullptr;
}

void Shard::transmit(const Path& path, Bytes payload, bool dont_fragment) {
  count(Counter::kMessagesSent);
  auto local = path.local;
  if (local.port == 0) local.port = path.natt ? options_.natt_port : options_.ike_port;
  emit(ike::Transmit{local, path.remote, path.natt, std::move(payload), dont_fragment});
}

ike::RequestId Shard::register_request(const IkeSa& sa) {
  requests_[++last_request_] = sa.own_spi();
  return last_request_;
}

ike::RequestId Shard::generate_key_pair(const IkeSa& sa, KeMethod method) {
  const auto request = register_request(sa);
  emit(ike::RunKeyExchange{request, method, nullptr, {}});
  return request;
}

ike::RequestId Shard::derive_secret(const IkeSa& sa, std::shared_ptr<const crypto::KeyExchange> exchange,
                                    ByteView peer_public_value) {
  const auto request = register_request(sa);
  const auto method = exchange->method();
  emit(ike::RunKeyExchange{request, method, std::move(exchange), to_bytes(peer_public_value)});
  return request;
}

IkeSpi Shard::new_ike_spi() {
  for (;;) {
    // The shard's number is the remainder, so that any thread can tell whose it is.
    const auto drawn = rng_.uniform<std::uint64_t>();
    const auto value = drawn - drawn % options_.shard_count + options_.shard;
    const bool of_this_shard = value % options_.shard_count == options_.shard;  // unless it went over the top
    if (of_this_shard && value != 0 && !sas_.contains(value)) return {value};
  }
}

IkeSa& Shard::adopt(std::unique_ptr<IkeSa> sa) {
  auto& made = *sa;
  made.began = time();
  sas_[made.own_spi().value] = std::move(sa);
  index(made);
  touch(made);
  return made;
}

IkeSa* Shard::find(IkeSpi own_spi) {
  const auto at = sas_.find(own_spi.value);
  return at == sas_.end() ? nullptr : at->second.get();
}

void Shard::index(IkeSa& sa) {
  if (sa.connection && !sa.indexed) {
    sa.indexed = true;
    by_connection_.emplace(sa.connection->name, sa.own_spi().value);
  }
}

void Shard::end_half_open(const IkeSa& sa) {
  const auto at = half_open_source_.find(sa.own_spi().value);
  if (at == half_open_source_.end()) return;
  half_open_.release(at->second);
  half_open_source_.erase(at);
}

// ---- tracing

bool Shard::traced(const IkeSa& sa) const {
  return options_.trace_all ||
         (!trace_messages_.empty() && (!sa.connection || trace_messages_.contains(sa.connection_name())));
}
bool Shard::keys_traced(const IkeSa& sa) const {
  return !trace_keys_.empty() && (!sa.connection || trace_keys_.contains(sa.connection_name()));
}

void Shard::count_notifies(std::span<const wire::Payload> payloads, bool sent) {
  for (const auto& payload : payloads)
    if (const auto* notify = std::get_if<wire::NotifyPayload>(&payload)) {
      const auto type = static_cast<std::uint16_t>(notify->type);
      sent ? counters_.add_notify_sent(type) : counters_.add_notify_received(type);
    }
}

void Shard::note_message(const IkeSa& sa, const wire::IkeHeader& header,
                         std::span<const wire::Payload> payloads, const Path& path, bool sent) {
  count_notifies(payloads, sent);
  if (!traced(sa)) return;
  ike::MessageTraced event;
  event.connection = sa.connection_name();
  event.id = header.ike_sa_id();
  event.sent = sent;
  event.local = path.local;
  event.remote = path.remote;
  event.lines.push_back(wire::describe(header));
  for (const auto& payload : payloads) event.lines.push_back(wire::describe(payload));
  emit(ike::Event(std::move(event)));
}

void Shard::trace_retransmission(const IkeSa& sa, const Path& path) {
  if (!traced(sa)) return;
  emit(ike::Event(ike::MessageTraced{
      sa.connection_name(), sa.id, true, true, path.local, path.remote, {"the last request again"}}));
}

bool Shard::may_answer(ClearAnswer kind, const IpAddress& source) {
  constexpr double kReserve = 10;  // half of the burst
  switch (kind) {
    case ClearAnswer::kRefusal:
      return refusals_.take(time(), source);
    case ClearAnswer::kStray:
      return strays_.take(time(), source);
    case ClearAnswer::kUnknownSpi:
      break;
  }
  return strays_.take(time(), source, kReserve);
}

void Shard::answer_in_clear(const ike::Datagram& datagram, const wire::IkeHeader& header,
                            std::vector<wire::Payload> payloads) {
  wire::Message message;
  // RFC 7296 1.5, 2.21.4: SPIs, Message ID and exchange type are copied.
  message.header.initiator_spi = header.initiator_spi;
  message.header.responder_spi = header.responder_spi;
  message.header.exchange_type = header.exchange_type;
  message.header.message_id = header.message_id;
  message.header.flags.response = true;
  message.header.flags.initiator = !header.flags.initiator;
  message.payloads = std::move(payloads);
  count_notifies(message.payloads, true);
  auto bytes = wire::encode_message(message);
  if (!bytes) return;
  transmit({datagram.local, datagram.remote, datagram.natt}, std::move(*bytes));
}

// ---- what arrives

void Shard::receive(Now now, const ike::Datagram& datagram) {
  begin(now);
  count(Counter::kMessagesReceived);
  const auto header = wire::IkeHeader::parse(datagram.payload);
  if (!header) return count(Counter::kDropMalformed);
  // RFC 7296 1.5, 2.5
  if (header->major != wire::kIkeMajorVersion) {
    count(Counter::kDropVersion);
    if (header->major > wire::kIkeMajorVersion && !header->flags.response &&
        may_answer(ClearAnswer::kStray, datagram.remote.address))
      answer_in_clear(datagram, *header, {wire::make_notify(NotifyType::kInvalidMajorVersion)});
    return;
  }
  if (header->exchange_type == ExchangeType::kIkeSaInit && !header->flags.response) {
    receive_init_request(datagram, *header);
  } else {
    auto* sa = find(header->flags.initiator ? header->responder_spi : header->initiator_spi);
    // Before IKE_AUTH the initiator has several possible peers (RFC 7296 2.4); later both SPIs must fit.
    const bool tentative =
        sa && (std::holds_alternative<InitSent>(sa->phase) || std::holds_alternative<AuthSent>(sa->phase));
    if (!sa || sa->initiator == header->flags.initiator || (!tentative && header->ike_sa_id() != sa->id)) {
      receive_unknown(datagram, *header);
    } else if (auto message = wire::parse_message(datagram.payload)) {
      ikev2::receive(*this, *sa, {datagram, std::move(*message)});
    } else {
      count(Counter::kDropMalformed);
    }
  }
  settle();
}

void Shard::receive_unknown(const ike::Datagram& datagram, const wire::IkeHeader& header) {
  count(Counter::kDropUnknownSpi);
  // RFC 7296 2.21.4: a response is never answered.
  if (header.flags.response || header.exchange_type == ExchangeType::kIkeSaInit) return;
  // Without protection and outside of an IKE SA, INFORMATIONAL is only ever INVALID_SPI (RFC 7296 1.5): one way.
  if (header.exchange_type == ExchangeType::kInformational &&
      header.next_payload == wire::PayloadType::kNotify)
    return heed_invalid_spi_in_clear(datagram);
  if (may_answer(ClearAnswer::kUnknownSpi, datagram.remote.address))
    answer_in_clear(datagram, header, {wire::make_notify(NotifyType::kInvalidIkeSpi)});
}

void Shard::receive_init_request(const ike::Datagram& datagram, const wire::IkeHeader& header) {
  if (shutting_down_) return;
  // RFC 7296 2.1: the same request from the same place is a retransmission; SPIi alone would not tell.
  const auto endpoint = datagram.remote.to_string();
  const auto digest = crypto::sha2_256({as_bytes(endpoint), datagram.payload});
  ByteReader reader(digest);
  const auto key = reader.u64().value_or(0);
  if (const auto known = by_init_request_.find(key); known != by_init_request_.end()) {
    if (auto* sa = find(known->second)) {
      auto* half_open = std::get_if<HalfOpen>(&sa->phase);
      // The source may be forged, and the response be larger than the request: it is not repeated for ever.
      const bool repeat = half_open && !half_open->response.empty() && !half_open->channel &&
                          half_open->repeats++ < kMaxInitRepeats;
      count(repeat ? Counter::kDuplicatesAnswered : Counter::kDuplicatesIgnored);
      count(repeat ? RarePath::kInitAnsweredAgain : RarePath::kInitNotAnsweredAgain);
      if (repeat) transmit({datagram.local, datagram.remote, datagram.natt}, half_open->response);
    }
    return;
  }
  if (header.message_id.value != 0 || header.responder_spi.value != 0 || header.initiator_spi.value == 0 ||
      !header.flags.initiator)
    return count(Counter::kDropMalformed);
  auto message = wire::parse_message(datagram.payload);
  if (!message) {
    count(Counter::kDropMalformed);
    // RFC 7296 2.5
    if (message.error().notify == NotifyType::kUnsupportedCriticalPayload &&
        may_answer(ClearAnswer::kRefusal, datagram.remote.address))
      answer_in_clear(datagram, header,
                      {wire::make_unsupported_critical_payload(message.error().payload_type)});
    return;
  }
  auto made = answer_ike_sa_init(*this, {datagram, std::move(*message)});
  if (!made) return;
  const auto spi = made->own_spi();
  half_open_source_[spi.value] = datagram.remote.address;
  by_init_request_[key] = spi;
  init_request_of_[spi.value] = key;
  auto& sa = adopt(std::move(made));
  auto& phase = std::get<HalfOpen>(sa.phase);
  phase.pending = generate_key_pair(sa, phase.chosen.ke);
}

void Shard::complete(Now now, ike::Answer answer) {
  begin(now);
  const auto request = std::visit([](const auto& one) { return one.request; }, answer);
  const auto at = requests_.find(request);
  if (at == requests_.end()) return;
  auto* sa = find(at->second);
  requests_.erase(at);
  if (sa) ikev2::complete(*this, *sa, std::move(answer));
  settle();
}

void Shard::advance(Now now) {
  begin(now);
  for (const auto spi : timers_.expire(now.monotonic))
    if (auto* sa = find({spi})) ikev2::advance(*this, *sa);
  settle();
}

void Shard::settle() {
  // A handler may touch other IKE SAs (a successor, a replaced one), so until nothing is left; what is due at
  // once runs now.
  for (unsigned rounds = 0; !touched_.empty(); ++rounds) {
    const auto touched = std::move(touched_);
    touched_.clear();
    for (const auto spi : touched) {
      auto* sa = find({spi});
      if (!sa) continue;
      index(*sa);
      if (sa->closed()) {
        remove(*sa);
        continue;
      }
      if (std::holds_alternative<Lingering>(sa->phase)) note_lingering(*sa);
      const auto deadline = ikev2::next_deadline(*sa);
      constexpr unsigned kMaxRounds = 16;
      if (deadline <= time() && rounds < kMaxRounds)
        ikev2::advance(*this, *sa);
      else
        timers_.set(spi, deadline);
    }
  }
}

// A peer that rekeys and deletes over and over leaves one behind each time.
void Shard::note_lingering(const IkeSa& sa) {
  if (!lingering_.insert(sa.own_spi().value).second) return;
  lingering_order_.push_back(sa.own_spi().value);
  while (!lingering_order_.empty() &&
         (lingering_.size() > options_.lingering_limit || !lingering_.contains(lingering_order_.front()))) {
    if (auto* oldest = find({lingering_order_.front()});
        oldest && std::holds_alternative<Lingering>(oldest->phase)) {
      count(RarePath::kLingeringEvicted);
      lingering_.erase(oldest->own_spi().value);
      oldest->phase = Closed{};
      touch(*oldest);
    }
    lingering_order_.pop_front();
  }
}

void Shard::remove(IkeSa& sa) {
  const auto spi = sa.own_spi().value;
  end_half_open(sa);
  timers_.cancel(spi);
  lingering_.erase(spi);
  if (const auto at = init_request_of_.find(spi); at != init_request_of_.end()) {
    by_init_request_.erase(at->second);
    init_request_of_.erase(at);
  }
  const auto forget = [spi](auto& map, const auto& key) {
    auto [first, last] = map.equal_range(key);
    for (; first != last; ++first)
      if (first->second == spi) {
        map.erase(first);
        return;
      }
  };
  if (sa.indexed) forget(by_connection_, sa.connection->name);
  if (sa.identity_key != 0) forget(by_identity_, sa.identity_key);
  sas_.erase(spi);
}

// ---- one peer, several IKE SAs (RFC 7296 2.4)

namespace {
std::uint64_t identity_key(const Identity& local, const Identity& remote) {
  const auto text = local.to_string() + '\n' + remote.to_string();
  return std::hash<std::string>{}(text) | 1U;
}
// Two that were begun from both sides at about the same time are not one replacing the other.
constexpr Duration kCrossing = std::chrono::seconds(30);
}  // namespace

std::vector<IkeSa*> Shard::same_peers(const IkeSa& newest, const Identity& local, const Identity& remote) {
  std::vector<IkeSa*> found;
  auto [first, last] = by_identity_.equal_range(identity_key(local, remote));
  for (; first != last; ++first) {
    auto* sa = find({first->second});
    const auto* other = sa && sa != &newest ? sa->established() : nullptr;
    // Two connections between the same identities do not replace each other.
    const bool same =
        other && sa->connection && newest.connection && sa->connection->name == newest.connection->name;
    if (same && other->peer.identity() == remote && other->local_id == local) found.push_back(sa);
  }
  return found;
}

// What was replaced by a rekey only waits for its Delete.
static bool has_living(const std::vector<IkeSa*>& found) {
  return std::any_of(found.begin(), found.end(), [](IkeSa* sa) { return !sa->established()->successor; });
}

bool Shard::refuses_duplicate(const IkeSa& newest, const PeerAuthenticated& peer, const Identity& local_id) {
  return newest.connection->unique == policy::Connection::Uniqueness::kKeep &&
         has_living(same_peers(newest, local_id, peer.identity()));
}

bool Shard::has_established(const IkeSa& except, const policy::Connection& connection) {
  auto [first, last] = by_connection_.equal_range(connection.name);
  for (; first != last; ++first)
    if (auto* sa = find({first->second}); sa && sa != &except && sa->established()) return true;
  return false;
}

void Shard::know_identity(IkeSa& sa, const Established& established) {
  sa.identity_key = identity_key(established.local_id, established.peer.identity());
  by_identity_.emplace(sa.identity_key, sa.own_spi().value);
}

void Shard::resolve_uniqueness(IkeSa& newest, const Established& established, bool initial_contact) {
  const auto unique = newest.connection->unique;
  if (unique == policy::Connection::Uniqueness::kNever) return;
  for (auto* other : same_peers(newest, established.local_id, established.peer.identity())) {
    auto& old = *other->established();
    const auto reason = ike::diagnosis::deleted_by_us(subject_of(*other), "the peer made a newer IKE SA");
    // RFC 7296 2.4: INITIAL_CONTACT from a peer that began after ours was established says that it has lost ours. One
    // that still said it in good faith began before.
    const bool restarted = initial_contact && newest.began >= old.established;
    if (old.successor && !restarted) continue;  // the peer deletes it, if it is still the same
    const bool crossing =
        other->initiator != newest.initiator && !restarted && time() - old.established < kCrossing;
    if (crossing) {
      // Neither is the older one that "keep" means: each end answered the other's before its own stood. Both ends see the same
      // two SPIs, so both let go of the same one.
      auto& loser = other->id.initiator < newest.id.initiator ? newest : *other;
      count(&loser == &newest ? RarePath::kNewestIkeSaRedundant : RarePath::kOlderIkeSaRedundant);
      if (&loser == &newest)
        newest.redundant = true;
      else
        queue_delete_ike(*this, old, reason);
    } else if (initial_contact) {
      // RFC 7296 2.4: the peer has lost it; nobody is there to be told.
      count(RarePath::kInitialContactCloses);
      (void)give_up(*this, *other, old, reason);
      other->phase = Closed{};
    } else if (unique == policy::Connection::Uniqueness::kReplace) {
      count(RarePath::kNewestIkeSaReplaces);
      queue_delete_ike(*this, old, reason);
    }
    touch(*other);
  }
}

std::vector<ike::Action> Shard::drain() {
  auto actions = std::move(actions_);
  actions_.clear();
  // The peer may send as soon as our answer reaches it (RFC 7296 1.2, 2.8), so what it will use stands before messages leave.
  std::stable_partition(actions.begin(), actions.end(), [](const auto& action) {
    return std::holds_alternative<ike::InstallChildSa>(action);
  });
  return actions;
}

}  // namespace merlon::ikev2
