#include "pki/identity_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pki/test_support.h"

namespace merlon::pki {
namespace {

Bytes dn(std::string_view text) {
  return value_or_die(dn_from_text(text));
}

TEST(DnText, EncodesAsX520Says) {
  // RDNSequence { SET { SEQUENCE { id-at-countryName, PrintableString "DE" } }, SET { SEQUENCE {
  // id-at-commonName, UTF8String "gw" } } }
  EXPECT_EQ(to_hex(dn("C=DE, CN=gw")), "301a310b3009060355040613024445310b300906035504030c026777");
}

TEST(DnText, KeepsTheOrderOfTheCertificate) {
  EXPECT_EQ(*dn_to_text(dn("CN=gw, O=Example,C=DE")), "CN=gw, O=Example, C=DE");
}

TEST(DnText, TakesKeywordsInAnyCaseAndOids) {
  EXPECT_EQ(dn("cn=gw, 2.5.4.10=Example, e=a@b.example"), dn("CN=gw, O=Example, emailAddress=a@b.example"));
  EXPECT_EQ(*dn_to_text(dn("1.2.3.4.5=x")), "1.2.3.4.5=x");
}

// The examples of RFC 4514 section 4, in the certificate's order and our spacing.
TEST(DnText, Rfc4514Examples) {
  EXPECT_EQ(*dn_to_text(dn("UID=jsmith,DC=example,DC=net")), "UID=jsmith, DC=example, DC=net");
  EXPECT_EQ(*dn_to_text(dn("OU=Sales+CN=J.  Smith,DC=example,DC=net")),
            "OU=Sales+CN=J.  Smith, DC=example, DC=net")
      << "DER sorts the members of a SET";
  EXPECT_EQ(*dn_to_text(dn(R"(CN=James \"Jim\" Smith\, III,DC=example)")),
            R"(CN=James \"Jim\" Smith\, III, DC=example)");
  EXPECT_EQ(*dn_to_text(dn(R"(CN=Before\0dAfter,DC=example)")), R"(CN=Before\0DAfter, DC=example)");
  EXPECT_EQ(dn(R"(CN=Lu\C4\8Di\C4\87)"), dn("CN=Lu\xc4\x8di\xc4\x87"));
  EXPECT_EQ(*dn_to_text(dn("CN=Lu\xc4\x8di\xc4\x87")), R"(CN=Lu\C4\8Di\C4\87)");
  EXPECT_EQ(*dn_to_text(dn("x500UniqueIdentifier=#03020640")), "x500UniqueIdentifier=#03020640")
      << "a BIT STRING";
}

TEST(DnText, QuotesAndSpaces) {
  EXPECT_EQ(dn(R"(O="Example, Inc.", CN=gw)"), dn(R"(O=Example\, Inc.,CN=gw)"));
  EXPECT_EQ(*dn_to_text(dn(R"(CN=\ a\ )")), R"(CN=\ a\ )");
  EXPECT_EQ(dn("CN=  a b  ,O=c"), dn("CN=a b, O=c"));
}

TEST(DnText, RefusesWhatIsNoName) {
  for (const char* text :
       {"",       "gw",         "CN",      "CN=",      "CN=gw,",     ",CN=gw",     "CN=gw,,O=x",  "CN=gw+",
        "=gw",    "XX=gw",      "CN=gw\\", "CN=\\g0x", "CN=\"gw",    "CN=\"gw\"x", "/C=DE/CN=gw", "CN=#",
        "CN=#zz", "CN=#0c05ab", "1..2=x",  "99.1=x",   "CN=\xff\xfe"})
    EXPECT_FALSE(dn_from_text(text)) << text;
  EXPECT_NE(dn_from_text("/C=DE/CN=gw").error().message.find("commas"), std::string::npos);
  EXPECT_NE(dn_from_text("CN=gw, Organisation=x").error().message.find("'Organisation'"), std::string::npos);
}

TEST(DnText, RefusesDamagedDer) {
  const Bytes good = dn("C=DE, O=Example, CN=gw");
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(dn_to_text(ByteView(good).first(length)));
  EXPECT_FALSE(dn_to_text(concat(good, Bytes{0})));
}

TEST(DnEqual, IgnoresCaseSpacesAndStringType) {
  EXPECT_TRUE(dn_equal(dn("O=Example  Inc, CN=GW"), dn("O=example inc, CN=gw")));
  EXPECT_TRUE(dn_equal(dn("CN=#13026777"), dn("CN=gw"))) << "PrintableString against UTF8String";
  EXPECT_FALSE(dn_equal(dn("O=Example, CN=gw"), dn("CN=gw, O=Example")));
  EXPECT_TRUE(dn_equal_in_other_order(dn("O=Example, CN=gw"), dn("CN=gw, O=Example")));
  EXPECT_FALSE(dn_equal_in_other_order(dn("O=Example, CN=gw"), dn("O=Example, CN=gw")));
  EXPECT_FALSE(dn_equal(dn("CN=gw"), dn(R"(CN=gw\00)")));
  EXPECT_FALSE(dn_equal({}, {}));
}

TEST(DnText, EveryTextRoundTrips) {
  EXPECT_TRUE(rc::check("any value of any kind comes back", [] {
    static constexpr const char* kTypes[] = {"CN", "O", "OU", "C", "DC", "emailAddress", "UID", "1.2.3.4"};
    const auto count = *rc::gen::inRange(1, 5);
    std::string text;
    for (int i = 0; i < count; ++i) {
      const auto characters = *rc::gen::nonEmpty(rc::gen::container<std::vector<char32_t>>(rc::gen::oneOf(
          rc::gen::map(rc::gen::inRange(0, 0x80), [](int c) { return static_cast<char32_t>(c); }),
          rc::gen::map(rc::gen::inRange(0xa0, 0x700), [](int c) { return static_cast<char32_t>(c); }))));
      std::string escaped;
      for (const char32_t c : characters) {
        if (c < 0x80)
          escaped += fmt::format("\\{:02x}", static_cast<unsigned>(c));
        else
          escaped += fmt::format("\\{:02x}\\{:02x}", static_cast<unsigned>(0xc0 | (c >> 6)),
                                 static_cast<unsigned>(0x80 | (c & 0x3f)));
      }
      text += fmt::format("{}{}={}", i == 0 ? "" : (*rc::gen::arbitrary<bool>() ? ", " : "+"),
                          *rc::gen::elementOf(std::vector<std::string>(std::begin(kTypes), std::end(kTypes))),
                          escaped);
    }
    const auto first = dn_from_text(text);
    RC_ASSERT(first.has_value());
    const auto shown = dn_to_text(*first);
    RC_ASSERT(shown.has_value());
    for (const char c : *shown) RC_ASSERT(c >= 0x20 && c < 0x7f);
    const auto second = dn_from_text(*shown);
    RC_ASSERT(second.has_value());
    RC_ASSERT(*second == *first);
    RC_ASSERT(dn_equal(*first, *second));
    RC_ASSERT(dn_matches_pattern(*first, *shown));
  }));
}

TEST(DnText, NoTextAndNoBytesHarm) {
  EXPECT_TRUE(rc::check("arbitrary text", [](const std::string& text) {
    if (const auto der = dn_from_text(text)) RC_ASSERT(dn_to_text(*der).has_value());
    static_cast<void>(check_dn_pattern(text));
  }));
  EXPECT_TRUE(rc::check("arbitrary bytes", [](const Bytes& der) {
    if (const auto text = dn_to_text(der)) static_cast<void>(dn_from_text(*text));
  }));
}

TEST(DnText, ReadsWhatOpensslEncodes) {
  MERLON_NEEDS_OPENSSL_COMMAND();
  const ScratchDirectory scratch;
  const auto made = scratch.run(
      "openssl req -x509 -newkey ed25519 -nodes -keyout k -out c.pem -days 1 -utf8 -subj '/C=DE/O=Example, "
      "Inc./OU=a+CN=b/CN=gw #1'"
      " && openssl req -x509 -newkey ed25519 -nodes -keyout k -out m.pem -days 1 -multivalue-rdn -subj "
      "'/C=DE/OU=a+CN=b'");
  ASSERT_EQ(made.status, 0) << made.text;
  const auto certificate = Certificate::from_pem(scratch.read("m.pem"));
  ASSERT_TRUE(certificate);
  EXPECT_TRUE(dn_equal(certificate->subject_dn_der(), dn("C=DE, OU=a+CN=b")));
  const auto single = Certificate::from_pem(scratch.read("c.pem"));
  ASSERT_TRUE(single);
  EXPECT_TRUE(dn_equal(single->subject_dn_der(), dn(single->subject())));
}

TEST(IdentityText, EachKind) {
  EXPECT_EQ(identity_from_text("CN=gw, O=Example")->type, IdType::kDerAsn1Dn);
  EXPECT_EQ(identity_from_text("gw.example.com")->type, IdType::kFqdn);
  EXPECT_EQ(identity_from_text("bob@example.com")->type, IdType::kRfc822Addr);
  EXPECT_EQ(identity_from_text("192.0.2.1")->type, IdType::kIpv4Addr);
  EXPECT_EQ(identity_from_text("keyid:a=b")->type, IdType::kKeyId);
  EXPECT_FALSE(identity_from_text("CN=gw, nonsense"));
  for (const char* text :
       {"CN=gw, O=Example", "gw.example.com", "bob@example.com", "192.0.2.1", "2001:db8::1"})
    EXPECT_EQ(identity_to_text(*identity_from_text(text)), text);
  EXPECT_EQ(identity_to_text({IdType::kDerAsn1Dn, {0x30, 0x05, 0x01}}), "DN:300501");
}

TEST(DnPattern, StarsStandForWholeValues) {
  const Bytes subject = dn("O=Example, CN=gw");
  EXPECT_TRUE(dn_matches_pattern(subject, "O=Example, CN=*"));
  EXPECT_TRUE(dn_matches_pattern(subject, "o=EXAMPLE, cn=GW"));
  EXPECT_TRUE(dn_matches_pattern(subject, "O=Example, *"));
  EXPECT_TRUE(dn_matches_pattern(subject, "O=Example, CN=*, *"));
  EXPECT_FALSE(dn_matches_pattern(subject, "O=Example"));
  EXPECT_FALSE(dn_matches_pattern(subject, "CN=*, O=Example"));
  EXPECT_FALSE(dn_matches_pattern(subject, "O=Example, CN=*, OU=*"));
  EXPECT_FALSE(dn_matches_pattern(subject, "O=Other, CN=*"));
  EXPECT_FALSE(dn_matches_pattern(subject, "O=Example, OU=*"));
  EXPECT_FALSE(dn_matches_pattern(subject, "O=Exam*, CN=gw")) << "a star inside a value is itself";
  EXPECT_FALSE(dn_matches_pattern(dn("O=Example, CN=gw"), R"(O=Example, CN=\*)"));
  EXPECT_TRUE(dn_matches_pattern(dn(R"(O=Example, CN=\*)"), R"(O=Example, CN=\*)"));
  EXPECT_TRUE(dn_matches_pattern(dn("OU=a+CN=b"), "CN=*+OU=a"));
  EXPECT_FALSE(dn_matches_pattern(dn("OU=a+CN=b"), "CN=*"));
  EXPECT_TRUE(is_dn_pattern("O=Example, CN=*"));
  EXPECT_TRUE(is_dn_pattern("O=Example, *"));
  EXPECT_FALSE(is_dn_pattern("O=Example, CN=gw"));
  EXPECT_TRUE(check_dn_pattern("O=Example, CN=*"));
  EXPECT_FALSE(check_dn_pattern("*"));
  EXPECT_FALSE(check_dn_pattern("O=*, XX=y"));
}

}  // namespace
}  // namespace merlon::pki
