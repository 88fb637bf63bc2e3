#include "pki/certificate.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pki/identity_match.h"
#include "pki/test_support.h"

namespace merlon::pki {
namespace {

std::string strip(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string lower_without_colons(const std::string& text) {
  std::string out;
  for (const char c : text)
    if (c != ':') out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  return out;
}

SubjectAltNames all_names() {
  SubjectAltNames names;
  names.dns = {"gw.example.com", "alt.example.com"};
  names.email = {"bob@example.com"};
  names.ip = {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")};
  names.directory = {*dn_from_text("O=Example, CN=other")};
  return names;
}

TEST(Certificate, SaysWhatItWasMadeFrom) {
  TestAuthority authority("O=Example, CN=CA", "ecdsa-p384");
  CertificateSpec spec = spec_for("O=Example, CN=gw");
  spec.names = all_names();
  const auto key = value_or_die(generate_key("rsa-2048"));
  const Certificate certificate = authority.issue(spec, key.public_key());
  EXPECT_EQ(certificate.subject(), "O=Example, CN=gw");
  EXPECT_EQ(certificate.issuer(), "O=Example, CN=CA");
  EXPECT_EQ(certificate.issuer_dn_der(), authority.certificate.subject_dn_der());
  EXPECT_EQ(certificate.subject_dn_der(), spec.subject_dn);
  EXPECT_EQ(certificate.not_before(), spec.not_before);
  EXPECT_EQ(certificate.not_after(), spec.not_after);
  EXPECT_EQ(certificate.subject_alt_names(), spec.names);
  EXPECT_EQ(*certificate.public_key(), key.public_key());
  EXPECT_EQ(certificate.spki_der(), key.public_key().spki_der());
  EXPECT_EQ(certificate.describe(), "'O=Example, CN=gw' (gw.example.com)");
  EXPECT_FALSE(certificate.is_ca());
  EXPECT_FALSE(certificate.is_self_signed());
  EXPECT_TRUE(certificate.allows(KeyUsage::kDigitalSignature));
  EXPECT_FALSE(certificate.allows(KeyUsage::kKeyCertSign));
  EXPECT_TRUE(authority.certificate.is_ca());
  EXPECT_TRUE(authority.certificate.is_self_signed());
  EXPECT_TRUE(authority.certificate.allows(KeyUsage::kCrlSign));
  EXPECT_FALSE(authority.certificate.allows(KeyUsage::kDigitalSignature));
  EXPECT_EQ(certificate.serial_hex().size(), 40U);
}

TEST(Certificate, FormsRoundTrip) {
  TestAuthority authority("CN=CA");
  const Certificate leaf = authority.issue(spec_for("CN=gw"));
  EXPECT_EQ(*Certificate::from_der(leaf.der()), leaf);
  EXPECT_EQ(*Certificate::from_pem(leaf.to_pem()), leaf);
  const std::string both = "a comment\n" + leaf.to_pem() + "more\n" + authority.certificate.to_pem();
  const auto all = Certificate::all_from_pem(both);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->at(1), authority.certificate);
  EXPECT_EQ(*Certificate::from_file_bytes(leaf.der()), leaf);
  EXPECT_EQ(*Certificate::from_file_bytes(as_bytes(leaf.to_pem())), leaf);
}

TEST(Certificate, RefusesWhatIsDamaged) {
  TestAuthority authority("CN=CA");
  CertificateSpec spec = spec_for("CN=gw");
  spec.names = all_names();
  const Bytes der = authority.issue(spec).der();
  for (std::size_t length = 0; length < der.size(); ++length) {
    const auto result = Certificate::from_der(ByteView(der).first(length));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kMalformed);
  }
  EXPECT_FALSE(Certificate::from_der(concat(der, Bytes{0})));
  for (const char* pem : {"", "no pem", "-----BEGIN CERTIFICATE-----",
                          "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
                          "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"})
    EXPECT_FALSE(Certificate::from_pem(pem)) << pem;
}

TEST(Certificate, NoByteHarms) {
  TestAuthority authority("O=Example, CN=CA", "ecdsa-p256");
  CertificateSpec spec = spec_for("O=Example, CN=gw");
  spec.names = all_names();
  const Bytes der = authority.issue(spec).der();
  const Identity wanted = *identity_from_text("gw.example.com");
  std::size_t parsed = 0;
  for (std::size_t at = 0; at < der.size(); ++at)
    for (const unsigned change : {0x01U, 0x20U, 0x80U, 0xffU}) {
      Bytes damaged = der;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ change);
      const auto certificate = Certificate::from_der(damaged);
      if (!certificate) continue;
      ++parsed;
      static_cast<void>(certificate->public_key());
      static_cast<void>(matches(*certificate, wanted));
      static_cast<void>(describe_identities(*certificate));
    }
  EXPECT_GT(parsed, 0U);
  EXPECT_TRUE(rc::check([](const Bytes& bytes) { RC_ASSERT(!Certificate::from_der(bytes)); }));
}

TEST(Certificate, OpensslReadsOurs) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  const ScratchDirectory scratch;
  TestAuthority authority("O=Example, CN=CA", "ecdsa-p521");
  CertificateSpec spec = spec_for("C=DE, O=Example, CN=gw");
  spec.names = all_names();
  const Certificate leaf = authority.issue(spec, "ed448");
  scratch.write("leaf.pem", leaf.to_pem());
  scratch.write("ca.pem", authority.certificate.to_pem());
  const auto ask = [&](const std::string& what) {
    return strip(scratch.run("openssl x509 -in leaf.pem -noout " + what).text);
  };
  EXPECT_EQ(ask("-subject"), "subject=C = DE, O = Example, CN = gw");
  EXPECT_EQ(ask("-issuer"), "issuer=O = Example, CN = CA");
  EXPECT_EQ(lower_without_colons(ask("-serial")), "serial=" + leaf.serial_hex());
  EXPECT_EQ(ask("-enddate -dateopt iso_8601"), "notAfter=2027-10-04 00:00:00Z");
  EXPECT_EQ(lower_without_colons(ask("-fingerprint -sha256")),
            "sha256 fingerprint=" + to_hex(leaf.fingerprint()));
  EXPECT_EQ(strip(scratch
                      .run("openssl x509 -in leaf.pem -noout -pubkey | openssl pkey -pubin -outform DER | "
                           "sha1sum | cut -c1-40")
                      .text),
            to_hex(leaf.spki_sha1()));
  const std::string names = ask("-ext subjectAltName");
  for (const char* part : {"DNS:gw.example.com", "DNS:alt.example.com", "email:bob@example.com",
                           "IP Address:192.0.2.1", "IP Address:2001:DB8:0:0:0:0:0:1", "DirName:"})
    EXPECT_NE(names.find(part), std::string::npos) << part << " in " << names;
  const std::string seconds = std::to_string(kToday.time_since_epoch().count());
  const auto verified =
      scratch.run("openssl verify -x509_strict -attime " + seconds + " -CAfile ca.pem leaf.pem");
  EXPECT_EQ(strip(verified.text), "leaf.pem: OK");
}

