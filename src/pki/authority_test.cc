#include "pki/authority.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "pki/authority_index.h"
#include "pki/identity_match.h"
#include "pki/test_support.h"
#include "pki/trust_store.h"

namespace merlon::pki {
namespace {

using std::chrono::days;

AuthorityOptions options(const std::string& kind = "ed25519") {
  return {kind, "O=Example, CN=VPN CA", days{3650}};
}
IssueOptions gateway() {
  return {"O=Example, CN=gw", {"gw.example.com", "192.0.2.1"}, CertificateRole::kGateway, days{365}};
}

class AuthorityTest : public ::testing::Test {
 protected:
  Authority make(const std::string& kind = "ed25519") {
    return value_or_die(Authority::create(scratch_ / "ca", options(kind), rng_, kToday));
  }
  ScratchDirectory scratch_;
  SeededRng rng_{7};
  crypto::PrivateKey key_ = value_or_die(generate_key("ed25519"));
};

TEST_F(AuthorityTest, CreateIssueRevokeAndCrl) {
  Authority authority = make();
  const Certificate first = value_or_die(authority.issue(key_.public_key(), gateway(), rng_, kToday));
  const Certificate second = value_or_die(authority.issue(key_.public_key(), gateway(), rng_, kToday));
  EXPECT_NE(first.serial_hex(), second.serial_hex());
  EXPECT_TRUE(matches(first, *identity_from_text("gw.example.com")));
  EXPECT_TRUE(matches(first, *identity_from_text("192.0.2.1")));

  TrustStore store;
  ASSERT_TRUE(store.add_anchor(authority.certificate()));
  EXPECT_TRUE(store.verify(first, {}, kToday, RevocationPolicy::kIfPresent));
  ASSERT_TRUE(authority.revoke(first.serial_hex(), RevocationReason::kKeyCompromise, kToday));
  ASSERT_TRUE(authority.revoke(first.serial_hex(), RevocationReason::kSuperseded, kToday + days{1}))
      << "twice is no error";
  ASSERT_TRUE(store.add_crl(value_or_die(authority.write_crl(kToday, days{7}))));
  const auto refused = store.verify(first, {}, kToday, RevocationPolicy::kRequired);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().failure, ChainFailure::kRevoked);
  EXPECT_NE(refused.error().message.find("keyCompromise"), std::string::npos)
      << "the first revocation counts";
  EXPECT_TRUE(store.verify(second, {}, kToday, RevocationPolicy::kRequired));

