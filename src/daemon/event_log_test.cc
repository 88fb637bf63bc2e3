#include "daemon/event_log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "daemon/test_support.h"

namespace merlon::daemon {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::Not;

class Log : public testing::Test {
 protected:
  Log() : before_(spdlog::default_logger()) {
    auto logger =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%l: %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~Log() override { spdlog::set_default_logger(before_); }

  [[nodiscard]] std::size_t lines() const {
    const std::string text = text_.str();
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  static ike::NegotiationFailed failed() {
    ike::NegotiationFailed event;
    event.remote = at("192.0.2.2");
    event.failure.sentence = "no common proposal";
    return event;
  }

  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
  EventLog log_;
};

TEST_F(Log, FailuresAreWarnings) {
  log_.set_level("info");
  log_.event(Instant{}, failed());
  EXPECT_THAT(text_.str(), HasSubstr("warning: 192.0.2.2:4500: no common proposal"));
}

// A stranger can make them: they must not fill a disk.
TEST_F(Log, AFloodOfFailuresIsBoundedAndCounted) {
  log_.set_level("info");
  for (int i = 0; i < 10'000; ++i) log_.event(Instant(std::chrono::milliseconds(i)), failed());
  EXPECT_LE(lines(), 100U + 10U * 20U + 12U);
  log_.event(Instant(std::chrono::hours(1)), failed());
  EXPECT_THAT(text_.str(), HasSubstr("messages like the following were left out"));
}

// Nor a peer that has proved who it is, as fast as it can ask.
TEST_F(Log, AFloodOfEventsIsBoundedAndCounted) {
  log_.set_level("info");
  ike::ChildSaClosed closed;
  closed.connection = "office";
  closed.reason = "the peer deleted it";
  for (int i = 0; i < 100'000; ++i) log_.event(Instant(std::chrono::milliseconds(i)), closed);
  EXPECT_GE(lines(), 20'000U) << "all tunnels of a large gateway at once";
  EXPECT_LE(lines(), 20'000U + 100U * 200U + 102U);
  log_.event(Instant(std::chrono::hours(1)), closed);
  EXPECT_THAT(text_.str(), HasSubstr("messages like the following were left out"));
}

TEST_F(Log, LinesAreBounded) {
  log_.set_level("debug");
  auto event = failed();
  event.failure.sentence.assign(250'000, 'x');
  log_.event(Instant{}, event);
  ike::MessageTraced traced;
  traced.lines.assign(1, std::string(250'000, 'x'));
  log_.event(Instant{}, traced);
  EXPECT_LE(text_.str().size(), 3 * EventLog::kMaxLine);
}

TEST_F(Log, KeysNeverReachIt) {
  log_.set_level("debug");
  ike::IkeKeysTraced keys;
  keys.sk_ei = secret(32);
  log_.event(Instant{}, std::move(keys));
  log_.event(Instant{}, ike::ChildKeysTraced{child_sa()});
  EXPECT_EQ(text_.str(), "");
}

TEST_F(Log, MessagesOnlyWhereDebugIsWanted) {
  ike::MessageTraced message;
  message.connection = "paris";
  message.lines = {"IKE_AUTH request"};
  log_.set_level("info");
  log_.event(Instant{}, message);
  EXPECT_EQ(text_.str(), "");
  log_.set_level("debug");
  log_.event(Instant{}, message);
  EXPECT_THAT(text_.str(), HasSubstr("IKE_AUTH request"));
}

}  // namespace
}  // namespace merlon::daemon
