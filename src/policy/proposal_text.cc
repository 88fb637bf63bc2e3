// Proposals as people write them.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/nearest.h"
#include "policy/proposal.h"

namespace merlon::policy {
namespace {

struct Keyword {
  std::string word;
  Transform transform;
};

// The first word of a transform is the one that prints.
std::vector<Keyword> make_keywords() {
  std::vector<Keyword> out;
  const auto encr = [&](std::string word, EncrId id, std::optional<std::uint16_t> key_bits = std::nullopt) {
    out.push_back({std::move(word), wire::encr_transform(id, key_bits)});
  };
  for (const std::uint16_t bits : {std::uint16_t{256}, std::uint16_t{192}, std::uint16_t{128}}) {
    const auto aes = fmt::format("aes{}", bits);
    encr(aes, EncrId::kAesCbc, bits);
    encr(aes + "cbc", EncrId::kAesCbc, bits);
    encr(aes + "ctr", EncrId::kAesCtr, bits);
    // With the length of the ICV in bytes, in bits, or, for the whole one, not at all.
    for (const char* word : {"gcm16", "gcm128", "gcm"}) encr(aes + word, EncrId::kAesGcm16, bits);
    for (const char* word : {"gcm12", "gcm96"}) encr(aes + word, EncrId::kAesGcm12, bits);
    for (const char* word : {"gcm8", "gcm64"}) encr(aes + word, EncrId::kAesGcm8, bits);
    for (const char* word : {"ccm16", "ccm128", "ccm"}) encr(aes + word, EncrId::kAesCcm16, bits);
    for (const char* word : {"ccm12", "ccm96"}) encr(aes + word, EncrId::kAesCcm12, bits);
    for (const char* word : {"ccm8", "ccm64"}) encr(aes + word, EncrId::kAesCcm8, bits);
    encr(aes + "gmac", EncrId::kNullAuthAesGmac, bits);
    encr(fmt::format("camellia{}", bits), EncrId::kCamelliaCbc, bits);
  }
  encr("aes", EncrId::kAesCbc, std::uint16_t{128});
  encr("chacha20poly1305", EncrId::kChacha20Poly1305);
  encr("3des", EncrId::kDes3);
  encr("null", EncrId::kNull);

  const auto integ = [&](const char* word, IntegId id) { out.push_back({word, wire::integ_transform(id)}); };
  integ("sha256", IntegId::kHmacSha2_256_128);
  integ("sha2_256", IntegId::kHmacSha2_256_128);
  integ("sha384", IntegId::kHmacSha2_384_192);
  integ("sha2_384", IntegId::kHmacSha2_384_192);
  integ("sha512", IntegId::kHmacSha2_512_256);
  integ("sha2_512", IntegId::kHmacSha2_512_256);
  integ("sha1", IntegId::kHmacSha1_96);
  integ("sha", IntegId::kHmacSha1_96);
  integ("md5", IntegId::kHmacMd5_96);
  integ("aesxcbc", IntegId::kAesXcbc96);
  integ("aescmac", IntegId::kAesCmac96);

  const auto prf = [&](const char* word, PrfId id) { out.push_back({word, wire::prf_transform(id)}); };
  prf("prfsha256", PrfId::kHmacSha2_256);
  prf("prfsha384", PrfId::kHmacSha2_384);
  prf("prfsha512", PrfId::kHmacSha2_512);
  prf("prfsha1", PrfId::kHmacSha1);
  prf("prfmd5", PrfId::kHmacMd5);
  prf("prfaesxcbc", PrfId::kAes128Xcbc);
  prf("prfaescmac", PrfId::kAes128Cmac);

  const auto ke = [&](const char* word, KeMethod id) { out.push_back({word, wire::ke_transform(id)}); };
  ke("x25519", KeMethod::kCurve25519);
  ke("curve25519", KeMethod::kCurve25519);
  ke("x448", KeMethod::kCurve448);
  ke("curve448", KeMethod::kCurve448);
  ke("ecp256", KeMethod::kEcp256);
  ke("ecp384", KeMethod::kEcp384);
  ke("ecp521", KeMethod::kEcp521);
  ke("modp2048", KeMethod::kModp2048);
  ke("modp3072", KeMethod::kModp3072);
  ke("modp4096", KeMethod::kModp4096);
  ke("modp6144", KeMethod::kModp6144);
  ke("modp8192", KeMethod::kModp8192);
  ke("modp1536", KeMethod::kModp1536);
  ke("modp1024", KeMethod::kModp1024);
  ke("modp768", KeMethod::kModp768);
  ke("modpnone", KeMethod::kNone);
  out.push_back({"esn", wire::sn_transform(SnId::kPartialEsn64)});
  out.push_back({"noesn", wire::sn_transform(SnId::k32Bit)});
  return out;
}

const std::vector<Keyword>& keywords() {
  static const std::vector<Keyword> once = make_keywords();
  return once;
}

const Keyword* find_word(std::string_view word) {
  const auto& all = keywords();
  const auto found = std::ranges::find(all, word, &Keyword::word);
  return found == all.end() ? nullptr : &*found;
}

const Keyword* find_transform(const Transform& transform) {
  const auto& all = keywords();
  const auto found = std::ranges::find(all, transform, &Keyword::transform);
  return found == all.end() ? nullptr : &*found;
}

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '\t') continue;
    out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
  }
  return out;
}

