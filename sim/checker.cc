// Invariants of SAs and of the wire; those of inner packets stand in checker_traffic.cc.
#include "sim/checker.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/traffic_selector.h"
#include "sim/key_store.h"
#include "wire/esp.h"
#include "wire/ike/message.h"

namespace merlon::sim {
namespace {

// How many bytes may go to an address that has proved nothing for two that came from there. RFC 7296 2.6 wants no state and little work for
// it, and says nothing of sizes; an answer to IKE_SA_INIT is as large as the request but for CERTREQ and some notifications.
constexpr std::uint64_t kAnswersForTwo = 3;

std::uint64_t key_digest(const policy::DirectionKeys& keys) {
  Digest digest;
  digest.add_words(keys.encryption.bytes());
  digest.add_words(keys.integrity.bytes());
  return digest.value();
}

bool has_counter_iv(EncrId encr) {
  return encr != EncrId::kAesCbc && encr != EncrId::kNull;
}

std::uint64_t words_digest(ByteView bytes) {
  Digest digest;
  digest.add_words(bytes);
  return digest.value();
}

std::uint64_t number_at(ByteView bytes, std::size_t at) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes.subspan(at, 8)) number = number << 8U | byte;
  return number;
}

// RFC 4106 3.1 wants no IV twice; the packet engine counts, so a number that does not grow is a mistake before it is one that came twice.
std::uint64_t counter_iv(ByteView packet) {
  return number_at(packet, wire::kEspHeaderSize);
}

// The whole sequence number, from its low half and the one before.
std::uint64_t whole_sequence(std::uint64_t last, std::uint32_t low, bool esn) {
  const std::uint64_t same_high = (last & ~std::uint64_t{0xffffffff}) | low;
  const bool wrapped = esn && same_high < last && last - same_high > 0x80000000U;
  return wrapped ? same_high + (std::uint64_t{1} << 32U) : same_high;
}

constexpr std::size_t kMostCandidates = 4;       // that an initiator keeps
constexpr std::size_t kIkeIvsRemembered = 4096;  // of one IKE SA and sender
constexpr std::size_t kNobody = SIZE_MAX;
// Of an impostor: nobody.
std::size_t other_end(const TunnelPlan& plan, std::size_t host) {
  return plan.hosts[0] == host ? plan.hosts[1] : plan.hosts[1] == host ? plan.hosts[0] : kNobody;
}

}  // namespace

Checker::Checker(const Scenario& scenario, const EventQueue& queue)
    : scenario_(scenario), queue_(queue), live_(scenario.hosts.size()) {
  for (std::size_t i = 0; i < scenario.tunnels.size(); ++i) tunnels_[scenario.tunnels[i].connection] = i;
  for (const HostPlan& host : scenario.hosts) {
    unsigned most = 1;
    for (const auto& connection : host.connections) most = std::max(most, connection->retransmit_tries);
    tries_.push_back(most);
  }
}

void Checker::fail(std::string_view invariant, std::string detail) {
  if (!violation_) violation_ = Violation{std::string(invariant), std::move(detail), queue_.elapsed()};
}

std::optional<std::size_t> Checker::tunnel_of(const std::string& connection) const {
  const auto at = tunnels_.find(connection);
  return at == tunnels_.end() ? std::nullopt : std::optional(at->second);
}

bool Checker::may_be_at(std::size_t host, std::size_t tunnel) {
  const TunnelPlan& plan = scenario_.tunnels[tunnel];
  if (plan.may_be_up) return true;
  fail("no SA without an authenticated peer", fmt::format("{} has an SA of {}, whose secrets do not fit",
                                                          scenario_.hosts[host].name, plan.connection));
  return false;
}

// RFC 4301 4.4.3: the peer proved to be the one that the connection names.
void Checker::established(std::size_t host, const ike::IkeSaEstablished& event) {
  const auto tunnel = tunnel_of(event.connection);
  if (!tunnel || !may_be_at(host, *tunnel)) return;
  const TunnelPlan& plan = scenario_.tunnels[*tunnel];
  // An impostor believes what it wants; what it shares with the others is what counts.
  const std::size_t other = other_end(plan, host);
  const std::string& who = scenario_.hosts[host].name;
  if (other != kNobody && event.remote_id.find(host_identity(other)) == std::string::npos)
    return fail("the peer is whom the PAD names",
                fmt::format("{} takes {} for the peer of {}", who, event.remote_id, event.connection));
  auto& ends = ike_ends_[{event.id.initiator.value, event.id.responder.value}];
  auto& own = ends[event.initiator ? 0 : 1];
  const auto& theirs = ends[event.initiator ? 1 : 0];
  if ((own && *own != host) || (theirs && *theirs != other))
    return fail(
        "no SA without an authenticated peer",
        fmt::format("{} shares an IKE SA of {} with somebody who is not its peer", who, event.connection));
  own = host;
}

