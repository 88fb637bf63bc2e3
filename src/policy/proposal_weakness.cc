#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "policy/proposal.h"

namespace merlon::policy {
namespace {

struct Verdict {
  Weakness weakness;
  std::string_view source;
};

constexpr Verdict kIkeMustNot{Weakness::kMustNot, "RFC 8247 says MUST NOT"};
constexpr Verdict kIkeShouldNot{Weakness::kShouldNot, "RFC 8247 says SHOULD NOT"};
constexpr Verdict kIkeOnItsWayOut{Weakness::kDeprecated, "RFC 8247 says MUST-"};
constexpr Verdict kIkeShortBlocks{Weakness::kDeprecated, "RFC 8247 keeps it as a MAY, its blocks are short"};
constexpr Verdict kEspMustNot{Weakness::kMustNot, "RFC 8221 says MUST NOT"};
constexpr Verdict kEspShouldNot{Weakness::kShouldNot, "RFC 8221 says SHOULD NOT"};
constexpr Verdict kEspOnItsWayOut{Weakness::kDeprecated, "RFC 8221 says MUST-"};
constexpr Verdict kObsolete{Weakness::kMustNot, "RFC 9395 deprecates it"};

struct Rule {
  TransformType type = TransformType::kEncr;
  std::uint16_t id = 0;
  Verdict ike;
  Verdict esp;
};

// Everything that the RFCs advise against; an algorithm that they do not name is a MAY. What has no enumerator in iana.h we do not
// implement, but a peer may offer it.
constexpr Rule kRules[] = {
    // RFC 8247 2.1, RFC 8221 5, RFC 9395 5
    {TransformType::kEncr, 1, kObsolete, kEspMustNot},    // DES_IV64
    {TransformType::kEncr, 2, kIkeMustNot, kEspMustNot},  // DES
    {TransformType::kEncr, static_cast<std::uint16_t>(EncrId::kDes3), kIkeShortBlocks, kEspShouldNot},
    {TransformType::kEncr, 4, kObsolete, kObsolete},    // RC5
    {TransformType::kEncr, 5, kObsolete, kObsolete},    // IDEA
    {TransformType::kEncr, 6, kObsolete, kObsolete},    // CAST
    {TransformType::kEncr, 7, kObsolete, kEspMustNot},  // BLOWFISH
    {TransformType::kEncr, 8, kObsolete, kEspMustNot},  // 3IDEA
    {TransformType::kEncr, 9, kObsolete, kEspMustNot},  // DES_IV32
    // RFC 8247 2.2, RFC 9395 5; ESP has no PRF
    {TransformType::kPrf, static_cast<std::uint16_t>(PrfId::kHmacMd5), kIkeMustNot, kIkeMustNot},
    {TransformType::kPrf, static_cast<std::uint16_t>(PrfId::kHmacSha1), kIkeOnItsWayOut, kIkeOnItsWayOut},
    {TransformType::kPrf, 3, kObsolete, kObsolete},  // HMAC_TIGER
    // RFC 8247 2.3, RFC 8221 6, RFC 9395 5
    {TransformType::kInteg, static_cast<std::uint16_t>(IntegId::kHmacMd5_96), kIkeMustNot, kEspMustNot},
    {TransformType::kInteg, static_cast<std::uint16_t>(IntegId::kHmacSha1_96), kIkeOnItsWayOut,
     kEspOnItsWayOut},
    {TransformType::kInteg, 3, kIkeMustNot, kEspMustNot},  // DES_MAC
    {TransformType::kInteg, 4, kIkeMustNot, kEspMustNot},  // KPDK_MD5
    {TransformType::kInteg, 6, kObsolete, kObsolete},      // HMAC_MD5_128
    {TransformType::kInteg, 7, kObsolete, kObsolete},      // HMAC_SHA1_160
    // RFC 8247 2.4, for the key exchanges of Child SAs too
    {TransformType::kKe, static_cast<std::uint16_t>(KeMethod::kModp768), kIkeMustNot, kIkeMustNot},
    {TransformType::kKe, static_cast<std::uint16_t>(KeMethod::kModp1024), kIkeShouldNot, kIkeShouldNot},
    {TransformType::kKe, static_cast<std::uint16_t>(KeMethod::kModp1536), kIkeShouldNot, kIkeShouldNot},
    {TransformType::kKe, 22, kIkeMustNot, kIkeMustNot},      // 1024-bit MODP, 160-bit subgroup
    {TransformType::kKe, 23, kIkeShouldNot, kIkeShouldNot},  // 2048-bit MODP, 224-bit subgroup
    {TransformType::kKe, 24, kIkeShouldNot, kIkeShouldNot},  // 2048-bit MODP, 256-bit subgroup
};

std::optional<Verdict> judge(SecurityProtocol protocol, const Transform& transform) {
  const auto* const rule = std::ranges::find_if(kRules, [&](const Rule& candidate) {
    return candidate.type == transform.type && candidate.id == transform.id;
  });
  if (rule == std::end(kRules)) return std::nullopt;
  return protocol == SecurityProtocol::kEsp ? rule->esp : rule->ike;
}

}  // namespace

std::vector<WeakTransform> weak_transforms(const Proposal& proposal) {
  std::vector<WeakTransform> out;
  for (const Transform& transform : proposal.transforms)
    if (const auto verdict = judge(proposal.protocol, transform))
      out.push_back(
          {transform, verdict->weakness, fmt::format("{}: {}", to_text(transform), verdict->source)});
  return out;
}

Result<> check_safe(const Proposal& proposal) {
  std::string reasons;
  for (const WeakTransform& weak : weak_transforms(proposal))
    if (weak.weakness != Weakness::kDeprecated) reasons += (reasons.empty() ? "" : "; ") + weak.reason;
  if (!reasons.empty()) return fail(ErrorCode::kPolicy, "'{}' is unsafe: {}", to_text(proposal), reasons);
  return {};
}

}  // namespace merlon::policy
