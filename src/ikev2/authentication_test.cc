#include "ikev2/authentication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "pki/builder.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"

namespace merlon::ikev2 {
namespace {

using policy::AuthKind;
using testing::HasSubstr;
using testing::Not;

constexpr UnixTime kToday = std::chrono::sys_days{std::chrono::year{2026} / 10 / 4};
const Endpoint kRemote{IpAddress::v4(0xc0000201), 500};

template <class T>
T value(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

using Key = std::shared_ptr<const crypto::PrivateKey>;
// Keys are dear to make: one of each kind for all tests.
Key key_of(const std::string& kind) {
  static std::map<std::string, Key> keys;
  auto& key = keys[kind];
  if (key == nullptr)
    key =
        std::make_shared<const crypto::PrivateKey>(value(pki::generate_key(kind.substr(0, kind.find('/')))));
  return key;
}

// An authority, and what it issues.
struct World {
  SeededRng rng{5};
  Key ca_key = key_of("ecdsa-p256/ca");
  pki::Certificate ca = value(pki::make_root(*ca_key, spec("CN=Example CA"), rng));

  static pki::CertificateSpec spec(const std::string& subject, std::vector<std::string> dns = {}) {
    pki::CertificateSpec made;
    made.subject_dn = value(pki::dn_from_text(subject));
    made.names.dns = std::move(dns);
    made.not_before = kToday - std::chrono::days{1};
    made.not_after = kToday + std::chrono::days{100};
    return made;
  }
  pki::Certificate issue(const Key& key, const std::string& dns) {
    return value(pki::make_certificate(ca, *ca_key, key->public_key(), spec("CN=" + dns, {dns}), rng));
  }
  std::shared_ptr<const pki::TrustStore> trust() {
    pki::TrustStore store;
    EXPECT_TRUE(store.add_anchor(ca));
    return std::make_shared<const pki::TrustStore>(std::move(store));
  }
};

policy::Connection connection(AuthKind kind) {
  policy::Connection made;
  made.name = "office";
  made.source = "merlon.toml:12";
  policy::LocalAuth local;
  local.kind = kind;
  made.local_auth.push_back(local);
  policy::RemoteAuth remote;
  remote.kind = kind;
  remote.id = value(Identity::parse("gw-b.example.com"));
  made.remote_auth.push_back(remote);
  return made;
}

policy::ConnectionPtr shared(policy::Connection made) {
  return std::make_shared<const policy::Connection>(std::move(made));
}

// One side signs, the other checks: everything between.
class Authentication : public testing::Test {
 protected:
  Bytes octets_ = Bytes(200, 0x42);
  Identity peer_id_ = value(Identity::parse("gw-b.example.com"));

  wire::AuthPayload signed_by(const policy::Connection& peer, const ike::ConnectionCredentials& credentials,
                              const std::vector<HashId>* hashes) {
    const auto plan = plan_local_auth(peer, credentials, hashes);
    if (!plan) throw std::runtime_error(plan.error().sentence);
    const auto done = ike::run(sign_request(1, peer, credentials, *plan, octets_));
    return value(signature_auth_payload(*plan, value(done.signature)));
  }
  tl::expected<PeerAuthenticated, ike::Failure> check(const policy::Connection& ours,
                                                      const ike::ConnectionCredentials& credentials,
                                                      const wire::AuthPayload& auth,
                                                      const std::vector<wire::CertPayload>& certs = {},
                                                      UnixTime now = kToday) {
    std::vector<const wire::CertPayload*> pointers;
    for (const auto& cert : certs) pointers.push_back(&cert);
    PeerProof proof{peer_id_, pointers, &auth, octets_};
    return authenticate_peer(shared(ours), credentials, kRemote, PrfId::kHmacSha2_256, proof, now);
  }
  static void refused(const tl::expected<PeerAuthenticated, ike::Failure>& result, ike::FailureKind kind,
                      const std::string& words) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, kind) << result.error().sentence;
    EXPECT_EQ(result.error().notify_type, 24);
    EXPECT_THAT(result.error().sentence, HasSubstr(words));
    EXPECT_THAT(result.error().sentence, HasSubstr("merlon.toml:12"));
  }
};

// ---- the octets and the PSK, against an independent computation: python3's hmac over the same inputs (see
// keys_test.cc), with first_message[i] = 5 * i (100 bytes), Nr = 20..3f, SK_p = 90..af, IDi = 02000000
// "gw.example.com", PSK "correct horse".
TEST(SignedOctets, AreTheMessageTheNonceAndTheMacOfTheIdentity) {
  Bytes message(100), nonce(32), sk_p(32);
  for (std::size_t i = 0; i < 100; ++i) message[i] = static_cast<std::uint8_t>(5 * i);
  for (std::size_t i = 0; i < 32; ++i) nonce[i] = static_cast<std::uint8_t>(0x20 + i);
  for (std::size_t i = 0; i < 32; ++i) sk_p[i] = static_cast<std::uint8_t>(0x90 + i);
  const auto id_body = wire::encode_id_body(value(Identity::parse("gw.example.com")));
  const auto octets = value(signed_octets({message, nonce, PrfId::kHmacSha2_256, sk_p, id_body}));
  EXPECT_EQ(to_hex(octets), to_hex(message) + to_hex(nonce) +
                                "bb5f7a5c5a753451bd884741fb757043a9c2dc191cc707e177db1970d6623f04");
  const auto auth =
      value(psk_auth_data(PrfId::kHmacSha2_256, Secret::copy_of(as_bytes("correct horse")), octets));
  EXPECT_EQ(to_hex(auth), "5631a8f3c9f7b09a7cb6d3a4ee00b0d07244027f58a4af5fcefcac2dd2ad4e49");
  EXPECT_FALSE(signed_octets({message, nonce, static_cast<PrfId>(99), sk_p, id_body}));
}

// ---- pre-shared keys

TEST_F(Authentication, PskThatAgreesAndThatDoesNot) {
  const auto office = connection(AuthKind::kPsk);
  ike::ConnectionCredentials credentials;
  credentials.local_psk = Secret::copy_of(as_bytes("one and the same"));
  credentials.remote_psk = Secret::copy_of(as_bytes("one and the same"));
  const auto plan = plan_local_auth(office, credentials, nullptr);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->method, AuthMethod::kSharedKeyMic);
  const auto auth = value(psk_auth_payload(PrfId::kHmacSha2_256, credentials.local_psk, octets_));
  const auto peer = check(office, credentials, auth);
  ASSERT_TRUE(peer) << peer.error().sentence;
  EXPECT_EQ(peer->identity(), peer_id_);
  EXPECT_EQ(peer->method(), AuthMethod::kSharedKeyMic);
  EXPECT_FALSE(peer->valid_until());

