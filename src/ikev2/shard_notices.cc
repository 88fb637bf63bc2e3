// Error notifications outside of negotiations: what the packet engine saw, and hints from strangers (RFC 7296 1.5, 2.21).
#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "ikev2/shard.h"

namespace merlon::ikev2 {

using ike::Counter;
using wire::NotifyType;

namespace {

// Behind a NAT several peers have one address: there, the port tells which of them it is.
bool comes_from(const Established& established, const Endpoint& source, bool udp_encapsulated) {
  const auto& path = established.channel.path();
  return path.remote.address == source.address &&
         (!path.natt || (udp_encapsulated && path.remote.port == source.port));
}

}  // namespace

void Shard::unknown_spi(Now now, const Endpoint& source, bool udp_encapsulated, Spi spi) {
  begin(now);
  // Anybody can send such packets with any source, and looking costs time: seldom is enough.
  if (!lost_spis_.take(time())) return;
  IkeSa* found = nullptr;
  for (auto& [own_spi, sa] : sas_) {
    const auto* established = sa->established();
    const bool fits = established && !established->successor && !delete_ike_task(*established) &&
                      comes_from(*established, source, udp_encapsulated);
    if (fits && (!found || sa->own_spi() < found->own_spi())) found = sa.get();
  }
  if (!found) return;
  // RFC 7296 1.5
  queue_notice(*this, *found->established(), {wire::make_invalid_spi(spi), fmt::format("SPI {}", spi), {}});
  touch(*found);
  settle();
}

void Shard::selectors_violated(Now now, policy::ChildSaId child_sa, ByteView packet_start) {
  begin(now);
  const auto owner = child_owner_.find(child_sa.value);
  auto* sa = owner == child_owner_.end() ? nullptr : find(owner->second);
  auto* established = sa ? sa->established() : nullptr;
  if (!established) return;
  for (const auto& record : established->children) {
    if (record.sa->id != child_sa || !record.live()) continue;
    // RFC 7296 3.10.1: the SPI is that of the Child SA by which the packet came; as much of the packet as ICMP quotes.
    constexpr std::size_t kQuoted = 64;
    const auto quoted = packet_start.first(std::min(packet_start.size(), kQuoted));
    queue_notice(*this, *established,
                 {wire::make_invalid_selectors({SecurityProtocol::kEsp, record.sa->inbound_spi}, quoted),
                  fmt::format("child '{}', SPI {}", record.sa->child().name, record.sa->inbound_spi),
                  {}});
    break;
  }
  touch(*sa);
  settle();
}

// RFC 7296 1.5, 2.21: outside of an IKE SA it proves nothing; it is a reason to ask whether the peer lives.
void Shard::heed_invalid_spi_in_clear(const ike::Datagram& datagram) {
  if (!hints_.take(time())) return;
  const auto message = wire::parse_message(datagram.payload);
  const auto* notify = message ? wire::find_notify(message->payloads, NotifyType::kInvalidSpi) : nullptr;
  const auto spi =
      notify ? wire::read_invalid_spi(*notify) : Result<Spi>(fail(ErrorCode::kMalformed, "none"));
  if (!spi) return;
  for (auto& [own_spi, sa] : sas_) {
    auto* established = sa->established();
    if (!established || established->channel.path().remote.address != datagram.remote.address) continue;
    const bool ours = std::any_of(established->children.begin(), established->children.end(),
                                  [&](const auto& record) { return record.sa->outbound_spi == *spi; });
    if (!ours) continue;
    count(Counter::kUnprotectedErrorsDelayed);
    counters_.add_notify_received(static_cast<std::uint16_t>(NotifyType::kInvalidSpi));
    if (time() - established->last_inbound > kUnprotectedErrorPatience) queue_probe(*established);
    touch(*sa);
    return;
  }
}

bool Shard::may_begin(const policy::ConnectionPtr& connection, const IpAddress& remote) {
  if (shutting_down_ || is_full()) return false;
  std::size_t standing = 0;
  auto [first, last] = by_connection_.equal_range(connection->name);
  for (; first != last; ++first) {
    const auto* sa = find({first->second});
    if (!sa || sa->connection != connection || sa->path.remote.address != remote) continue;
    if (std::holds_alternative<InitSent>(sa->phase) || std::holds_alternative<AuthSent>(sa->phase))
      return false;
    const auto* established = sa->established();
    if (established && !established->successor && !delete_ike_task(*established)) ++standing;
  }
  return standing < kMaxIkeSasOfAPeer;
}

}  // namespace merlon::ikev2
