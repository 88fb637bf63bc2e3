#include "cli/pair_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "crypto/hash.h"

namespace merlon::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// RFC 8032 7.1 test 1, as RFC 8410 4 wraps it.
constexpr const char* kKey = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

PairLine berlin() {
  return {"berlin.example", "192.0.2.1", {"10.1.0.0/16", "fd00:1::/64"}, kKey};
}

// A body with a checksum that fits: what a person with a text editor, or an attacker, could send.
std::string with_checksum(const std::string& body) {
  const auto digest = crypto::sha2_256({as_bytes(body)});
  return body + " check=" + to_hex(ByteView(digest).first(4));
}

TEST(PairLine, ComesBackAsItWas) {
  const auto parsed = parse_pair_line(to_text(berlin()));
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->id, "berlin.example");
  EXPECT_EQ(parsed->address, "192.0.2.1");
  EXPECT_THAT(parsed->networks, ElementsAre("10.1.0.0/16", "fd00:1::/64"));
  EXPECT_EQ(parsed->public_key, kKey);
}

TEST(PairLine, IsOneLine) {
  const std::string text = to_text(berlin());
  EXPECT_THAT(text, testing::StartsWith("merlon-pair-1 id="));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(PairLine, AddressMayBeMissing) {
  PairLine line = berlin();
  line.address.clear();
  const auto parsed = parse_pair_line(to_text(line));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->address, "");
}

TEST(PairLine, Ipv6AddressAndHostName) {
  for (const char* address : {"2001:db8::1", "vpn-1.example.com"}) {
    PairLine line = berlin();
    line.address = address;
    EXPECT_EQ(parse_pair_line(to_text(line))->address, address);
  }
}

TEST(PairLine, BlanksAroundDoNotMatter) {
  EXPECT_TRUE(parse_pair_line("  \t" + to_text(berlin()) + " \r\n"));
}

TEST(PairLine, NetworksAreNormalised) {
  PairLine line = berlin();
  line.networks = {"FD00:0:1::/64", "192.0.2.9"};
  const auto parsed = parse_pair_line(to_text(line));
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(parsed->networks, ElementsAre("fd00:0:1::/64", "192.0.2.9/32"));
}

TEST(PairLine, EveryTruncationIsRefused) {
  const std::string text = to_text(berlin());
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(parse_pair_line(text.substr(0, size))) << size;
  for (std::size_t begin = 1; begin < text.size(); ++begin)
    EXPECT_FALSE(parse_pair_line(text.substr(begin))) << begin;
}

TEST(PairLine, EveryChangedCharacterIsRefused) {
  const std::string text = to_text(berlin());
  EXPECT_TRUE(rc::check("one character is another", [&] {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const char other =
        *rc::gen::suchThat(rc::gen::inRange<char>('!', '~'), [&](char c) { return c != text[at]; });
    std::string changed = text;
    changed[at] = other;
    RC_ASSERT(!parse_pair_line(changed));
  }));
  EXPECT_TRUE(rc::check("two neighbours swapped", [&] {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size() - 1);
    RC_PRE(text[at] != text[at + 1]);
    std::string changed = text;
    std::swap(changed[at], changed[at + 1]);
    RC_ASSERT(!parse_pair_line(changed));
  }));
}

// A line break that a mail program put in.
TEST(PairLine, BrokenLineIsRefused) {
  std::string text = to_text(berlin());
  text.replace(text.find(" networks"), 1, "\n");
  EXPECT_THAT(parse_pair_line(text).error().message, HasSubstr("not whole"));
}

TEST(PairLine, WhatToTextCannotHaveWritten) {
  const std::string key = std::string(" key=") + kKey;
  ASSERT_TRUE(parse_pair_line(with_checksum("merlon-pair-1 id=a address=b networks=10.0.0.0/8" + key)));
  for (const std::string& body :
       {"merlon-pair-1 id= address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1 address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1 id=a\" address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1 id=a address=b\npsk=\"x\" networks=10.0.0.0/8" + key,
        "merlon-pair-1 id=a/../../etc address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1 id=a address=b networks=" + key,
        "merlon-pair-1 id=a address=b networks=10.0.0.0/99" + key,
        "merlon-pair-1 id=a address=b networks=10.0.0.0/8\"" + key,
        std::string("merlon-pair-1 id=a address=b networks=10.0.0.0/8 key=AAAA"),
        std::string("merlon-pair-1 id=a address=b networks=10.0.0.0/8"),
        "merlon-pair-1 id=a address=b networks=10.0.0.0/8 psk=x" + key,
        "merlon-pair-1 id=a stray address=b networks=10.0.0.0/8" + key,
        "merlon-pair-2 id=a address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1x id=a address=b networks=10.0.0.0/8" + key,
        "merlon-pair-1 id=" + std::string(300, 'a') + " address=b networks=10.0.0.0/8" + key})
    EXPECT_FALSE(parse_pair_line(with_checksum(body))) << body;
}

TEST(PairLine, AnyTextIsAnswered) {
  EXPECT_TRUE(
      rc::check("arbitrary bytes", [](const std::string& text) { RC_ASSERT(!parse_pair_line(text)); }));
  EXPECT_TRUE(rc::check("arbitrary fields", [](const std::string& text) {
    static_cast<void>(parse_pair_line(with_checksum("merlon-pair-1 " + text)));
  }));
}

}  // namespace
}  // namespace merlon::cli
