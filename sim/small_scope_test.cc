// Every pair of operations begun at once by two peers, in every order, with one message lost or doubled: merlon-sim --small-scope.
#include "sim/small_scope.h"

#include <gtest/gtest.h>

#include <tuple>

namespace merlon::sim {
namespace {

class SmallScopes : public testing::TestWithParam<std::tuple<Operation, Operation>> {};

void expect_agreed(const SmallScope& scope) {
  const SmallScopeReport report = explore(scope);
  std::string path;
  for (const auto& line : report.lines) path += "  " + line + "\n";
  EXPECT_FALSE(report.violation) << describe(scope) << ": " << *report.violation << "\n" << path;
  EXPECT_TRUE(report.complete);
  EXPECT_GT(report.endings, 0U);
}

TEST_P(SmallScopes, EndAgreedWithOneFault) {
  const auto [at_a, at_b] = GetParam();
  expect_agreed({at_a, at_b, 1, false, false, 0});
}

TEST_P(SmallScopes, EndAgreedWithSlowKeyExchanges) {
  const auto [at_a, at_b] = GetParam();
  expect_agreed({at_a, at_b, 0, true, true, 0});
}

std::string name_of(const testing::TestParamInfo<std::tuple<Operation, Operation>>& info) {
  std::string name =
      std::string(to_text(std::get<0>(info.param))) + " and " + std::string(to_text(std::get<1>(info.param)));
  std::erase(name, ' ');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Pairs, SmallScopes,
                         testing::Combine(testing::ValuesIn(kOperations), testing::ValuesIn(kOperations)),
                         name_of);

}  // namespace
}  // namespace merlon::sim
