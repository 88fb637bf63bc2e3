// "Did you mean ...?": the known word nearest to one that nobody knows.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace merlon {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string
// alignment).
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest distance, when it is near enough to be a slip: at most a third of the word,
// at least 2.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 std::span<const std::string_view> candidates);

}  // namespace merlon
