#include "pki/identity_match.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "pki/test_support.h"

namespace merlon::pki {
namespace {

using namespace std::string_literals;

Identity id(std::string_view text) {
  return value_or_die(identity_from_text(text));
}

class IdentityMatch : public ::testing::Test {
 protected:
  static TestAuthority& authority() {
    static TestAuthority instance("O=Example, CN=CA");
    return instance;
  }
  static Certificate with(const SubjectAltNames& names, const std::string& subject = "O=Example, CN=gw") {
    CertificateSpec spec = spec_for(subject);
    spec.names = names;
    return authority().issue(spec);
  }
  static SubjectAltNames dns(std::vector<std::string> names) {
    SubjectAltNames out;
    out.dns = std::move(names);
    return out;
  }
};

TEST_F(IdentityMatch, HostNames) {
  const Certificate certificate = with(dns({"gw.example.com", "Alt.Example.com."}));
  EXPECT_TRUE(matches(certificate, id("gw.example.com")));
  EXPECT_TRUE(matches(certificate, id("GW.EXAMPLE.COM")));
  EXPECT_TRUE(matches(certificate, id("gw.example.com.")));
  EXPECT_TRUE(matches(certificate, id("alt.example.com")));
  EXPECT_FALSE(matches(certificate, id("example.com")));
  EXPECT_FALSE(matches(certificate, id("x.gw.example.com")));
  EXPECT_FALSE(matches(certificate, {IdType::kFqdn, {}}));
  EXPECT_FALSE(matches(certificate, {IdType::kRfc822Addr, to_bytes(as_bytes("gw.example.com"))}))
      << "types never mix";
}

TEST_F(IdentityMatch, WildcardsSpeakForNobody) {
  const Certificate certificate = with(dns({"*.example.com"}));
  const auto result = matches(certificate, id("gw.example.com"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kAuthentication);
  EXPECT_NE(result.error().message.find("wildcards are not accepted"), std::string::npos)
      << result.error().message;
  EXPECT_FALSE(matches(certificate, {IdType::kFqdn, to_bytes(as_bytes("*.example.com"))}));
  EXPECT_FALSE(matches(with(dns({"gw.example.com"})), {IdType::kFqdn, to_bytes(as_bytes("*.example.com"))}));
}

TEST_F(IdentityMatch, EmbeddedNulIsRefused) {
  const std::string evil = "gw.example.com\0.evil.example"s;
  const Certificate certificate = with(dns({evil}));
  ASSERT_EQ(certificate.subject_alt_names().dns.at(0), evil) << "the name is not cut at the NUL";
  EXPECT_FALSE(matches(certificate, id("gw.example.com")));
  EXPECT_FALSE(matches(certificate, {IdType::kFqdn, to_bytes(as_bytes(evil))}));
  EXPECT_NE(
      matches(certificate, id("gw.example.com")).error().message.find("gw.example.com\\x00.evil.example"),
      std::string::npos);
  EXPECT_FALSE(
      matches(with(dns({"gw.example.com"})), {IdType::kFqdn, to_bytes(as_bytes("gw.example.com\0"s))}));
}

TEST_F(IdentityMatch, TheCommonNameIsNoHostName) {
  const auto result = matches(with({}, "O=Example, CN=gw.example.com"), id("gw.example.com"));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("not as the CN"), std::string::npos) << result.error().message;
}

TEST_F(IdentityMatch, Mailboxes) {
  SubjectAltNames names;
  names.email = {"Bob@Example.com"};
  const Certificate certificate = with(names);
  EXPECT_TRUE(matches(certificate, id("Bob@example.COM")));
  EXPECT_FALSE(matches(certificate, id("bob@example.com"))) << "the local part is compared exactly";
  EXPECT_FALSE(matches(certificate, id("example.com")));
}

TEST_F(IdentityMatch, Addresses) {
  SubjectAltNames names;
  names.ip = {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")};
  const Certificate certificate = with(names);
  EXPECT_TRUE(matches(certificate, id("192.0.2.1")));
  EXPECT_TRUE(matches(certificate, id("2001:db8::1")));
  EXPECT_FALSE(matches(certificate, id("192.0.2.2")));
  EXPECT_FALSE(matches(certificate, {IdType::kIpv4Addr, {192, 0, 2}}));
  EXPECT_FALSE(matches(certificate, {IdType::kIpv6Addr, {192, 0, 2, 1}}));
  EXPECT_FALSE(matches(with(dns({"192.0.2.1"})), id("192.0.2.1"))) << "an address as dNSName is no address";
}

TEST_F(IdentityMatch, DistinguishedNames) {
  const Certificate certificate = with({}, "O=Example, CN=gw");
  EXPECT_TRUE(matches(certificate, id("O=Example, CN=gw")));
  EXPECT_TRUE(matches(certificate, id("o=example, cn=GW")));
  EXPECT_EQ(as_carried(certificate, id("o=example, cn=GW")).data, certificate.subject_dn_der());
  EXPECT_FALSE(matches(certificate, id("O=Example, CN=gw2")));
  EXPECT_FALSE(matches(certificate, id("O=Example")));
  const auto swapped = matches(certificate, id("CN=gw, O=Example"));
  ASSERT_FALSE(swapped);
  EXPECT_NE(swapped.error().message.find("another order"), std::string::npos);
  EXPECT_FALSE(matches(certificate, {IdType::kDerAsn1Dn, {}}));
  EXPECT_FALSE(matches(certificate, {IdType::kDerAsn1Dn, {0x30, 0x00}}));
}

TEST_F(IdentityMatch, AnEmptySubjectIsNoIdentity) {
  CertificateSpec spec = spec_for("CN=x", {"gw.example.com"});
  spec.subject_dn.clear();
  const Certificate certificate = authority().issue(spec);
  EXPECT_FALSE(matches(certificate, {IdType::kDerAsn1Dn, {0x30, 0x00}}));
  EXPECT_TRUE(matches(certificate, id("gw.example.com")));
  EXPECT_EQ(identities_of(certificate), std::vector<Identity>{id("gw.example.com")});
}

TEST_F(IdentityMatch, KeyIdsAndOtherTypesNeverMatch) {
  const Certificate certificate = with(dns({"gw.example.com"}));
  EXPECT_FALSE(matches(certificate, {IdType::kKeyId, to_bytes(as_bytes("gw.example.com"))}));
  EXPECT_FALSE(matches(certificate, {IdType::kKeyId, certificate.subject_dn_der()}));
  EXPECT_FALSE(matches(certificate, {IdType::kDerAsn1Gn, certificate.subject_dn_der()}));
  EXPECT_FALSE(matches(certificate, {IdType::kNull, {}}));
  EXPECT_FALSE(matches(certificate, {static_cast<IdType>(200), {1}}));
}

TEST_F(IdentityMatch, TheErrorNamesWhatTheCertificateCarries) {
  SubjectAltNames names = dns({"gw.example.com"});
  names.ip = {*IpAddress::parse("192.0.2.1")};
  const auto result = matches(with(names), id("other.example.com"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "the certificate does not speak for 'other.example.com': it carries 'gw.example.com', "
            "'192.0.2.1' and the subject "
            "'O=Example, CN=gw'");
}

TEST_F(IdentityMatch, ArbitraryIdentitiesOnlyMatchWhatIsCarried) {
  const Certificate certificate = with(dns({"gw.example.com"}));
  const std::vector<Identity> carried = identities_of(certificate);
  for (const Identity& identity : carried) EXPECT_TRUE(matches(certificate, identity));
  EXPECT_TRUE(rc::check([&](std::uint8_t type, const Bytes& data) {
    const Identity identity{static_cast<IdType>(type), data};
    const bool expected = std::ranges::find(carried, identity) != carried.end();
    RC_ASSERT(matches(certificate, identity).has_value() == expected);
  }));
}

}  // namespace
}  // namespace merlon::pki
