// What the tests of this room share.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "policy/proposal.h"
#include "policy/traffic_selector.h"

namespace merlon::policy::test {

inline TrafficSelectors ts(const std::vector<std::string>& texts) {
  TrafficSelectors out;
  for (const std::string& text : texts) {
    const auto parsed = parse_traffic_selectors(text);
    EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
    if (parsed) out.insert(out.end(), parsed->begin(), parsed->end());
  }
  return out;
}
inline TrafficSelector one(const std::string& text) {
  const auto parsed = parse_traffic_selector(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(TrafficSelector{});
}
inline IpAddress ip(const std::string& text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(IpAddress{});
}
inline Proposal ike(const std::string& text) {
  const auto parsed = parse_ike_proposal(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(Proposal{});
}
inline Proposal esp(const std::string& text) {
  const auto parsed = parse_esp_proposal(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(Proposal{});
}

inline PacketSelectors packet(const std::string& source, const std::string& destination, IpProtocol protocol,
                              std::uint16_t source_port = 0, std::uint16_t destination_port = 0) {
  PacketSelectors out;
  out.source = ip(source);
  out.destination = ip(destination);
  out.family = out.source.family();
  out.protocol = protocol;
  const bool has_ports =
      protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || protocol == IpProtocol::kSctp;
  out.upper = has_ports ? wire::UpperFields::kPorts : wire::UpperFields::kNone;
  out.source_port = source_port;
  out.destination_port = destination_port;
  return out;
}
inline PacketSelectors icmp(const std::string& source, const std::string& destination, std::uint8_t type,
                            std::uint8_t code = 0) {
  PacketSelectors out = packet(source, destination, IpProtocol::kIcmp);
  if (out.source.is_v6()) out.protocol = IpProtocol::kIpv6Icmp;
  out.upper = wire::UpperFields::kIcmp;
  out.icmp_type = type;
  out.icmp_code = code;
  return out;
}

// ---- Random values. They come from a small world, so that they meet often.
inline rc::Gen<IpAddress> any_address(IpFamily family) {
  return rc::gen::map(rc::gen::tuple(rc::gen::inRange(0, 4), rc::gen::inRange(0, 256)),
                      [family](std::tuple<int, int> parts) {
                        const auto [net, host] = parts;
                        return family == IpFamily::kIpv4
                                   ? IpAddress::v4(0x0a000000U + static_cast<std::uint32_t>(net * 256 + host))
                                   : IpAddress::parse(fmt::format("2001:db8::{:x}:{:x}", net, host))
                                         .value_or(IpAddress::any(family));
                      });
}
inline rc::Gen<IpFamily> any_family() {
  return rc::gen::weightedElement<IpFamily>({{3, IpFamily::kIpv4}, {1, IpFamily::kIpv6}});
}

TrafficSelector any_selector_now();  // draws from the running property
TrafficSelectors any_selectors_now(int most);
PacketSelectors any_packet_now();

}  // namespace merlon::policy::test
