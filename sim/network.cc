#include "sim/network.h"

#include <fmt/format.h>

#include "base/rng.h"
#include "sim/stream.h"
#include "wire/esp.h"
#include "wire/ike/describe.h"
#include "wire/udp_encap.h"

namespace merlon::sim {

ByteView ike_message_of(const WireDatagram& datagram) {
  if (datagram.carrier != Carrier::kUdp) return {};
  const bool natt =
      datagram.destination.port == wire::kNatTraversalPort || datagram.source.port == wire::kNatTraversalPort;
  // Behind a NAT neither port may be 4500 on one side, so the destination alone does not tell; the other end's port does.
  if (!natt) return datagram.payload;
  const auto sorted = wire::classify_udp_encap(datagram.payload);
  return sorted.kind == wire::UdpEncapKind::kIke ? sorted.payload : ByteView();
}

ByteView esp_packet_of(const WireDatagram& datagram) {
  if (datagram.carrier == Carrier::kEsp) return datagram.payload;
  if (datagram.destination.port != wire::kNatTraversalPort && datagram.source.port != wire::kNatTraversalPort)
    return {};
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
  Port port{std::move(name), address, std::nullopt, std::move(receiver)};
  if (outside) port.nat.emplace(*outside);
  by_address_[outside.value_or(address)] = number;
  ports_.push_back(std::move(port));
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

void Network::heal() {
  for (auto& [ends, link] : links_) {
    LinkFaults kept;
    kept.delay = link.faults.delay;
    kept.largest_ike = link.faults.largest_ike;
    link.faults = kept;
    link.blocked_until = {};
  }
}

void Network::rebind(std::size_t host) {
  if (!ports_[host].nat) return;
  ports_[host].nat->out.clear();
  ports_[host].nat->in.clear();
}

bool Network::translate_source(Port& port, WireDatagram& datagram) {
  if (!port.nat) return true;
  if (datagram.carrier != Carrier::kUdp) return false;  // it has no port to be told by
  Nat& nat = *port.nat;
  const auto [at, fresh] = nat.out.try_emplace(datagram.source, nat.next_port);
  if (fresh) nat.in.emplace(nat.next_port++, datagram.source);
  datagram.source = {nat.outside, at->second};
  return true;
}

std::optional<std::size_t> Network::translate_destination(WireDatagram& datagram) {
  const auto at = by_address_.find(datagram.destination.address);
  if (at == by_address_.end()) return std::nullopt;
  const Port& port = ports_[at->second];
  if (port.nat) {
    const auto inside = port.nat->in.find(datagram.destination.port);
    if (datagram.carrier != Carrier::kUdp || inside == port.nat->in.end()) return std::nullopt;
    datagram.destination = inside->second;
  }
  return at->second;
}

void Network::note(std::size_t from, std::string_view to, const WireDatagram& datagram,
                   std::string_view fate) {
  if (!trace_.on()) return;
  trace_.line(queue_.elapsed(),
              fmt::format("{} --> {}  {}  [{} -> {}]{}{}", ports_[from].name, to, describe(datagram),
                          datagram.source, datagram.destination, fate.empty() ? "" : "  ", fate));
}

void Network::deliver(std::size_t from, std::size_t to, Duration delay,
                      std::shared_ptr<WireDatagram> datagram) {
  queue_.after(delay, [this, from, to, datagram = std::move(datagram)] {
    // The mapping of a NAT counts when the datagram comes to it.
    WireDatagram arriving = *datagram;
    if (!translate_destination(arriving)) {
      ++lost_;
      note(from, ports_[to].name, arriving, "(lost: its NAT knows no such mapping)");
      return;
    }
    ports_[to].receiver(arriving);
  });
}

void Network::send(std::size_t from, WireDatagram datagram) {
  ++sent_;
  trace_.digest().add(static_cast<std::uint64_t>(queue_.elapsed().count()));
  trace_.digest().add(from);
  trace_.digest().add(datagram.payload);
  const auto lose = [&](std::string_view to, std::string_view why) {
    ++lost_;
    note(from, to, datagram, why);
  };
  if (!translate_source(ports_[from], datagram)) return lose("?", "(lost: no NAT passes ESP)");
  const auto found = by_address_.find(datagram.destination.address);
  if (found == by_address_.end()) return lose("?", "(lost: nobody has the address)");
  const std::size_t to = found->second;
  const std::string& name = ports_[to].name;
  Link& link = this->link(from, to);
  const LinkFaults& faults = link.faults;
  if (queue_.now().monotonic < link.blocked_until) return lose(name, "(lost: the path is cut)");
  const std::size_t headers = (datagram.destination.address.is_v4() ? 20 : 40) + 8;
  if (!ike_message_of(datagram).empty() && datagram.payload.size() + headers > faults.largest_ike)
    return lose(name, "(lost: too large for the path)");
  if (chance(*link.rng, faults.loss)) return lose(name, "(lost)");

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
    std::string fate = fmt::format("(arrives at {}", seconds_text(queue_.elapsed() + delay));
    if (twice) fate += ", and again at " + seconds_text(queue_.elapsed() + second);
    note(from, name, datagram, fate + ")");
  }
  auto shared = std::make_shared<WireDatagram>(std::move(datagram));
  if (twice) deliver(from, to, second, shared);
  deliver(from, to, delay, std::move(shared));
}

}  // namespace merlon::sim
