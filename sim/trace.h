// What happened, as a ladder for a person (message by message) and as a digest for the machine. Lines are only made when somebody wants
// them: a failing run is simply run again.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "sim/digest.h"
#include "sim/ladder.h"

namespace merlon::sim {

// A datagram as the ladder shows it.
struct Sight {
  std::optional<std::size_t> from, to;
  std::string label, brief;    // "IKE_AUTH request 1", "AUTH req 1"; of ESP: "ESP"
  std::string about;           // "IKE SA 8f10a740, 256 bytes"; of ESP: "SPI 0x1234abcd"
  std::uint64_t digest = 0;    // of its bytes: by this what is sent again is known
  bool esp = false;            // packets of one SA that follow each other stand together
  std::uint64_t sequence = 0;  // of ESP
};

class Trace {
 public:
  enum class Mode {
    kOff,
    kKeep,   // the first lines and the last ones stay
    kPrint,  // every line goes to `print` at once
  };
  Trace() = default;
  Trace(Mode mode, std::size_t keep, std::function<void(const std::string&)> print = {})
      : mode_(mode), keep_(keep), print_(std::move(print)) {}

  [[nodiscard]] bool on() const { return mode_ != Mode::kOff; }
  // Times are since the start of the run. First of all: who has a column.
  void begin(std::vector<std::string> names, const std::vector<std::size_t>& shown);
  // Of the world as a whole.
  void line(Duration at, std::string_view text);
  // Of one host: what a person or chance does to it ("=== ..."), or what it does and says itself.
  void line_at(Duration at, std::size_t host, std::string_view text);
  // What is in the next IKE message that the host sends, a payload each.
  void words(std::size_t host, std::vector<std::string> payloads);
  // `fate`: "(arrives at 0.145041)", "(lost: the path is cut)".
  void sends(Duration at, const Sight& sight, std::string_view fate);
  void arrives(Duration at, const Sight& sight);
  // Everything that waits to stand together; before lines() is looked at.
  void flush();

  [[nodiscard]] Digest& digest() { return digest_; }
  [[nodiscard]] const Digest& digest() const { return digest_; }
  // What was kept, with a line that says where something is missing.
  [[nodiscard]] std::deque<std::string> lines() const;

 private:
  struct EspRun {
    Duration first{0}, last{0};
    std::uint64_t first_sequence = 0, last_sequence = 0, count = 0, lost = 0;
  };
  using EspKey = std::tuple<std::optional<std::size_t>, std::optional<std::size_t>, std::string>;

  void put(Ladder::Lines lines);
  void put_one(std::string line);

  Mode mode_ = Mode::kOff;
  std::size_t keep_ = 0, left_out_ = 0, since_header_ = 0;
  std::function<void(const std::string&)> print_;
  std::vector<std::string> first_lines_;
  std::deque<std::string> lines_;
  Ladder ladder_;
  std::unordered_map<std::uint64_t, std::uint64_t> numbers_;  // of messages, by digest
  std::uint64_t last_shown_ = 0;                              // the message of the last line; 0: another line
  std::map<std::size_t, std::vector<std::string>> words_;
  std::map<EspKey, EspRun> esp_;
  Digest digest_;
};

// 12.345678, in seconds.
[[nodiscard]] std::string seconds_text(Duration duration);

}  // namespace merlon::sim
