// For tests: two offices that prove themselves with certificates of one CA.
#pragma once

#include "ikev2/engine_test_network.h"
#include "pki/builder.h"
#include "pki/identity_text.h"

namespace merlon::ikev2::test {

using Key = std::shared_ptr<const crypto::PrivateKey>;

inline Key key_of(const std::string& kind) {
  static std::map<std::string, Key> keys;
  auto& key = keys[kind];
  if (!key)
    key =
        std::make_shared<const crypto::PrivateKey>(value(pki::generate_key(kind.substr(0, kind.find('/')))));
  return key;
}

struct Authority {
  SeededRng rng{5};
  Key key = key_of("ecdsa-p256/ca");
  pki::Certificate root = value(pki::make_root(*key, spec("CN=Example CA", {}, 100), rng));

  static pki::CertificateSpec spec(const std::string& subject, std::vector<std::string> dns, int days) {
    pki::CertificateSpec made;
    made.subject_dn = value(pki::dn_from_text(subject));
    made.names.dns = std::move(dns);
    made.not_before = kToday - std::chrono::days{200};
    made.not_after = kToday + std::chrono::days{days};
    return made;
  }
  pki::Certificate issue(const Key& subject, const std::string& dns, int days = 50) {
    return value(
        pki::make_certificate(root, *key, subject->public_key(), spec("CN=" + dns, {dns}, days), rng));
  }
  std::shared_ptr<const pki::TrustStore> trust(const std::vector<pki::RevokedCertificate>& revoked = {}) {
    pki::TrustStore store;
    EXPECT_TRUE(store.add_anchor(root));
    if (!revoked.empty()) {
      pki::CrlSpec crl;
      crl.this_update = kToday - std::chrono::days{1};
      crl.next_update = kToday + std::chrono::days{30};
      crl.revoked = revoked;
      EXPECT_TRUE(store.add_crl(value(pki::make_crl(root, *key, crl))));
    }
    return std::make_shared<const pki::TrustStore>(std::move(store));
  }
};

struct CertificatePair : Pair {
  Authority authority;
  std::shared_ptr<ike::Credentials> at(const Key& key, pki::Certificate leaf) {
    auto made = std::make_shared<ike::Credentials>();
    auto& entry = made->by_connection["office"];
    entry.private_key = key;
    entry.certificates = {std::move(leaf)};
    entry.trust = authority.trust();
    return made;
  }
  void configure(const Key& a_key, pki::Certificate a_leaf, const Key& b_key, pki::Certificate b_leaf) {
    for (auto* connection : {&at_a(), &at_b()}) {
      connection->local_auth.front().kind = policy::AuthKind::kCertificate;
      connection->remote_auth.front().kind = policy::AuthKind::kCertificate;
    }
    a.configure({office_a.connection}, at(a_key, std::move(a_leaf)));
    b.configure({office_b.connection}, at(b_key, std::move(b_leaf)));
  }
};

}  // namespace merlon::ikev2::test
