#include "ike/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace merlon::ike {

// Instants are signed; shifted by half their range they sort as unsigned numbers.
std::uint64_t TimerWheel::tick_of(Instant instant) {
  const auto ns = static_cast<std::uint64_t>(instant.time_since_epoch().count());
  return (ns ^ (std::uint64_t{1} << 63U)) >> kTickBits;
}

Instant TimerWheel::start_of(std::uint64_t tick) {
  const std::uint64_t ns = (tick << kTickBits) ^ (std::uint64_t{1} << 63U);
  return Instant(Duration(static_cast<Duration::rep>(ns)));
}

void TimerWheel::link(Timer& timer) {
  const std::uint64_t tick = std::max(tick_of(timer.deadline), tick_);
  const std::uint64_t differing = tick ^ tick_;
  const unsigned level =
      differing == 0 ? 0 : (63U - static_cast<unsigned>(std::countl_zero(differing))) / kBits;
  MERLON_ASSERT(level < kLevels);
  const auto slot = static_cast<unsigned>((tick >> (kBits * level)) & (kSlots - 1));
  timer.level = static_cast<std::uint8_t>(level);
  timer.slot = static_cast<std::uint8_t>(slot);
  Timer*& head = levels_[level].head[slot];
  timer.previous = nullptr;
  timer.next = head;
  if (head != nullptr) head->previous = &timer;
  head = &timer;
  levels_[level].occupied |= std::uint64_t{1} << slot;
}

void TimerWheel::unlink(Timer& timer) {
  Level& level = levels_[timer.level];
  if (timer.previous != nullptr) {
    timer.previous->next = timer.next;
  } else {
    level.head[timer.slot] = timer.next;
  }
  if (timer.next != nullptr) timer.next->previous = timer.previous;
  if (level.head[timer.slot] == nullptr) level.occupied &= ~(std::uint64_t{1} << timer.slot);
}

void TimerWheel::set(Key key, Instant deadline) {
  if (deadline == kNever) {
    cancel(key);
    return;
  }
  const auto [at, inserted] = timers_.try_emplace(key);
  Timer& timer = at->second;
  if (!inserted) unlink(timer);
  timer.key = key;
  timer.deadline = deadline;
  link(timer);
}

void TimerWheel::cancel(Key key) {
  const auto at = timers_.find(key);
  if (at == timers_.end()) return;
  unlink(at->second);
  timers_.erase(at);
}

Instant TimerWheel::deadline(Key key) const {
  const auto at = timers_.find(key);
  return at == timers_.end() ? kNever : at->second.deadline;
}

// Timers of a lower level share more leading digits with tick_ than those of a higher one, so they all come
// first.
bool TimerWheel::first_slot(unsigned& level, unsigned& slot) const {
  for (level = 0; level < kLevels; ++level) {
    if (levels_[level].occupied == 0) continue;
    slot = static_cast<unsigned>(std::countr_zero(levels_[level].occupied));
    return true;
  }
  return false;
}

std::uint64_t TimerWheel::slot_start(unsigned level, unsigned slot) const {
  const unsigned above = kBits * (level + 1);
  return (tick_ >> above << above) | (std::uint64_t{slot} << (kBits * level));
}

std::vector<TimerWheel::Key> TimerWheel::expire(Instant now) {
  const std::uint64_t now_tick = std::max(tick_of(now), tick_);
  std::vector<std::pair<Instant, Key>> due;
  unsigned level = 0, slot = 0;
  while (first_slot(level, slot)) {
    const std::uint64_t start = slot_start(level, slot);
    if (start > now_tick) break;
    tick_ = std::max(tick_, start);
    bool moved = false;
    for (Timer* timer = levels_[level].head[slot]; timer != nullptr;) {
      Timer* const next = timer->next;
      if (timer->deadline <= now) {
        due.emplace_back(timer->deadline, timer->key);
        unlink(*timer);
        timers_.erase(timer->key);
        moved = true;
      } else if (level > 0) {
        unlink(*timer);
        link(*timer);  // nearer now, so one level down at least
        moved = true;
      }
      timer = next;
    }
    if (!moved) break;  // what is left is later within the present tick
  }
  tick_ = now_tick;
  std::sort(due.begin(), due.end());
  std::vector<Key> keys;
  keys.reserve(due.size());
  for (const auto& [deadline, key] : due) keys.push_back(key);
  return keys;
}

Instant TimerWheel::next() const {
  unsigned level = 0, slot = 0;
  if (!first_slot(level, slot)) return kNever;
  if (level > 0) return start_of(slot_start(level, slot));
  Instant earliest = kNever;
  for (const Timer* timer = levels_[0].head[slot]; timer != nullptr; timer = timer->next)
    earliest = std::min(earliest, timer->deadline);
  return earliest;
}

}  // namespace merlon::ike
