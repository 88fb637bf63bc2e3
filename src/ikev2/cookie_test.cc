#include "ikev2/cookie.h"

#include <gtest/gtest.h>

#include <set>

namespace merlon::ikev2 {
namespace {

using std::chrono::seconds;

class Cookies : public testing::Test {
 protected:
  SeededRng rng_{1};
  CookieJar jar_{rng_};
  Instant start_{seconds(5000)};
  Bytes nonce_ = Bytes(32, 7);
  IpAddress source_ = IpAddress::v4(0xc0000201);
  IkeSpi spi_{0x1122334455667788};
};

TEST_F(Cookies, AreGoodForWhoGotThemAndNobodyElse) {
  const auto cookie = jar_.make(start_, nonce_, source_, spi_);
  EXPECT_EQ(cookie.size(), CookieJar::kCookieSize);
  EXPECT_LE(cookie.size(), 64U);  // RFC 7296 2.6
  EXPECT_TRUE(jar_.verify(start_, cookie, nonce_, source_, spi_));
  EXPECT_FALSE(jar_.verify(start_, cookie, Bytes(32, 8), source_, spi_));
  EXPECT_FALSE(jar_.verify(start_, cookie, nonce_, IpAddress::v4(0xc0000202), spi_));
  EXPECT_FALSE(jar_.verify(start_, cookie, nonce_, source_, {1}));
  for (std::size_t i = 0; i < cookie.size(); ++i) {
    Bytes changed = cookie;
    changed[i] = static_cast<std::uint8_t>(changed[i] ^ 1U);
    EXPECT_FALSE(jar_.verify(start_, changed, nonce_, source_, spi_));
  }
  EXPECT_FALSE(jar_.verify(start_, {}, nonce_, source_, spi_));
  EXPECT_FALSE(jar_.verify(start_, ByteView(cookie).first(16), nonce_, source_, spi_));
  EXPECT_FALSE(jar_.verify(start_, Bytes(64), nonce_, source_, spi_));

  SeededRng other_rng(2);
  CookieJar other(other_rng);
  EXPECT_FALSE(other.verify(start_, cookie, nonce_, source_, spi_));
}

TEST_F(Cookies, NonceAndAddressCannotBeShiftedIntoEachOther) {
  // The nonce's end and an IPv4 address against a shorter nonce and the same bytes as an IPv6 address.
  const auto six = *IpAddress::parse("102:304:506:708:90a:b0c:d0e:f10");
  Bytes nonce(20, 9);
  const auto cookie = jar_.make(start_, nonce, six, spi_);
  Bytes longer = nonce;
  append(longer, six.bytes().first(12));
  EXPECT_FALSE(jar_.verify(start_, cookie, longer, *IpAddress::from_bytes(six.bytes().subspan(12)), spi_));
}

TEST_F(Cookies, OutliveOneChangeOfTheSecretNotTwo) {
  const auto cookie = jar_.make(start_, nonce_, source_, spi_);
  EXPECT_TRUE(jar_.verify(start_ + seconds(59), cookie, nonce_, source_, spi_));
  EXPECT_TRUE(jar_.verify(start_ + seconds(61), cookie, nonce_, source_, spi_));
  EXPECT_NE(jar_.make(start_ + seconds(61), nonce_, source_, spi_), cookie);
  EXPECT_FALSE(jar_.verify(start_ + seconds(122), cookie, nonce_, source_, spi_));
}

TEST_F(Cookies, AnOldSecretIsForgottenEvenWhenNobodyCame) {
  const auto cookie = jar_.make(start_, nonce_, source_, spi_);
  EXPECT_FALSE(jar_.verify(start_ + seconds(3600), cookie, nonce_, source_, spi_));
}

TEST_F(Cookies, SecretsChange) {
  std::set<Bytes> cookies;
  for (int i = 0; i < 600; ++i) cookies.insert(jar_.make(start_ + i * seconds(60), nonce_, source_, spi_));
  EXPECT_EQ(cookies.size(), 600U);
}

}  // namespace
}  // namespace merlon::ikev2
