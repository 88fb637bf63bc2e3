// Packets against selectors (RFC 4301 4.4.1.1 and 4.4.1.3).
#include <algorithm>

#include "policy/traffic_selector.h"

namespace merlon::policy {
namespace {

bool holds(const TrafficSelector& selector, std::uint16_t value) {
  return selector.start_port <= value && value <= selector.end_port;
}

bool ports_match(const TrafficSelector& selector, const PacketSelectors& packet, PacketSide side) {
  if (selector.is_any_port()) return true;
  const bool opaque = selector.is_opaque_port();
  if (packet.is_protocol_opaque) return opaque;
  switch (packet.upper) {
    case wire::UpperFields::kPorts:
      return !opaque &&
             holds(selector, side == PacketSide::kSource ? packet.source_port : packet.destination_port);
    case wire::UpperFields::kIcmp:
      // RFC 4301 4.4.1.3: type and code stand on the sender's side, OPAQUE on the receiver's.
      return opaque ? side == PacketSide::kDestination : holds(selector, packet.icmp_selector());
    case wire::UpperFields::kMobility:
      // RFC 4301 4.4.1.3: the type stands on our side, OPAQUE on the peer's, in both directions.
      return opaque || holds(selector, packet.mobility_selector());
    case wire::UpperFields::kNone:
    case wire::UpperFields::kOpaque:
      return opaque;
  }
  return false;
}

std::uint16_t port_of(const PacketSelectors& packet, PacketSide side) {
  switch (packet.upper) {
    case wire::UpperFields::kPorts:
      return side == PacketSide::kSource ? packet.source_port : packet.destination_port;
    case wire::UpperFields::kIcmp:
      return packet.icmp_selector();
    case wire::UpperFields::kMobility:
      return packet.mobility_selector();
    default:
      return 0;
  }
}

TrafficSelector selector_of_side(const PacketSelectors& packet, PacketSide side) {
  const IpAddress& address = side == PacketSide::kSource ? packet.source : packet.destination;
  TrafficSelector selector = selector_for(address, address);
  if (packet.is_protocol_opaque) return selector;
  selector.protocol = static_cast<std::uint8_t>(packet.protocol);
  switch (packet.upper) {
    case wire::UpperFields::kPorts:
    case wire::UpperFields::kIcmp:
    case wire::UpperFields::kMobility:
      selector.start_port = selector.end_port = port_of(packet, side);
      break;
    case wire::UpperFields::kOpaque:
      selector.start_port = 65535;
      selector.end_port = 0;
      break;
    case wire::UpperFields::kNone:
      break;
  }
  return selector;
}

}  // namespace

std::pair<TrafficSelector, TrafficSelector> selectors_of_packet(const PacketSelectors& packet,
                                                                Direction direction) {
  TrafficSelector source = selector_of_side(packet, PacketSide::kSource);
  TrafficSelector destination = selector_of_side(packet, PacketSide::kDestination);
  return direction == Direction::kOutbound ? std::pair(source, destination) : std::pair(destination, source);
}

bool matches(const TrafficSelector& selector, const PacketSelectors& packet, PacketSide side) {
  const IpAddress& address = side == PacketSide::kSource ? packet.source : packet.destination;
  // Addresses are ordered by family first, so a range of the other family never holds this one.
  if (address < selector.start_address || selector.end_address < address) return false;
  if (selector.protocol != 0 &&
      (packet.is_protocol_opaque || selector.protocol != static_cast<std::uint8_t>(packet.protocol)))
    return false;
  return ports_match(selector, packet, side);
}

bool matches_any(SelectorView selectors, const PacketSelectors& packet, PacketSide side) {
  return std::ranges::any_of(
      selectors, [&](const TrafficSelector& selector) { return matches(selector, packet, side); });
}

bool matches(SelectorView local, SelectorView remote, const PacketSelectors& packet, Direction direction) {
  const bool outbound = direction == Direction::kOutbound;
  return matches_any(local, packet, outbound ? PacketSide::kSource : PacketSide::kDestination) &&
         matches_any(remote, packet, outbound ? PacketSide::kDestination : PacketSide::kSource);
}

}  // namespace merlon::policy
