// What was decided for the packets of a flow, so that the SPD is asked once a flow and publication. One a
// worker.
#pragma once

#include <cstdint>
#include <vector>

#include "esp/published.h"
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
    numbers = upper | std::uint64_t{static_cast<std::uint8_t>(packet.protocol)} << 32U |
              std::uint64_t{static_cast<std::uint8_t>(packet.upper)} << 40U |
              std::uint64_t{packet.is_protocol_opaque} << 44U |
              std::uint64_t{static_cast<std::uint8_t>(packet.family)} << 48U;
  }
  friend bool operator==(const FlowKey& a, const FlowKey& b) {
    return ((a.addresses[0] ^ b.addresses[0]) | (a.addresses[1] ^ b.addresses[1]) |
            (a.addresses[2] ^ b.addresses[2]) | (a.addresses[3] ^ b.addresses[3]) |
            (a.numbers ^ b.numbers)) == 0;
  }
  // All bits of the key reach the result, and most of them its upper half.
  [[nodiscard]] std::uint64_t hash() const {
    std::uint64_t hash = mixed(addresses[0], numbers);
    if ((addresses[1] | addresses[2] | addresses[3]) != 0)
      hash = mixed(mixed(hash ^ addresses[1], addresses[2]), addresses[3]);
    return hash;
  }

 private:
  static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15U) * (b ^ 0xd1b54a32d192ed03U);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  }
};

struct OutboundDecision {
  const policy::SpdEntry* entry = nullptr;  // null: nothing in the SPD speaks of the packet
  const OutboundSa* sa = nullptr;           // null: none carries it (yet)
};

class FlowCache {
 public:
  static constexpr std::size_t kLeastSize = 1024, kMaxSize = std::size_t{1} << 18U;  // flows; powers of two

  // Null where the flow is not known in this generation. `hash` is the key's.
  [[nodiscard]] const OutboundDecision* find(const FlowKey& key, std::uint64_t hash,
                                             std::uint64_t generation) const {
    if (lines_.empty()) return nullptr;
    const std::size_t at = hash & mask_;
    for (const std::size_t place : {at, at ^ 1U}) {
      const Line& line = lines_[place];
      if (line.key == key && line.generation == generation) return &line.decision;
    }
    return nullptr;
  }
  // Grows when half of it is taken, up to kMaxSize: before flows push each other out.
  void put(const FlowKey& key, std::uint64_t hash, std::uint64_t generation,
           const OutboundDecision& decision);
  void prefetch(std::uint64_t hash) const {
    if (!lines_.empty()) __builtin_prefetch(&lines_[hash & mask_]);
  }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }

 private:
  struct alignas(64) Line {
    FlowKey key;
    std::uint64_t generation = 0;  // 0 = empty
    OutboundDecision decision;
  };
  static_assert(sizeof(Line) == 64, "one cache line a packet");

  void place(const Line& line, std::uint64_t hash);
  void grow();

  std::vector<Line> lines_;  // made with the first flow: most engines of a simulation see few
  std::size_t mask_ = 0;
  std::uint64_t generation_ = 0;  // of the last put()
  std::size_t taken_ = 0;         // places of that generation
};

}  // namespace merlon::esp
