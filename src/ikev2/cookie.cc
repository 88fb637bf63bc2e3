#include "ikev2/cookie.h"

#include "base/check.h"
#include "base/writer.h"
#include "crypto/prf.h"

namespace merlon::ikev2 {

CookieJar::CookieJar(Rng& rng) : rng_(rng) {}

// RFC 7296 2.6: the secret changes often, and the one before stays good for requests that are on their way.
void CookieJar::rotate(Instant now) {
  if (!current_.secret.empty() && now - current_.made < kSecretLifetime) return;
  const bool before_is_recent = !current_.secret.empty() && now - current_.made < 2 * kSecretLifetime;
  const auto number = static_cast<std::uint8_t>(current_.number + 1);
  previous_ = before_is_recent ? std::move(current_) : Version{};
  current_ = Version{};
  current_.number = number;
  current_.secret = Secret(32);
  rng_.fill(current_.secret.mutable_bytes());
  current_.made = now;
}

Bytes CookieJar::compute(const Version& version, ByteView nonce_i, const IpAddress& source, IkeSpi spi_i) {
  ByteWriter spi;
  spi.u64(spi_i.value);
  // The nonce comes first and its length is not fixed, so its length goes in as well: no two inputs read
  // alike.
  const std::uint8_t lengths[] = {static_cast<std::uint8_t>(nonce_i.size() >> 8U),
                                  static_cast<std::uint8_t>(nonce_i.size()),
                                  static_cast<std::uint8_t>(source.bytes().size())};
  const auto mac = crypto::prf(PrfId::kHmacSha2_256, version.secret.bytes(),
                               {ByteView(lengths), nonce_i, source.bytes(), spi.view()});
  MERLON_ASSERT(mac.has_value());
  Bytes cookie{version.number};
  append(cookie, mac->bytes().first(kCookieSize - 1));
  return cookie;
}

Bytes CookieJar::make(Instant now, ByteView nonce_i, const IpAddress& source, IkeSpi spi_i) {
  rotate(now);
  return compute(current_, nonce_i, source, spi_i);
}

bool CookieJar::verify(Instant now, ByteView cookie, ByteView nonce_i, const IpAddress& source,
                       IkeSpi spi_i) {
  rotate(now);
  if (cookie.size() != kCookieSize) return false;
  const Version* version = nullptr;
  if (cookie[0] == current_.number) {
    version = &current_;
  } else if (!previous_.secret.empty() && cookie[0] == previous_.number) {
    version = &previous_;
  }
  return version != nullptr && equal_constant_time(cookie, compute(*version, nonce_i, source, spi_i));
}

}  // namespace merlon::ikev2