// Whoever holds the other half of the keys must be the tunnel's other end.
void Checker::check_mate(std::size_t host, std::size_t tunnel, const Installed& sa) {
  for (const auto& [keys, holders] :
       {std::pair(sa.outbound_keys, &inbound_keys_), std::pair(sa.inbound_keys, &outbound_keys_)}) {
    const auto mate = holders->find(keys);
    if (mate == holders->end()) continue;
    const TunnelPlan& plan = scenario_.tunnels[tunnel];
    if (mate->second.host != other_end(plan, host) || mate->second.tunnel != tunnel)
      return fail("no SA without an authenticated peer",
                  fmt::format("{} shares keys of {} with {}", scenario_.hosts[host].name, plan.connection,
                              scenario_.hosts[mate->second.host].name));
  }
}

void Checker::installed(std::size_t host, const policy::ChildSaPtr& sa) {
  const std::string& who = scenario_.hosts[host].name;
  const auto tunnel = tunnel_of(sa->connection->name);
  if (!tunnel)
    return fail("only configured connections", fmt::format("{} has one named {}", who, sa->connection->name));
  if (!may_be_at(host, *tunnel)) return;
  const TunnelPlan& plan = scenario_.tunnels[*tunnel];
  Installed made{policy::without_keys(*sa), key_digest(sa->inbound), key_digest(sa->outbound)};
  check_mate(host, *tunnel, made);
  if (made.inbound_keys == made.outbound_keys)
    return fail("each direction has its own keys",
                fmt::format("{} installs {} of {}", who, sa->outbound_spi, plan.connection));

  // Keys never survive a restart and are never used for a second SA.
  const KeyHolder holder{host, *tunnel};
  if (!outbound_keys_.emplace(made.outbound_keys, holder).second ||
      !inbound_keys_.emplace(made.inbound_keys, holder).second)
    return fail("every SA has new keys", fmt::format("{} installs {} of {} with keys that were in use before",
                                                     who, sa->outbound_spi, plan.connection));
  live_[host].emplace(sa->id.value, policy::without_keys(*sa));
  outbound_[{host, sa->id.value}] = {made.outbound_keys, sa->algorithms.encr, sa->algorithms.esn, true,
                                     sa->outbound_spi};

  if (scenario_.hosts[host].impostor) return;
  const bool first = plan.hosts[0] == host;
  const EndsKey key = first ? EndsKey{*tunnel, sa->inbound_spi.value, sa->outbound_spi.value}
                            : EndsKey{*tunnel, sa->outbound_spi.value, sa->inbound_spi.value};
  auto& ends = ends_[key];
  ends[first ? 0 : 1] = std::move(made);
  if (!ends[0] || !ends[1]) return;
  compare_ends(*ends[0], *ends[1]);
  ends_.erase(key);
}

void Checker::compare_ends(const Installed& first, const Installed& second) {
  ++agreed_pairs_;
  const policy::ChildSa &a = first.sa, &b = second.sa;
  const std::string which =
      fmt::format("{}.{}, SPIs {} and {}", a.connection->name, a.child().name, a.inbound_spi, b.inbound_spi);
  if (first.inbound_keys != second.outbound_keys || first.outbound_keys != second.inbound_keys)
    return fail("same keys at both ends", which);
  if (a.algorithms.encr != b.algorithms.encr || a.algorithms.key_bits != b.algorithms.key_bits ||
      a.algorithms.integ != b.algorithms.integ || a.algorithms.esn != b.algorithms.esn)
    return fail("same algorithms at both ends", which);
  if (a.child().name != b.child().name) return fail("same child at both ends", which);
  if (!policy::same_set(a.local_ts, b.remote_ts) || !policy::same_set(a.remote_ts, b.local_ts))
    return fail("mirrored selectors",
                fmt::format("{}: {} and {}", which, policy::to_text(a.local_ts, a.remote_ts),
                            policy::to_text(b.local_ts, b.remote_ts)));
  for (const auto* end : {&a, &b})
    if (!policy::contains(end->child().local_ts, end->local_ts) ||
        !policy::contains(end->child().remote_ts, end->remote_ts))
      return fail("selectors within the policy",
                  fmt::format("{}: {}", which, policy::to_text(end->local_ts, end->remote_ts)));
}