  credentials.remote_psk = Secret::copy_of(as_bytes("another"));
  const auto wrong = check(office, credentials, auth);
  refused(wrong, ike::FailureKind::kAuthentication, "pre-shared keys differ");
  EXPECT_THAT(wrong.error().sentence, HasSubstr("gw-b.example.com"));
  EXPECT_THAT(wrong.error().sentence, Not(HasSubstr("another")));

  peer_id_ = value(Identity::parse("gw-c.example.com"));
  refused(check(office, credentials, auth), ike::FailureKind::kIdentity, "expects 'gw-b.example.com'");
}

TEST_F(Authentication, AnEmptyPskLetsNobodyIn) {
  const auto office = connection(AuthKind::kPsk);
  const ike::ConnectionCredentials nothing;
  EXPECT_FALSE(plan_local_auth(office, nothing, nullptr));
  EXPECT_FALSE(check(office, nothing, value(psk_auth_payload(PrfId::kHmacSha2_256, Secret{}, octets_))));
  EXPECT_FALSE(check(office, nothing, wire::AuthPayload{AuthMethod::kSharedKeyMic, {}, false}));
}

TEST_F(Authentication, AnotherMethodThanDemandedIsRefused) {
  ike::ConnectionCredentials credentials;
  credentials.remote_psk = Secret::copy_of(as_bytes("psk"));
  const auto by_psk = value(psk_auth_payload(PrfId::kHmacSha2_256, credentials.remote_psk, octets_));
  refused(check(connection(AuthKind::kCertificate), credentials, by_psk), ike::FailureKind::kAuthentication,
          "demands a certificate");
  const wire::AuthPayload signature{AuthMethod::kDigitalSignature, Bytes(40), false};
  refused(check(connection(AuthKind::kPsk), credentials, signature), ike::FailureKind::kAuthentication,
          "demands a pre-shared key");
  const wire::AuthPayload null_auth{AuthMethod::kNull, Bytes(32), false};
  refused(check(connection(AuthKind::kPsk), credentials, null_auth), ike::FailureKind::kAuthentication,
          "demands a pre-shared key");
}

