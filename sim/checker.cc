// Invariants of SAs and of the wire; those of inner packets stand in checker_traffic.cc.
#include "sim/checker.h"

#include <fmt/format.h>

#include "policy/traffic_selector.h"
#include "wire/esp.h"
#include "wire/ike/message.h"

namespace merlon::sim {
namespace {

std::uint64_t key_digest(const policy::DirectionKeys& keys) {
  Digest digest;
  digest.add(keys.encryption.bytes());
  digest.add(keys.integrity.bytes());
  return digest.value();
}

bool same(const policy::DirectionKeys& a, const policy::DirectionKeys& b) {
  return a.encryption == b.encryption && a.integrity == b.integrity;
}

bool has_counter_iv(EncrId encr) {
  return encr != EncrId::kAesCbc && encr != EncrId::kNull;
}

}  // namespace

void Checker::fail(std::string_view invariant, std::string detail) {
  if (!violation_) violation_ = Violation{std::string(invariant), std::move(detail), queue_.elapsed()};
}

void Checker::installed(std::size_t host, const policy::ChildSaPtr& sa) {
  const std::string& who = scenario_.hosts[host].name;
  std::size_t tunnel = 0;
  while (tunnel < scenario_.tunnels.size() && scenario_.tunnels[tunnel].connection != sa->connection->name)
    ++tunnel;
  if (tunnel == scenario_.tunnels.size())
    return fail("only configured connections", fmt::format("{} has one named {}", who, sa->connection->name));
  const TunnelPlan& plan = scenario_.tunnels[tunnel];
  if (!plan.may_be_up)
    return fail("no SA without an authenticated peer",
                fmt::format("{} has a Child SA of {}, whose secrets do not fit", who, plan.connection));

  // Keys never survive a restart and are never used for a second SA.
  const std::uint64_t out = key_digest(sa->outbound);
  if (!outbound_keys_.insert(out).second || !inbound_keys_.insert(key_digest(sa->inbound)).second)
    return fail("every SA has new keys", fmt::format("{} installs {} of {} with keys that were in use before",
                                                     who, sa->outbound_spi, plan.connection));
  live_[{host, sa->id.value}] = sa;
  outbound_[{host, sa->id.value}] = {out, sa->algorithms.encr, sa->outbound_spi};

  const bool first = plan.hosts[0] == host;
  const EndsKey key = first ? EndsKey{tunnel, sa->inbound_spi.value, sa->outbound_spi.value}
                            : EndsKey{tunnel, sa->outbound_spi.value, sa->inbound_spi.value};
  auto& ends = ends_[key];
  ends[first ? 0 : 1] = sa;
  if (ends[0] && ends[1]) compare_ends(*ends[0], *ends[1]);
}

void Checker::compare_ends(const policy::ChildSa& a, const policy::ChildSa& b) {
  ++agreed_pairs_;
  const std::string which =
      fmt::format("{}.{}, SPIs {} and {}", a.connection->name, a.child().name, a.inbound_spi, b.inbound_spi);
  if (!same(a.inbound, b.outbound) || !same(a.outbound, b.inbound))
    return fail("same keys at both ends", which);
  if (same(a.inbound, a.outbound)) return fail("each direction has its own keys", which);
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
  if (live_.erase({host, id.value}) == 0)
    fail("what is removed was there",
         fmt::format("{} removes Child SA {}", scenario_.hosts[host].name, id.value));
}

void Checker::crashed(std::size_t host) {
  std::erase_if(live_, [host](const auto& entry) { return entry.first.first == host; });
}

void Checker::sent(std::size_t host, const WireDatagram& datagram, policy::ChildSaId sa) {
  check_clear(host, datagram);
  if (const ByteView packet = esp_packet_of(datagram); !packet.empty())
    return check_sequence(host, packet, sa);
  if (const ByteView message = ike_message_of(datagram); !message.empty())
    return check_message(host, message);
}

// RFC 4303 3.3.3 and, for counter modes, RFC 4106 3.1: no sequence number and no IV twice under one key.
void Checker::check_sequence(std::size_t host, ByteView packet, policy::ChildSaId sa) {
  const std::string& who = scenario_.hosts[host].name;
  const auto at = outbound_.find({host, sa.value});
  const auto header = wire::parse_esp_header(packet);
  if (at == outbound_.end() || !header)
    return fail("ESP only under an SA",
                fmt::format("{} sends {} bytes of ESP under no SA", who, packet.size()));
  if (!live_.contains({host, sa.value}))
    return fail("ESP only under an SA",
                fmt::format("{} sends under {}, which it has removed", who, at->second.spi));
  if (header->spi != at->second.spi)
    return fail("ESP only under an SA",
                fmt::format("{} sends with SPI {}, its SA has {}", who, header->spi, at->second.spi));
  Sequence& sequence = sequences_[at->second.key];
  if (header->sequence <= sequence.last)
    return fail("no sequence number twice", fmt::format("{} sends number {} after {} under SPI {}", who,
                                                        header->sequence, sequence.last, header->spi));
  sequence.last = header->sequence;
  if (has_counter_iv(at->second.encr) && packet.size() >= wire::kEspHeaderSize + 8 &&
      !sequence.ivs.insert(digest_of(packet.subspan(wire::kEspHeaderSize, 8))).second)
    fail("no IV twice", fmt::format("{} sends number {} under SPI {}", who, header->sequence, header->spi));
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
    return;  // cookies and other key exchange methods change the message under the same ID
  }
  if (header->responder_spi.value == 0) return;
  if (header->next_payload != wire::PayloadType::kSk && header->next_payload != wire::PayloadType::kSkf)
    return;  // RFC 7296 1.5
  std::uint32_t part = 0;
  if (header->next_payload == wire::PayloadType::kSkf && message.size() >= wire::kIkeHeaderSize + 8)
    part = static_cast<std::uint32_t>(message[wire::kIkeHeaderSize + 4] << 8U |
                                      message[wire::kIkeHeaderSize + 5]);
  Window& window = windows_[{host, header->initiator_spi.value, header->responder_spi.value}];
  if (!response) return check_request(who, window, header->message_id.value, part, digest_of(message));
  const auto [at, fresh] =
      window.response_parts.try_emplace({header->message_id.value, part}, digest_of(message));
  if (!fresh && at->second != digest_of(message))
    fail("what is sent again is the same", fmt::format("{} answers request {} of {} twice, differently", who,
                                                       header->message_id.value, header->initiator_spi));
}