void Checker::removed(std::size_t host, policy::ChildSaId id) {
  if (live_[host].erase(id.value) == 0)
    return fail("what is removed was there",
                fmt::format("{} removes Child SA {}", scenario_.hosts[host].name, id.value));
  outbound_[{host, id.value}].live = false;
}

void Checker::crashed(std::size_t host) {
  for (const auto& [id, sa] : live_[host]) outbound_[{host, id}].live = false;
  live_[host].clear();
}

void Checker::sent(std::size_t host, const WireDatagram& datagram, policy::ChildSaId sa) {
  check_clear(host, datagram);
  if (const ByteView packet = esp_packet_of(datagram); !packet.empty())
    return check_sequence(host, packet, sa);
  const ByteView message = ike_message_of(datagram);
  if (message.empty()) return;
  if (is_nobodys(datagram.destination.address)) check_answer(host, datagram, message);
  check_message(host, message);
}

// What is answered to an address that has proved nothing. An authenticated request that somebody on the path lets arrive from there moves the
// IKE SA's path (RFC 7296 2.23), so our own requests may go there as well: those do not count here, their number is bounded elsewhere.
void Checker::check_answer(std::size_t host, const WireDatagram& datagram, ByteView message) {
  const auto header = wire::IkeHeader::parse(message);
  if (!header || !header->flags.response) return;
  Exchanged& so_far = nobodys_[{host, datagram.destination.address}];
  so_far.bytes_out += datagram.payload.size();
  if (so_far.bytes_out * 2 > so_far.bytes_in * kAnswersForTwo)
    fail("answers to the unproven are small",
         fmt::format("{} has sent {} bytes to {}, from where {} came; the last was {}",
                     scenario_.hosts[host].name, so_far.bytes_out, datagram.destination.address,
                     so_far.bytes_in, describe(datagram)));
}

// RFC 4303 3.3.3 and, for counter modes, RFC 4106 3.1: no sequence number and no IV twice under one key.
void Checker::check_sequence(std::size_t host, ByteView packet, policy::ChildSaId sa) {
  const std::string& who = scenario_.hosts[host].name;
  const auto at = outbound_.find({host, sa.value});
  const auto header = wire::parse_esp_header(packet);
  if (at == outbound_.end() || !header)
    return fail("ESP only under an SA",
                fmt::format("{} sends {} bytes of ESP under no SA", who, packet.size()));
  if (!at->second.live)
    return fail("ESP only under an SA",
                fmt::format("{} sends under {}, which it has removed", who, at->second.spi));
  if (header->spi != at->second.spi)
    return fail("ESP only under an SA",
                fmt::format("{} sends with SPI {}, its SA has {}", who, header->spi, at->second.spi));
  Sequence& sequence = sequences_[at->second.key];
  const std::uint64_t whole = whole_sequence(sequence.last, header->sequence, at->second.esn);
  if (whole <= sequence.last)
    return fail("no sequence number twice", fmt::format("{} sends number {} after {} under SPI {}", who,
                                                        whole, sequence.last, header->spi));
  sequence.last = whole;
  if (!has_counter_iv(at->second.encr) || packet.size() < wire::kEspHeaderSize + 8) return;
  const std::uint64_t iv = counter_iv(packet);
  if (iv <= sequence.last_iv)
    fail("no IV twice", fmt::format("{} sends number {} under SPI {}", who, header->sequence, header->spi));
  sequence.last_iv = iv;
}

// RFC 7296 2.1, 2.2, 2.3: Message IDs in order, one request outstanding, and what is sent again is the same, bit for bit.
void Checker::check_message(std::size_t host, ByteView message) {
  const std::string& who = scenario_.hosts[host].name;
  const auto header = wire::IkeHeader::parse(message);
  if (!header) return fail("IKE messages have a header", who);
  const bool response = header->flags.response;
  if (header->exchange_type == wire::ExchangeType::kIkeSaInit) {
    if (header->message_id.value != 0)
      fail("Message IDs in order", fmt::format("{} sends IKE_SA_INIT {}", who, header->message_id.value));
    // Cookies and other key exchange methods change the message under the same ID.
    if (!response)
      count_send(who, host, 0, ++init_requests_[{host, header->initiator_spi.value, words_digest(message)}]);
    return;
  }
  if (header->responder_spi.value == 0) return;
  if (header->next_payload != wire::PayloadType::kSk && header->next_payload != wire::PayloadType::kSkf)
    return;  // RFC 7296 1.5
  std::uint32_t part = 0;
  if (header->next_payload == wire::PayloadType::kSkf && message.size() >= wire::kIkeHeaderSize + 8)
    part = static_cast<std::uint32_t>(message[wire::kIkeHeaderSize + 4] << 8U |
                                      message[wire::kIkeHeaderSize + 5]);
  Window& window = windows_[{host, header->initiator_spi.value, header->responder_spi.value}];
  if (!response) {
    const unsigned sends = check_request(who, window, *header, part, words_digest(message));
    count_send(who, host, header->message_id.value, sends);
    return check_ike_iv(who, window, *header, message);
  }
  const auto [at, fresh] =
      window.response_parts.try_emplace({header->message_id.value, part}, words_digest(message));
  if (!fresh && at->second != words_digest(message))
    fail("what is sent again is the same", fmt::format("{} answers request {} of {} twice, differently", who,
                                                       header->message_id.value, header->initiator_spi));
  check_ike_iv(who, window, *header, message);
}

