#include "sim/trace.h"

#include <fmt/format.h>

namespace merlon::sim {

std::string seconds_text(Duration duration) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return fmt::format("{}.{:06}", us / 1000000, us % 1000000);
}

void Trace::line(Duration since_start, const std::string& text) {
  if (!on()) return;
  std::string whole = fmt::format("{:>12}  {}", seconds_text(since_start), text);
  if (mode_ == Mode::kPrint) {
    print_(whole);
    return;
  }
  lines_.push_back(std::move(whole));
  if (lines_.size() > keep_) lines_.pop_front();
}

}  // namespace merlon::sim
