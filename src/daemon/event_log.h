// Events to the log, bounded: a peer must not be able to fill a disk.
#pragma once

#include <cstdint>
#include <string>

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
  // For what a stranger can cause: at most kPerSecond of these pass, the others are counted and told later.
  void limited(Instant now, const std::string& text);

 private:
  static constexpr std::uint64_t kPerSecond = 20, kBurst = 100;
  bool allow(Instant now);
  std::uint64_t tokens_ = kBurst, suppressed_ = 0;
  Instant refilled_{};
};

}  // namespace merlon::daemon