// RFC 5282 3.1: no IV twice under one key, but for the same message; RFC 7296 3.14 wants those of other modes unpredictable, so they differ
// as well. A key is known by whose it is and by the SPIs of its IKE SA.
void Checker::check_ike_iv(const std::string& who, Window& window, const wire::IkeHeader& header,
                           ByteView message) {
  const std::size_t at = wire::kIkeHeaderSize + (header.next_payload == wire::PayloadType::kSkf ? 8 : 4);
  if (message.size() < at + 8) return;
  auto& messages = window.ivs[number_at(message, at)];
  messages.insert(words_digest(message));
  // RFC 7296 2.4: candidates have one pair of SPIs where only the public value of an answer was forged, and each has keys of its own.
  const bool candidates = header.exchange_type == wire::ExchangeType::kIkeAuth && !header.flags.response &&
                          messages.size() <= kMostCandidates;
  if (messages.size() > 1 && !candidates)
    fail("no IKE IV twice", fmt::format("{} protects message {} of {} with an IV that it used before", who,
                                        header.message_id.value, header.initiator_spi));
  if (window.ivs.size() > kIkeIvsRemembered) window.ivs.erase(window.ivs.begin());
}

unsigned Checker::check_request(const std::string& who, Window& window, const wire::IkeHeader& header,
                                std::uint32_t part, std::uint64_t digest) {
  const std::uint32_t id = header.message_id.value;
  const auto failed = [&](std::string_view invariant, std::string detail) {
    fail(invariant, std::move(detail));
    return 0U;
  };
  if (!window.any_request || id == window.last_request + 1) {
    // IKE_SA_INIT was number 0 of the one who began; whoever did not begins with 0, and so does a rekeyed IKE SA.
    if (!window.any_request && id > 1)
      return failed("Message IDs in order", fmt::format("{} begins with request {}", who, id));
    if (!window.answered)
      return failed("one request outstanding",
                    fmt::format("{} sends request {} before the answer to {}", who, id, window.last_request));
    window.any_request = true;
    window.last_request = id;
    window.answered = false;
    window.request_parts.clear();
  }
  if (id != window.last_request)
    return failed("Message IDs in order",
                  fmt::format("{} sends request {} after {}", who, id, window.last_request));
  Checker::Sends& sends = window.request_parts[part];
  const unsigned count = ++sends[digest];
  // RFC 7296 2.4: an IKE_AUTH for each of several answers to IKE_SA_INIT, of which all but one may be forged.
  const std::size_t versions = header.exchange_type == wire::ExchangeType::kIkeAuth ? kMostCandidates : 1;
  if (sends.size() > versions)
    return failed("what is sent again is the same",
                  fmt::format("{} sends request {} again, differently", who, id));
  return count;
}

// RFC 7296 2.1: a request is sent again a limited number of times, which the connection says.
void Checker::count_send(const std::string& who, std::size_t host, std::uint32_t id, unsigned sends) {
  if (sends > tries_[host])
    fail("bounded retransmissions",
         fmt::format("{} sends request {} {} times, and may {} times", who, id, sends, tries_[host]));
}

void Checker::arrived(std::size_t host, const WireDatagram& datagram) {
  const ByteView message = ike_message_of(datagram);
  if (is_nobodys(datagram.source.address))
    nobodys_[{host, datagram.source.address}].bytes_in += datagram.payload.size();
  if (message.empty()) return;
  const auto header = wire::IkeHeader::parse(message);
  if (!header || !header->flags.response) return;
  const auto at = windows_.find({host, header->initiator_spi.value, header->responder_spi.value});
  if (at != windows_.end() && at->second.last_request == header->message_id.value) at->second.answered = true;
}

}  // namespace merlon::sim
