// Stateless cookies against floods of IKE_SA_INIT requests (RFC 7296 2.6).
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "base/rng.h"
#include "base/secret.h"

namespace merlon::ikev2 {

// Cookie = <VersionIDofSecret> | HMAC-SHA2-256(<secret>, Ni | IPi | SPIi), the MAC cut to 16 bytes. The port
// is left out, as in the RFC: a NAT may give the second request another one.
class CookieJar {
 public:
  static constexpr std::size_t kCookieSize = 17;
  static constexpr std::chrono::seconds kSecretLifetime{
      60};  // then a new one; the one before is good as long again

  explicit CookieJar(Rng& rng);  // must outlive the jar

  [[nodiscard]] Bytes make(Instant now, ByteView nonce_i, const IpAddress& source, IkeSpi spi_i);
  // True for what make() gave for the same values, with the current secret or the one before. In constant
  // time.
  [[nodiscard]] bool verify(Instant now, ByteView cookie, ByteView nonce_i, const IpAddress& source,
                            IkeSpi spi_i);

 private:
  struct Version {
    std::uint8_t number = 0;
    Secret secret;  // empty: none
    Instant made;
  };
  void rotate(Instant now);
  [[nodiscard]] static Bytes compute(const Version& version, ByteView nonce_i, const IpAddress& source,
                                     IkeSpi spi_i);

  Rng& rng_;
  Version current_, previous_;
};

}  // namespace merlon::ikev2