// ---- certificates

TEST_F(Authentication, EveryKindOfKeyProvesItselfByCertificate) {
  World world;
  const auto hashes = supported_hashes();
  for (const auto* kind : {"rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448"}) {
    const auto key = key_of(kind);
    const auto leaf = world.issue(key, "gw-b.example.com");
    auto office = connection(AuthKind::kCertificate);
    office.send_cert = policy::Connection::SendCert::kAlways;
    ike::ConnectionCredentials theirs;
    theirs.private_key = key;
    theirs.certificates = {leaf, world.ca};
    ike::ConnectionCredentials ours;
    ours.trust = world.trust();
    const auto certs = local_cert_payloads(office, theirs, {});
    ASSERT_EQ(certs.size(), 1U);  // the anchor stays at home

    const auto auth = signed_by(office, theirs, &hashes);
    EXPECT_EQ(auth.method, AuthMethod::kDigitalSignature);
    const auto peer = check(office, ours, auth, certs);
    ASSERT_TRUE(peer) << kind << ": " << peer.error().sentence;
    EXPECT_THAT(peer->text(), HasSubstr("CN=Example CA"));
    EXPECT_TRUE(peer->valid_until());

    // One byte of what was signed is another.
    octets_[7] ^= 1U;
    refused(check(office, ours, auth, certs), ike::FailureKind::kAuthentication,
            "signature in AUTH does not verify");
    octets_[7] ^= 1U;

    // A peer without RFC 7427: the older methods, where there is one.
    const auto plan = plan_local_auth(office, theirs, nullptr);
    if (key->kind() == crypto::KeyKind::kEd25519 || key->kind() == crypto::KeyKind::kEd448) {
      ASSERT_FALSE(plan);
      EXPECT_EQ(plan.error().side, ike::FailureSide::kLocal);
      continue;
    }
    ASSERT_TRUE(plan);
    const auto old = signed_by(office, theirs, nullptr);
    EXPECT_EQ(old.method, key->kind() == crypto::KeyKind::kRsa         ? AuthMethod::kRsaDigitalSignature
                          : key->kind() == crypto::KeyKind::kEcdsaP256 ? AuthMethod::kEcdsaSha256P256
                          : key->kind() == crypto::KeyKind::kEcdsaP384 ? AuthMethod::kEcdsaSha384P384
                                                                       : AuthMethod::kEcdsaSha512P521);
    const auto old_peer = check(office, ours, old, certs);
    ASSERT_TRUE(old_peer) << kind << ": " << old_peer.error().sentence;
  }
}

// RFC 7296 3.8: SHA-1 should be supported; a verifier takes SHA-2 as well.
TEST_F(Authentication, TheOldRsaMethodIsVerifiedWithSha1AndSha2) {
  World world;
  const auto key = key_of("rsa-2048");
  const auto leaf = world.issue(key, "gw-b.example.com");
  ike::ConnectionCredentials ours;
  ours.trust = world.trust();
  for (const auto hash : {HashId::kSha1, HashId::kSha2_256}) {
    const auto signature =
        value(crypto::sign(*key, {crypto::SignatureAlgorithm::kRsaPkcs1, hash, {}}, octets_));
    const wire::AuthPayload auth{AuthMethod::kRsaDigitalSignature, signature, false};
    const auto peer = check(connection(AuthKind::kCertificate), ours, auth,
                            {{CertEncoding::kX509Signature, leaf.der(), false}});
    EXPECT_TRUE(peer) << name(hash) << ": " << peer.error().sentence;
  }
}

// RFC 8247: RSA with SHA-1 MUST NOT be used by method 14; RFC 7427 4: only the hashes that we named.
TEST_F(Authentication, Sha1ByTheNewMethodIsRefused) {
  World world;
  const auto key = key_of("rsa-2048");
  const auto leaf = world.issue(key, "gw-b.example.com");
  ike::ConnectionCredentials ours;
  ours.trust = world.trust();
  const crypto::SignatureScheme scheme{crypto::SignatureAlgorithm::kRsaPkcs1, HashId::kSha1, {}};
  const LocalAuthPlan plan{AuthMethod::kDigitalSignature, scheme, {}};
  const auto auth = value(signature_auth_payload(plan, value(crypto::sign(*key, scheme, octets_))));
  refused(check(connection(AuthKind::kCertificate), ours, auth,
                {{CertEncoding::kX509Signature, leaf.der(), false}}),
          ike::FailureKind::kAuthentication, "SHA1");
}

