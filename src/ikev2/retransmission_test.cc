#include "ikev2/retransmission.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace merlon::ikev2 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Retransmission, GrowsByTheFactorUpToItsCap) {
  const RetransmissionSchedule schedule{seconds(1), 2.0, seconds(10), 6};
  const std::vector<int> expected = {1, 2, 4, 8, 10, 10};
  for (unsigned sends = 1; sends <= 6; ++sends)
    EXPECT_EQ(schedule.wait_after(sends), seconds(expected[sends - 1]));
  EXPECT_TRUE(schedule.may_send_again(5));
  EXPECT_FALSE(schedule.may_send_again(6));
  EXPECT_EQ(schedule.total(), seconds(35));
}

TEST(Retransmission, TheDefaultGivesUpAfterAboutAMinute) {
  const auto schedule = RetransmissionSchedule::of(policy::Connection{});
  EXPECT_GT(schedule.total(), seconds(60));
  EXPECT_LT(schedule.total(), seconds(120));
}

TEST(Retransmission, AnyConfigurationWaitsAPositiveBoundedTime) {
  EXPECT_TRUE(
      rc::check([](std::uint16_t initial, std::uint16_t factor, std::uint16_t cap, std::uint8_t tries) {
        policy::Connection connection;
        connection.retransmit_initial = milliseconds(1 + initial);
        connection.retransmit_factor = static_cast<double>(factor) / 100.0;
        connection.retransmit_max = milliseconds(cap);
        connection.retransmit_tries = tries;
        const auto schedule = RetransmissionSchedule::of(connection);
        for (unsigned sends = 1; sends <= 300; ++sends) {
          RC_ASSERT(schedule.wait_after(sends) >= schedule.initial);
          RC_ASSERT(schedule.wait_after(sends) <= std::max(schedule.initial, schedule.max));
        }
        RC_ASSERT(schedule.tries >= 1U);
      }));
}

}  // namespace
}  // namespace merlon::ikev2
