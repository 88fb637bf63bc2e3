#include "ikev2/source_limits.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "base/rng.h"

namespace merlon::ikev2 {
namespace {

TEST(SourceLimits, CountsInAllAndBySource) {
  SourceLimits limits(5, 2);
  const auto one = IpAddress::v4(1), two = IpAddress::v4(2);
  EXPECT_EQ(limits.admit(one), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(one), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(one), Admission::kPerSource);
  EXPECT_EQ(limits.admit(two), Admission::kAdmitted);
  EXPECT_EQ(limits.of(one), 2U);
  limits.release(one);
  EXPECT_EQ(limits.admit(one), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(IpAddress::v4(3)), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(IpAddress::v4(4)), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(IpAddress::v4(5)), Admission::kTotal);
}

TEST(SourceLimits, AnIpv6SourceIsItsSlash64) {
  SourceLimits limits(10, 1);
  EXPECT_EQ(limits.admit(*IpAddress::parse("2001:db8::1")), Admission::kAdmitted);
  EXPECT_EQ(limits.admit(*IpAddress::parse("2001:db8::ffff:2")), Admission::kPerSource);
  EXPECT_EQ(limits.admit(*IpAddress::parse("2001:db8:0:1::1")), Admission::kAdmitted);
  limits.release(*IpAddress::parse("2001:db8::9"));
  EXPECT_EQ(limits.admit(*IpAddress::parse("2001:db8::3")), Admission::kAdmitted);
}

TEST(SourceLimits, NeverMoreThanALimitAndNothingIsLeftBehind) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    SourceLimits limits(20, 3);
    std::vector<IpAddress> open;
    for (int step = 0; step < 300; ++step) {
      if (rng.below(3) != 0) {
        const auto source = IpAddress::v4(static_cast<std::uint32_t>(rng.below(12)));
        if (limits.admit(source) == Admission::kAdmitted) open.push_back(source);
      } else if (!open.empty()) {
        limits.release(open.back());
        open.pop_back();
      }
      RC_ASSERT(limits.total() == open.size());
      RC_ASSERT(open.size() <= 20);
      RC_ASSERT(limits.sources() <= open.size());
    }
    for (const auto& source : open) limits.release(source);
    RC_ASSERT(limits.total() == 0U);
    RC_ASSERT(limits.sources() == 0U);
  }));
}

}  // namespace
}  // namespace merlon::ikev2
