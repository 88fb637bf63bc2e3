#include "daemon/path_search.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace merlon::daemon {
namespace {

Instant at(int seconds) {
  return Instant{} + std::chrono::seconds(1000 + seconds);
}

// Lets the search find a path that carries `carries` bytes and says nothing; returns the number of probes.
int find(PathSearch& search, unsigned carries, int from = 0) {
  int probes = 0;
  for (int second = from; second < from + 50; ++second)
    if (const auto size = search.next(at(second), false)) {
      search.answer(at(second), *size, *size <= carries);
      ++probes;
    }
  return probes;
}

TEST(PathSearch, BelievesInTheFirstLinkUntilProbesAreLost) {
  PathSearch search(IpFamily::kIpv4, 1500);
  EXPECT_EQ(search.usable(), 1500U);
  EXPECT_EQ(find(search, 1500), 1);
  EXPECT_EQ(search.usable(), 1500U);
}

TEST(PathSearch, OneLostProbeIsNotABlackHole) {
  PathSearch search(IpFamily::kIpv4, 1500);
  ASSERT_EQ(search.next(at(0), false), 1500U);
  search.answer(at(0), 1500, false);
  EXPECT_EQ(search.usable(), 1500U);
  EXPECT_EQ(find(search, 1500, 1), 1);
  EXPECT_EQ(search.usable(), 1500U);
}

TEST(PathSearch, WaitsWhereItIsToldAndForgetsWhatWasOnItsWay) {
  PathSearch search(IpFamily::kIpv4, 1500);
  for (int second = 0; second < 20; second += 10) {
    ASSERT_EQ(search.next(at(second), false), 1500U);
    search.hold(at(second + 5));
    EXPECT_FALSE(search.is_due(at(second + 4)));
    search.answer(at(second + 4), 1500, false);  // lost with the IKE SA, not on the path
  }
  EXPECT_EQ(search.usable(), 1500U);
  ASSERT_EQ(search.next(at(20), false), 1500U);
  search.answer(at(20), 1500, true);
  search.hold(at(21));  // no sooner than was planned
  EXPECT_FALSE(search.is_due(at(22)));
}

TEST(PathSearch, FallsBackToTheBaseAtOnce) {
  PathSearch search(IpFamily::kIpv6, 9000);
  for (int second = 0; second < 2; ++second) {
    ASSERT_EQ(search.next(at(second), false), 9000U);
    search.answer(at(second), 9000, false);
  }
  EXPECT_EQ(search.usable(), PathSearch::kBase);
}

TEST(PathSearch, FindsWhatThePathCarries) {
  EXPECT_TRUE(rc::check([] {
    const auto carries = *rc::gen::inRange(1280U, 9001U);
    const auto family = *rc::gen::element(IpFamily::kIpv4, IpFamily::kIpv6);
    PathSearch search(family, 9000);
    RC_ASSERT(find(search, carries) <= 14);
    RC_ASSERT(search.usable() <= carries);
    RC_ASSERT(search.usable() >= 1280U);
    // Within the range of Ethernet it is never far off.
    if (carries <= 1500) RC_ASSERT(carries - search.usable() <= 20U);
  }));
}

TEST(PathSearch, GoesBelowTheBaseOverIpv4Only) {
  PathSearch narrow(IpFamily::kIpv4, 1500);
  find(narrow, 1100);
  EXPECT_EQ(narrow.usable(), 1006U);
  PathSearch six(IpFamily::kIpv6, 1500);
  find(six, 1100);
  EXPECT_EQ(six.usable(), 1280U);
}

TEST(PathSearch, LooksAgainWithoutGivingUpWhatIsKnown) {
  PathSearch search(IpFamily::kIpv4, 1500);
  find(search, 1400);
  ASSERT_EQ(search.usable(), 1400U);
  search.look_again(at(100), 1500);
  EXPECT_EQ(search.usable(), 1400U);
  find(search, 1500, 100);
  EXPECT_EQ(search.usable(), 1500U);
  search.look_again(at(200), 1500);
  find(search, 1300, 200);
  EXPECT_EQ(search.usable(), 1300U);
}

TEST(PathSearch, ConfirmsWhileThePathIsUsed) {
  PathSearch search(IpFamily::kIpv4, 1500);
  find(search, 1500);
  EXPECT_FALSE(search.next(at(59), true));
  EXPECT_FALSE(search.next(at(61), false));
  EXPECT_EQ(search.next(at(67), true), 1500U);
  EXPECT_FALSE(search.next(at(68), true));       // asked already
  EXPECT_EQ(search.next(at(127), true), 1500U);  // its answer never came
}

}  // namespace
}  // namespace merlon::daemon