  const auto issued = value_or_die(authority.list());
  ASSERT_EQ(issued.size(), 2U);
  EXPECT_EQ(issued[0].serial_hex, first.serial_hex());
  EXPECT_EQ(issued[0].revoked, kToday);
  EXPECT_EQ(issued[1].revoked, std::nullopt);
  EXPECT_EQ(issued[1].subject, "O=Example, CN=gw");
}

TEST_F(AuthorityTest, SerialsAsPeopleTypeThem) {
  Authority authority = make();
  const Certificate leaf = value_or_die(authority.issue(key_.public_key(), gateway(), rng_, kToday));
  std::string typed;
  for (const char c : leaf.serial_hex()) {
    if (!typed.empty() && typed.size() % 3 == 2) typed += ':';
    typed += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  EXPECT_TRUE(authority.revoke(typed, RevocationReason::kUnspecified, kToday)) << typed;
  EXPECT_EQ(authority.revoke("1234", RevocationReason::kUnspecified, kToday).error().code,
            ErrorCode::kNotFound);
}

TEST_F(AuthorityTest, LivesInItsDirectory) {
  const Certificate made = make("ecdsa-p256").certificate();
  struct stat info {};
  ASSERT_EQ(::stat((scratch_ / "ca/ca.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat((scratch_ / "ca").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
  auto again = Authority::create(scratch_ / "ca", options(), rng_, kToday);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kPolicy);
  auto opened = Authority::open(scratch_ / "ca");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->certificate(), made);
  EXPECT_TRUE(opened->issue(key_.public_key(), gateway(), rng_, kToday));
  EXPECT_EQ(Authority::open(scratch_ / "nowhere").error().code, ErrorCode::kNotFound);
  ASSERT_EQ(::chmod((scratch_ / "ca/ca.key").c_str(), 0644), 0);
  EXPECT_EQ(Authority::open(scratch_ / "ca").error().code, ErrorCode::kPolicy);
}

TEST_F(AuthorityTest, CrlNumbersIncrease) {
  Authority authority = make();
  ASSERT_TRUE(authority.write_crl(kToday, days{7}));
  ASSERT_TRUE(authority.write_crl(kToday, days{7}));
  EXPECT_EQ(AuthorityIndex::from_text(scratch_.read("ca/index"))->crl_number, 2U);
  EXPECT_FALSE(authority.write_crl(kToday, days{0}));
  MERLON_NEEDS_OPENSSL_COMMAND();
  const auto shown =
      scratch_.run("openssl crl -in ca/crl.pem -noout -crlnumber -nextupdate -verify -CAfile ca/ca.pem");
  EXPECT_NE(shown.text.find("crlNumber=0x02"), std::string::npos) << shown.text;
  EXPECT_NE(shown.text.find("verify OK"), std::string::npos) << shown.text;
  EXPECT_NE(shown.text.find("nextUpdate=Oct 11 00:00:00 2026 GMT"), std::string::npos) << shown.text;
}

TEST_F(AuthorityTest, OpensslAgreesAboutRevocation) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  for (const std::string_view kind : {"rsa-2048", "ecdsa-p384", "ed448"}) {
    std::filesystem::remove_all(scratch_ / "ca");
    Authority authority = make(std::string(kind));
    const Certificate good = value_or_die(authority.issue(key_.public_key(), gateway(), rng_, kToday));
    const Certificate bad = value_or_die(authority.issue(key_.public_key(), gateway(), rng_, kToday));
    ASSERT_TRUE(authority.revoke(bad.serial_hex(), RevocationReason::kSuperseded, kToday));
    ASSERT_TRUE(authority.write_crl(kToday, days{7}));
    scratch_.write("good.pem", good.to_pem());
    scratch_.write("bad.pem", bad.to_pem());
    const std::string verify = "openssl verify -x509_strict -crl_check -attime " +
                               std::to_string(kToday.time_since_epoch().count()) +
                               " -CAfile ca/ca.pem -CRLfile ca/crl.pem ";
    EXPECT_EQ(scratch_.run(verify + "good.pem").status, 0) << kind << scratch_.run(verify + "good.pem").text;
    EXPECT_NE(scratch_.run(verify + "bad.pem").text.find("certificate revoked"), std::string::npos) << kind;
    const auto text = scratch_.run("openssl crl -in ca/crl.pem -noout -text").text;
    EXPECT_NE(text.find("Superseded"), std::string::npos) << text;
  }
}

TEST_F(AuthorityTest, Requests) {
  Authority authority = make();
  SubjectAltNames asked;
  asked.dns = {"gw.example.com"};
  const CertificateRequest request =
      value_or_die(make_request(key_, *dn_from_text("O=Example, CN=gw"), asked));
  EXPECT_EQ(CertificateRequest::from_pem(request.to_pem())->names, asked);

  IssueOptions nothing{"", {}, CertificateRole::kGateway, days{30}};
  const auto refused = authority.issue_for_request(request, nothing, false, rng_, kToday);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPolicy);
  EXPECT_NE(refused.error().message.find("gw.example.com"), std::string::npos);

  const auto allowed = authority.issue_for_request(request, nothing, true, rng_, kToday);
  ASSERT_TRUE(allowed) << allowed.error().message;
  EXPECT_EQ(allowed->subject(), "O=Example, CN=gw");
  EXPECT_EQ(allowed->subject_alt_names(), asked);
  EXPECT_EQ(*allowed->public_key(), key_.public_key());

  const auto granted = authority.issue_for_request(request, gateway(), false, rng_, kToday);
  ASSERT_TRUE(granted) << granted.error().message;
  EXPECT_TRUE(matches(*granted, *identity_from_text("192.0.2.1")));
}

TEST_F(AuthorityTest, RequestsWithNamesThatNobodyGets) {
  Authority authority = make();
  IssueOptions nothing{"", {}, CertificateRole::kGateway, days{30}};
  for (const std::string& name : {std::string("*.example.com"), std::string("a\0b", 3),
                                  std::string("10.0.0.1"), std::string("a b"), std::string()}) {
    SubjectAltNames asked;
    asked.dns = {name};
    const CertificateRequest request = value_or_die(make_request(key_, *dn_from_text("CN=gw"), asked));
    EXPECT_FALSE(authority.issue_for_request(request, nothing, true, rng_, kToday)) << printable(name);
  }
}

TEST_F(AuthorityTest, ProofOfPossession) {
  const CertificateRequest request = value_or_die(make_request(key_, *dn_from_text("CN=gw"), {}));
  Bytes altered = request.der;
  altered.back() ^= 1U;
  EXPECT_EQ(CertificateRequest::from_der(altered).error().code, ErrorCode::kAuthentication);
  altered = request.der;
  const std::string_view text = as_text(altered);
  altered[text.find("gw")] = 'G';
  EXPECT_EQ(CertificateRequest::from_der(altered).error().code, ErrorCode::kAuthentication);
  for (std::size_t length = 0; length < request.der.size(); ++length)
    EXPECT_FALSE(CertificateRequest::from_der(ByteView(request.der).first(length)));
  EXPECT_FALSE(CertificateRequest::from_pem("nonsense"));
}

TEST_F(AuthorityTest, OpensslRequests) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  Authority authority = make();
  const auto made = scratch_.run(
      "openssl req -new -newkey rsa:2048 -nodes -keyout k.pem -out r.pem -subj /O=Example/CN=alice "
      "-addext subjectAltName=DNS:alice.example.com,email:alice@example.com");
  ASSERT_EQ(made.status, 0) << made.text;
  const auto request = CertificateRequest::from_pem(scratch_.read("r.pem"));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->names.dns, std::vector<std::string>{"alice.example.com"});
  EXPECT_EQ(request->names.email, std::vector<std::string>{"alice@example.com"});
  IssueOptions client{"", {}, CertificateRole::kClient, days{30}};
  const auto certificate = authority.issue_for_request(*request, client, true, rng_, kToday);
  ASSERT_TRUE(certificate) << certificate.error().message;
  scratch_.write("ours.pem",
                 value_or_die(make_request(key_, *dn_from_text("CN=gw"), request->names)).to_pem());
  const auto checked = scratch_.run("openssl req -in ours.pem -noout -verify -text");
  EXPECT_EQ(checked.status, 0);
  EXPECT_NE(checked.text.find("verify OK"), std::string::npos) << checked.text;
  EXPECT_NE(checked.text.find("DNS:alice.example.com"), std::string::npos) << checked.text;
}

