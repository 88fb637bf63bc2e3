// Typed values out of TOML nodes. Every refusal says what was expected and what came.
#pragma once

#include <toml++/toml.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace merlon::control {

[[nodiscard]] Result<std::string> text_value(const toml::node& node);
[[nodiscard]] Result<bool> bool_value(const toml::node& node);
[[nodiscard]] Result<std::uint64_t> number_value(const toml::node& node, std::uint64_t least,
                                                 std::uint64_t most);
[[nodiscard]] Result<double> real_value(const toml::node& node, double least, double most);
// One string, or an array of strings.
[[nodiscard]] Result<std::vector<std::string>> text_list(const toml::node& node);
// "90s", "10m", "8h", "2d", "250ms"; a bare number means seconds.
[[nodiscard]] Result<std::chrono::milliseconds> duration_value(const toml::node& node);
// The same where only whole seconds count: "250ms" must not become 0, which often means "never".
[[nodiscard]] Result<std::chrono::seconds> seconds_value(const toml::node& node);
// "64kB", "10MB", "2GB", "1TB" (powers of ten), "KiB" to "TiB" (powers of two); a bare number means bytes.
[[nodiscard]] Result<std::uint64_t> size_value(const toml::node& node);

template <class Enum>
struct Choice {
  std::string_view text;
  Enum value;
};
[[nodiscard]] Result<std::size_t> choice_index(const toml::node& node,
                                               const std::vector<std::string_view>& choices);

template <class Enum, std::size_t N>
[[nodiscard]] Result<Enum> choice_value(const toml::node& node, const Choice<Enum> (&choices)[N]) {
  std::vector<std::string_view> texts;
  for (const auto& choice : choices) texts.push_back(choice.text);
  MERLON_TRY(const std::size_t index, choice_index(node, texts));
  return choices[index].value;
}

}  // namespace merlon::control
