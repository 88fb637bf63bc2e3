// One deadline a key, for very many keys: set, replace and cancel take constant time, and an idle timer costs
// nothing but its memory. A hierarchical wheel: eight levels of 64 slots, level 0 in ticks of 2^20 ns (about
// a millisecond), each level 64 times coarser, which spans every Instant. A timer stands at the level of the
// highest digit (base 64) in which its tick differs from the wheel's, so it moves down at most seven times in
// its life.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace merlon::ike {

class TimerWheel {
 public:
  using Key = std::uint64_t;

  TimerWheel() = default;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Replaces the key's deadline. kNever cancels. A deadline in the past is due at the next expire().
  void set(Key key, Instant deadline);
  void cancel(Key key);
  [[nodiscard]] Instant deadline(Key key) const;  // kNever when it has none
  [[nodiscard]] std::size_t size() const { return timers_.size(); }

  // The keys whose deadline is at or before `now`, by deadline and then by key; they are removed. Time does
  // not go back: an earlier `now` than before counts as the one before.
  [[nodiscard]] std::vector<Key> expire(Instant now);

  // When to call expire() again: exact for deadlines about to come (in the wheel's lowest level), otherwise a
  // lower bound that is at most the deadline, never after it. kNever when no timer is set.
  [[nodiscard]] Instant next() const;

 private:
  static constexpr unsigned kLevels = 8, kBits = 6, kSlots = 1U << kBits, kTickBits = 20;
  struct Timer {
    Key key = 0;
    Instant deadline;
    std::uint8_t level = 0, slot = 0;
    Timer* previous = nullptr;
    Timer* next = nullptr;
  };
  struct Level {
    std::uint64_t occupied = 0;  // one bit a slot
    std::array<Timer*, kSlots> head{};
  };

  static std::uint64_t tick_of(Instant instant);
  static Instant start_of(std::uint64_t tick);
  void link(Timer& timer);
  void unlink(Timer& timer);
  [[nodiscard]] bool first_slot(unsigned& level, unsigned& slot) const;
  [[nodiscard]] std::uint64_t slot_start(unsigned level, unsigned slot) const;

  std::unordered_map<Key, Timer> timers_;
  std::array<Level, kLevels> levels_;
  std::uint64_t tick_ = 0;  // every timer's tick is at or after it
};

}  // namespace merlon::ike
