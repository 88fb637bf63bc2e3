#include "control/value.h"

#include <charconv>
#include <limits>
#include <optional>

#include "base/nearest.h"

namespace merlon::control {
namespace {

const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a decimal number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

struct Unit {
  std::string_view suffix;
  std::uint64_t factor;
};
constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr Unit kSizeUnits[] = {{"B", 1},
                               {"kB", 1'000},
                               {"MB", 1'000'000},
                               {"GB", 1'000'000'000},
                               {"TB", 1'000'000'000'000},
                               {"KiB", 1ULL << 10U},
                               {"MiB", 1ULL << 20U},
                               {"GiB", 1ULL << 30U},
                               {"TiB", 1ULL << 40U}};

std::optional<std::uint64_t> with_unit(std::string_view text, std::span<const Unit> units) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (suffix.starts_with(' ')) suffix.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.suffix != suffix) continue;
    if (number > std::numeric_limits<std::int64_t>::max() / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> text_value(const toml::node& node) {
  const auto* value = node.as_string();
  if (value == nullptr) return fail(ErrorCode::kInvalidArgument, "expected a string, got {}", kind_of(node));
  return **value;
}

Result<bool> bool_value(const toml::node& node) {
  const auto* value = node.as_boolean();
  if (value == nullptr)
    return fail(ErrorCode::kInvalidArgument, "expected true or false, got {}", kind_of(node));
  return **value;
}

Result<std::uint64_t> number_value(const toml::node& node, std::uint64_t least, std::uint64_t most) {
  const auto* value = node.as_integer();
  if (value == nullptr)
    return fail(ErrorCode::kInvalidArgument, "expected an integer, got {}", kind_of(node));
  if (**value < 0 || static_cast<std::uint64_t>(**value) < least ||
      static_cast<std::uint64_t>(**value) > most)
    return fail(ErrorCode::kInvalidArgument, "expected a number from {} to {}, got {}", least, most, **value);
  return static_cast<std::uint64_t>(**value);
}

Result<double> real_value(const toml::node& node, double least, double most) {
  const auto value = node.value<double>();
  if (!node.is_number() || !value)
    return fail(ErrorCode::kInvalidArgument, "expected a number, got {}", kind_of(node));
  if (!(*value >= least && *value <= most))
    return fail(ErrorCode::kInvalidArgument, "expected a number from {} to {}, got {}", least, most, *value);
  return *value;
}

Result<std::vector<std::string>> text_list(const toml::node& node) {
  std::vector<std::string> out;
  if (const auto* array = node.as_array()) {
    for (const auto& element : *array) {
      MERLON_TRY(std::string text, text_value(element));
      out.push_back(std::move(text));
    }
    return out;
  }
  const auto* value = node.as_string();
  if (value == nullptr)
    return fail(ErrorCode::kInvalidArgument, "expected a string or an array of strings, got {}",
                kind_of(node));
  out.push_back(**value);
  return out;
}

Result<std::chrono::milliseconds> duration_value(const toml::node& node) {
  if (const auto* number = node.as_integer()) {
    if (**number < 0 || **number > 3650LL * 86400)
      return fail(ErrorCode::kInvalidArgument, "expected a duration of 0 to 3650 days, got {} seconds",
                  **number);
    return std::chrono::seconds(**number);
  }
  const auto* text = node.as_string();
  if (text == nullptr)
    return fail(ErrorCode::kInvalidArgument, "expected a duration such as \"90s\" or \"8h\", got {}",
                kind_of(node));
  const auto value = with_unit(**text, kDurationUnits);
  if (!value || *value > 3650ULL * 86'400'000)
    return fail(ErrorCode::kInvalidArgument,
                "expected a duration such as \"250ms\", \"90s\", \"10m\", \"8h\" or \"2d\", got \"{}\"",
                **text);
  return std::chrono::milliseconds(static_cast<std::int64_t>(*value));
}

Result<std::chrono::seconds> seconds_value(const toml::node& node) {
  MERLON_TRY(const auto value, duration_value(node));
  if (value % std::chrono::seconds(1) != std::chrono::milliseconds(0))
    return fail(ErrorCode::kInvalidArgument, "expected whole seconds, got {} ms", value.count());
  return std::chrono::duration_cast<std::chrono::seconds>(value);
}

Result<std::uint64_t> size_value(const toml::node& node) {
  if (node.is_integer()) return number_value(node, 0, std::numeric_limits<std::int64_t>::max());
  const auto* text = node.as_string();
  if (text == nullptr)
    return fail(ErrorCode::kInvalidArgument, "expected a number of bytes such as \"64GB\", got {}",
                kind_of(node));
  const auto value = with_unit(**text, kSizeUnits);
  if (!value)
    return fail(ErrorCode::kInvalidArgument,
                "expected a number of bytes such as \"500MB\" or \"64GiB\", got \"{}\"", **text);
  return *value;
}

Result<std::size_t> choice_index(const toml::node& node, const std::vector<std::string_view>& choices) {
  MERLON_TRY(const std::string text, text_value(node));
  std::string known;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == text) return i;
    known += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ", choices[i]);
  }
  const auto guess = nearest(text, choices);
  return fail(ErrorCode::kInvalidArgument, "expected {}, got \"{}\"{}", known, text,
              guess ? fmt::format("; did you mean \"{}\"?", *guess) : "");
}

}  // namespace merlon::control
