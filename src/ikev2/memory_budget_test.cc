#include "ikev2/memory_budget.h"

#include <gtest/gtest.h>

namespace merlon::ikev2 {
namespace {

TEST(MemoryBudget, TheUnprovenHaveHalf) {
  MemoryBudget budget(1000);
  MemoryShare strangers, peer;
  EXPECT_TRUE(strangers.grow(budget, 500, false));
  EXPECT_FALSE(strangers.grow(budget, 1, false));
  EXPECT_TRUE(peer.grow(budget, 500, true));
  EXPECT_FALSE(peer.grow(budget, 1, true));
  EXPECT_EQ(budget.used(), 1000U);
  strangers.clear();
  EXPECT_EQ(budget.used(), 500U);
  EXPECT_TRUE(peer.grow(budget, 500, true));
  EXPECT_FALSE(strangers.grow(budget, 1, false)) << "what is full is full";
}

TEST(MemoryBudget, IsGivenBackOnceHoweverItMoves) {
  MemoryBudget budget(1000);
  {
    MemoryShare first;
    ASSERT_TRUE(first.grow(budget, 100, true));
    ASSERT_TRUE(first.grow(budget, 100, false));
    MemoryShare second = std::move(first);
    EXPECT_EQ(budget.used(), 200U);
    MemoryShare third;
    ASSERT_TRUE(third.grow(budget, 50, true));
    third = std::move(second);
    EXPECT_EQ(budget.used(), 200U);
  }
  EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace merlon::ikev2
