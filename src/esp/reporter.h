// What a worker counts and tells: drops, auditable events, limits. One a worker.
#pragma once

#include "esp/config.h"
#include "esp/drop_reason.h"
#include "esp/events.h"
#include "esp/sa.h"
#include "esp/token_bucket.h"

namespace merlon::esp {

class Reporter {
 public:
  explicit Reporter(const EngineConfig& config);

  // False where the ring is full: an event that must arrive is then tried again with the next packet.
  [[nodiscard]] bool tell(Event event) { return events_.push(std::move(event)); }

  void drop(DropReason reason) { drops_.count(reason); }
  // The same, and for an auditable reason an Audit event of what is given here.
  void drop(Instant now, Audit record);
  void unknown_spi(Instant now, const UnknownSpi& event);

  [[nodiscard]] const DropCounters& drops() const { return drops_; }
  [[nodiscard]] EventRing& events() { return events_; }

 private:
  EventRing events_;
  DropCounters drops_;
  TokenBucket audit_, unknown_spi_;
};

// Has this direction used up a hard limit (RFC 4301 4.4.2.1)? Such an SA carries nothing more.
[[nodiscard]] bool is_expired(const TrafficCounters& counters, const SaLimits& limits);

// How many packets the direction must have carried before a limit can have anything (new) to say, given that one packet
// has at most 65,535 bytes: so that a packet costs one comparison.
[[nodiscard]] std::uint64_t quiet_packets(const TrafficCounters& counters, const SaLimits& limits,
                                          std::uint8_t flags);

// Tells of soft and hard limits that the counters have reached, each once. `flags` is the direction's SaFlag.
void raise_limits(Reporter& reporter, policy::ChildSaId id, Direction direction,
                  const TrafficCounters& counters, const SaLimits& limits, std::uint8_t& flags);

}  // namespace merlon::esp
