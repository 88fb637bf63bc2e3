#include "esp/flow_cache.h"

#include <cstring>

namespace merlon::esp {
namespace {

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15U;
  return hash ^ hash >> 29U;
}

std::uint64_t mixed(std::uint64_t hash, const IpAddress& address) {
  std::array<std::uint64_t, 2> words{};
  const ByteView bytes = address.bytes();
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return mixed(mixed(hash, words[0]), words[1]);
}

}  // namespace

FlowKey::FlowKey(const wire::PacketView& packet)
    : source(packet.source),
      destination(packet.destination),
      source_port(packet.source_port),
      destination_port(packet.destination_port),
      icmp(packet.icmp_selector()),
      mobility(packet.mobility_selector()),
      protocol(packet.protocol),
      upper(packet.upper),
      is_protocol_opaque(packet.is_protocol_opaque) {}

std::size_t FlowKey::hash() const {
  const std::uint64_t numbers = std::uint64_t{source_port} << 48U | std::uint64_t{destination_port} << 32U |
                                std::uint64_t{icmp} << 16U |
                                std::uint64_t{static_cast<std::uint8_t>(protocol)};
  return mixed(mixed(mixed(0, source), destination), numbers);
}

const OutboundDecision* FlowCache::find(const FlowKey& key, std::uint64_t generation) const {
  if (lines_.empty()) return nullptr;
  const Line& line = lines_[key.hash() % kSize];
  return line.generation == generation && line.key == key ? &line.decision : nullptr;
}

void FlowCache::put(const FlowKey& key, std::uint64_t generation, const OutboundDecision& decision) {
  if (lines_.empty()) lines_.resize(kSize);
  lines_[key.hash() % kSize] = {key, generation, decision};
}

}  // namespace merlon::esp
