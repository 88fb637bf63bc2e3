// Inner packets: what they hold, and what both ends' policies make of them.
#include "sim/inner_packet.h"

#include <algorithm>

#include "base/writer.h"
#include "policy/traffic_selector.h"
#include "sim/checker.h"
#include "sim/scenario_draw.h"
#include "sim/stream.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::sim {
namespace {

constexpr std::string_view kNotTaken = "which the other end does not take";
// No tunnel carries 1,500 bytes of inner packet in an outer one of as many, and each carries 1,200.
constexpr std::size_t kLong = 1500, kLongest = 1700;

IpAddress plus(const IpAddress& address, std::uint64_t number) {
  return IpAddress::v4(address.v4_host_order() + static_cast<std::uint32_t>(number));
}

// One of the selector's addresses, which differ in their last four bytes.
IpAddress one_of(const policy::TrafficSelector& selector, Rng& rng) {
  const auto last_four = [](const IpAddress& address) {
    std::uint64_t number = 0;
    for (const std::uint8_t byte : address.bytes().last(4)) number = number << 8U | byte;
    return number;
  };
  Bytes bytes = to_bytes(selector.start_address.bytes());
  const std::uint64_t number =
      between(rng, last_four(selector.start_address), last_four(selector.end_address));
  for (std::size_t i = 0; i < 4; ++i)
    bytes[bytes.size() - 4 + i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return need(IpAddress::from_bytes(bytes));
}

}  // namespace

Bytes Checker::make(InnerPacket packet, const Shape& shape, Rng& rng) {
  ByteWriter payload;
  payload.bytes(as_bytes(kInnerMark));
  payload.u64(inner_.size());
  payload.bytes(rng.bytes(shape.more));
  Bytes made = wire::build_udp_packet({packet.source, static_cast<std::uint16_t>(between(rng, 1024, 65000))},
                                      {packet.destination, 2000}, payload.view());
  // Whatever the protocol is, ports or type stand where UDP has its ports, and nobody on the way looks at more.
  std::size_t header_length = wire::kIpv6HeaderSize;
  if (packet.source.is_v4()) {
    header_length = wire::kIpv4HeaderSize;
    wire::Ipv4Header header = *wire::parse_ipv4(made);
    header.protocol = shape.protocol;
    header.dont_fragment = shape.dont_fragment;
    header.identification = static_cast<std::uint16_t>(inner_.size());
    wire::write_ipv4(made, header);
  } else {
    wire::Ipv6Header header = *wire::parse_ipv6(made);
    header.next_header = shape.protocol == IpProtocol::kIcmp ? IpProtocol::kIpv6Icmp : shape.protocol;
    wire::write_ipv6(made, header);
  }
  packet.at = queue_.elapsed();
  packet.strict = strict_;
  packet.digest = digest_of(ByteView(made).subspan(header_length));
  if (made.size() >= kLong && packet.kept_back.empty()) {
    if (shape.dont_fragment || packet.source.is_v6())
      packet.kept_back = kPacketTooLong;
    else
      fragmented_[inner_.size()].data = to_bytes(ByteView(made).subspan(header_length));
  }
  if (packet.kept_back.empty()) ++traffic_.sent;
  inner_.push_back(packet);
  return made;
}

Checker::Shape Checker::small(Rng& rng) {
  return {.more = static_cast<std::size_t>(between(rng, 0, 120))};
}

Bytes Checker::make_inner(std::size_t tunnel, std::size_t child, unsigned direction, Rng& rng) {
  const ChildPlan& plan = scenario_.tunnels[tunnel].children[child];
  InnerPacket packet;
  packet.tunnel = static_cast<std::uint32_t>(tunnel);
  packet.child = static_cast<std::uint32_t>(child);
  packet.direction = static_cast<std::uint8_t>(direction);
  packet.source = plus(plan.first_address[direction], rng.below(kInnerHosts));
  packet.destination = plus(plan.first_address[1 - direction], rng.below(kInnerHosts));
  if (plan.ipv6_too && chance(rng, 500))
    for (IpAddress* address : {&packet.source, &packet.destination}) *address = ipv6_twin(*address);
  return make(packet, small(rng), rng);
}

Bytes Checker::make_stray(std::size_t host, Rng& rng) {
  InnerPacket packet;
  packet.kept_back = "which no policy speaks of";
  packet.source = IpAddress::v4(0xac100000U + static_cast<std::uint32_t>(host << 8U) + 1);  // 172.16.HOST.1
  packet.destination = IpAddress::v4(0xac1f0000U + static_cast<std::uint32_t>(rng.below(1000)));
  return make(packet, small(rng), rng);
}

const policy::Connection* Checker::connection_at(std::size_t host, std::size_t tunnel) const {
  for (const auto& connection : scenario_.hosts[host].connections)
    if (connection->name == scenario_.tunnels[tunnel].connection) return connection.get();
  return nullptr;
}

void Checker::decide(std::size_t host, const wire::PacketView& view, InnerPacket& packet) const {
  const auto holds = [&](const policy::ChildConfig& child, policy::Direction direction) {
    return policy::matches(child.local_ts, child.remote_ts, view, direction);
  };
  // policy/spd.h: what bypasses and what is discarded comes before what is protected, in whatever connection it stands.
  for (const auto& connection : scenario_.hosts[host].connections)
    for (const policy::ChildConfig& child : connection->children)
      if (child.action != policy::ChildAction::kProtect && holds(child, policy::Direction::kOutbound)) {
        packet.kept_back = child.action == policy::ChildAction::kDiscard
                               ? "which a policy discards"
                               : "which a policy wants beside the tunnel";
        return;
      }
  packet.kept_back = "which no policy speaks of";
  for (std::size_t t = 0; t < scenario_.tunnels.size(); ++t) {
    const TunnelPlan& tunnel = scenario_.tunnels[t];
    const std::size_t end = tunnel.hosts[0] == host ? 0 : 1;
    const policy::Connection* const own = tunnel.hosts[end] == host ? connection_at(host, t) : nullptr;
    if (own == nullptr) continue;
    for (std::size_t c = 0; c < tunnel.children.size(); ++c) {
      const auto named = [&](const policy::ChildConfig& child) {
        return child.name == tunnel.children[c].name;
      };
      const auto child = std::find_if(own->children.begin(), own->children.end(), named);
      if (child == own->children.end() || !holds(*child, policy::Direction::kOutbound)) continue;
      packet.tunnel = static_cast<std::uint32_t>(t);
      packet.child = static_cast<std::uint32_t>(c);
      packet.direction = static_cast<std::uint8_t>(end);
      const policy::Connection& theirs = *connection_at(tunnel.hosts[1 - end], t);
      const bool taken = std::any_of(theirs.children.begin(), theirs.children.end(), [&](const auto& one) {
        return named(one) && holds(one, policy::Direction::kInbound);
      });
      packet.kept_back = taken ? std::string_view() : kNotTaken;
      return;
    }
  }
}

Bytes Checker::make_odd(std::size_t host, Rng& rng) {
  const auto& connections = scenario_.hosts[host].connections;
  const std::uint64_t kind = rng.below(20);
  if (kind == 0) {  // RFC 4291 2.7.1: to all routers on the link
    InnerPacket packet;
    packet.kept_back = "which never leaves a link";
    packet.source = need(IpAddress::parse("fe80::1"));
    packet.destination = need(IpAddress::parse("ff02::2"));
    return make(packet, small(rng), rng);
  }
  if (connections.empty() || scenario_.hosts[host].impostor || kind == 1) {
    Bytes made = make_stray(host, rng);
    if (kind == 1) made.resize(made.size() - 1 - static_cast<std::size_t>(rng.below(made.size() - 1)));
    return made;
  }
  const auto& children = connections[rng.below(connections.size())]->children;
  const policy::ChildConfig& child = children[rng.below(children.size())];
  InnerPacket packet;
  const std::uint64_t which = rng.below(child.local_ts.size());
  packet.source = one_of(child.local_ts[which], rng);
  packet.destination = one_of(child.remote_ts[which % child.remote_ts.size()], rng);
  if (packet.source.family() != packet.destination.family()) return make_stray(host, rng);
  Shape shape = small(rng);
  shape.protocol = std::array{IpProtocol::kUdp, IpProtocol::kUdp, IpProtocol::kTcp, IpProtocol::kIcmp,
                              IpProtocol::kGre}[rng.below(5)];
  shape.dont_fragment = chance(rng, 500);
  if (chance(rng, 300)) shape.more = static_cast<std::size_t>(between(rng, kLong, kLongest));
  wire::PacketView view;
  view.family = packet.source.family();
  view.source = packet.source;
  view.destination = packet.destination;
  view.protocol = shape.protocol == IpProtocol::kIcmp && view.family == IpFamily::kIpv6
                      ? IpProtocol::kIpv6Icmp
                      : shape.protocol;
  decide(host, view, packet);
  if (packet.kept_back == kNotTaken && !scenario_.beyond_narrowed) return make_stray(host, rng);
  return make(packet, shape, rng);
}

}  // namespace merlon::sim
