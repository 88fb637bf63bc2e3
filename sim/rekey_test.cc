// RFC 7296 2.8: a rekey loses no packet, in either direction. Without faults, with short lifetimes at both ends and much traffic.
#include <gtest/gtest.h>

#include "sim/world.h"

namespace merlon::sim {
namespace {

class Rekey : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Rekey, LosesNothing) {
  const Scenario scenario = rekey_scenario(GetParam());
  const RunReport report = run_and_explain(scenario);
  EXPECT_FALSE(report.violation) << explain(
      report, scenario,
      "build/release/sim/merlon-sim --rekey --seed " + std::to_string(GetParam()) + " --trace");
  using ike::Counter;
  EXPECT_GE(report.counters.value(Counter::kChildSasRekeyed), 6U);
  EXPECT_GE(report.counters.value(Counter::kIkeSasRekeyed), 6U);
  EXPECT_GE(report.traffic.delivered, 20000U);
}

INSTANTIATE_TEST_SUITE_P(Seed, Rekey, testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace merlon::sim
