#include "control/value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace merlon::control {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

template <class F>
auto with(const std::string& value, F read) {
  const toml::table table = toml::parse("v = " + value);
  return read(*table.get("v"));
}

TEST(Value, Durations) {
  const auto ms = [](const std::string& text) { return with(text, duration_value); };
  EXPECT_EQ(*ms("\"250ms\""), milliseconds(250));
  EXPECT_EQ(*ms("\"90s\""), std::chrono::seconds(90));
  EXPECT_EQ(*ms("\"10m\""), std::chrono::minutes(10));
  EXPECT_EQ(*ms("\"8h\""), std::chrono::hours(8));
  EXPECT_EQ(*ms("\"2d\""), std::chrono::hours(48));
  EXPECT_EQ(*ms("\"8 h\""), std::chrono::hours(8));
  EXPECT_EQ(*ms("90"), std::chrono::seconds(90));
  EXPECT_EQ(*ms("0"), milliseconds(0));
  for (const char* wrong :
       {"\"\"", "\"s\"", "\"90\"", "\"90 minutes\"", "\"-5s\"", "\"1.5h\"", "\"8H\"", "\"8h \"", "-1", "1.5",
        "true", "\"4000d\"", "9223372036854775807", "\"99999999999999999999s\"", "\"18446744073709551615d\""})
    EXPECT_FALSE(ms(wrong)) << wrong;
  EXPECT_THAT(ms("\"soon\"").error().message, testing::AllOf(HasSubstr("8h"), HasSubstr("soon")));
}

TEST(Value, WholeSeconds) {
  EXPECT_EQ(*with("\"2000ms\"", seconds_value), std::chrono::seconds(2));
  EXPECT_THAT(with("\"1500ms\"", seconds_value).error().message, HasSubstr("whole seconds"));
}

TEST(Value, Sizes) {
  const auto bytes = [](const std::string& text) { return with(text, size_value); };
  EXPECT_EQ(*bytes("\"500MB\""), 500'000'000U);
  EXPECT_EQ(*bytes("\"64GiB\""), 64ULL << 30U);
  EXPECT_EQ(*bytes("\"1kB\""), 1000U);
  EXPECT_EQ(*bytes("\"1KiB\""), 1024U);
  EXPECT_EQ(*bytes("\"2TB\""), 2'000'000'000'000U);
  EXPECT_EQ(*bytes("\"7B\""), 7U);
  EXPECT_EQ(*bytes("12345"), 12345U);
  for (const char* wrong :
       {"\"\"", "\"5\"", "\"5gb\"", "\"5Mb\"", "-1", "1.5", "\"-1GB\"", "\"9999999999TiB\"", "false"})
    EXPECT_FALSE(bytes(wrong)) << wrong;
}

TEST(Value, Choices) {
  static constexpr Choice<int> kColours[] = {{"red", 1}, {"green", 2}, {"blue", 3}};
  const auto colour = [](const toml::node& node) { return choice_value(node, kColours); };
  EXPECT_EQ(*with("\"green\"", colour), 2);
  EXPECT_EQ(with("\"gren\"", colour).error().message,
            "expected \"red\", \"green\" or \"blue\", got \"gren\"; did you mean \"green\"?");
  EXPECT_THAT(with("2", colour).error().message, HasSubstr("expected a string, got an integer"));
}

TEST(Value, Lists) {
  EXPECT_EQ(*with("\"a\"", text_list), std::vector<std::string>{"a"});
  EXPECT_EQ(with("[\"a\", \"b\"]", text_list)->size(), 2U);
  EXPECT_TRUE(with("[]", text_list)->empty());
  EXPECT_FALSE(with("[\"a\", 1]", text_list));
  EXPECT_FALSE(with("[[\"a\"]]", text_list));
}

TEST(Value, DurationsAddUp) {
  EXPECT_TRUE(rc::check("number and unit", [] {
    const auto [unit, factor] =
        *rc::gen::element(std::pair("ms", 1LL), std::pair("s", 1000LL), std::pair("m", 60'000LL),
                          std::pair("h", 3'600'000LL), std::pair("d", 86'400'000LL));
    const auto number = *rc::gen::inRange<std::int64_t>(0, 3650);
    const auto read = with(fmt::format("\"{}{}\"", number, unit), duration_value);
    RC_ASSERT(read.has_value());
    RC_ASSERT(read->count() == number * factor);
  }));
}

}  // namespace
}  // namespace merlon::control
