#include "sim/ladder.h"

#include <gtest/gtest.h>

#include "sim/shrink.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

TEST(Ladder, DrawsArrowsBetweenColumns) {
  const Ladder ladder({"A", "B", "C"}, {0, 2});
  EXPECT_EQ(ladder.header(), "      time  A                                     C");
  EXPECT_EQ(ladder.arrow(1500ms, {0, 2, "IKE_AUTH request 1", "", '-', false}, "#1", {}),
            Ladder::Lines{"   1.500000 |-------- IKE_AUTH request 1 -------->|   #1"});
  EXPECT_EQ(ladder.arrow(1500ms, {2, 0, "IKE_AUTH response 1", "", '.', false}, "#2", {"twice"}),
            (Ladder::Lines{"   1.500000 |<....... IKE_AUTH response 1 ........|   #2",
                           "            |                                     |   twice"}));
  EXPECT_EQ(ladder.arrow(2s, {0, 2, "x", "", '-', true}, "lost", {}),
            Ladder::Lines{"   2.000000 |---------- x -----------X            |   lost"});
  EXPECT_EQ(ladder.event(3s, 2, '*', "is up"),
            Ladder::Lines{"   3.000000 |                                     *   C: is up"});
}

// From an address that nobody has, or to one: a short arrow, which ends before the margin.
TEST(Ladder, DrawsArrowsToNowhere) {
  const Ladder ladder({"A", "B"}, {0, 1});
  const auto drawn = [&](std::optional<std::size_t> from, std::optional<std::size_t> to, bool lost) {
    return ladder.arrow(1s, {from, to, "IKE_AUTH request 1", "AUTH req 1", '-', lost}, "#1", {});
  };
  EXPECT_EQ(
      drawn(1, std::nullopt, false),
      Ladder::Lines{"   1.000000 |                                     |-> IKE_AUTH request 1, B -> ?: #1"});
  EXPECT_EQ(
      drawn(1, std::nullopt, true),
      Ladder::Lines{"   1.000000 |                                     |-X IKE_AUTH request 1, B -> ?: #1"});
  EXPECT_EQ(
      drawn(0, std::nullopt, false),
      Ladder::Lines{"   1.000000 |------>                              |   IKE_AUTH request 1, A -> ?: #1"});
  EXPECT_EQ(
      drawn(std::nullopt, 1, false),
      Ladder::Lines{"   1.000000 |                              ------>|   IKE_AUTH request 1, ? -> B: #1"});
}

TEST(Ladder, ManyGatewaysStandInTheMargin) {
  const Ladder ladder({"A", "B", "C", "D", "E", "F", "G"}, {0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(ladder.arrow(1s, {0, 6, "IKE_AUTH request 1", "", '-', false}, "#1", {}),
            Ladder::Lines{"   1.000000  IKE_AUTH request 1, A -> G: #1"});
}

TEST(Ladder, WrapsAtSpaces) {
  EXPECT_EQ(wrap("one two three", 7), (Ladder::Lines{"one two", "three"}));
  EXPECT_EQ(wrap("unbreakable words", 4), (Ladder::Lines{"unbreakable", "words"}));
  EXPECT_EQ(wrap("", 4), Ladder::Lines{""});
}

// With two to six gateways a trace stays within the width of a page.
TEST(Ladder, TracesStayReadable) {
  for (const unsigned gateways : {2U, 3U, 6U}) {
    RunOptions options;
    options.trace = Trace::Mode::kKeep;
    options.keep_lines = 5000;
    const RunReport report = run(draw_scenario(5, gateways, Repertoire::kFirst), options);
    ASSERT_GT(report.lines.size(), 100U);
    std::size_t arrows = 0;
    for (const std::string& line : report.lines) {
      EXPECT_LE(line.size(), 130U) << line;
      if (line.find("->|") != std::string::npos || line.find("|<-") != std::string::npos) ++arrows;
    }
    EXPECT_GT(arrows, 20U);
  }
}

}  // namespace
}  // namespace merlon::sim
