// What happened, as lines for a person (a ladder, message by message) and as a digest for the machine. Lines are only made when
// somebody wants them: a failing run is simply run again.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "base/clock.h"
#include "sim/digest.h"

namespace merlon::sim {

class Trace {
 public:
  enum class Mode {
    kOff,
    kKeep,   // the last lines stay
    kPrint,  // every line goes to `print` at once
  };
  Trace() = default;
  Trace(Mode mode, std::size_t keep, std::function<void(const std::string&)> print = {})
      : mode_(mode), keep_(keep), print_(std::move(print)) {}

  [[nodiscard]] bool on() const { return mode_ != Mode::kOff; }
  // `since_start` stands before the text, in seconds.
  void line(Duration since_start, const std::string& text);

  [[nodiscard]] Digest& digest() { return digest_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }
  [[nodiscard]] const std::deque<std::string>& lines() const { return lines_; }

 private:
  Mode mode_ = Mode::kOff;
  std::size_t keep_ = 0;
  std::function<void(const std::string&)> print_;
  std::deque<std::string> lines_;
  Digest digest_;
};

// 12.345678, in seconds.
[[nodiscard]] std::string seconds_text(Duration duration);

}  // namespace merlon::sim
