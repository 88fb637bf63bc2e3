#include "pki/trust_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pki/test_support.h"

namespace merlon::pki {
namespace {

using std::chrono::days;

TrustStore trusting(const Certificate& anchor) {
  TrustStore store;
  const auto added = store.add_anchor(anchor);
  EXPECT_TRUE(added) << added.error().message;
  return store;
}

// The failure, or nothing for a chain that was accepted; its sentence goes to `message`.
std::optional<ChainFailure> failure(const TrustStore& store, const Certificate& leaf,
                                    std::vector<Certificate> intermediates = {}, UnixTime now = kToday,
                                    RevocationPolicy policy = RevocationPolicy::kIfPresent,
                                    std::string* message = nullptr) {
  const auto chain = store.verify(leaf, intermediates, now, policy);
  if (chain) return std::nullopt;
  if (message != nullptr) *message = chain.error().message;
  EXPECT_EQ(chain.error().code, chain.error().failure == ChainFailure::kExpired ? ErrorCode::kExpired
                                                                                : ErrorCode::kAuthentication);
  return chain.error().failure;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

RevokedCertificate revoked(const Certificate& certificate,
                           RevocationReason reason = RevocationReason::kKeyCompromise) {
  return {*from_hex(certificate.serial_hex()), kToday - days{1}, reason};
}

TEST(TrustStore, AcceptsALeafOfItsAnchorForEveryKindOfKey) {
  for (const std::string_view kind : key_kinds()) {
    if (kind == "rsa-4096") continue;  // makes the test slow and says nothing that rsa-3072 does not
    TestAuthority authority("O=Example, CN=CA", kind);
    const Certificate leaf = authority.issue(spec_for("O=Example, CN=gw", {"gw.example"}), kind);
    const TrustStore store = trusting(authority.certificate);
    const auto chain = store.verify(leaf, {}, kToday, RevocationPolicy::kIfPresent);
    ASSERT_TRUE(chain) << kind << ": " << chain.error().message;
    ASSERT_EQ(chain->certificates.size(), 2U);
    EXPECT_EQ(chain->leaf(), leaf);
    EXPECT_EQ(chain->anchor(), authority.certificate);
    EXPECT_EQ(chain->valid_until, kToday + kYear);
  }
}

TEST(TrustStore, FollowsIntermediatesInAnyOrderAndIgnoresOthers) {
  TestAuthority root("CN=root");
  TestAuthority other("CN=other", "ed25519", 2);
  CertificateSpec spec = spec_for("CN=int");
  spec.role = CertificateRole::kAuthority;
  spec.not_after = kToday + days{30};
  const auto key = value_or_die(generate_key("ecdsa-p256"));
  const Certificate intermediate = root.issue(spec, key.public_key());
  const Certificate leaf = value_or_die(make_certificate(
      intermediate, key, value_or_die(generate_key("ed25519")).public_key(), spec_for("CN=gw"), root.rng));
  const TrustStore store = trusting(root.certificate);
  const std::vector<Certificate> offered{other.certificate, intermediate, leaf};
  const auto chain = store.verify(leaf, offered, kToday, RevocationPolicy::kIfPresent);
  ASSERT_TRUE(chain) << chain.error().message;
  EXPECT_EQ(chain->certificates.size(), 3U);
  EXPECT_EQ(chain->valid_until, kToday + days{30});

  std::string message;
  EXPECT_EQ(failure(store, leaf, {}, kToday, RevocationPolicy::kIfPresent, &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_EQ(message,
            "no trusted CA issued certificate 'CN=gw': its issuer is 'CN=int', trusted is 'CN=root'");
  EXPECT_EQ(failure(trusting(other.certificate), leaf, {intermediate}, kToday, RevocationPolicy::kIfPresent,
                    &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_EQ(message,
            "no trusted CA issued certificate 'CN=gw': its chain ends at 'CN=int', whose issuer is "
            "'CN=root', trusted is 'CN=other'");
}

TEST(TrustStore, NoAnchorNoTrust) {
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  std::string message;
  EXPECT_EQ(failure(TrustStore(), leaf, {authority.certificate}, kToday, RevocationPolicy::kNone, &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_TRUE(contains(message, "no CA is configured as trusted")) << message;
}

TEST(TrustStore, AnAnchorIsSelfSigned) {
  TestAuthority authority("CN=CA");
  TrustStore store;
  const auto refused = store.add_anchor(authority.issue(spec_for("CN=gw")));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(store.anchors().empty());
  EXPECT_TRUE(store.add_anchor(authority.certificate));
  EXPECT_TRUE(store.add_anchor(authority.certificate));
  EXPECT_EQ(store.anchors().size(), 1U);
}

TEST(TrustStore, ASelfSignedLeafIsTrustedOnlyByItself) {
  const auto key = value_or_die(generate_key("ed25519"));
  SeededRng rng(1);
  const Certificate leaf = value_or_die(make_self_signed(key, spec_for("CN=gw", {"gw.example"}), rng));
  EXPECT_EQ(failure(trusting(leaf), leaf, {}, kToday, RevocationPolicy::kRequired), std::nullopt);
  TestAuthority authority("CN=CA");
  std::string message;
  EXPECT_EQ(failure(trusting(authority.certificate), leaf, {}, kToday, RevocationPolicy::kNone, &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_TRUE(contains(message, "self-signed")) << message;
  // And it vouches for nobody.
  const Certificate forged = [&] {
    TestAuthority fake("CN=gw");
    return fake.issue(spec_for("CN=victim"));
  }();
  EXPECT_EQ(failure(trusting(leaf), forged), ChainFailure::kUntrustedIssuer);
}

TEST(TrustStore, AnotherCaOfTheSameName) {
  TestAuthority trusted("CN=CA");
  TestAuthority impostor("CN=CA", "ed25519", 2);
  std::string message;
  const Certificate leaf = impostor.issue(spec_for("CN=gw"));
  EXPECT_EQ(failure(trusting(trusted.certificate), leaf, {impostor.certificate}, kToday,
                    RevocationPolicy::kNone, &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_EQ(failure(trusting(trusted.certificate), leaf, {}, kToday, RevocationPolicy::kNone, &message),
            ChainFailure::kUntrustedIssuer);
  EXPECT_TRUE(contains(message, "another key")) << message;
}

TEST(TrustStore, AnAlteredCertificateIsRefused) {
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw", {"gw.example"}));
  Bytes der = leaf.der();
  const std::string_view text = as_text(der);
  der[text.find("gw.example")] = 'h';
  const auto altered = Certificate::from_der(der);
  ASSERT_TRUE(altered);
  EXPECT_EQ(failure(trusting(authority.certificate), *altered), ChainFailure::kBadSignature);
  der = leaf.der();
  der.back() ^= 1U;
  EXPECT_EQ(failure(trusting(authority.certificate), *Certificate::from_der(der)),
            ChainFailure::kBadSignature);
}

TEST(TrustStore, Times) {
  TestAuthority authority("CN=CA");
  CertificateSpec spec = spec_for("CN=b", {"b.example"});
  spec.not_before = kToday - days{10};
  spec.not_after = kToday - days{3};
  std::string message;
  const Certificate expired = authority.issue(spec);
  const TrustStore store = trusting(authority.certificate);
  EXPECT_EQ(failure(store, expired, {}, kToday, RevocationPolicy::kIfPresent, &message),
            ChainFailure::kExpired);
  EXPECT_EQ(message, "certificate 'CN=b' (b.example) expired 2026-10-01T00:00:00Z (3 days ago)");
  EXPECT_EQ(failure(store, expired, {}, kToday - days{4}), ChainFailure::kNotYetValid)
      << "the CA itself is younger";

  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  EXPECT_EQ(failure(store, leaf, {}, kToday - days{2}, RevocationPolicy::kIfPresent, &message),
            ChainFailure::kNotYetValid);
  EXPECT_TRUE(contains(message, "check the clock: it is 2026-10-02T00:00:00Z here")) << message;
  // The bounds are inclusive (RFC 5280 4.1.2.5).
  EXPECT_EQ(failure(store, leaf, {}, leaf.not_before()), std::nullopt);
  EXPECT_EQ(failure(store, leaf, {}, leaf.not_after() - std::chrono::seconds{1}), std::nullopt);
  EXPECT_EQ(
      failure(store, leaf, {}, leaf.not_after() + std::chrono::seconds{1}, RevocationPolicy::kNone, &message),
      ChainFailure::kExpired);
}

TEST(Revocation, Policies) {
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw", {"gw.example"}));
  const Certificate good = authority.issue(spec_for("CN=good"));
  TrustStore store = trusting(authority.certificate);
  std::string message;

  EXPECT_EQ(failure(store, leaf, {}, kToday, RevocationPolicy::kIfPresent), std::nullopt);
  EXPECT_EQ(failure(store, leaf, {}, kToday, RevocationPolicy::kRequired, &message),
            ChainFailure::kCrlMissing);
  EXPECT_TRUE(contains(message, "no CRL of 'CN=CA' is loaded")) << message;

  ASSERT_TRUE(store.add_crl(authority.crl({revoked(leaf)})));
  for (const auto policy : {RevocationPolicy::kIfPresent, RevocationPolicy::kRequired}) {
    EXPECT_EQ(failure(store, leaf, {}, kToday, policy, &message), ChainFailure::kRevoked);
    EXPECT_EQ(message,
              "certificate 'CN=gw' (gw.example) was revoked by 'CN=CA' on 2026-10-03T00:00:00Z (reason: "
              "keyCompromise)");
    EXPECT_EQ(failure(store, good, {}, kToday, policy), std::nullopt);
    EXPECT_EQ(failure(store, good, {}, kToday + days{9}, policy, &message), ChainFailure::kCrlExpired);
    EXPECT_TRUE(contains(message, "expired 2026-10-11T00:00:00Z (2 days ago)")) << message;
    EXPECT_EQ(failure(store, good, {}, kToday - std::chrono::hours{1}, policy, &message),
              ChainFailure::kNotYetValid);
    EXPECT_TRUE(contains(message, "CRL of 'CN=CA' is valid only from")) << message;
  }
  EXPECT_EQ(failure(store, leaf, {}, kToday, RevocationPolicy::kNone), std::nullopt);
}

TEST(Revocation, ANewerCrlTakesOver) {
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  TrustStore store = trusting(authority.certificate);
  ASSERT_TRUE(store.add_crl(authority.crl({revoked(leaf)}, kToday)));
  ASSERT_TRUE(store.add_crl(authority.crl({}, kToday - days{20})));
  EXPECT_EQ(store.crl_count(), 2U);
  EXPECT_EQ(failure(store, leaf), ChainFailure::kRevoked) << "not the expired one";
}

TEST(Revocation, OfAnIntermediate) {
  TestAuthority root("CN=root");
  CertificateSpec spec = spec_for("CN=int");
  spec.role = CertificateRole::kAuthority;
  const auto key = value_or_die(generate_key("ed25519"));
  const Certificate intermediate = root.issue(spec, key.public_key());
  const Certificate leaf = value_or_die(make_certificate(
      intermediate, key, value_or_die(generate_key("ed25519")).public_key(), spec_for("CN=gw"), root.rng));
  TrustStore store = trusting(root.certificate);
  ASSERT_TRUE(store.add_crl(root.crl({})));
  EXPECT_EQ(failure(store, leaf, {intermediate}), std::nullopt) << "no CRL of CN=int is loaded: not required";
  EXPECT_EQ(failure(store, leaf, {intermediate}, kToday, RevocationPolicy::kRequired),
            ChainFailure::kCrlMissing);
  ASSERT_TRUE(store.add_crl(value_or_die(make_crl(intermediate, key, {1, kToday, kToday + days{7}, {}}))));
  EXPECT_EQ(failure(store, leaf, {intermediate}, kToday, RevocationPolicy::kRequired), std::nullopt);

  TrustStore strict = trusting(root.certificate);
  ASSERT_TRUE(strict.add_crl(root.crl({revoked(intermediate, RevocationReason::kCaCompromise)})));
  std::string message;
  EXPECT_EQ(failure(strict, leaf, {intermediate}, kToday, RevocationPolicy::kIfPresent, &message),
            ChainFailure::kRevoked);
  EXPECT_TRUE(contains(message, "CA certificate 'CN=int' was revoked by 'CN=root'")) << message;
}

TEST(Revocation, ACrlOfAnImpostorIsRefused) {
  TestAuthority authority("CN=CA");
  TestAuthority impostor("CN=CA", "ed25519", 2);
  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  TrustStore store = trusting(authority.certificate);
  ASSERT_TRUE(store.add_crl(impostor.crl({})));
  const auto result = failure(store, leaf, {}, kToday, RevocationPolicy::kRequired);
  EXPECT_TRUE(result == ChainFailure::kBadSignature || result == ChainFailure::kCrlMissing ||
              result == ChainFailure::kMalformed);
  EXPECT_NE(result, std::nullopt);
}

TEST(Revocation, DamagedCrlsAreRefused) {
  TestAuthority authority("CN=CA");
  const Bytes crl = authority.crl({});
  TrustStore store;
  for (std::size_t length = 0; length < crl.size(); ++length)
    EXPECT_FALSE(store.add_crl(ByteView(crl).first(length)));
  EXPECT_FALSE(store.add_crl(concat(crl, Bytes{0})));
  EXPECT_FALSE(store.add_crl(as_bytes("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")));
  EXPECT_EQ(store.crl_count(), 0U);
  EXPECT_TRUE(store.add_crl(as_bytes(crl_to_pem(crl))));
}

TEST(TrustStore, CertificateAuthoritiesOnlyAboveALeaf) {
  TestAuthority root("CN=root");
  const auto key = value_or_die(generate_key("ed25519"));
  const Certificate gateway = root.issue(spec_for("CN=gw"), key.public_key());
  // A gateway's certificate that plays CA: our own builder refuses, so a fake issuer of its name and key
  // signs.
  SeededRng rng(3);
  const Certificate fake = value_or_die(make_root(key, spec_for("CN=gw"), rng));
  const Certificate victim = value_or_die(make_certificate(
      fake, key, value_or_die(generate_key("ed25519")).public_key(), spec_for("CN=victim"), rng));
  EXPECT_FALSE(make_certificate(gateway, key, key.public_key(), spec_for("CN=victim"), rng));
  const auto result = failure(trusting(root.certificate), victim, {gateway});
  EXPECT_TRUE(result == ChainFailure::kConstraint || result == ChainFailure::kUntrustedIssuer);
}

TEST(TrustStore, LimitsPathLengthAndDepth) {
  TestAuthority root("CN=root");
  CertificateSpec spec = spec_for("CN=int1");
  spec.role = CertificateRole::kAuthority;  // pathlen 0
  const auto key1 = value_or_die(generate_key("ed25519"));
  const auto key2 = value_or_die(generate_key("ed25519"));
  const Certificate first = root.issue(spec, key1.public_key());
  spec.subject_dn = value_or_die(dn_from_text("CN=int2"));
  const Certificate second = value_or_die(make_certificate(first, key1, key2.public_key(), spec, root.rng));
  const Certificate leaf =
      value_or_die(make_certificate(second, key2, key1.public_key(), spec_for("CN=gw"), root.rng));
  std::string message;
  EXPECT_EQ(
      failure(trusting(root.certificate), leaf, {first, second}, kToday, RevocationPolicy::kNone, &message),
      ChainFailure::kConstraint);
  EXPECT_TRUE(contains(message, "path length")) << message;
  EXPECT_EQ(
      failure(trusting(root.certificate), leaf, std::vector<Certificate>(kMaxCertificatesOffered + 1, first)),
      ChainFailure::kMalformed);
}

TEST(TrustStore, CertreqHashes) {
  TestAuthority a("CN=a");
  TestAuthority b("CN=b", "ecdsa-p256");
  TrustStore store = trusting(a.certificate);
  ASSERT_TRUE(store.add_anchor(b.certificate));
  EXPECT_EQ(store.certreq_hashes(), concat(a.certificate.spki_sha1(), b.certificate.spki_sha1()));
  const std::vector<Certificate> chain{b.issue(spec_for("CN=gw")), b.certificate};
  EXPECT_TRUE(answers_certreq(chain, store.certreq_hashes()));
  EXPECT_TRUE(answers_certreq(chain, {}));
  EXPECT_FALSE(answers_certreq(chain, a.certificate.spki_sha1()));
  EXPECT_FALSE(answers_certreq({}, a.certificate.spki_sha1()));
}

// What our own builder would never make comes from the openssl command.
class OpensslMade : public ::testing::Test {
 protected:
  void SetUp() override {
    MERLON_NEEDS_OPENSSL_COMMAND();
    // now: the openssl command knows no other day to begin with
    now_ = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + std::chrono::hours{1};
  }
  // A CA in ca.pem and ca.key, and a leaf in leaf.pem, made with these extension sections.
  void make(const std::string& ca_extensions, const std::string& leaf_extensions,
            const std::string& ca_key = "ec -pkeyopt ec_paramgen_curve:P-256",
            const std::string& leaf_key = "ec -pkeyopt ec_paramgen_curve:P-256",
            const std::string& digest = "-sha256", const std::string& subject = "/O=Example/CN=gw") {
    scratch_.write("ext.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[ca]\n" + ca_extensions + "\n[leaf]\n" +
                                  leaf_extensions + "\n");
    const auto made = scratch_.run(
        "openssl req -x509 -newkey " + ca_key +
        " -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=CA -config ext.cnf -extensions ca " + digest +
        " && openssl req -new -newkey " + leaf_key + " -nodes -keyout leaf.key -out leaf.csr -subj '" +
        subject + "' -config ext.cnf" +
        " && openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 20 "
        "-extfile ext.cnf -extensions leaf " +
        digest);
    ASSERT_EQ(made.status, 0) << made.text;
  }
  std::optional<ChainFailure> check(RevocationPolicy policy = RevocationPolicy::kIfPresent) {
    const auto anchor = Certificate::from_pem(scratch_.read("ca.pem"));
    const auto leaf = Certificate::from_pem(scratch_.read("leaf.pem"));
    EXPECT_TRUE(anchor && leaf);
    TrustStore store = trusting(*anchor);
    if (std::filesystem::exists(scratch_ / "crl.pem")) {
      EXPECT_TRUE(store.add_crl(as_bytes(scratch_.read("crl.pem"))));
    }
    return failure(store, *leaf, {}, now_, policy, &message_);
  }

  static constexpr const char* kCa =
      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";
  static constexpr const char* kLeaf = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:gw.example.com";
  ScratchDirectory scratch_;
  UnixTime now_;
  std::string message_;
};

TEST_F(OpensslMade, PlainChain) {
  make(kCa, kLeaf);
  EXPECT_EQ(check(), std::nullopt) << message_;
}

TEST_F(OpensslMade, RsaPssSignedChain) {
  make(kCa, kLeaf, "rsa:2048", "rsa:2048", "-sha256 -sigopt rsa_padding_mode:pss");
  EXPECT_EQ(check(), std::nullopt) << message_;
}

TEST_F(OpensslMade, NameConstraints) {
  const std::string constrained = std::string(kCa) + "\nnameConstraints=critical,permitted;DNS:example.com";
  make(constrained, kLeaf);
  EXPECT_EQ(check(), std::nullopt) << message_;
  make(constrained, "subjectAltName=DNS:gw.example.org");
  EXPECT_EQ(check(), ChainFailure::kConstraint);
  EXPECT_TRUE(contains(message_, "name constraints")) << message_;
  make(std::string(kCa) + "\nnameConstraints=critical,excluded;IP:192.0.2.0/255.255.255.0",
       "subjectAltName=IP:192.0.2.7");
  EXPECT_EQ(check(), ChainFailure::kConstraint);
}

TEST_F(OpensslMade, WeakKeysAndHashes) {
  make(kCa, kLeaf, "rsa:1024", "ec -pkeyopt ec_paramgen_curve:P-256");
  EXPECT_EQ(check(), ChainFailure::kWeak) << message_;
  make(kCa, kLeaf, "rsa:2048", "rsa:1024");
  EXPECT_EQ(check(), ChainFailure::kWeak) << message_;
  EXPECT_TRUE(contains(message_, "2048")) << message_;
  make(kCa, kLeaf, "rsa:2048", "rsa:2048", "-sha1");
  EXPECT_EQ(check(), ChainFailure::kWeak) << message_;
}

TEST_F(OpensslMade, KindsOfKeysThatIkeDoesNotHave) {
  make(kCa, kLeaf, "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:secp256k1");
  EXPECT_NE(check(), std::nullopt);
}

TEST_F(OpensslMade, KeyUsage) {
  make(kCa, "keyUsage=keyEncipherment");
  EXPECT_EQ(check(), ChainFailure::kConstraint);
  EXPECT_TRUE(contains(message_, "may not sign")) << message_;
  make(kCa, "keyUsage=nonRepudiation");
  EXPECT_EQ(check(), std::nullopt) << message_;
}

TEST_F(OpensslMade, ExtendedKeyUsage) {
  make(kCa, "extendedKeyUsage=codeSigning");
  EXPECT_EQ(check(), ChainFailure::kConstraint);
  EXPECT_TRUE(contains(message_, "not meant for IKE")) << message_;
  for (const char* usage :
       {"codeSigning,serverAuth", "clientAuth", "anyExtendedKeyUsage", "ipsecIKE", "1.3.6.1.5.5.8.2.2"}) {
    make(kCa, std::string("extendedKeyUsage=") + usage);
    EXPECT_EQ(check(), std::nullopt) << usage << message_;
  }
}

TEST_F(OpensslMade, AnchorsWithoutTheCaFlagIssueNothing) {
  make("basicConstraints=critical,CA:FALSE", kLeaf);
  EXPECT_NE(check(), std::nullopt);
  make("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature", kLeaf);
  EXPECT_NE(check(), std::nullopt);
}

TEST_F(OpensslMade, UnknownCriticalExtension) {
  make(kCa, "1.2.3.4.5=critical,DER:0500");
  EXPECT_EQ(check(), ChainFailure::kConstraint) << message_;
  make(kCa, "1.2.3.4.5=DER:0500");
  EXPECT_EQ(check(), std::nullopt) << message_;
}

TEST_F(OpensslMade, Crl) {
  make(kCa, kLeaf);
  scratch_.write("ca.cnf",
                 "[ca]\ndefault_ca=c\n[c]\ndatabase=db\ncrlnumber=number\ndefault_md=sha256\ncertificate=ca."
                 "pem\nprivate_key=ca.key\ndefault_crl_days=7\n");
  const auto clean =
      scratch_.run("touch db && echo 01 > number && openssl ca -config ca.cnf -gencrl -out crl.pem");
  ASSERT_EQ(clean.status, 0) << clean.text;
  EXPECT_EQ(check(RevocationPolicy::kRequired), std::nullopt) << message_;
  const auto revoke = scratch_.run(
      "openssl ca -config ca.cnf -revoke leaf.pem -crl_reason superseded && openssl ca -config ca.cnf "
      "-gencrl -out crl.pem");
  ASSERT_EQ(revoke.status, 0) << revoke.text;
  EXPECT_EQ(check(), ChainFailure::kRevoked);
  EXPECT_TRUE(contains(message_, "(reason: superseded)")) << message_;
  const auto old = scratch_.run("openssl ca -config ca.cnf -gencrl -md sha1 -out sha1.pem");
  ASSERT_EQ(old.status, 0) << old.text;
  TrustStore store;
  EXPECT_FALSE(store.add_crl(as_bytes(scratch_.read("sha1.pem"))));
}

}  // namespace
}  // namespace merlon::pki
