#include "sim/network.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/rng.h"
#include "sim/stream.h"
#include "wire/esp.h"
#include "wire/ike/describe.h"
#include "wire/udp_encap.h"

namespace merlon::sim {
namespace {

constexpr std::uint16_t kFirstPort = 20000;       // of a NAT's mappings
constexpr std::uint32_t kNobodysV4 = 0xcb007100;  // 203.0.113.0

IpAddress nobodys(IpFamily family, std::uint64_t number) {
  if (family == IpFamily::kIpv4) return IpAddress::v4(kNobodysV4 + static_cast<std::uint32_t>(number));
  Bytes bytes{0x20, 0x01, 0x0d, 0xb8, 0xde, 0xad, 0, 0,
              0,    0,    0,    0,    0,    0,    0, static_cast<std::uint8_t>(number)};
  return *IpAddress::from_bytes(bytes);
}

// Of the outer IP and UDP.
std::size_t headers_of(const WireDatagram& datagram) {
  return (datagram.destination.address.is_v4() ? 20 : 40) + 8;
}

}  // namespace

// Behind a NAT neither port may be 4500 on one side, so the destination alone does not tell; the other end's port does. Port 500 has no
// marker; between 500 and 4500, which only a forged source port leads to, the marker itself must tell: no SPI begins like it.
bool is_encapsulated(const WireDatagram& datagram) {
  constexpr std::uint16_t kIkePort = 500;
  if (datagram.carrier != Carrier::kUdp) return false;
  const auto [source, destination] = std::pair(datagram.source.port, datagram.destination.port);
  const bool natt = source == wire::kNatTraversalPort || destination == wire::kNatTraversalPort;
  if (source != kIkePort && destination != kIkePort) return natt;
  return natt && source == wire::kNatTraversalPort &&
         wire::classify_udp_encap(datagram.payload).kind == wire::UdpEncapKind::kIke;
}

ByteView ike_message_of(const WireDatagram& datagram) {
  if (datagram.carrier != Carrier::kUdp) return {};
  if (!is_encapsulated(datagram)) return datagram.payload;
  const auto sorted = wire::classify_udp_encap(datagram.payload);
  return sorted.kind == wire::UdpEncapKind::kIke ? sorted.payload : ByteView();
}

ByteView esp_packet_of(const WireDatagram& datagram) {
  if (datagram.carrier == Carrier::kEsp) return datagram.payload;
  if (!is_encapsulated(datagram)) return {};
  const auto sorted = wire::classify_udp_encap(datagram.payload);
  return sorted.kind == wire::UdpEncapKind::kEsp ? sorted.payload : ByteView();
}

std::string describe(const WireDatagram& datagram) {
  if (const ByteView esp = esp_packet_of(datagram); !esp.empty()) {
    const auto header = wire::parse_esp_header(esp);
    if (!header) return fmt::format("a runt of ESP, {} bytes", esp.size());
    return fmt::format("ESP SPI {}, sequence number {}, {} bytes", header->spi, header->sequence, esp.size());
  }
  if (const ByteView message = ike_message_of(datagram); !message.empty()) {
    const auto header = wire::IkeHeader::parse(message);
    return header ? wire::describe(*header) : "IKE without a header: " + header.error().message;
  }
  return equal(datagram.payload, wire::kNatKeepalive)
             ? "NAT keepalive"
             : fmt::format("{} unknown bytes", datagram.payload.size());
}

void Network::attach(std::string name, const IpAddress& address, std::optional<IpAddress> outside,
                     Receiver receiver) {
  const std::size_t number = ports_.size();
  ports_.push_back({std::move(name), address, nullptr, std::move(receiver), {}});
  if (!outside) {
    by_address_[address] = number;
    return;
  }
  Nat*& nat = by_outside_[*outside];
  if (nat == nullptr) nat = nats_.emplace_back(std::make_unique<Nat>(*outside)).get();
  nat->hosts.push_back(number);
  ports_[number].nat = nat;
}

Network::Link& Network::link(std::size_t from, std::size_t to) {
  Link& link = links_[{from, to}];
  if (!link.rng) link.rng = std::make_unique<SeededRng>(stream_seed(seed_, "link", from, to));
  return link;
}

void Network::set_link(std::size_t from, std::size_t to, const LinkFaults& faults) {
  link(from, to).faults = faults;
}
void Network::block(std::size_t from, std::size_t to, Instant until) {
  link(from, to).blocked_until = std::max(link(from, to).blocked_until, until);
}
void Network::isolate(std::size_t host, Instant until) {
  ports_[host].isolated_until = std::max(ports_[host].isolated_until, until);
}

void Network::heal() {
  replays_ = {};
  kept_.clear();
  for (Port& port : ports_) port.isolated_until = {};
  for (auto& [ends, link] : links_) {
    LinkFaults kept;
    kept.delay = link.faults.delay;
    kept.largest_ike = link.faults.largest_ike;
    link.faults = kept;
    link.blocked_until = {};
    link.in_burst = false;
  }
}

void Network::rebind(std::size_t host, std::optional<IpAddress> address) {
  Nat* const nat = ports_[host].nat;
  if (nat == nullptr) return;
  nat->out.clear();
  nat->in.clear();
  if (!address) return;
  by_outside_.erase(nat->outside);
  by_outside_[*address] = nat;
  nat->outside = *address;
}

void Network::move(std::size_t host, const IpAddress& address) {
  Port& port = ports_[host];
  if (port.nat == nullptr) {
    by_address_.erase(port.address);
    by_address_[address] = host;
  }
  port.address = address;
}

bool Network::translate_source(Port& port, WireDatagram& datagram) {
  if (port.nat == nullptr) return true;
  if (datagram.carrier != Carrier::kUdp) return false;  // it has no port to be told by
  Nat& nat = *port.nat;
  const auto [at, fresh] = nat.out.try_emplace(datagram.source, nat.next_port);
  if (fresh) {
    nat.in[nat.next_port] = datagram.source;
    if (++nat.next_port < kFirstPort) nat.next_port = kFirstPort;
  }
  datagram.source = {nat.outside, at->second};
  return true;
}

std::optional<std::size_t> Network::translate_destination(WireDatagram& datagram) {
  if (const auto at = by_address_.find(datagram.destination.address); at != by_address_.end())
    return at->second;
  const auto at = by_outside_.find(datagram.destination.address);
  if (at == by_outside_.end() || datagram.carrier != Carrier::kUdp) return std::nullopt;
  const Nat& nat = *at->second;
  const auto inside = nat.in.find(datagram.destination.port);
  if (inside == nat.in.end()) return std::nullopt;
  for (const std::size_t host : nat.hosts)
    if (ports_[host].address == inside->second.address) {
      datagram.destination = inside->second;
      return host;
    }
  return std::nullopt;  // of a host that has another address by now
}

std::optional<std::size_t> Network::towards(const WireDatagram& datagram) const {
  if (const auto at = by_address_.find(datagram.destination.address); at != by_address_.end())
    return at->second;
  const auto at = by_outside_.find(datagram.destination.address);
  if (at == by_outside_.end()) return std::nullopt;
  const Nat& nat = *at->second;
  if (nat.hosts.size() == 1) return nat.hosts[0];
  const auto inside = nat.in.find(datagram.destination.port);
  for (const std::size_t host : nat.hosts)
    if (inside != nat.in.end() && ports_[host].address == inside->second.address) return host;
  return nat.hosts[0];
}

void Network::note(std::optional<std::size_t> from, std::optional<std::size_t> to,
                   const WireDatagram& datagram, std::string_view fate) {
  if (!trace_.on()) return;
  Sight sight = sight_of(datagram);
  sight.from = from;
  sight.to = to;
  trace_.sends(queue_.elapsed(), sight, fate);
}

// The mapping of a NAT counts when the datagram comes to it.
void Network::deliver(std::size_t from, std::size_t to, Duration delay,
                      std::shared_ptr<WireDatagram> datagram) {
  queue_.after(delay, [this, from, to, datagram = std::move(datagram)] {
    if (datagram.use_count() == 1) return arrive(from, *datagram, to);
    WireDatagram arriving = *datagram;
    arrive(from, arriving, to);
  });
}

void Network::arrive(std::size_t from, WireDatagram& datagram, std::size_t towards) {
  const auto to = translate_destination(datagram);
  const auto lose = [&](std::string_view why) {
    ++lost_;
    note(from, towards, datagram, why);
  };
  if (!to) return lose("(lost: its NAT knows no such mapping)");
  if (queue_.now().monotonic < ports_[*to].isolated_until) return lose("(lost: the host is cut off)");
  if (trace_.on()) {
    Sight sight = sight_of(datagram);
    sight.from = from;
    sight.to = to;
    trace_.arrives(queue_.elapsed(), sight);
  }
  ports_[*to].receiver(datagram);
}

bool Network::lost_on(Link& link) {
  const LinkFaults& faults = link.faults;
  if (faults.burst_begins != 0 && chance(*link.rng, link.in_burst ? faults.burst_ends : faults.burst_begins))
    link.in_burst = !link.in_burst;
  if (link.in_burst && chance(*link.rng, faults.burst_loss)) return true;
  return chance(*link.rng, faults.loss);
}

std::string_view Network::damage(Link& link, Bytes& payload) {
  if (payload.empty()) return "";
  if (chance(*link.rng, link.faults.truncate)) {
    payload.resize(link.rng->below(payload.size()));
    return ", cut short";
  }
  if (!chance(*link.rng, link.faults.corrupt)) return "";
  const auto [from, within] = std::pair(link.faults.corrupt_from, link.faults.corrupt_within);
  if (from >= payload.size()) return "";
  const std::size_t size = (within == 0 ? payload.size() : std::min(within, payload.size())) - from;
  for (std::uint64_t bits = between(*link.rng, 1, 8); bits > 0; --bits)
    payload[from + link.rng->below(size)] ^= static_cast<std::uint8_t>(1U << link.rng->below(8));
  return ", damaged";
}

void Network::send(std::size_t from, WireDatagram datagram) {
  ++sent_;
  trace_.digest().add(static_cast<std::uint64_t>(queue_.elapsed().count()));
  trace_.digest().add(from);
  trace_.digest().add_words(datagram.payload);
  const auto lose = [&](std::optional<std::size_t> to, std::string_view why) {
    ++lost_;
    note(from, to, datagram, why);
  };
  Port& port = ports_[from];
  if (datagram.source.address != port.address)
    return lose(std::nullopt, "(lost: its source is no address of the host)");
  if (!translate_source(port, datagram)) return lose(std::nullopt, "(lost: no NAT passes ESP)");
  keep(datagram);
  const auto found = towards(datagram);
  if (!found) return lose(std::nullopt, "(lost: nobody has the address)");
  const std::size_t to = *found;
  Link& link = this->link(from, to);
  const LinkFaults& faults = link.faults;
  const Instant now = queue_.now().monotonic;
  if (now < link.blocked_until) return lose(to, "(lost: the path is cut)");
  if (now < port.isolated_until) return lose(to, "(lost: the host is cut off)");
  if (datagram.payload.size() + headers_of(datagram) > faults.largest_ike &&
      !ike_message_of(datagram).empty())
    return lose(to, "(lost: too large for the path)");
  if (lost_on(link)) return lose(to, link.in_burst ? "(lost, in a burst)" : "(lost)");
  const std::string_view damaged = damage(link, datagram.payload);

  const auto drawn = [&](Duration most) {
    return most.count() <= 0 ? Duration{0}
                             : Duration(static_cast<std::int64_t>(
                                   between(*link.rng, 0, static_cast<std::uint64_t>(most.count()))));
  };
  Duration delay = faults.delay + drawn(faults.jitter);
  if (chance(*link.rng, faults.late)) delay += drawn(faults.lateness);
  const bool twice = chance(*link.rng, faults.duplicate);
  const Duration second = twice ? delay + drawn(faults.lateness) : Duration{0};
  if (trace_.on()) {
    std::string fate = fmt::format("(arrives at {}{}", seconds_text(queue_.elapsed() + delay), damaged);
    if (twice) fate += ", and again at " + seconds_text(queue_.elapsed() + second);
    note(from, to, datagram, fate + ")");
  }
  auto shared = std::make_shared<WireDatagram>(std::move(datagram));
  if (twice) deliver(from, to, second, shared);
  deliver(from, to, delay, std::move(shared));
}

// ---- somebody on the path --------------------------------------------------------------------------------------------------------------

bool is_nobodys(const IpAddress& address) {
  static const IpPrefix kV4{IpAddress::v4(kNobodysV4), 24};
  static const IpPrefix kV6{nobodys(IpFamily::kIpv6, 0), 48};
  return kV4.contains(address) || kV6.contains(address);
}

void Network::replay(const Replays& replays) {
  replays_ = replays;
  replay_rng_ = std::make_unique<SeededRng>(stream_seed(seed_, "replays"));
  if (replays_.interval.count() > 0) replay_next();
}

void Network::keep(const WireDatagram& datagram) {
  if (replays_.interval.count() <= 0) return;
  if (kept_.size() < replays_.kept)
    kept_.push_back(datagram);
  else
    kept_[replay_rng_->below(kept_.size())] = datagram;
}

void Network::replay_next() {
  const auto interval = static_cast<std::uint64_t>(replays_.interval.count());
  queue_.after(Duration(static_cast<std::int64_t>(between(*replay_rng_, interval / 4, interval * 2))),
               [this] {
                 if (replays_.interval.count() <= 0) return;
                 replay_one();
                 replay_next();
               });
}

void Network::replay_one() {
  if (kept_.empty()) return;
  SeededRng& rng = *replay_rng_;
  WireDatagram datagram = kept_[rng.below(kept_.size())];
  if (chance(rng, replays_.other_host)) datagram.destination.address = outside_of(rng.below(ports_.size()));
  if (chance(rng, replays_.foreign_source)) {
    datagram.source.address = chance(rng, 500)
                                  ? nobodys(datagram.source.address.family(), between(rng, 1, 250))
                                  : outside_of(rng.below(ports_.size()));
    if (datagram.source.port != 500 || chance(rng, 500))
      datagram.source.port = static_cast<std::uint16_t>(chance(rng, 500) ? 4500 : between(rng, 1024, 65000));
  }
  if (datagram.source.address.family() != datagram.destination.address.family()) return;
  const auto to = translate_destination(datagram);
  if (!to || queue_.now().monotonic < ports_[*to].isolated_until) return;
  ++replayed_;
  note(std::nullopt, to, datagram,
       trace_.on() ? fmt::format("(an old one, sent once more with the source {})", datagram.source) : "");
  trace_.digest().add(*to);
  ports_[*to].receiver(datagram);
}

}  // namespace merlon::sim
