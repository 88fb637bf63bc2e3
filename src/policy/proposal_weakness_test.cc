// The requirement levels of RFC 8247 2.1 to 2.4 (IKE), RFC 8221 5 and 6 (ESP) and RFC 9395 5 (what it deprecates of both), as data.

#include <algorithm>
#include <optional>
#include <span>

#include "policy/proposal.h"
#include "policy/test_support.h"

namespace merlon::policy {
namespace {

enum class Level { kMust, kShould, kMay, kMustMinus, kShouldNot, kMustNot };

struct Row {
  TransformType type;
  std::uint16_t id;  // IANA's number
  const char* iana_name;
  int rfc;
  Level level;
};

constexpr auto kEncr = TransformType::kEncr;
constexpr auto kPrf = TransformType::kPrf;
constexpr auto kInteg = TransformType::kInteg;
constexpr auto kKe = TransformType::kKe;

constexpr Row kIke[] = {
    // RFC 8247 2.1
    {kEncr, 12, "ENCR_AES_CBC", 8247, Level::kMust},
    {kEncr, 28, "ENCR_CHACHA20_POLY1305", 8247, Level::kShould},
    {kEncr, 20, "ENCR_AES_GCM_16", 8247, Level::kShould},
    {kEncr, 14, "ENCR_AES_CCM_8", 8247, Level::kShould},  // for constrained devices
    {kEncr, 3, "ENCR_3DES", 8247, Level::kMay},
    {kEncr, 2, "ENCR_DES", 8247, Level::kMustNot},
    // RFC 8247 2.2
    {kPrf, 5, "PRF_HMAC_SHA2_256", 8247, Level::kMust},
    {kPrf, 7, "PRF_HMAC_SHA2_512", 8247, Level::kShould},  // SHOULD+
    {kPrf, 2, "PRF_HMAC_SHA1", 8247, Level::kMustMinus},
    {kPrf, 4, "PRF_AES128_XCBC", 8247, Level::kShould},  // for constrained devices
    {kPrf, 1, "PRF_HMAC_MD5", 8247, Level::kMustNot},
    // RFC 8247 2.3
    {kInteg, 12, "AUTH_HMAC_SHA2_256_128", 8247, Level::kMust},
    {kInteg, 14, "AUTH_HMAC_SHA2_512_256", 8247, Level::kShould},
    {kInteg, 2, "AUTH_HMAC_SHA1_96", 8247, Level::kMustMinus},
    {kInteg, 5, "AUTH_AES_XCBC_96", 8247, Level::kShould},  // for constrained devices
    {kInteg, 1, "AUTH_HMAC_MD5_96", 8247, Level::kMustNot},
    {kInteg, 3, "AUTH_DES_MAC", 8247, Level::kMustNot},
    {kInteg, 4, "AUTH_KPDK_MD5", 8247, Level::kMustNot},
    // RFC 8247 2.4
    {kKe, 14, "2048-bit MODP", 8247, Level::kMust},
    {kKe, 19, "256-bit random ECP", 8247, Level::kShould},
    {kKe, 5, "1536-bit MODP", 8247, Level::kShouldNot},
    {kKe, 2, "1024-bit MODP", 8247, Level::kShouldNot},
    {kKe, 1, "768-bit MODP", 8247, Level::kMustNot},
    {kKe, 22, "1024-bit MODP with 160-bit subgroup", 8247, Level::kMustNot},
    {kKe, 23, "2048-bit MODP with 224-bit subgroup", 8247, Level::kShouldNot},
    {kKe, 24, "2048-bit MODP with 256-bit subgroup", 8247, Level::kShouldNot},
    // RFC 9395 5
    {kEncr, 1, "ENCR_DES_IV64", 9395, Level::kMustNot},
    {kEncr, 4, "ENCR_RC5", 9395, Level::kMustNot},
    {kEncr, 5, "ENCR_IDEA", 9395, Level::kMustNot},
    {kEncr, 6, "ENCR_CAST", 9395, Level::kMustNot},
    {kEncr, 7, "ENCR_BLOWFISH", 9395, Level::kMustNot},
    {kEncr, 8, "ENCR_3IDEA", 9395, Level::kMustNot},
    {kEncr, 9, "ENCR_DES_IV32", 9395, Level::kMustNot},
    {kPrf, 3, "PRF_HMAC_TIGER", 9395, Level::kMustNot},
    {kInteg, 6, "AUTH_HMAC_MD5_128", 9395, Level::kMustNot},
    {kInteg, 7, "AUTH_HMAC_SHA1_160", 9395, Level::kMustNot},
};

constexpr Row kEsp[] = {
    // RFC 8221 5
    {kEncr, 1, "ENCR_DES_IV64", 8221, Level::kMustNot},
    {kEncr, 2, "ENCR_DES", 8221, Level::kMustNot},
    {kEncr, 3, "ENCR_3DES", 8221, Level::kShouldNot},
    {kEncr, 7, "ENCR_BLOWFISH", 8221, Level::kMustNot},
    {kEncr, 8, "ENCR_3IDEA", 8221, Level::kMustNot},
    {kEncr, 9, "ENCR_DES_IV32", 8221, Level::kMustNot},
    {kEncr, 11, "ENCR_NULL", 8221, Level::kMust},
    {kEncr, 12, "ENCR_AES_CBC", 8221, Level::kMust},
    {kEncr, 14, "ENCR_AES_CCM_8", 8221, Level::kShould},  // for constrained devices
    {kEncr, 20, "ENCR_AES_GCM_16", 8221, Level::kMust},
    {kEncr, 28, "ENCR_CHACHA20_POLY1305", 8221, Level::kShould},
    // RFC 8221 6
    {kInteg, 1, "AUTH_HMAC_MD5_96", 8221, Level::kMustNot},
    {kInteg, 2, "AUTH_HMAC_SHA1_96", 8221, Level::kMustMinus},
    {kInteg, 3, "AUTH_DES_MAC", 8221, Level::kMustNot},
    {kInteg, 4, "AUTH_KPDK_MD5", 8221, Level::kMustNot},
    {kInteg, 5, "AUTH_AES_XCBC_96", 8221, Level::kShould},  // for constrained devices
    {kInteg, 12, "AUTH_HMAC_SHA2_256_128", 8221, Level::kMust},
    {kInteg, 14, "AUTH_HMAC_SHA2_512_256", 8221, Level::kShould},
    // RFC 9395 5
    {kEncr, 4, "ENCR_RC5", 9395, Level::kMustNot},
    {kEncr, 5, "ENCR_IDEA", 9395, Level::kMustNot},
    {kEncr, 6, "ENCR_CAST", 9395, Level::kMustNot},
    {kInteg, 6, "AUTH_HMAC_MD5_128", 9395, Level::kMustNot},
    {kInteg, 7, "AUTH_HMAC_SHA1_160", 9395, Level::kMustNot},
};

std::optional<Weakness> expected(const Row& row) {
  // A MAY, but a block of 64 bits: one is told, nothing is refused.
  if (row.type == kEncr && row.id == 3 && row.level == Level::kMay) return Weakness::kDeprecated;
  switch (row.level) {
    case Level::kMustMinus:
      return Weakness::kDeprecated;
    case Level::kShouldNot:
      return Weakness::kShouldNot;
    case Level::kMustNot:
      return Weakness::kMustNot;
    default:
      return std::nullopt;
  }
}

void check(SecurityProtocol protocol, std::span<const Row> rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(fmt::format("{} in {}", row.iana_name, name(protocol)));
    Proposal proposal;
    proposal.protocol = protocol;
    proposal.transforms = {Transform{row.type, row.id, std::nullopt, {}}};
    const auto weak = weak_transforms(proposal);
    const auto want = expected(row);
    ASSERT_EQ(weak.size(), want ? 1U : 0U);
    EXPECT_EQ(check_safe(proposal).has_value(), !want || *want == Weakness::kDeprecated);
    if (!want) continue;
    EXPECT_EQ(weak[0].weakness, *want);
    EXPECT_NE(weak[0].reason.find(fmt::format("RFC {}", row.rfc)), std::string::npos) << weak[0].reason;
  }
}

// RFC 8247 2.1, RFC 8247 2.2, RFC 8247 2.3, RFC 8247 2.4, RFC 9395 5
TEST(WeakAlgorithms, OfIkeAreThoseOfRfc8247) {
  check(SecurityProtocol::kIke, kIke);
}

// RFC 8221 5, RFC 8221 6, RFC 9395 5
TEST(WeakAlgorithms, OfEspAreThoseOfRfc8221) {
  check(SecurityProtocol::kEsp, kEsp);
}

// Every other number of the registries is a MAY: nothing is said of it.
TEST(WeakAlgorithms, WhatTheTablesDoNotNameIsAllowed) {
  const auto look = [](SecurityProtocol protocol, std::span<const Row> rows,
                       std::initializer_list<TransformType> types) {
    for (const TransformType type : types)
      for (std::uint16_t id = 0; id < 64; ++id) {
        const auto named = [&](const Row& row) { return row.type == type && row.id == id; };
        if (std::ranges::any_of(rows, named)) continue;
        Proposal proposal;
        proposal.protocol = protocol;
        proposal.transforms = {Transform{type, id, std::nullopt, {}}};
        EXPECT_TRUE(weak_transforms(proposal).empty()) << name(type) << " " << id;
      }
  };
  look(SecurityProtocol::kIke, kIke, {kEncr, kPrf, kInteg, kKe});
  look(SecurityProtocol::kEsp, kEsp, {kEncr, kInteg});
}

// What the RFCs want implemented can be configured.
TEST(WeakAlgorithms, EveryMustAndShouldHasAKeyword) {
  const auto look = [](std::span<const Row> rows) {
    for (const Row& row : rows) {
      if (row.level != Level::kMust && row.level != Level::kShould && row.level != Level::kMustMinus)
        continue;
      const bool sized = row.type == kEncr && has_key_length(static_cast<EncrId>(row.id));
      const Transform transform{
          row.type, row.id, sized ? std::optional<std::uint16_t>(128) : std::nullopt, {}};
      EXPECT_EQ(to_text(transform).find('['), std::string::npos) << row.iana_name;
    }
  };
  look(kIke);
  look(kEsp);
}

TEST(WeakAlgorithms, TheSentenceSaysWhichAndWhoSays) {
  const auto group2 = check_safe(test::ike("aes128-sha256-modp1024"));
  ASSERT_FALSE(group2.has_value());
  EXPECT_NE(group2.error().message.find("modp1024: RFC 8247 says SHOULD NOT"), std::string::npos);
  EXPECT_EQ(weak_transforms(test::ike("aes128-sha1-modp2048")).size(), 2U);  // PRF and integrity
  const auto md5 = check_safe(test::esp("aes256-md5"));
  ASSERT_FALSE(md5.has_value());
  EXPECT_NE(md5.error().message.find("md5: RFC 8221 says MUST NOT"), std::string::npos);
}

}  // namespace
}  // namespace merlon::policy