TEST_F(Authentication, WhatIsWrongWithACertificateIsSaid) {
  World world;
  const auto key = key_of("ecdsa-p256");
  const auto leaf = world.issue(key, "gw-b.example.com");
  auto office = connection(AuthKind::kCertificate);
  ike::ConnectionCredentials theirs, ours;
  theirs.private_key = key;
  theirs.certificates = {leaf};
  ours.trust = world.trust();
  const auto hashes = supported_hashes();
  const auto auth = signed_by(office, theirs, &hashes);
  const std::vector<wire::CertPayload> certs = {{CertEncoding::kX509Signature, leaf.der(), false}};
  ASSERT_TRUE(check(office, ours, auth, certs));

  refused(check(office, ours, auth, {}), ike::FailureKind::kCertificate, "no certificate");
  refused(check(office, ours, auth, {{CertEncoding::kX509Signature, Bytes(30), false}}),
          ike::FailureKind::kCertificate, "not accepted");
  refused(check(office, ours, auth, certs, kToday + std::chrono::days{200}), ike::FailureKind::kCertificate,
          "expired");
  refused(check(office, {}, auth, certs), ike::FailureKind::kCertificate, "no CA is configured");
  refused(check(office, ours, auth, std::vector<wire::CertPayload>(40, certs[0])),
          ike::FailureKind::kCertificate, "40 CERT");

  World stranger;
  stranger.ca_key = key_of("ecdsa-p256/stranger");
  stranger.ca = value(pki::make_root(*stranger.ca_key, World::spec("CN=Stranger CA"), stranger.rng));
  ike::ConnectionCredentials trusts_stranger;
  trusts_stranger.trust = stranger.trust();
  refused(check(office, trusts_stranger, auth, certs), ike::FailureKind::kCertificate, "Example CA");

  // A good certificate of somebody else, whose identity the peer only claims.
  const auto another = world.issue(key, "gw-z.example.com");
  refused(check(office, ours, auth, {{CertEncoding::kX509Signature, another.der(), false}}),
          ike::FailureKind::kIdentity, "gw-z.example.com");
  // A good certificate, but not the key that signed.
  const auto other_key = world.issue(key_of("ecdsa-p384"), "gw-b.example.com");
  refused(check(office, ours, auth, {{CertEncoding::kX509Signature, other_key.der(), false}}),
          ike::FailureKind::kAuthentication, "signature in AUTH does not verify");
}

// RFC 7296 3.6: encodings 12 and 13 name a place to fetch from; we ask for none, and fetch nothing.
TEST_F(Authentication, HashAndUrlIsNoCertificate) {
  World world;
  const auto key = key_of("ecdsa-p256");
  const auto leaf = world.issue(key, "gw-b.example.com");
  const auto office = connection(AuthKind::kCertificate);
  ike::ConnectionCredentials theirs, ours;
  theirs.private_key = key;
  theirs.certificates = {leaf};
  ours.trust = world.trust();
  const auto hashes = supported_hashes();
  const auto auth = signed_by(office, theirs, &hashes);
  const wire::CertPayload good{CertEncoding::kX509Signature, leaf.der(), false};
  for (const auto encoding : {CertEncoding::kX509HashAndUrl, CertEncoding::kX509BundleHashAndUrl}) {
    const wire::CertPayload url{encoding, concat(Bytes(20, 1), as_bytes("http://127.0.0.1/;reboot")), false};
    refused(check(office, ours, auth, {url}), ike::FailureKind::kCertificate, "no certificate");
    // And a certificate is none when it says that it is something else.
    refused(check(office, ours, auth, {{encoding, leaf.der(), false}}), ike::FailureKind::kCertificate,
            "no certificate");
    EXPECT_TRUE(check(office, ours, auth, {url, good}));
  }
}

TEST_F(Authentication, NoAuthPayloadMakesAnyoneAPeer) {
  World world;
  const auto leaf = world.issue(key_of("ecdsa-p256"), "gw-b.example.com");
  ike::ConnectionCredentials ours;
  ours.trust = world.trust();
  SeededRng rng(77);
  for (int i = 0; i < 300; ++i) {
    wire::AuthPayload auth;
    auth.method = static_cast<AuthMethod>(rng.below(16));
    auth.data = rng.bytes(rng.below(120));
    EXPECT_FALSE(check(connection(AuthKind::kCertificate), ours, auth,
                       {{CertEncoding::kX509Signature, leaf.der(), false}}));
  }
  const PeerProof without{peer_id_, {}, nullptr, octets_};
  EXPECT_FALSE(authenticate_peer(shared(connection(AuthKind::kPsk)), ours, kRemote, PrfId::kHmacSha2_256,
                                 without, kToday));
}