tl::unexpected<Error> unknown_word(std::string_view word) {
  if (word.empty())
    return fail(ErrorCode::kInvalidArgument, "two '-' without a word between them, or one at an end");
  std::vector<std::string_view> known;
  known.reserve(keywords().size());
  for (const Keyword& keyword : keywords()) known.push_back(keyword.word);
  const auto near = nearest(word, known);
  return fail(ErrorCode::kInvalidArgument, "'{}' is not an algorithm{}", word,
              near ? fmt::format("; did you mean '{}'?", *near) : "");
}

Result<std::vector<Transform>> parse_words(std::string_view text) {
  std::vector<Transform> out;
  for (std::size_t start = 0;;) {
    const std::size_t dash = text.find('-', start);
    const std::string_view word = text.substr(start, dash == std::string_view::npos ? dash : dash - start);
    const Keyword* keyword = find_word(word);
    if (keyword == nullptr) return unknown_word(word);
    if (std::ranges::find(out, keyword->transform) == out.end()) out.push_back(keyword->transform);
    if (dash == std::string_view::npos) break;
    start = dash + 1;
  }
  std::ranges::stable_sort(out, {}, &Transform::type);
  return out;
}

const Transform* first_of(const Proposal& proposal, TransformType type) {
  const auto found = std::ranges::find(proposal.transforms, type, &Transform::type);
  return found == proposal.transforms.end() ? nullptr : &*found;
}

bool is_aead_transform(const Transform& transform) {
  return transform.type == TransformType::kEncr && is_aead(static_cast<EncrId>(transform.id));
}

bool is_aead_proposal(const Proposal& proposal) {
  return std::ranges::any_of(proposal.transforms, is_aead_transform);
}

// What IKE and ESP have in common. RFC 7296 3.3, RFC 5282 8, RFC 8221 4.
Result<> check_cipher(const Proposal& proposal) {
  const Transform* encr = first_of(proposal, TransformType::kEncr);
  if (encr == nullptr) return fail(ErrorCode::kInvalidArgument, "it names no cipher, such as aes256gcm16");
  for (const Transform& transform : proposal.transforms)
    if (transform.type == TransformType::kEncr && is_aead_transform(transform) != is_aead_transform(*encr))
      return fail(ErrorCode::kInvalidArgument,
                  "'{}' and '{}' cannot stand in one proposal, since only one of them has integrity built in "
                  "(RFC 7296 3.3): "
                  "write two proposals",
                  to_text(*encr), to_text(transform));
  const Transform* integ = first_of(proposal, TransformType::kInteg);
  if (is_aead_transform(*encr) && integ != nullptr) {
    const bool is_ike = proposal.protocol == SecurityProtocol::kIke;
    return fail(ErrorCode::kInvalidArgument, "'{}' has integrity built in, so '{}' must go{}", to_text(*encr),
                to_text(*integ), is_ike ? fmt::format("; for the PRF write 'prf{}'", to_text(*integ)) : "");
  }
  if (!is_aead_transform(*encr) && integ == nullptr)
    return fail(ErrorCode::kInvalidArgument, "'{}' needs an integrity algorithm beside it, such as sha256",
                to_text(*encr));
  return {};
}

std::optional<PrfId> prf_of(IntegId integ) {
  switch (integ) {
    case IntegId::kHmacMd5_96:
      return PrfId::kHmacMd5;
    case IntegId::kHmacSha1_96:
      return PrfId::kHmacSha1;
    case IntegId::kAesXcbc96:
      return PrfId::kAes128Xcbc;
    case IntegId::kAesCmac96:
      return PrfId::kAes128Cmac;
    case IntegId::kHmacSha2_256_128:
      return PrfId::kHmacSha2_256;
    case IntegId::kHmacSha2_384_192:
      return PrfId::kHmacSha2_384;
    case IntegId::kHmacSha2_512_256:
      return PrfId::kHmacSha2_512;
    default:
      return std::nullopt;
  }
}

std::vector<Transform> derived_prfs(const Proposal& proposal) {
  std::vector<Transform> out;
  for (const Transform& transform : proposal.transforms) {
    if (transform.type != TransformType::kInteg) continue;
    if (const auto prf = prf_of(static_cast<IntegId>(transform.id))) out.push_back(wire::prf_transform(*prf));
  }
  return out;
}

std::vector<Transform> of_type(const Proposal& proposal, TransformType type) {
  std::vector<Transform> out;
  std::ranges::copy_if(proposal.transforms, std::back_inserter(out),
                       [&](const Transform& transform) { return transform.type == type; });
  return out;
}

