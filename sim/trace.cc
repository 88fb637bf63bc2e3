#include "sim/trace.h"

#include <fmt/format.h>

#include <algorithm>

namespace merlon::sim {

// How the gateways are and what they begin with; beside the last ones.
constexpr std::size_t kFirstLines = 200;

std::string seconds_text(Duration duration) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return fmt::format("{}.{:06}", us / 1000000, us % 1000000);
}

void Trace::begin(std::vector<std::string> names, const std::vector<std::size_t>& shown) {
  if (!on()) return;
  ladder_ = Ladder(std::move(names), shown);
  put_one(ladder_.header());
}

void Trace::put_one(std::string line) {
  if (mode_ == Mode::kPrint) return print_(line);
  if (first_lines_.size() < kFirstLines) return first_lines_.push_back(std::move(line));
  lines_.push_back(std::move(line));
  if (lines_.size() <= keep_) return;
  lines_.pop_front();
  ++left_out_;
}

std::deque<std::string> Trace::lines() const {
  std::deque<std::string> made(first_lines_.begin(), first_lines_.end());
  if (left_out_ != 0) made.push_back(fmt::format("  ... {} lines are left out ...", left_out_));
  made.insert(made.end(), lines_.begin(), lines_.end());
  return made;
}

void Trace::put(Ladder::Lines lines) {
  constexpr std::size_t kHeaderEvery = 60;
  for (std::string& line : lines) {
    put_one(std::move(line));
    ++since_header_;
  }
  if (since_header_ < kHeaderEvery) return;
  since_header_ = 0;
  put_one(ladder_.header());
}

void Trace::flush() {
  std::vector<std::pair<EspKey, EspRun>> runs(esp_.begin(), esp_.end());
  std::stable_sort(runs.begin(), runs.end(),
                   [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
  for (const auto& [key, packets] : runs) {
    const auto& [from, to, about] = key;
    std::string note = fmt::format("{}, sequence number {}", about, packets.first_sequence);
    if (packets.count > 1)
      note += fmt::format(" to {}: {} packets until {}", packets.last_sequence, packets.count,
                          seconds_text(packets.last));
    if (packets.lost != 0) note += fmt::format(", {} lost", packets.lost);
    put(ladder_.arrow(packets.first, {from, to, "ESP", "ESP", '=', packets.lost == packets.count}, note, {}));
  }
  if (!esp_.empty()) last_shown_ = 0;
  esp_.clear();
}

void Trace::line(Duration at, std::string_view text) {
  if (!on()) return;
  flush();
  last_shown_ = 0;
  if (text.starts_with("=== ")) text.remove_prefix(4);
  put(ladder_.rule(at, text));
}

void Trace::line_at(Duration at, std::size_t host, std::string_view text) {
  if (!on()) return;
  flush();
  last_shown_ = 0;
  const bool to_it = text.starts_with("=== ");
  if (to_it) text.remove_prefix(4);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  put(ladder_.event(at, host, to_it ? '#' : '*', text));
}

void Trace::words(std::size_t host, std::vector<std::string> payloads) {
  if (on()) words_[host] = std::move(payloads);
}

void Trace::sends(Duration at, const Sight& sight, std::string_view fate) {
  if (!on()) return;
  const bool lost = fate.starts_with("(lost");
  if (sight.esp) {
    auto [run, fresh] = esp_.try_emplace({sight.from, sight.to, sight.about});
    EspRun& packets = run->second;
    if (fresh) packets.first = at, packets.first_sequence = sight.sequence;
    packets.last = at;
    packets.last_sequence = sight.sequence;
    ++packets.count;
    if (lost) ++packets.lost;
    return;
  }
  flush();
  const auto [known, fresh] = numbers_.try_emplace(sight.digest, numbers_.size() + 1);
  if (fate.size() > 2) fate = fate.substr(1, fate.size() - 2);
  const std::string note =
      fmt::format("#{}{}, {}, {}", known->second, fresh ? "" : " again", sight.about, fate);
  std::string payloads;
  if (const auto words = sight.from ? words_.extract(*sight.from) : decltype(words_)::node_type(); words)
    for (const std::string& one : words.mapped()) payloads += (payloads.empty() ? "" : "; ") + one;
  put(ladder_.arrow(at, {sight.from, sight.to, sight.label, sight.brief, '-', lost}, note,
                    payloads.empty() ? Ladder::Lines() : Ladder::Lines{payloads}));
  last_shown_ = lost ? 0 : known->second;
}

void Trace::arrives(Duration at, const Sight& sight) {
  if (!on() || sight.esp) return;
  const auto known = numbers_.find(sight.digest);
  const std::uint64_t number = known == numbers_.end() ? 0 : known->second;
  // What arrives when nothing else has been said since it left needs no line of its own.
  if (number != 0 && number == last_shown_) {
    last_shown_ = 0;
    return;
  }
  flush();
  last_shown_ = 0;
  put(ladder_.arrow(at, {sight.from, sight.to, sight.label, sight.brief, '.', false},
                    fmt::format("#{} arrives", number), {}));
}

}  // namespace merlon::sim