TEST_F(Authentication, AnyIdentityMeansAnyThatTheCertificateCarries) {
  World world;
  const auto key = key_of("ed25519");
  const auto leaf = world.issue(key, "gw-b.example.com");
  auto office = connection(AuthKind::kCertificate);
  office.remote_auth[0].id.reset();
  ike::ConnectionCredentials theirs, ours;
  theirs.private_key = key;
  theirs.certificates = {leaf};
  ours.trust = world.trust();
  const auto hashes = supported_hashes();
  const auto auth = signed_by(office, theirs, &hashes);
  const std::vector<wire::CertPayload> certs = {{CertEncoding::kX509Signature, leaf.der(), false}};
  EXPECT_TRUE(check(office, ours, auth, certs));
  peer_id_ = value(pki::identity_from_text("CN=gw-b.example.com"));
  EXPECT_TRUE(check(office, ours, auth, certs));
  peer_id_ = value(Identity::parse("gw-x.example.com"));
  refused(check(office, ours, auth, certs), ike::FailureKind::kIdentity, "does not speak for that identity");
}

// ---- raw public keys

TEST_F(Authentication, RawPublicKeysMustBeListed) {
  const auto key = key_of("ed25519");
  auto office = connection(AuthKind::kRawPublicKey);
  ike::ConnectionCredentials theirs, ours;
  theirs.private_key = key;
  ours.public_keys = {key_of("ecdsa-p256")->public_key(), key->public_key()};
  const auto hashes = supported_hashes();
  const auto auth = signed_by(office, theirs, &hashes);
  const wire::CertPayload own_key{CertEncoding::kRawPublicKey, key->public_key().spki_der(), false};
  EXPECT_TRUE(check(office, ours, auth, {own_key}));
  EXPECT_TRUE(check(office, ours, auth, {}));  // the list knows it anyway
  const auto peer = check(office, ours, auth);
  EXPECT_THAT(peer->text(), HasSubstr(pki::short_fingerprint(key->public_key())));

  ours.public_keys.pop_back();
  refused(check(office, ours, auth, {own_key}), ike::FailureKind::kAuthentication, "not among the keys");
  refused(check(office, ours, auth, {}), ike::FailureKind::kAuthentication, "does not verify");
  ours.public_keys.clear();
  refused(check(office, ours, auth, {}), ike::FailureKind::kCertificate, "public key");
  refused(check(office, ours, auth, {{CertEncoding::kRawPublicKey, Bytes(5), false}}),
          ike::FailureKind::kCertificate, "not accepted");
}

// ---- what we send

TEST_F(Authentication, CertificatesGoOutWhenAskedFor) {
  World world;
  const auto key = key_of("ecdsa-p256");
  auto office = connection(AuthKind::kCertificate);
  ike::ConnectionCredentials theirs;
  theirs.private_key = key;
  theirs.certificates = {world.issue(key, "gw-b.example.com")};
  const wire::CertreqPayload any_x509 = wire::CertreqPayload::of(CertEncoding::kX509Signature, {});
  const wire::CertreqPayload raw = wire::CertreqPayload::of(CertEncoding::kRawPublicKey, {});
  const std::vector<const wire::CertreqPayload*> x509_request = {&any_x509}, raw_request = {&raw};
  EXPECT_TRUE(local_cert_payloads(office, theirs, {}).empty());
  EXPECT_TRUE(local_cert_payloads(office, theirs, raw_request).empty());
  EXPECT_EQ(local_cert_payloads(office, theirs, x509_request).size(), 1U);
  office.send_cert = policy::Connection::SendCert::kNever;
  EXPECT_TRUE(local_cert_payloads(office, theirs, x509_request).empty());

  auto raw_office = connection(AuthKind::kRawPublicKey);
  const auto payloads = local_cert_payloads(raw_office, theirs, raw_request);
  ASSERT_EQ(payloads.size(), 1U);
  EXPECT_EQ(payloads[0].encoding, CertEncoding::kRawPublicKey);
  EXPECT_EQ(payloads[0].data, key->public_key().spki_der());
}

