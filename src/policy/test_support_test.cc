// Random traffic selectors and packets for the properties of this room.
#include "policy/test_support.h"

namespace merlon::policy::test {
namespace {

constexpr std::uint8_t kProtocols[] = {0, 0, 1, 6, 17, 47, 58};

std::uint16_t any_port_now() {
  return static_cast<std::uint16_t>(*rc::gen::element(0, 1, 80, 443, 2048, 2303, 65534, 65535));
}

}  // namespace

TrafficSelector any_selector_now() {
  const IpFamily family = *any_family();
  TrafficSelector out;
  switch (*rc::gen::inRange(0, 4)) {
    case 0:
      out = selector_for(IpAddress::any(family), IpAddress::last(family));
      break;
    case 1: {
      const IpAddress address = *any_address(family);
      const unsigned length = address.bit_width() - static_cast<unsigned>(*rc::gen::inRange(0, 11));
      out = selector_for(IpPrefix{address.masked(length), length});
      break;
    }
    case 2: {
      const IpAddress a = *any_address(family);
      const IpAddress b = *any_address(family);
      out = selector_for(std::min(a, b), std::max(a, b));
      break;
    }
    default: {
      const IpAddress address = *any_address(family);
      out = selector_for(address, address);
    }
  }
  out.protocol = *rc::gen::elementOf(std::vector<std::uint8_t>(std::begin(kProtocols), std::end(kProtocols)));
  if (out.protocol == 0) return out;
  switch (*rc::gen::inRange(0, 4)) {
    case 0: {
      const auto [low, high] = std::minmax({any_port_now(), any_port_now()});
      out.start_port = low;
      out.end_port = high;
      break;
    }
    case 1:
      out.start_port = out.end_port = any_port_now();
      break;
    case 2:
      out.start_port = 65535;
      out.end_port = 0;
      break;
    default:
      break;
  }
  return out;
}

TrafficSelectors any_selectors_now(int most) {
  TrafficSelectors out;
  const int count = *rc::gen::inRange(1, most + 1);
  for (int i = 0; i < count; ++i) out.push_back(any_selector_now());
  return out;
}

PacketSelectors any_packet_now() {
  const IpFamily family = *any_family();
  PacketSelectors out;
  out.family = family;
  out.source = *any_address(family);
  out.destination = *any_address(family);
  out.protocol = static_cast<IpProtocol>(*rc::gen::element(1, 6, 17, 47, 58, 89));
  switch (out.protocol) {
    case IpProtocol::kTcp:
    case IpProtocol::kUdp:
      out.upper = wire::UpperFields::kPorts;
      break;
    case IpProtocol::kIcmp:
    case IpProtocol::kIpv6Icmp:
      out.upper = wire::UpperFields::kIcmp;
      break;
    default:
      out.upper = wire::UpperFields::kNone;
  }
  if (out.upper == wire::UpperFields::kPorts) {
    out.source_port = any_port_now();
    out.destination_port = any_port_now();
  }
  if (out.upper == wire::UpperFields::kIcmp) {
    out.icmp_type = static_cast<std::uint8_t>(*rc::gen::element(0, 8, 128));
    out.icmp_code = static_cast<std::uint8_t>(*rc::gen::element(0, 3, 255));
  }
  if (out.upper != wire::UpperFields::kNone && *rc::gen::inRange(0, 5) == 0)
    out.upper = wire::UpperFields::kOpaque;
  if (out.family == IpFamily::kIpv6 && *rc::gen::inRange(0, 10) == 0) {
    out.is_protocol_opaque = true;
    out.upper = wire::UpperFields::kOpaque;
  }
  return out;
}

}  // namespace merlon::policy::test
