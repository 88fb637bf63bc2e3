// What tells one flow from another, and the short way to it for most packets.
#pragma once

#include <cstdint>

#include "esp/plain_v4.h"
#include "wire/ip/packet_view.h"

namespace merlon::esp {

// Everything of a packet that selectors can see, as five words.
struct FlowKey {
  // IPv4: both in the first word. IPv6: source, destination.
  std::uint64_t addresses[4] = {};
  // From the lowest bit: what stands in the ports' place (32 bits: ports, or ICMP or mobility type), protocol (8),
  // UpperFields (4), whether the protocol is opaque (1), family (4).
  std::uint64_t numbers = 0;

  FlowKey() = default;
  explicit FlowKey(const PlainV4& packet)
      : addresses{packet.addresses},
        numbers(numbers_of(packet.upper_selector, packet.protocol, packet.upper, false, IpFamily::kIpv4)) {}
  explicit FlowKey(const wire::PacketView& packet) {
    const auto source = packet.source.words(), destination = packet.destination.words();
    if (packet.family == IpFamily::kIpv4) {
      addresses[0] = source[0] | destination[0] >> 32U;
    } else {
      addresses[0] = source[0];
      addresses[1] = source[1];
      addresses[2] = destination[0];
      addresses[3] = destination[1];
    }
    // Only those that `upper` names are not zero.
    const auto upper =
        static_cast<std::uint32_t>((std::uint32_t{packet.source_port} << 16U | packet.destination_port) |
                                   packet.icmp_selector() | packet.mobility_selector());
    numbers = numbers_of(upper, packet.protocol, packet.upper, packet.is_protocol_opaque, packet.family);
  }
  friend bool operator==(const FlowKey& a, const FlowKey& b) {
    if (((a.addresses[0] ^ b.addresses[0]) | (a.numbers ^ b.numbers)) != 0) return false;
    return a.is_v4() || ((a.addresses[1] ^ b.addresses[1]) | (a.addresses[2] ^ b.addresses[2]) |
                         (a.addresses[3] ^ b.addresses[3])) == 0;
  }
  // All bits of the key reach the result, and most of them its upper half.
  [[nodiscard]] std::uint64_t hash() const {
    std::uint64_t hash = hash_v4(addresses[0], numbers);
    if ((addresses[1] | addresses[2] | addresses[3]) != 0)
      hash = mixed(mixed(hash ^ addresses[1], addresses[2]), addresses[3]);
    return hash;
  }
  static std::uint64_t hash_v4(std::uint64_t addresses, std::uint64_t numbers) {
    return mixed(addresses, numbers);
  }
  [[nodiscard]] bool is_v4() const {
    return numbers >> 48U == std::uint64_t{static_cast<std::uint8_t>(IpFamily::kIpv4)};
  }

 private:
  static std::uint64_t numbers_of(std::uint32_t selector, IpProtocol protocol, wire::UpperFields upper,
                                  bool is_protocol_opaque, IpFamily family) {
    return selector | std::uint64_t{static_cast<std::uint8_t>(protocol)} << 32U |
           std::uint64_t{static_cast<std::uint8_t>(upper)} << 40U | std::uint64_t{is_protocol_opaque} << 44U |
           std::uint64_t{static_cast<std::uint8_t>(family)} << 48U;
  }
  static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15U) * (b ^ 0xd1b54a32d192ed03U);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  }
};

}  // namespace merlon::esp
