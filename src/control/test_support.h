// What the tests of this room share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/config.h"

namespace merlon::control::test {

// A connection that nothing is wrong with.
inline constexpr const char* kGood = R"([connection.paris]
remote = "192.0.2.1"
local_id = "berlin.example"
remote_id = "paris.example"
psk = "correct horse battery staple"
local_ts = "10.1.0.0/16"
remote_ts = "10.2.0.0/16"
)";

inline LoadedConfig parse(const std::string& text, bool readable_by_others = false) {
  return parse_config({{"merlon.toml", text, readable_by_others}}, "/etc/merlon");
}

inline std::string all(const LoadedConfig& loaded) {
  std::string out;
  for (const Diagnostic& diagnostic : loaded.diagnostics) out += diagnostic.to_string() + "\n";
  return out;
}

// The configuration, where it must be good.
inline Config good(const std::string& text) {
  LoadedConfig loaded = parse(text);
  EXPECT_TRUE(loaded.config) << all(loaded);
  return loaded.config.value_or(Config{});
}

// Only errors, without warnings.
inline std::vector<Diagnostic> errors(const LoadedConfig& loaded) {
  std::vector<Diagnostic> out;
  for (const Diagnostic& diagnostic : loaded.diagnostics)
    if (!diagnostic.warning) out.push_back(diagnostic);
  return out;
}

// The text has exactly this one error, at this place, and the sentence holds these words.
inline void expect_error(const std::string& text, unsigned line, unsigned column, const std::string& words) {
  const LoadedConfig loaded = parse(text);
  EXPECT_FALSE(loaded.config) << text;
  const auto found = errors(loaded);
  ASSERT_EQ(found.size(), 1U) << text << "\n" << all(loaded);
  EXPECT_EQ(found[0].line, line) << found[0].to_string();
  if (column != 0) {
    EXPECT_EQ(found[0].column, column) << found[0].to_string();
  }
  EXPECT_THAT(found[0].message, testing::HasSubstr(words));
}
// The same for a connection: kGood and more keys behind it.
inline void expect_error_in_connection(const std::string& more, const std::string& words) {
  const LoadedConfig loaded = parse(kGood + more);
  EXPECT_FALSE(loaded.config) << more;
  EXPECT_THAT(all(loaded), testing::HasSubstr(words)) << more;
}

}  // namespace merlon::control::test
