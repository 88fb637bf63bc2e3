#include "esp/reporter.h"

#include <algorithm>

namespace merlon::esp {

Reporter::Reporter(const EngineConfig& config)
    : events_(config.event_capacity),
      audit_(config.audit_per_second),
      unknown_spi_(config.unknown_spi_per_second) {}

void Reporter::drop(Instant now, Audit record) {
  drops_.count(record.reason);
  // What does not fit into the ring is only counted: an attacker must not be able to fill memory or the log.
  if (is_auditable(record.reason) && audit_.take(now)) static_cast<void>(tell(std::move(record)));
}

void Reporter::unknown_spi(Instant now, const UnknownSpi& event) {
  if (unknown_spi_.take(now)) static_cast<void>(tell(event));
}

bool is_expired(const TrafficCounters& counters, const SaLimits& limits) {
  return counters.packets() >= limits.hard_packets || counters.bytes() >= limits.hard_bytes;
}

std::uint64_t quiet_packets(const TrafficCounters& counters, const SaLimits& limits, std::uint8_t flags) {
  constexpr std::uint64_t kLargestPacket = 65535;
  const std::uint64_t packets = counters.packets(), bytes = counters.bytes();
  const std::uint64_t packet_limit = (flags & kSoftPacketsRaised) != 0
                                         ? limits.hard_packets
                                         : std::min(limits.soft_packets, limits.hard_packets);
  const std::uint64_t byte_limit =
      (flags & kSoftBytesRaised) != 0 ? limits.hard_bytes : std::min(limits.soft_bytes, limits.hard_bytes);
  if (packets >= packet_limit || bytes >= byte_limit) return 0;
  return std::min(packet_limit, packets + 1 + (byte_limit - bytes - 1) / kLargestPacket);
}

void raise_limits(Reporter& reporter, policy::ChildSaId id, Direction direction,
                  const TrafficCounters& counters, const SaLimits& limits, std::uint8_t& flags) {
  const auto raise_once = [&](std::uint8_t flag, const Event& event) {
    if ((flags & flag) == 0 && reporter.tell(event)) flags |= flag;
  };
  const std::uint64_t packets = counters.packets(), bytes = counters.bytes();
  if (bytes >= limits.soft_bytes) raise_once(kSoftBytesRaised, SoftExpired{id, direction, LimitKind::kBytes});
  if (packets >= limits.soft_packets)
    raise_once(kSoftPacketsRaised, SoftExpired{id, direction, LimitKind::kPackets});
  if (bytes >= limits.hard_bytes) raise_once(kHardRaised, HardExpired{id, direction, LimitKind::kBytes});
  if (packets >= limits.hard_packets)
    raise_once(kHardRaised, HardExpired{id, direction, LimitKind::kPackets});
}

}  // namespace merlon::esp
