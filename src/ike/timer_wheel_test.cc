#include "ike/timer_wheel.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>

#include "base/rng.h"

namespace merlon::ike {
namespace {

Instant at(std::int64_t ns) {
  return Instant(Duration(ns));
}

// What the wheel should be: a multimap of deadlines.
class Model {
 public:
  void set(TimerWheel::Key key, Instant deadline) {
    cancel(key);
    if (deadline != kNever) by_deadline_.emplace(deadline, key);
  }
  void cancel(TimerWheel::Key key) {
    std::erase_if(by_deadline_, [&](const auto& entry) { return entry.second == key; });
  }
  std::vector<TimerWheel::Key> expire(Instant now) {
    std::vector<std::pair<Instant, TimerWheel::Key>> due(by_deadline_.begin(), by_deadline_.upper_bound(now));
    by_deadline_.erase(by_deadline_.begin(), by_deadline_.upper_bound(now));
    std::sort(due.begin(), due.end());
    std::vector<TimerWheel::Key> keys;
    for (const auto& [deadline, key] : due) keys.push_back(key);
    return keys;
  }
  [[nodiscard]] Instant next() const { return by_deadline_.empty() ? kNever : by_deadline_.begin()->first; }
  [[nodiscard]] std::size_t size() const { return by_deadline_.size(); }

 private:
  std::multimap<Instant, TimerWheel::Key> by_deadline_;
};

// Spans from nanoseconds to years, so that every level of the wheel is used.
std::int64_t some_span(SeededRng& rng) {
  const auto bits = rng.below(60);
  return static_cast<std::int64_t>(rng.below(std::uint64_t{1} << bits));
}

TEST(TimerWheel, BehavesLikeAMultimap) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    TimerWheel wheel;
    Model model;
    std::int64_t now = rng.below(2) == 0 ? 0 : -some_span(rng);
    for (int step = 0; step < 300; ++step) {
      const auto key = rng.below(20);
      switch (rng.below(4)) {
        case 0:
        case 1: {
          const Instant deadline = at(now + (rng.below(8) == 0 ? -some_span(rng) / 2 : some_span(rng) / 2));
          wheel.set(key, deadline);
          model.set(key, deadline);
          break;
        }
        case 2:
          wheel.cancel(key);
          model.cancel(key);
          break;
        default:
          // Sometimes exactly when it asks to be called.
          if (rng.below(2) == 0 && wheel.next() != kNever) {
            now = std::max(now, wheel.next().time_since_epoch().count());
          } else {
            now += some_span(rng) / 1024;
          }
          RC_ASSERT(wheel.expire(at(now)) == model.expire(at(now)));
      }
      RC_ASSERT(wheel.size() == model.size());
      RC_ASSERT(wheel.next() <= model.next());
      RC_ASSERT((wheel.next() == kNever) == (model.next() == kNever));
    }
  }));
}

TEST(TimerWheel, CallingAtNextArrivesAtTheDeadlineExactlyAndSoon) {
  TimerWheel wheel;
  const Instant deadline = at(1'000'000'000'000'123);
  wheel.set(7, deadline);
  int calls = 0;
  for (Instant now = wheel.next(); now != kNever; now = wheel.next()) {
    ASSERT_LE(now, deadline);
    ASSERT_LE(++calls, 10);
    const auto due = wheel.expire(now);
    EXPECT_EQ(due.empty(), now < deadline);
  }
  EXPECT_EQ(wheel.size(), 0U);
}

TEST(TimerWheel, NeverCancelsAndReplacingMoves) {
  TimerWheel wheel;
  wheel.set(1, at(100));
  wheel.set(1, at(50'000'000'000));
  EXPECT_TRUE(wheel.expire(at(1'000'000'000)).empty());
  EXPECT_EQ(wheel.deadline(1), at(50'000'000'000));
  wheel.set(1, kNever);
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.deadline(1), kNever);
  wheel.cancel(99);
}

TEST(TimerWheel, AHundredThousandIdleTimersCostNothing) {
  TimerWheel wheel;
  SeededRng rng(1);
  for (TimerWheel::Key key = 0; key < 100'000; ++key)
    wheel.set(key, at(static_cast<std::int64_t>(3'600'000'000'000 + rng.below(3'600'000'000'000))));
  // An hour of a busy neighbour: each step sets, asks and expires.
  std::int64_t now = 0;
  for (int step = 0; step < 1'000'000; ++step) {
    now += 3'000'000;
    wheel.set(200'000, at(now + 1));
    (void)wheel.next();
    (void)wheel.expire(at(now));
  }
  EXPECT_EQ(wheel.size(), 100'001U);
  EXPECT_EQ(wheel.expire(at(7'200'000'000'000)).size(), 100'001U);
}

}  // namespace
}  // namespace merlon::ike
