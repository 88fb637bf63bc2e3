#include "policy/proposal.h"

#include <algorithm>

#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::esp;
using test::ike;
using wire::encr_transform;
using wire::integ_transform;
using wire::ke_transform;
using wire::prf_transform;
using wire::sn_transform;

std::string ike_error(std::string_view text) {
  const auto parsed = parse_ike_proposal(text);
  EXPECT_FALSE(parsed.has_value()) << text;
  return parsed ? "" : parsed.error().message;
}
std::string esp_error(std::string_view text) {
  const auto parsed = parse_esp_proposal(text);
  EXPECT_FALSE(parsed.has_value()) << text;
  return parsed ? "" : parsed.error().message;
}
void expect_in(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(ProposalText, Ike) {
  const Proposal gcm = ike("aes256gcm16-prfsha384-x25519");
  EXPECT_EQ(gcm.protocol, SecurityProtocol::kIke);
  EXPECT_TRUE(gcm.spi.empty());
  EXPECT_EQ(gcm.transforms,
            (std::vector{encr_transform(EncrId::kAesGcm16, 256), prf_transform(PrfId::kHmacSha2_384),
                         ke_transform(KeMethod::kCurve25519)}));
  // The PRF follows from the integrity algorithm.
  EXPECT_EQ(ike("aes128-sha256-modp2048").transforms,
            (std::vector{encr_transform(EncrId::kAesCbc, 128), prf_transform(PrfId::kHmacSha2_256),
                         integ_transform(IntegId::kHmacSha2_256_128), ke_transform(KeMethod::kModp2048)}));
  EXPECT_EQ(ike("chacha20poly1305-prfsha256-ecp256").transforms,
            (std::vector{encr_transform(EncrId::kChacha20Poly1305), prf_transform(PrfId::kHmacSha2_256),
                         ke_transform(KeMethod::kEcp256)}));
  // Several of one type keep their order, wherever they stand.
  EXPECT_EQ(ike("aes256-aes128-sha256-x25519-ecp256"), ike("aes256-x25519-aes128-ecp256-sha256"));
  EXPECT_EQ(ike("aes128-aes256-sha1-x25519").transforms[0], encr_transform(EncrId::kAesCbc, 128));
  EXPECT_EQ(ike("AES256GCM16-PRFSHA384-X25519"), gcm);
  EXPECT_EQ(ike("aes256gcm16-aes256gcm16-prfsha384-curve25519"), gcm);
  EXPECT_EQ(ike("aes256gcm128-prfsha384-x25519"), gcm);
}

TEST(ProposalText, Esp) {
  EXPECT_EQ(esp("aes256gcm16-x25519-esn").transforms,
            (std::vector{encr_transform(EncrId::kAesGcm16, 256), ke_transform(KeMethod::kCurve25519),
                         sn_transform(SnId::kPartialEsn64)}));
  EXPECT_EQ(esp("aes128-sha256-noesn").transforms,
            (std::vector{encr_transform(EncrId::kAesCbc, 128), integ_transform(IntegId::kHmacSha2_256_128),
                         sn_transform(SnId::k32Bit)}));
  // Unsaid: both, ESN first.
  EXPECT_EQ(esp("aes128gcm16"), esp("aes128gcm16-esn-noesn"));
  EXPECT_EQ(esp("null-sha256").transforms[0], encr_transform(EncrId::kNull));
  EXPECT_EQ(esp("aes128gmac").transforms[0], encr_transform(EncrId::kNullAuthAesGmac, 128));
}

TEST(ProposalText, ErrorsNameTheWord) {
  expect_in(ike_error("aes256gcm-prfsha265-x25519"),
            "'prfsha265' is not an algorithm; did you mean 'prfsha256'");
  expect_in(ike_error("aes256-sha256-x25519-"), "without a word");
  // RFC 7296 3.3
  expect_in(ike_error("aes256gcm16-aes256-sha256-x25519"), "cannot stand in one proposal");
  expect_in(esp_error("aes256-chacha20poly1305-sha256"), "cannot stand in one proposal");
  expect_in(ike_error("aes256gcm16-sha384-ecp384"), "write 'prfsha384'");
  expect_in(esp_error("aes256gcm16-sha256"), "integrity built in");
  expect_in(ike_error("aes256gcm16-x25519"), "no PRF");
  expect_in(ike_error("aes256-x25519"), "needs an integrity algorithm");
  expect_in(esp_error("aes256"), "needs an integrity algorithm");
  expect_in(esp_error("null"), "needs an integrity algorithm");
  expect_in(ike_error("aes256-sha256"), "no key exchange method");
  expect_in(ike_error("null-sha256-x25519"), "must not protect IKE");
  expect_in(ike_error("aes128gmac-prfsha256-x25519"), "must not protect IKE");
  expect_in(ike_error("aes256-sha256-x25519-esn"), "ESP proposals only");
  expect_in(ike_error("aes256-sha256-modpnone"), "ESP proposals only");
  expect_in(esp_error("aes256gcm16-prfsha256"), "IKE proposals only");
  expect_in(esp_error("x25519"), "no cipher");
  EXPECT_FALSE(parse_ike_proposal("").has_value());
  EXPECT_FALSE(parse_esp_proposal("-").has_value());
}

TEST(ProposalText, AnyBytesNeverCrash) {
  EXPECT_TRUE(rc::check("random text", [](const std::string& text) {
    (void)parse_ike_proposal(text);
    (void)parse_esp_proposal(text);
  }));
}

TEST(ProposalText, RoundTrips) {
  EXPECT_TRUE(rc::check("parse(to_text(parse(x))) == parse(x)", [] {
    const std::vector<std::string> words = {
        "aes256",    "aes128",  "aes256gcm16", "aes128ccm8", "chacha20poly1305", "sha256", "sha1",
        "prfsha256", "prfsha1", "prfaescmac",  "x25519",     "modp2048",         "ecp384", "modpnone",
        "esn",       "noesn",   "null",        "aes192ctr",  "aesxcbc"};
    std::string text;
    const int count = *rc::gen::inRange(1, 8);
    for (int i = 0; i < count; ++i) text += (text.empty() ? "" : "-") + *rc::gen::elementOf(words);
    for (const auto& parsed : {parse_ike_proposal(text), parse_esp_proposal(text)}) {
      if (!parsed) continue;
      const std::string printed = to_text(*parsed);
      const auto again = parsed->protocol == SecurityProtocol::kIke ? parse_ike_proposal(printed)
                                                                    : parse_esp_proposal(printed);
      RC_ASSERT(again.has_value());
      RC_ASSERT(*again == *parsed);
    }
  }));
  EXPECT_EQ(to_text(ike("aes128-sha256-modp2048")), "aes128-sha256-modp2048");
  EXPECT_EQ(to_text(ike("aes128-sha1-prfsha256-modp2048")), "aes128-sha1-prfsha256-modp2048");
  EXPECT_EQ(to_text(esp("aes256gcm16-x25519")), "aes256gcm16-x25519");
}

TEST(ProposalText, PrintsWhatAPeerInvents) {
  Proposal odd = ike("aes256gcm16-prfsha256-x25519");
  odd.transforms.push_back({static_cast<TransformType>(99), 7, std::nullopt, {}});
  odd.transforms.push_back(encr_transform(static_cast<EncrId>(4711), 13));
  odd.transforms.push_back(encr_transform(EncrId::kAesCbc));
  const std::string text = to_text(odd);
  expect_in(text, "aes256gcm16");
  expect_in(text, "4711");
  expect_in(text, "[UNKNOWN(99) ");
  EXPECT_EQ(to_text(ProposalView{}), "nothing");
}

TEST(DefaultProposals, StrongestFirstAndNoSha1) {
  const Proposals ikes = default_ike_proposals();
  ASSERT_EQ(ikes.size(), 2U);
  EXPECT_EQ(to_text(ikes[0]),
            "aes256gcm16-chacha20poly1305-aes128gcm16-prfsha256-prfsha384-prfsha512-x25519-ecp384-ecp256-"
            "modp3072-modp2048");
  EXPECT_EQ(to_text(ikes[1]), "aes256-aes128-sha256-sha384-sha512-x25519-ecp384-ecp256-modp3072-modp2048");
  const Proposals esps = default_esp_proposals();
  ASSERT_EQ(esps.size(), 2U);
  EXPECT_EQ(to_text(esps[0]),
            "aes256gcm16-chacha20poly1305-aes128gcm16-x25519-ecp384-ecp256-modp3072-modp2048-modpnone");
  EXPECT_EQ(to_text(esps[1]),
            "aes256-aes128-sha256-sha384-sha512-x25519-ecp384-ecp256-modp3072-modp2048-modpnone");
  for (const Proposals& list : {ikes, esps}) {
    for (const Proposal& proposal : list) {
      EXPECT_TRUE(weak_transforms(proposal).empty());
      EXPECT_TRUE(check_safe(proposal).has_value());
    }
  }
  EXPECT_EQ(esps[0].transforms.back(), sn_transform(SnId::k32Bit));
}

TEST(Chosen, ConvertsBothWays) {
  const ChosenIke chosen_gcm{EncrId::kAesGcm16, 256, IntegId::kNone, PrfId::kHmacSha2_256,
                             KeMethod::kCurve25519};
  EXPECT_EQ(to_text(chosen_gcm), "aes256gcm16-prfsha256-x25519");
  EXPECT_EQ(chosen_ike(to_proposal(chosen_gcm)), chosen_gcm);
  const ChosenIke chosen_cbc{EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, PrfId::kHmacSha2_256,
                             KeMethod::kModp2048};
  EXPECT_EQ(to_text(chosen_cbc), "aes128-sha256-modp2048");
  EXPECT_EQ(chosen_ike(to_proposal(chosen_cbc)), chosen_cbc);
  const ChosenEsp chosen{EncrId::kChacha20Poly1305, 0, IntegId::kNone, KeMethod::kNone, true};
  EXPECT_EQ(to_text(chosen), "chacha20poly1305-esn");
  EXPECT_EQ(chosen_esp(to_proposal(chosen)), chosen);
  const ChosenEsp with_ke{EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256, KeMethod::kEcp384, false};
  EXPECT_EQ(chosen_esp(to_proposal(with_ke)), with_ke);
}

TEST(Chosen, RefusesWhatIsIncompleteOrDoubled) {
  const auto ike_of = [](std::vector<Transform> transforms) {
    Proposal out;
    out.protocol = SecurityProtocol::kIke;
    out.transforms = std::move(transforms);
    return chosen_ike(out);
  };
  const Transform gcm = encr_transform(EncrId::kAesGcm16, 256), cbc = encr_transform(EncrId::kAesCbc, 128),
                  prf = prf_transform(PrfId::kHmacSha2_256),
                  integ = integ_transform(IntegId::kHmacSha2_256_128),
                  ke = ke_transform(KeMethod::kCurve25519);
  EXPECT_TRUE(ike_of({gcm, prf, ke}).has_value());
  EXPECT_TRUE(ike_of({gcm, prf, integ_transform(IntegId::kNone), ke}).has_value());
  EXPECT_FALSE(ike_of({gcm, prf, integ, ke}).has_value());
  EXPECT_FALSE(ike_of({gcm, gcm, prf, ke}).has_value());
  EXPECT_FALSE(ike_of({gcm, ke}).has_value());
  EXPECT_FALSE(ike_of({gcm, prf}).has_value());
  EXPECT_FALSE(ike_of({prf, ke}).has_value());
  EXPECT_FALSE(ike_of({cbc, prf, ke}).has_value());
  EXPECT_FALSE(ike_of({cbc, prf, integ_transform(IntegId::kNone), ke}).has_value());
  EXPECT_FALSE(ike_of({gcm, prf, ke_transform(KeMethod::kNone)}).has_value());
  EXPECT_FALSE(ike_of({gcm, prf, ke, sn_transform(SnId::k32Bit)}).has_value());
  EXPECT_FALSE(ike_of({encr_transform(EncrId::kNull), prf, integ, ke}).has_value());
  EXPECT_FALSE(ike_of({encr_transform(EncrId::kNullAuthAesGmac, 128), prf, ke}).has_value());
  EXPECT_FALSE(ike_of({encr_transform(EncrId::kAesGcm16), prf, ke}).has_value());
  EXPECT_FALSE(ike_of({encr_transform(EncrId::kAesGcm16, 512), prf, ke}).has_value());
  EXPECT_FALSE(ike_of({encr_transform(EncrId::kChacha20Poly1305, 256), prf, ke}).has_value());
  Proposal no_sn = esp("aes256gcm16-noesn");
  no_sn.transforms.pop_back();
  ASSERT_TRUE(chosen_esp(no_sn).has_value());
  EXPECT_FALSE(chosen_esp(no_sn)->esn);
  EXPECT_FALSE(chosen_esp(esp("aes256gcm16")).has_value());  // two SN transforms
  EXPECT_FALSE(chosen_esp(ike("aes256gcm16-prfsha256-x25519")).has_value());
}

TEST(KeMethods, InOrderAndOnce) {
  const Proposals proposals = {esp("aes256gcm16-x25519-ecp256-modpnone"),
                               esp("aes256-sha256-ecp256-modp2048")};
  EXPECT_EQ(ke_methods(proposals),
            (std::vector{KeMethod::kCurve25519, KeMethod::kEcp256, KeMethod::kModp2048}));
  EXPECT_TRUE(allows_ke(proposals, KeMethod::kModp2048));
  EXPECT_FALSE(allows_ke(proposals, KeMethod::kModp3072));
  EXPECT_FALSE(allows_ke(proposals, KeMethod::kNone));
}

TEST(Chosen, OnlyWhatIsUnderstood) {
  auto proposal = ike("aes256gcm16-prfsha256-x25519");
  EXPECT_TRUE(chosen_ike(proposal));
  // RFC 7296 3.3.6: an attribute that we do not know changes what the transform means.
  auto strange = proposal;
  strange.transforms.front().unknown_attributes.push_back({});
  expect_in(chosen_ike(strange).error().message, "attribute that we do not know");
  expect_in(chosen_ike(esp("aes256gcm16-noesn")).error().message, "expected an IKE proposal");
  expect_in(chosen_esp(proposal).error().message, "expected an ESP proposal");
  // RFC 7296 3.3.2: 32 bits or 64; others may come.
  auto numbers = esp("aes256gcm16-noesn");
  for (auto& transform : numbers.transforms)
    if (transform.type == TransformType::kSn) transform.id = 9;
  EXPECT_FALSE(chosen_esp(numbers));
}

TEST(ProposalText, TheCmacAsIntegrityIsTheCmacAsPrf) {
  const Proposal cmac = ike("aes128-aescmac-x25519");
  EXPECT_NE(std::ranges::find(cmac.transforms, prf_transform(PrfId::kAes128Cmac)), cmac.transforms.end());
}

TEST(ProposalText, OfSeveral) {
  EXPECT_EQ(to_text(Proposals{}), "nothing");
  const Proposals two = {ike("aes256gcm16-prfsha256-x25519"), ike("aes128-sha256-x25519")};
  EXPECT_EQ(to_text(two), to_text(two[0]) + ", " + to_text(two[1]));
}

}  // namespace
}  // namespace merlon::policy
