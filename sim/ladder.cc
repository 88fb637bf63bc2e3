#include "sim/ladder.h"

#include <fmt/format.h>

#include <algorithm>

namespace merlon::sim {
namespace {

constexpr std::size_t kFirstColumn = 12, kWidestGap = 38, kLeastGap = 13, kLeastMargin = 54,
                      kBesideMargin = 3;

std::string time_text(Duration at) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(at).count();
  return fmt::format("{:>4}.{:06}", us / 1000000, us % 1000000);
}

void put(std::string& row, std::size_t at, std::string_view text) {
  if (row.size() < at + text.size()) row.resize(at + text.size(), ' ');
  row.replace(at, text.size(), text);
}

}  // namespace

Ladder::Lines wrap(std::string_view text, std::size_t width) {
  Ladder::Lines lines;
  while (text.size() > width) {
    std::size_t cut = text.rfind(' ', width);
    if (cut == std::string_view::npos || cut == 0) cut = std::min(text.find(' '), text.size());
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(std::min(cut + 1, text.size()));
  }
  if (!text.empty() || lines.empty()) lines.emplace_back(text);
  return lines;
}

Ladder::Ladder(std::vector<std::string> names, const std::vector<std::size_t>& shown)
    : names_(std::move(names)), columns_(names_.size()) {
  if (shown.size() > kMostColumns || shown.size() < 2) return;
  const std::size_t gap =
      std::clamp((kWidth - kFirstColumn - kLeastMargin) / (shown.size() - 1), kLeastGap, kWidestGap);
  for (std::size_t i = 0; i < shown.size(); ++i) columns_[shown[i]] = kFirstColumn + i * gap;
  margin_ = kFirstColumn + (shown.size() - 1) * gap + 1 + kBesideMargin;
}

std::optional<std::size_t> Ladder::column(std::optional<std::size_t> host) const {
  return host && *host < columns_.size() ? columns_[*host] : std::nullopt;
}

std::string Ladder::name(std::optional<std::size_t> host) const {
  return host && *host < names_.size() ? names_[*host] : "?";
}

std::string Ladder::row() const {
  std::string made;
  for (const auto& column : columns_)
    if (column) put(made, *column, "|");
  return made;
}

std::string Ladder::header() const {
  std::string made = "      time";
  for (std::size_t i = 0; i < names_.size(); ++i)
    if (columns_[i]) put(made, *columns_[i], names_[i]);
  return made;
}

Ladder::Lines Ladder::beside(Duration at, std::string first, const Lines& notes) const {
  Lines made;
  put(first, 0, time_text(at));
  for (const std::string& note : notes)
    for (std::string& text : wrap(note, kWidth - margin_)) {
      std::string line = made.empty() ? std::move(first) : row();
      put(line, margin_, text);
      made.push_back(std::move(line));
    }
  if (made.empty()) made.push_back(std::move(first));
  for (std::string& line : made) line.erase(line.find_last_not_of(' ') + 1);
  return made;
}

Ladder::Lines Ladder::rule(Duration at, std::string_view text) const {
  std::string line = fmt::format("{}  === {} ", time_text(at), text);
  if (line.size() < kWidth) line.append(kWidth - line.size(), '=');
  return {line};
}

Ladder::Lines Ladder::event(Duration at, std::size_t host, char mark, std::string_view text) const {
  std::string line = row();
  if (const auto at_column = column(host)) line[*at_column] = mark;
  return beside(at, std::move(line), {fmt::format("{}: {}", name(host), text)});
}

bool Ladder::draw(std::string& row, std::size_t first, std::size_t last, const Arrow& arrow) const {
  if (first == last) return false;  // to itself: an answer to a forged source
  const bool right = first < last;
  const std::size_t low = std::min(first, last) + 1, high = std::max(first, last) - 1;  // inside
  const std::size_t length = high - low + 1;
  // What is lost gets two thirds of the way.
  const std::size_t gone = arrow.lost ? length - length / 3 : length;
  const std::size_t begin = right ? low : high + 1 - gone;
  // To nowhere, from the last column, it goes beyond the row.
  put(row, begin, std::string(gone, arrow.body));
  row[right ? begin + gone - 1 : begin] = arrow.lost ? 'X' : right ? '>' : '<';
  for (const auto& [label, least] : {std::pair(&arrow.label, 5U), std::pair(&arrow.brief, 1U)}) {
    if (label->empty() || label->size() + least > gone) continue;
    const std::string text = label->size() + 5 <= gone ? " " + *label + " " : *label;
    const std::size_t room = gone - 1;  // but for the head
    put(row, (right ? begin : begin + 1) + (room - text.size()) / 2, text);
    return label == &arrow.label;
  }
  return false;
}

Ladder::Lines Ladder::arrow(Duration at, const Arrow& arrow, std::string note, const Lines& more) const {
  constexpr std::size_t kStub = 8;
  std::string line = row();
  const auto from = column(arrow.from), to = column(arrow.to);
  bool labelled = false;
  if (from && to && from != to)
    labelled = draw(line, *from, *to, arrow);
  else if (from)
    labelled = draw(line, *from, std::min(*from + kStub, margin_ - 1), arrow);
  else if (to)
    labelled = draw(line, *to - kStub, *to, arrow);
  if (!from || !to) note = fmt::format("{} -> {}: {}", name(arrow.from), name(arrow.to), note);
  if (!labelled) note = fmt::format("{}, {}", arrow.label, note);
  Lines notes{std::move(note)};
  notes.insert(notes.end(), more.begin(), more.end());
  return beside(at, std::move(line), notes);
}

}  // namespace merlon::sim
