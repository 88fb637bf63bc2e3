// What the tests of this room share: hexadecimal literals and generators.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string_view>

#include "base/bytes.h"
#include "base/ip_address.h"

namespace merlon::wire::test {

// Hexadecimal digits with blanks anywhere.
inline Bytes hex(std::string_view text) {
  std::string digits;
  for (const char c : text)
    if (c != ' ' && c != '\n') digits += c;
  auto bytes = from_hex(digits);
  EXPECT_TRUE(bytes.has_value()) << text;
  return bytes.value_or(Bytes{});
}

inline IpAddress address(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(IpAddress{});
}

inline Bytes bytes_between(std::size_t least, std::size_t most) {
  const auto size = *rc::gen::inRange(least, most + 1);
  return *rc::gen::container<Bytes>(size, rc::gen::arbitrary<std::uint8_t>());
}

inline IpAddress any_address(IpFamily family) {
  const auto bytes = bytes_between(family == IpFamily::kIpv4 ? 4 : 16, family == IpFamily::kIpv4 ? 4 : 16);
  return *IpAddress::from_bytes(bytes);
}

template <class T>
T number() {
  return *rc::gen::arbitrary<T>();
}

// A copy that ends where its allocation ends, so that a sanitizer sees a read beyond it.
inline Bytes prefix(ByteView bytes, std::size_t size) {
  Bytes copy = to_bytes(bytes.first(size));
  copy.shrink_to_fit();
  return copy;
}

}  // namespace merlon::wire::test
