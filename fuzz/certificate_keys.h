// Keys and certificates that are the same in every run. Ed25519 throughout: it signs without randomness of OpenSSL's.
#pragma once

#include <memory>

#include "base/rng.h"
#include "fuzz/input.h"
#include "pki/builder.h"
#include "pki/identity_text.h"

namespace merlon::fuzz {

inline const UnixTime kToday{std::chrono::seconds(1'800'000'000)};

// RFC 8410 7: a private key is 32 bytes behind this.
using KeyPtr = std::shared_ptr<const crypto::PrivateKey>;
inline KeyPtr key_of(std::uint8_t number) {
  Bytes der = value(from_hex("302e020100300506032b657004220420"));
  for (unsigned i = 0; i < 32; ++i) der.push_back(static_cast<std::uint8_t>(number * 31U + i));
  return std::make_shared<const crypto::PrivateKey>(value(crypto::PrivateKey::from_der(der)));
}

inline pki::CertificateSpec spec_of(const std::string& subject, std::vector<std::string> dns) {
  pki::CertificateSpec made;
  made.subject_dn = value(pki::dn_from_text(subject));
  made.names.dns = std::move(dns);
  made.not_before = kToday - std::chrono::days(1);
  made.not_after = kToday + std::chrono::days(30);
  return made;
}

inline pki::Certificate root_of(const crypto::PrivateKey& authority) {
  SeededRng rng(10);
  return value(pki::make_root(authority, spec_of("CN=Example CA", {}), rng));
}

inline pki::Certificate leaf_of(const pki::Certificate& root, const crypto::PrivateKey& authority,
                                const crypto::PrivateKey& key, const std::string& name) {
  SeededRng rng(11);
  return value(pki::make_certificate(root, authority, key.public_key(), spec_of("CN=" + name, {name}), rng));
}

}  // namespace merlon::fuzz