Result<> check_ike(Proposal& proposal) {
  for (const Transform& transform : proposal.transforms) {
    const auto encr = static_cast<EncrId>(transform.id);
    // RFC 7296 3.3.2, RFC 4543 5
    if (transform.type == TransformType::kEncr && (encr == EncrId::kNull || encr == EncrId::kNullAuthAesGmac))
      return fail(ErrorCode::kInvalidArgument, "'{}' does not encrypt and must not protect IKE",
                  to_text(transform));
    if (transform.type == TransformType::kSn)
      return fail(ErrorCode::kInvalidArgument, "'{}' belongs into ESP proposals only", to_text(transform));
    if (transform == wire::ke_transform(KeMethod::kNone))
      return fail(ErrorCode::kInvalidArgument,
                  "'modpnone' belongs into ESP proposals only: IKE needs a key exchange");
  }
  MERLON_TRY_VOID(check_cipher(proposal));
  if (!has_type(proposal, TransformType::kPrf)) {
    const std::vector<Transform> prfs = derived_prfs(proposal);
    if (prfs.empty()) return fail(ErrorCode::kInvalidArgument, "it names no PRF, such as prfsha256");
    proposal.transforms.insert(proposal.transforms.end(), prfs.begin(), prfs.end());
    std::ranges::stable_sort(proposal.transforms, {}, &Transform::type);
  }
  if (!has_type(proposal, TransformType::kKe))
    return fail(ErrorCode::kInvalidArgument, "it names no key exchange method, such as x25519");
  return {};
}

Result<> check_esp(Proposal& proposal) {
  if (const Transform* prf = first_of(proposal, TransformType::kPrf))
    return fail(ErrorCode::kInvalidArgument, "'{}' belongs into IKE proposals only: ESP has no PRF",
                to_text(*prf));
  MERLON_TRY_VOID(check_cipher(proposal));
  if (!has_type(proposal, TransformType::kSn)) {
    proposal.transforms.push_back(wire::sn_transform(SnId::kPartialEsn64));
    proposal.transforms.push_back(wire::sn_transform(SnId::k32Bit));
  }
  return {};
}

Result<Proposal> parse(SecurityProtocol protocol, std::string_view text) {
  const std::string clean = lower(text);
  if (clean.empty()) return fail(ErrorCode::kInvalidArgument, "a proposal must not be empty");
  Proposal proposal;
  proposal.protocol = protocol;
  auto words = parse_words(clean);
  if (!words) return fail_in(fmt::format("proposal '{}'", text), std::move(words).error());
  proposal.transforms = std::move(*words);
  auto checked = protocol == SecurityProtocol::kIke ? check_ike(proposal) : check_esp(proposal);
  if (!checked) return fail_in(fmt::format("proposal '{}'", text), std::move(checked).error());
  return proposal;
}

// What parse() adds by itself need not be printed.
bool is_implied(const Proposal& proposal, TransformType type) {
  if (type == TransformType::kPrf)
    return !is_aead_proposal(proposal) && of_type(proposal, type) == derived_prfs(proposal);
  if (type == TransformType::kSn)
    return of_type(proposal, type) ==
           std::vector{wire::sn_transform(SnId::kPartialEsn64), wire::sn_transform(SnId::k32Bit)};
  return false;
}

}  // namespace

Result<Proposal> parse_ike_proposal(std::string_view text) {
  return parse(SecurityProtocol::kIke, text);
}

Result<Proposal> parse_esp_proposal(std::string_view text) {
  return parse(SecurityProtocol::kEsp, text);
}

std::string to_text(const Transform& transform) {
  if (const Keyword* keyword = find_transform(transform)) return keyword->word;
  return fmt::format("[{} {}]", name(transform.type), wire::name(transform));
}

std::string to_text(const Proposal& proposal) {
  std::string out;
  const auto add = [&](const std::string& word) { out += (out.empty() ? "" : "-") + word; };
  // Integrity before the PRF is how people write it.
  std::vector<TransformType> types = {TransformType::kEncr, TransformType::kInteg, TransformType::kPrf};
  for (const Transform& transform : proposal.transforms)
    if (std::ranges::find(types, transform.type) == types.end()) types.push_back(transform.type);
  std::ranges::sort(types.begin() + 3, types.end());
  for (const TransformType type : types) {
    if (is_implied(proposal, type)) continue;
    for (const Transform& transform : of_type(proposal, type))
      if (transform != wire::integ_transform(IntegId::kNone)) add(to_text(transform));
  }
  if (proposal.protocol == SecurityProtocol::kEsp && !has_type(proposal, TransformType::kSn)) add("noesn");
  return out;
}

std::string to_text(ProposalView proposals) {
  if (proposals.empty()) return "nothing";
  std::string out;
  for (const Proposal& proposal : proposals) out += (out.empty() ? "" : ", ") + to_text(proposal);
  return out;
}

}  // namespace merlon::policy
