// A failing seed becomes a scenario that a person can read, and still fails in the same way; also when it comes out of a file.
#include "sim/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace merlon::sim {
namespace {

struct Case {
  Sabotage sabotage;
  std::uint64_t seed;
  unsigned gateways;
};

class Shrinks : public testing::TestWithParam<Case> {};

TEST_P(Shrinks, ToAFewThingsThatFailInTheSameWay) {
  RunOptions options;
  options.sabotage = GetParam().sabotage;
  const Origin origin{Origin::Kind::kDraw, GetParam().seed, GetParam().gateways, Repertoire::kFirst};
  const RunReport before = run(make(origin), options);
  ASSERT_TRUE(before.violation);

  const Shrunk shrunk = shrink(origin, options, 400);
  ASSERT_TRUE(shrunk.report.violation);
  EXPECT_EQ(shrunk.report.violation->invariant, before.violation->invariant);
  EXPECT_LE(participants(shrunk.scenario).size(), 3U) << in_words(shrunk.scenario);
  EXPECT_LE(shrunk.scenario.happenings.size(), 4U) << in_words(shrunk.scenario);
  EXPECT_LE(shrunk.report.datagrams, before.datagrams);
  EXPECT_FALSE(shrunk.report.lines.empty());

  const auto file = from_file(to_file(origin, shrunk.reductions, "what it is\nin words"));
  ASSERT_TRUE(file) << file.error().message;
  const RunReport again = run(file->scenario, options);
  EXPECT_EQ(again.digest, shrunk.report.digest);
  ASSERT_TRUE(again.violation);
  EXPECT_EQ(again.violation->detail, shrunk.report.violation->detail);
}

INSTANTIATE_TEST_SUITE_P(Sabotaged, Shrinks,
                         testing::Values(Case{Sabotage::kCorruptKey, 9, 5},
                                         Case{Sabotage::kSkipMessageId, 4, 4},
                                         Case{Sabotage::kLosePackets, 2, 4}, Case{Sabotage::kNeverHeal, 8, 4},
                                         Case{Sabotage::kReuseSequence, 11, 6}),
                         [](const auto& one) {
                           return "Number" + std::to_string(static_cast<int>(one.param.sabotage));
                         });

// What failed before the proof is not tried with shorter ones, and waits less for what never comes.
TEST(Shrinking, AProofThatNeverBeganStaysAsItWas) {
  RunOptions options;
  options.sabotage = Sabotage::kNeverHeal;
  const Shrunk shrunk = shrink({Origin::Kind::kDraw, 8, 4, Repertoire::kFirst}, options, 80);
  ASSERT_TRUE(shrunk.report.violation);
  EXPECT_EQ(shrunk.report.violation->invariant, "everything converges");
  const auto said = [&](std::string_view words) {
    return std::any_of(shrunk.reductions.begin(), shrunk.reductions.end(),
                       [&](const auto& one) { return one.starts_with(words); });
  };
  EXPECT_FALSE(said("proof lasts"));
  EXPECT_TRUE(said("converges within 200"));
}

TEST(Explanation, HoldsTheBeginningAndTheEnd) {
  RunOptions options;
  options.trace = Trace::Mode::kKeep;
  options.keep_lines = 10;
  const auto some = run(rekey_scenario(1), options).lines;
  options.keep_lines = 1'000'000;
  const auto all = run(rekey_scenario(1), options).lines;
  ASSERT_GT(all.size(), 300U);
  ASSERT_EQ(some.size(), 200U + 1 + 10);
  EXPECT_TRUE(std::equal(some.begin(), some.begin() + 200, all.begin()));
  EXPECT_NE(some[200].find(std::to_string(all.size() - 210)), std::string::npos) << some[200];
  EXPECT_TRUE(std::equal(some.end() - 10, some.end(), all.end() - 10));
}

// Each host, link and tunnel draws from a stream of its own: what stays goes as before.
TEST(Reductions, WhatStaysGoesAsBefore) {
  const Origin origin{Origin::Kind::kDraw, 21, 4, Repertoire::kFirst};
  Scenario scenario = make(origin);
  ASSERT_TRUE(reduce(scenario, "without tunnel " + scenario.tunnels.back().connection));
  EXPECT_FALSE(reduce(scenario, "without tunnel " + scenario.tunnels.back().connection)) << "it is gone";
  const RunReport report = run(scenario);
  EXPECT_FALSE(report.violation) << report.violation->detail;
  EXPECT_GT(report.child_sa_pairs, 0U);
}

TEST(Reductions, EveryHappeningCanBeTakenOut) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Scenario scenario = draw_scenario(seed);
    while (!scenario.happenings.empty()) {
      const auto count = scenario.happenings.size();
      ASSERT_TRUE(
          reduce(scenario, "without happening " + happening_text(scenario, scenario.happenings.back())));
      ASSERT_EQ(scenario.happenings.size(), count - 1);
    }
  }
}

TEST(ScenarioFile, SaysWhatItDoesNotUnderstand) {
  EXPECT_FALSE(from_file(""));
  EXPECT_FALSE(from_file("# nothing\n"));
  EXPECT_FALSE(from_file("from nowhere seed 1 gateways 0 repertoire all\n"));
  EXPECT_FALSE(from_file("from draw seed 1 gateways 0 repertoire all\nwithout fear\n"));
  EXPECT_FALSE(from_file("from draw seed 1 gateways 0 repertoire all\nwithout tunnel nobody\n"));
  EXPECT_TRUE(from_file("# ours\n\nfrom rekey seed 1 gateways 0 repertoire all\nproof lasts 20\n"));
}

}  // namespace
}  // namespace merlon::sim