TEST_F(Authentication, RequestsNameOurAnchors) {
  World world;
  ike::ConnectionCredentials ours;
  ours.trust = world.trust();
  const auto office = connection(AuthKind::kCertificate);
  const auto requests = certreq_payloads(office, ours);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].encoding, CertEncoding::kX509Signature);
  EXPECT_EQ(requests[0].authorities, ours.trust->certreq_hashes());
  EXPECT_TRUE(certreq_payloads(connection(AuthKind::kPsk), {}).empty());

  const auto raw_office = connection(AuthKind::kRawPublicKey);
  const ike::ConnectionCredentials nothing;
  const std::vector<std::pair<const policy::Connection*, const ike::ConnectionCredentials*>> several = {
      {&office, &ours}, {&office, &ours}, {&raw_office, &nothing}, {nullptr, nullptr}};
  const auto joined = certreq_payloads(several);
  ASSERT_EQ(joined.size(), 2U);
  EXPECT_EQ(joined[0].authorities.size(), 20U);
  EXPECT_EQ(joined[1].encoding, CertEncoding::kRawPublicKey);
  EXPECT_TRUE(joined[1].authorities.empty());
}

TEST_F(Authentication, IdentityFollowsFromWhatWeHave) {
  World world;
  auto office = connection(AuthKind::kCertificate);
  ike::ConnectionCredentials ours;
  const auto address = *IpAddress::parse("2001:db8::1");
  EXPECT_EQ(local_identity(office, ours, address).type, IdType::kIpv6Addr);
  ours.private_key = key_of("ecdsa-p256");
  ours.certificates = {world.issue(ours.private_key, "gw-a.example.com")};
  EXPECT_EQ(local_identity(office, ours, address), value(Identity::parse("gw-a.example.com")));
  office.local_auth[0].id = value(Identity::parse("other.example.com"));
  EXPECT_EQ(local_identity(office, ours, address), value(Identity::parse("other.example.com")));
  const auto raw = local_identity(connection(AuthKind::kRawPublicKey), ours, address);
  EXPECT_EQ(raw.type, IdType::kKeyId);
  EXPECT_EQ(raw.data.size(), 32U);
}

TEST_F(Authentication, NoCommonHashFallsBackOrSaysSo) {
  World world;
  auto office = connection(AuthKind::kCertificate);
  ike::ConnectionCredentials ours;
  ours.private_key = key_of("ecdsa-p256");
  ours.certificates = {world.issue(ours.private_key, "gw-a.example.com")};
  const std::vector<HashId> only_sha1 = {HashId::kSha1};
  const auto plan = plan_local_auth(office, ours, &only_sha1);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->method, AuthMethod::kEcdsaSha256P256);
  ours.private_key = key_of("ed25519");
  const std::vector<HashId> without_identity = {HashId::kSha2_256};
  const auto none = plan_local_auth(office, ours, &without_identity);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().sentence, HasSubstr("merlon.toml:12"));
}

TEST(RemoteIdentity, IsComparedByKind) {
  auto office = connection(AuthKind::kCertificate);
  EXPECT_TRUE(remote_identity_acceptable(office, value(Identity::parse("GW-B.example.com"))));
  EXPECT_FALSE(remote_identity_acceptable(office, value(Identity::parse("keyid:gw-b.example.com"))));
  office.remote_auth[0].id = value(pki::identity_from_text("C=DE, O=Example, CN=gw"));
  EXPECT_TRUE(remote_identity_acceptable(office, value(pki::identity_from_text("C=DE, O=example, CN=GW"))));
  EXPECT_FALSE(remote_identity_acceptable(office, value(pki::identity_from_text("CN=gw, O=Example, C=DE"))));
  office.remote_auth[0].id.reset();
  office.remote_auth[0].id_pattern = "O=Example, CN=*";
  EXPECT_TRUE(remote_identity_acceptable(office, value(pki::identity_from_text("O=Example, CN=anybody"))));
  EXPECT_FALSE(remote_identity_acceptable(office, value(pki::identity_from_text("O=Elsewhere, CN=anybody"))));
  EXPECT_FALSE(remote_identity_acceptable(office, value(Identity::parse("gw-b.example.com"))));
  office.remote_auth[0].id_pattern.clear();
  EXPECT_TRUE(remote_identity_acceptable(office, value(Identity::parse("anything.example.com"))));
  office.remote_auth.clear();
  EXPECT_FALSE(remote_identity_acceptable(office, value(Identity::parse("anything.example.com"))));
}

}  // namespace
}  // namespace merlon::ikev2
