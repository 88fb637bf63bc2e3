// A ladder diagram as text: a column for each gateway, an arrow for each message, and in the margin what is in it, what became of it and
// what the gateways say. For 2 to 6 columns, 124 characters wide; with more gateways everything stands in the margin, by name.
//
//       time   A                                      B
//      0.010   |--------- IKE_AUTH request 1 -------->|   #3, IKE SA 8f10a740, 256 bytes, arrives at 0.041
//              |                                      |   IDi: gw0.example.com; AUTH: ...
//      0.041   |                                      *   B: IKE SA of A-B established as responder
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace merlon::sim {

class Ladder {
 public:
  using Lines = std::vector<std::string>;
  static constexpr std::size_t kWidth = 124, kMostColumns = 6;

  Ladder() = default;
  // `names` of all hosts; `shown`: those that get a column, in this order.
  Ladder(std::vector<std::string> names, const std::vector<std::size_t>& shown);

  // The names above their columns.
  [[nodiscard]] std::string header() const;
  // Across everything.
  [[nodiscard]] Lines rule(Duration at, std::string_view text) const;
  // Something at one gateway, with a mark on its line.
  [[nodiscard]] Lines event(Duration at, std::size_t host, char mark, std::string_view text) const;

  struct Arrow {
    std::optional<std::size_t> from, to;  // unset: from nobody, to nowhere
    std::string label, brief;             // brief where the label is too long for the columns
    char body = '-';
    bool lost = false;
  };
  // `notes`: for the margin, the first beside the arrow.
  [[nodiscard]] Lines arrow(Duration at, const Arrow& arrow, std::string note, const Lines& more) const;

 private:
  [[nodiscard]] std::optional<std::size_t> column(std::optional<std::size_t> host) const;
  [[nodiscard]] std::string name(std::optional<std::size_t> host) const;
  [[nodiscard]] std::string row() const;  // only the lines of the gateways
  [[nodiscard]] Lines beside(Duration at, std::string row, const Lines& notes) const;
  // Where the label stands: false, it does not fit.
  bool draw(std::string& row, std::size_t first, std::size_t last, const Arrow& arrow) const;

  std::vector<std::string> names_;
  std::vector<std::optional<std::size_t>> columns_;  // by host
  std::size_t margin_ = 13;
};

// At spaces, into lines of at most `width` characters where that can be.
[[nodiscard]] Ladder::Lines wrap(std::string_view text, std::size_t width);

}  // namespace merlon::sim
