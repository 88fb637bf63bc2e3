// Events to the log, bounded: a peer must not be able to fill a disk.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/clock.h"
#include "ike/events.h"

namespace merlon::daemon {

class EventLog {
 public:
  void set_level(const std::string& level);  // "error", "warning", "info", "debug"

  void event(Instant now, const ike::Event& event);
  void info(const std::string& text);
  void warning(const std::string& text);
  void error(const std::string& text);
  // For what a stranger can cause: what is more often than kStrangers says is counted, and told later.
  void limited(Instant now, const std::string& text);

  // Of what a peer or a stranger makes us write, the end is left out. Bytes.
  static constexpr std::size_t kMaxLine = 4096;

 private:
  struct Rate {
    std::uint64_t per_second, burst;
  };
  // Peers that have proved who they are cause events as fast as they can ask; an honest gateway with ten thousand tunnels does so once.
  static constexpr Rate kStrangers{20, 100}, kPeers{200, 20'000};
  // Filled by whole seconds, unlike ikev2::TokenBucket: so what was left out is told once a second, not before each line that passes.
  class Bucket {
   public:
    explicit Bucket(Rate rate) : rate_(rate), tokens_(rate.burst) {}
    // False: not now; it is counted.
    bool allow(Instant now);
    // How many were not allowed since this was asked last.
    [[nodiscard]] std::uint64_t take_suppressed() { return std::exchange(suppressed_, 0); }

   private:
    Rate rate_;
    std::uint64_t tokens_, suppressed_ = 0;
    Instant refilled_{};
  };
  Bucket strangers_{kStrangers}, peers_{kPeers};
};

}  // namespace merlon::daemon
