// What was decided for the packets of a flow, so that the SPD is asked once a flow and publication. One a
// worker.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "esp/published.h"
#include "wire/ip/packet_view.h"

namespace merlon::esp {

// Everything of a packet that selectors can see.
struct FlowKey {
  IpAddress source, destination;
  std::uint16_t source_port = 0, destination_port = 0, icmp = 0, mobility = 0;
  IpProtocol protocol = IpProtocol::kNoNext;
  wire::UpperFields upper = wire::UpperFields::kNone;
  bool is_protocol_opaque = false;

  explicit FlowKey(const wire::PacketView& packet);
  FlowKey() = default;
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
  [[nodiscard]] std::size_t hash() const;
};

struct OutboundDecision {
  const policy::SpdEntry* entry = nullptr;  // null: nothing in the SPD speaks of the packet
  const ChildEntry* child = nullptr;        // protect only
  const OutboundSa* sa = nullptr;           // null: none carries it (yet)
};

class FlowCache {
 public:
  // Null where the flow is not known in this generation.
  [[nodiscard]] const OutboundDecision* find(const FlowKey& key, std::uint64_t generation) const;
  void put(const FlowKey& key, std::uint64_t generation, const OutboundDecision& decision);

 private:
  static constexpr std::size_t kSize = 4096;  // a power of two; a colliding flow takes the place
  struct Line {
    FlowKey key;
    std::uint64_t generation = 0;  // 0 = empty
    OutboundDecision decision;
  };
  std::vector<Line> lines_;  // made with the first flow: most engines of a simulation see few
};

}  // namespace merlon::esp
