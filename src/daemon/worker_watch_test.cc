#include "daemon/worker_watch.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "daemon/event_json.h"

namespace merlon::daemon {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Instant at(int second) {
  return Instant(seconds(second));
}

TEST(WorkerWatch, SaysOnceThatAWorkerStandsStillAndOnceThatItRunsAgain) {
  WorkerWatch watch(2, 3);
  std::vector<std::uint64_t> beats{1, 1};
  EXPECT_THAT(watch.look(at(10), beats), IsEmpty());
  for (int second = 11; second <= 12; ++second) {
    ++beats[0];
    EXPECT_THAT(watch.look(at(second), beats), IsEmpty());
    EXPECT_EQ(watch.silent(at(second), 1), seconds(0));
  }
  ++beats[0];
  EXPECT_THAT(watch.look(at(13), beats), ElementsAre(WorkerStalled{1, seconds(3), false}));
  EXPECT_EQ(watch.silent(at(14), 1), seconds(4));
  EXPECT_EQ(watch.silent(at(14), 0), seconds(0));
  ++beats[0];
  EXPECT_THAT(watch.look(at(14), beats), IsEmpty());
  ++beats[0];
  beats[1] = 2;
  EXPECT_THAT(watch.look(at(20), beats), ElementsAre(WorkerStalled{1, seconds(10), true}));
  EXPECT_EQ(watch.silent(at(20), 1), seconds(0));
  EXPECT_EQ(watch.stalls(1), 1U);
  EXPECT_EQ(watch.stalls(0), 0U);
}

// The whole process was stopped for an hour: nobody is to blame.
TEST(WorkerWatch, CountsLooksAndNotTime) {
  WorkerWatch watch(1, 3);
  EXPECT_THAT(watch.look(at(10), std::vector<std::uint64_t>{1}), IsEmpty());
  EXPECT_THAT(watch.look(at(3610), std::vector<std::uint64_t>{1}), IsEmpty());
  EXPECT_THAT(watch.look(at(3611), std::vector<std::uint64_t>{2}), IsEmpty());
}

TEST(WorkerWatch, SaysItInJsonAndInWords) {
  const auto stalled = event_json(WorkerStalled{1, seconds(5), false});
  EXPECT_EQ(stalled["event"], "worker-stalled");
  EXPECT_EQ(stalled["worker"], 1);
  EXPECT_EQ(stalled["seconds"], 5);
  EXPECT_THAT(stalled["text"].get<std::string>(), HasSubstr("data worker 1 has not moved for 5 seconds"));
  const auto over = event_json(WorkerStalled{1, seconds(9), true});
  EXPECT_EQ(over["event"], "worker-recovered");
  EXPECT_THAT(over["text"].get<std::string>(), HasSubstr("runs again"));
}

}  // namespace
}  // namespace merlon::daemon
