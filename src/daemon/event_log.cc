#include "daemon/event_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "daemon/event_json.h"

namespace merlon::daemon {
namespace {

std::string_view cut(std::string_view text) {
  return text.substr(0, EventLog::kMaxLine);
}

}  // namespace

void EventLog::set_level(const std::string& level) {
  spdlog::set_level(level == "error"     ? spdlog::level::err
                    : level == "warning" ? spdlog::level::warn
                    : level == "debug"   ? spdlog::level::debug
                                         : spdlog::level::info);
}

void EventLog::event(Instant now, const ike::Event& event) {
  if (std::holds_alternative<ike::MessageTraced>(event)) {
    if (spdlog::should_log(spdlog::level::debug)) spdlog::debug("{}", cut(event_sentence(event)));
    return;
  }
  const std::string text = event_sentence(event);
  if (text.empty()) return;
  if (is_failure(event)) return limited(now, text);
  if (!peers_.allow(now)) return;
  if (const auto left_out = peers_.take_suppressed(); left_out != 0)
    spdlog::info("{} messages like the following were left out", left_out);
  spdlog::info("{}", cut(text));
}

void EventLog::info(const std::string& text) {
  spdlog::info("{}", text);
}
void EventLog::warning(const std::string& text) {
  spdlog::warn("{}", text);
}
void EventLog::error(const std::string& text) {
  spdlog::error("{}", text);
}

void EventLog::limited(Instant now, const std::string& text) {
  if (!strangers_.allow(now)) return;
  if (const auto left_out = strangers_.take_suppressed(); left_out != 0)
    spdlog::warn("{} messages like the following were left out", left_out);
  spdlog::warn("{}", cut(text));
}

bool EventLog::Bucket::allow(Instant now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - refilled_).count();
  if (seconds > 0) {
    tokens_ =
        std::min(rate_.burst, tokens_ + static_cast<std::uint64_t>(std::min<std::int64_t>(seconds, 3600)) *
                                            rate_.per_second);
    refilled_ = now;
  }
  if (tokens_ == 0) {
    ++suppressed_;
    return false;
  }
  --tokens_;
  return true;
}

}  // namespace merlon::daemon
