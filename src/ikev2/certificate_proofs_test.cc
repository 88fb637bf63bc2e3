// What a peer's CERT payloads may hold beside what is needed, and how its certificates are checked for revocation.
#include <gmock/gmock.h>

#include "ikev2/authentication.h"
#include "ikev2/engine_test_certificates.h"

namespace merlon::ikev2::test {
namespace {

using policy::AuthKind;
using testing::HasSubstr;
using Revocation = policy::RemoteAuth::Revocation;

struct CertificateProofs : testing::Test {
  Authority authority;
  Key key = key_of("ed25519/b"), other_key = key_of("ed25519/a");
  pki::Certificate leaf = authority.issue(key, "b.example.com");
  policy::Connection office;
  ike::ConnectionCredentials theirs, ours;
  Bytes octets = Bytes(200, 0x42);

  CertificateProofs() {
    office.name = "office";
    office.local_auth.emplace_back();
    auto& remote = office.remote_auth.emplace_back();
    remote.id = value(Identity::parse("b.example.com"));
    set_kind(AuthKind::kCertificate);
    theirs.private_key = key;
    theirs.certificates = {leaf};
    ours.trust = authority.trust();
  }
  void set_kind(AuthKind kind) { office.local_auth.front().kind = office.remote_auth.front().kind = kind; }
  tl::expected<PeerAuthenticated, ike::Failure> check(const std::vector<wire::CertPayload>& certs) {
    const auto hashes = supported_hashes();
    const auto plan = plan_local_auth(office, theirs, &hashes);
    EXPECT_TRUE(plan);
    const auto signature = value(ike::run(sign_request(1, office, theirs, *plan, octets)).signature);
    const auto auth = value(signature_auth_payload(*plan, signature));
    std::vector<const wire::CertPayload*> pointers;
    for (const auto& cert : certs) pointers.push_back(&cert);
    const PeerProof proof{*office.remote_auth.front().id, pointers, &auth, octets};
    return authenticate_peer(std::make_shared<const policy::Connection>(office), ours,
                             endpoint("192.0.2.1", 500), PrfId::kHmacSha2_256, proof, kToday);
  }
  static wire::CertPayload x509(Bytes der) { return {CertEncoding::kX509Signature, std::move(der), false}; }
};

TEST_F(CertificateProofs, NeedACertificate) {
  theirs.certificates.clear();
  const auto plan = plan_local_auth(office, theirs, nullptr);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().sentence, HasSubstr("there is no certificate"));
}

// RFC 7296 3.6: the first one has the key of AUTH; the others may help to reach an anchor, or not.
TEST_F(CertificateProofs, MayBringMoreThanIsNeeded) {
  const auto stranger = authority.issue(other_key, "z.example.com");
  EXPECT_TRUE(
      check({x509(leaf.der()), x509(stranger.der()), x509(Bytes(30, 1)), x509(authority.root.der())}));
  EXPECT_FALSE(check({x509(stranger.der()), x509(leaf.der())})) << "the first one it is";
  EXPECT_FALSE(check({x509(Bytes(30, 1)), x509(leaf.der())}));
}

TEST_F(CertificateProofs, AreCheckedForRevocationAsConfigured) {
  auto& revocation = office.remote_auth.front().revocation;
  const auto revoked = [&](const std::string& serial) {
    return authority.trust(
        {{value(from_hex(serial)), kToday - std::chrono::hours{1}, pki::RevocationReason::kKeyCompromise}});
  };
  revocation = Revocation::kRequired;
  EXPECT_FALSE(check({x509(leaf.der())})) << "there is no CRL";
  ours.trust = revoked("0102030405060708");
  EXPECT_TRUE(check({x509(leaf.der())}));
  ours.trust = revoked(leaf.serial_hex());
  for (const auto one : {Revocation::kRequired, Revocation::kIfPresent}) {
    revocation = one;
    const auto refused = check({x509(leaf.der())});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().sentence, HasSubstr("revoked"));
  }
  revocation = Revocation::kIgnore;
  EXPECT_TRUE(check({x509(leaf.der())}));
}

// RFC 7670: trust comes from the list alone; a certificate only says which of its keys is meant.
TEST_F(CertificateProofs, OfRawKeysMayBeCertificates) {
  set_kind(AuthKind::kRawPublicKey);
  ours.trust = nullptr;
  ours.public_keys = {other_key->public_key(), key->public_key()};
  EXPECT_TRUE(check({x509(leaf.der())}));
  EXPECT_TRUE(check({{CertEncoding::kX509HashAndUrl, Bytes(40), false}})) << "nothing is fetched";
  EXPECT_FALSE(check({x509(Bytes(30, 1))}));
  const auto stranger = authority.issue(key_of("ed25519/z"), "b.example.com");
  EXPECT_FALSE(check({x509(stranger.der())})) << "its key is not listed";
  ours.public_keys = {other_key->public_key()};
  EXPECT_FALSE(check({x509(leaf.der())}));
}

// A clock that goes back, or a CRL that is not there: no reason to close what stands.
TEST_F(CertificateProofs, AreLookedAtAgainWithoutHaste) {
  const auto peer = check({x509(leaf.der())});
  ASSERT_TRUE(peer);
  EXPECT_TRUE(recheck_peer(*peer, office, ours, kToday));
  EXPECT_TRUE(recheck_peer(*peer, office, ours, kToday - std::chrono::days{300}));
  EXPECT_FALSE(recheck_peer(*peer, office, ours, kToday + std::chrono::days{70}));
  office.remote_auth.front().revocation = Revocation::kRequired;
  EXPECT_TRUE(recheck_peer(*peer, office, ours, kToday));
}

}  // namespace
}  // namespace merlon::ikev2::test
