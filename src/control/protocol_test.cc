#include "control/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>

namespace merlon::control {
namespace {

using testing::HasSubstr;

constexpr Command kAll[] = {Command::kStatus, Command::kUp,      Command::kDown,
                            Command::kRekey,  Command::kMonitor, Command::kTrace,
                            Command::kReload, Command::kMetrics, Command::kStop};

TEST(Protocol, RequestsComeBackAsTheyWere) {
  EXPECT_TRUE(rc::check("encode, parse", [] {
    Request request;
    request.command = *rc::gen::elementOf(std::vector(std::begin(kAll), std::end(kAll)));
    request.connection = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
    request.child = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
    request.ike = *rc::gen::arbitrary<bool>();
    request.wait = *rc::gen::arbitrary<bool>();
    request.keys = *rc::gen::arbitrary<bool>();
    const std::string line = encode(request);
    RC_ASSERT(line.find('\n') == std::string::npos);
    const auto parsed = parse_request(line);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->command == request.command);
    RC_ASSERT(parsed->connection == request.connection);
    RC_ASSERT(parsed->child == request.child);
    RC_ASSERT(parsed->ike == request.ike);
    RC_ASSERT(parsed->wait == request.wait);
    RC_ASSERT(parsed->keys == request.keys);
  }));
}

TEST(Protocol, DefaultsOfFieldsThatAreLeftOut) {
  const auto request = parse_request(R"({"command": "up", "connection": "paris"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->connection, "paris");
  EXPECT_EQ(request->child, "");
  EXPECT_TRUE(request->wait);
  EXPECT_FALSE(request->keys);
}

TEST(Protocol, WhatIsNoRequestIsRefused) {
  for (const char* line : {"",
                           " ",
                           "status",
                           "[]",
                           "5",
                           "null",
                           "\"status\"",
                           "{",
                           "{}",
                           R"({"connection": "a"})",
                           R"({"command": 1})",
                           R"({"command": null})",
                           R"({"command": "Status"})",
                           R"({"command": "status"} x)",
                           R"({"command": "status",})",
                           R"({"command": "down", "connection": 5})",
                           R"({"command": "down", "conection": "paris"})",
                           R"({"command": "down", "connection": null})",
                           R"({"command": "up", "wait": "false"})",
                           R"({"command": "up", "ike": 1})",
                           R"({"command": "up", "keys": {}})",
                           R"({"command": "up", "child": ["a"]})"})
    EXPECT_FALSE(parse_request(line)) << line;
  EXPECT_THAT(parse_request(R"({"command": "down", "conection": "paris"})").error().message,
              HasSubstr("conection"));
}

TEST(Protocol, OversizedAndDeepRequestsAreRefused) {
  EXPECT_FALSE(
      parse_request(R"({"command": "up", "connection": ")" + std::string(kMaxRequestBytes, 'a') + "\"}"));
  EXPECT_FALSE(parse_request(std::string(kMaxRequestBytes, '[')));
  EXPECT_FALSE(parse_request(std::string(60'000, '[') + std::string(60'000, ']')));
}

// A name typed with bytes that are no UTF-8 must not end the command.
TEST(Protocol, BytesThatAreNotUtf8) {
  Request request;
  request.command = Command::kUp;
  request.connection = "caf\xe9";
  EXPECT_TRUE(parse_request(encode(request)));
  EXPECT_TRUE(nlohmann::json::accept(error_line("no connection is called \"\xff\"")));
  EXPECT_TRUE(nlohmann::json::accept(ok_line({{"text", "\xff\xfe"}})));
}

TEST(Protocol, Answers) {
  const auto ok = nlohmann::json::parse(ok_line(nlohmann::json::object()));
  EXPECT_EQ(ok, (nlohmann::json{{"ok", true}}));
  const auto refused = nlohmann::json::parse(error_line("a \"sentence\"\nof two lines"));
  EXPECT_EQ(refused["ok"], false);
  EXPECT_EQ(refused["error"], "a \"sentence\"\nof two lines");
  EXPECT_EQ(error_line("a\nb").find('\n'), std::string::npos);
}

TEST(Protocol, AnyLineIsAnswered) {
  EXPECT_TRUE(
      rc::check("arbitrary bytes", [](const std::string& line) { static_cast<void>(parse_request(line)); }));
}

}  // namespace
}  // namespace merlon::control
