#include "base/ip_address.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/identity.h"
#include "base/nearest.h"

namespace merlon {
namespace {

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

TEST(IpAddress, ParsesAndPrints) {
  for (const char* text :
       {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4"})
    EXPECT_EQ(address(text).to_string(), text);
  for (const char* bad :
       {"", "1.2.3", "1.2.3.256", "1.2.3.4.5", "01.2.3.4x", ":::", "2001:db8::g", "1.2.3.4 ", "::/0"})
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
}

TEST(IpAddress, OrderIsNumericWithinAFamily) {
  EXPECT_TRUE(rc::check(
      [](std::uint32_t a, std::uint32_t b) { RC_ASSERT((IpAddress::v4(a) < IpAddress::v4(b)) == (a < b)); }));
  EXPECT_LT(address("255.255.255.255"), address("::"));
}

TEST(IpAddress, NeighboursAndMasks) {
  EXPECT_EQ(address("10.0.0.255").next(), address("10.0.1.0"));
  EXPECT_EQ(address("10.0.1.0").previous(), address("10.0.0.255"));
  EXPECT_EQ(address("255.255.255.255").next(), address("0.0.0.0"));
  EXPECT_EQ(address("2001:db8::ffff").next(), address("2001:db8::1:0"));
  EXPECT_EQ(address("10.1.2.3").masked(9), address("10.0.0.0"));
  EXPECT_EQ(address("10.1.2.3").filled(9), address("10.127.255.255"));
}

TEST(IpPrefix, SaysWhatIsWrong) {
  EXPECT_EQ(IpPrefix::parse("10.1.0.0/16")->to_string(), "10.1.0.0/16");
  EXPECT_EQ(IpPrefix::parse("10.1.0.7")->to_string(), "10.1.0.7/32");
  const auto host_bits = IpPrefix::parse("10.1.0.7/16");
  ASSERT_FALSE(host_bits);
  EXPECT_NE(host_bits.error().message.find("10.1.0.0/16"), std::string::npos);
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129"})
    EXPECT_FALSE(IpPrefix::parse(bad)) << bad;
}

TEST(IpPrefix, RangesSplitIntoExactlyTheirPrefixes) {
  EXPECT_TRUE(rc::check([](std::uint32_t a, std::uint32_t b) {
    const auto first = IpAddress::v4(std::min(a, b));
    const auto last = IpAddress::v4(std::max(a, b));
    IpAddress expected = first;
    const auto prefixes = prefixes_of_range(first, last);
    RC_ASSERT(prefixes.size() <= 62U);  // the most that 32 bits can need
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
      RC_ASSERT(prefixes[i].address == expected);
      const IpAddress end = prefixes[i].address.filled(prefixes[i].length);
      if (i + 1 == prefixes.size()) RC_ASSERT(end == last);
      expected = end.next();
    }
  }));
  EXPECT_EQ(prefixes_of_range(address("::"), IpAddress::last(IpFamily::kIpv6)).size(), 1U);
}

TEST(Identity, ParsesWhatPeopleWrite) {
  EXPECT_EQ(Identity::parse("192.0.2.1")->type, IdType::kIpv4Addr);
  EXPECT_EQ(Identity::parse("2001:db8::1")->type, IdType::kIpv6Addr);
  EXPECT_EQ(Identity::parse("gw.example.com")->type, IdType::kFqdn);
  EXPECT_EQ(Identity::parse("@10.0.0.1")->type, IdType::kFqdn);
  EXPECT_EQ(Identity::parse("bob@example.com")->type, IdType::kRfc822Addr);
  EXPECT_EQ(as_text(Identity::parse("keyid:616263")->data), "abc");
  EXPECT_EQ(as_text(Identity::parse("keyid:xyz")->data), "xyz");
  for (const char* bad : {"", "@", "keyid:", "a b", "x/y"}) EXPECT_FALSE(Identity::parse(bad)) << bad;
}

TEST(Identity, ComparesNamesWithoutCase) {
  EXPECT_EQ(*Identity::parse("GW.example.com"), *Identity::parse("gw.EXAMPLE.com"));
  EXPECT_EQ(*Identity::parse("bob@EXAMPLE.com"), *Identity::parse("bob@example.com"));
  EXPECT_FALSE(*Identity::parse("Bob@example.com") == *Identity::parse("bob@example.com"));
  EXPECT_FALSE(*Identity::parse("keyid:abc") == *Identity::parse("keyid:ABD"));
}

TEST(Identity, PrintsWhatAPeerChoseSafely) {
  const Identity hostile{IdType::kFqdn, {'a', '\n', 0x1b, '[', 0xff, 0}};
  EXPECT_EQ(hostile.to_string(), "a\\x0a\\x1b[\\xff\\x00");
}

TEST(Nearest, FindsSlipsAndNothingElse) {
  constexpr std::string_view kWords[] = {"remote_ts", "local_ts", "private_key"};
  EXPECT_EQ(nearest("remotets", kWords), "remote_ts");
  EXPECT_EQ(nearest("privat_key", kWords), "private_key");
  EXPECT_EQ(nearest("colour", kWords), std::nullopt);
  EXPECT_EQ(edit_distance("ab", "ba"), 1U);
}

}  // namespace
}  // namespace merlon