void Checker::check_request(const std::string& who, Window& window, std::uint32_t id, std::uint32_t part,
                            std::uint64_t digest) {
  if (!window.any_request || id == window.last_request + 1) {
    // IKE_SA_INIT was number 0 of the one who began; whoever did not begins with 0, and so does a rekeyed IKE SA.
    if (!window.any_request && id > 1)
      return fail("Message IDs in order", fmt::format("{} begins with request {}", who, id));
    if (!window.answered)
      return fail("one request outstanding",
                  fmt::format("{} sends request {} before the answer to {}", who, id, window.last_request));
    window.any_request = true;
    window.last_request = id;
    window.answered = false;
    window.request_parts = {{part, digest}};
    return;
  }
  if (id != window.last_request)
    return fail("Message IDs in order",
                fmt::format("{} sends request {} after {}", who, id, window.last_request));
  const auto [at, fresh] = window.request_parts.try_emplace(part, digest);
  if (!fresh && at->second != digest)
    fail("what is sent again is the same", fmt::format("{} sends request {} again, differently", who, id));
}

void Checker::arrived(std::size_t host, const WireDatagram& datagram) {
  const ByteView message = ike_message_of(datagram);
  if (message.empty()) return;
  const auto header = wire::IkeHeader::parse(message);
  if (!header || !header->flags.response) return;
  const auto at = windows_.find({host, header->initiator_spi.value, header->responder_spi.value});
  if (at != windows_.end() && at->second.last_request == header->message_id.value) at->second.answered = true;
}

}  // namespace merlon::sim