TEST(Certificate, ReadsWhatOpensslMakes) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  const ScratchDirectory scratch;
  const auto made = scratch.run(
      "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 7300 -set_serial "
      "0x8000000000000001 "
      "-subj '/C=CH/O=strongSwan/CN=moon' -addext "
      "'subjectAltName=DNS:moon.example,email:a@b.example,IP:10.0.0.1,IP:fd00::1,URI:http://x' "
      "-addext keyUsage=digitalSignature,nonRepudiation -addext extendedKeyUsage=serverAuth,1.2.3.4");
  ASSERT_EQ(made.status, 0) << made.text;
  const auto certificate = Certificate::from_pem(scratch.read("c.pem"));
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(certificate->subject(), "C=CH, O=strongSwan, CN=moon");
  EXPECT_EQ(certificate->serial_hex(), "8000000000000001");
  EXPECT_EQ(certificate->subject_alt_names().dns, std::vector<std::string>{"moon.example"});
  EXPECT_EQ(certificate->subject_alt_names().email, std::vector<std::string>{"a@b.example"});
  EXPECT_EQ(certificate->subject_alt_names().ip.size(), 2U);
  EXPECT_EQ(certificate->subject_alt_names().others, 1U);
  EXPECT_EQ(certificate->extended_key_usage(), (std::vector<std::string>{"1.3.6.1.5.5.7.3.1", "1.2.3.4"}));
  EXPECT_TRUE(certificate->allows(KeyUsage::kNonRepudiation));
  EXPECT_FALSE(certificate->allows(KeyUsage::kKeyEncipherment));
  EXPECT_TRUE(certificate->is_ca()) << "openssl req -x509 makes CAs";
  EXPECT_EQ(certificate->public_key()->bits(), 2048U);
}

TEST(Certificate, AddressesOfOddLengthAndDoubleExtensionsAreRefused) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  const ScratchDirectory scratch;
  // GeneralNames { [7] 3 bytes }
  const auto odd = scratch.run(
      "openssl req -x509 -newkey ed25519 -nodes -keyout k.pem -out odd.pem -subj /CN=x -addext "
      "'subjectAltName=DER:30058703010203'");
  ASSERT_EQ(odd.status, 0) << odd.text;
  const auto certificate = Certificate::from_pem(scratch.read("odd.pem"));
  ASSERT_FALSE(certificate);
  EXPECT_EQ(certificate.error().code, ErrorCode::kMalformed);
  EXPECT_NE(certificate.error().message.find("3 bytes"), std::string::npos) << certificate.error().message;
  const auto garbage = scratch.run(
      "openssl req -x509 -newkey ed25519 -nodes -keyout k.pem -out bad.pem -subj /CN=x -addext "
      "'subjectAltName=DER:3005870301'");
  ASSERT_EQ(garbage.status, 0) << garbage.text;
  EXPECT_FALSE(Certificate::from_pem(scratch.read("bad.pem")));
}

TEST(Text, OfTimes) {
  EXPECT_EQ(utc_text(kToday), "2026-10-04T00:00:00Z");
  EXPECT_EQ(utc_text(UnixTime{std::chrono::seconds{951827696}}), "2000-02-29T12:34:56Z");
  EXPECT_EQ(duration_text(std::chrono::seconds{1}), "1 second");
  EXPECT_EQ(duration_text(std::chrono::seconds{119}), "1 minute");
  EXPECT_EQ(duration_text(std::chrono::hours{5}), "5 hours");
  EXPECT_EQ(duration_text(std::chrono::hours{72}), "3 days");
  EXPECT_EQ(duration_text(std::chrono::seconds{-5}), "0 seconds");
}

TEST(Text, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("a\x1b[31m\\\n"), "a\\x1b[31m\\x5c\\x0a");
}

}  // namespace
}  // namespace merlon::pki
