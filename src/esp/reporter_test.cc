#include "esp/reporter.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace merlon::esp {
namespace {

// As long as a direction has carried fewer packets than quiet_packets() said, no limit can have been reached.
TEST(QuietPackets, NoLimitIsReachedBefore) {
  EXPECT_TRUE(rc::check([] {
    const auto limit = [] {
      return *rc::gen::oneOf(rc::gen::just(UINT64_MAX), rc::gen::inRange<std::uint64_t>(1, 10'000'000));
    };
    const SaLimits limits{limit(), limit(), limit(), limit()};
    const auto flags = *rc::gen::element<std::uint8_t>(0, kSoftBytesRaised, kSoftPacketsRaised,
                                                       kSoftBytesRaised | kSoftPacketsRaised);
    TrafficCounters counters;
    const int before = *rc::gen::inRange(0, 50);
    for (int i = 0; i < before; ++i) counters.add(kNever, *rc::gen::inRange<std::uint64_t>(0, 65536));
    const std::uint64_t quiet = quiet_packets(counters, limits, flags);
    for (int i = 0; i < 300 && counters.packets() + 1 < quiet; ++i) {
      counters.add(kNever, *rc::gen::element<std::uint64_t>(0, 1500, 65535));
      RC_ASSERT(!is_expired(counters, limits));
      RC_ASSERT((flags & kSoftPacketsRaised) != 0 || counters.packets() < limits.soft_packets);
      RC_ASSERT((flags & kSoftBytesRaised) != 0 || counters.bytes() < limits.soft_bytes);
    }
  }));
}

TEST(QuietPackets, WithoutLimitsItIsQuietForever) {
  TrafficCounters counters;
  counters.add(kNever, 1500);
  EXPECT_GT(quiet_packets(counters, SaLimits{}, 0), std::uint64_t{1} << 40U);
}

}  // namespace
}  // namespace merlon::esp