TEST_F(AuthorityTest, RefusesWhatMakesNoSense) {
  Authority authority = make();
  const auto issue = [&](const IssueOptions& wanted) {
    return authority.issue(key_.public_key(), wanted, rng_, kToday);
  };
  EXPECT_FALSE(issue({"", {}, CertificateRole::kGateway, days{1}})) << "nobody";
  EXPECT_FALSE(issue({"CN=gw", {"*.example.com"}, CertificateRole::kGateway, days{1}}));
  EXPECT_FALSE(issue({"CN=gw", {"keyid:1"}, CertificateRole::kGateway, days{1}}));
  EXPECT_FALSE(issue({"CN=gw", {}, CertificateRole::kGateway, days{0}}));
  EXPECT_FALSE(issue({"gw", {}, CertificateRole::kGateway, days{1}}));
  EXPECT_TRUE(value_or_die(authority.list()).empty());
  EXPECT_FALSE(generate_key("dsa"));
  EXPECT_FALSE(Authority::create(scratch_ / "other", {"ed25519", "", days{1}}, rng_, kToday));
}

TEST_F(AuthorityTest, NothingOutlivesItsAuthority) {
  Authority authority = make();
  IssueOptions wanted = gateway();
  wanted.lifetime = days{9999};
  EXPECT_EQ(value_or_die(authority.issue(key_.public_key(), wanted, rng_, kToday)).not_after(),
            authority.certificate().not_after());
  EXPECT_EQ(authority.issue(key_.public_key(), wanted, rng_, kToday + days{4000}).error().code,
            ErrorCode::kExpired);
}

TEST(AuthorityIndex, RoundTripsAndRefusesDamage) {
  AuthorityIndex index;
  index.crl_number = 41;
  index.issued = {{"4142", kToday, kToday + days{1}, std::nullopt, RevocationReason::kUnspecified, "CN=a"},
                  {"4143", kToday, kToday + days{2}, kToday + days{1}, RevocationReason::kCaCompromise, ""}};
  const auto back = AuthorityIndex::from_text(index.to_text());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->crl_number, 41U);
  EXPECT_EQ(back->issued, index.issued);
  EXPECT_FALSE(AuthorityIndex::from_text(""));
  EXPECT_FALSE(AuthorityIndex::from_text("merlon-authority-index 1\n"));
  EXPECT_FALSE(AuthorityIndex::from_text("merlon-authority-index 1\ncrl-number x\n"));
  EXPECT_FALSE(AuthorityIndex::from_text("merlon-authority-index 1\ncrl-number 1\n4142\tyesterday\n"));
}

}  // namespace
}  // namespace merlon::pki
