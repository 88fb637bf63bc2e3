// The campaign that every ./check runs: 300 seeds, in six parts that can run beside one another.
#include <gtest/gtest.h>

#include "sim/world.h"

namespace merlon::sim {
namespace {

constexpr std::uint64_t kPart = 50;

class Seeds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Seeds, NothingIsViolated) {
  const std::uint64_t first = GetParam() * kPart + 1;
  for (std::uint64_t seed = first; seed < first + kPart; ++seed) {
    const Scenario scenario = draw_scenario(seed);
    const RunReport report = run_and_explain(scenario);
    EXPECT_FALSE(report.violation) << explain(
        report, scenario, "build/release/sim/merlon-sim --seed " + std::to_string(seed) + " --trace");
    if (HasFailure()) return;  // one trace is enough to read
  }
}

INSTANTIATE_TEST_SUITE_P(Part, Seeds, testing::Range<std::uint64_t>(0, 6));

}  // namespace
}  // namespace merlon::sim
