#include "policy/proposal.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace merlon::policy {
namespace {

constexpr TransformType kIkeTypes[] = {TransformType::kEncr, TransformType::kPrf, TransformType::kInteg,
                                       TransformType::kKe};
constexpr TransformType kEspTypes[] = {TransformType::kEncr, TransformType::kInteg, TransformType::kKe,
                                       TransformType::kSn};

Proposal must_parse_ike(std::string_view text) {
  auto proposal = parse_ike_proposal(text);
  MERLON_ASSERT(proposal.has_value());
  return std::move(*proposal);
}

Proposal must_parse_esp(std::string_view text) {
  auto proposal = parse_esp_proposal(text);
  MERLON_ASSERT(proposal.has_value());
  return std::move(*proposal);
}

std::optional<std::uint16_t> optional_key_length(std::uint16_t key_bits) {
  return key_bits == 0 ? std::nullopt : std::optional(key_bits);
}

// The transforms of a single-valued proposal, by type.
class SingleValued {
 public:
  static Result<SingleValued> of(const Proposal& proposal, std::span<const TransformType> allowed) {
    SingleValued out;
    for (const Transform& transform : proposal.transforms) {
      if (std::ranges::find(allowed, transform.type) == allowed.end())
        return fail(ErrorCode::kPolicy, "a {} transform does not belong into an {} proposal",
                    name(transform.type), name(proposal.protocol));
      if (out.find(transform.type) != nullptr)
        return fail(ErrorCode::kPolicy, "several {} transforms where exactly one is needed: {}",
                    name(transform.type), to_text(proposal));
      if (!transform.unknown_attributes.empty())
        return fail(ErrorCode::kPolicy, "{} carries an attribute that we do not know", to_text(transform));
      out.transforms_.push_back(&transform);
    }
    return out;
  }

  [[nodiscard]] const Transform* find(TransformType type) const {
    const auto found =
        std::ranges::find(transforms_, type, [](const Transform* transform) { return transform->type; });
    return found == transforms_.end() ? nullptr : *found;
  }
  // 0 is NONE (INTEG, KE), and 32-bit (SN).
  [[nodiscard]] std::uint16_t id_or_zero(TransformType type) const {
    const Transform* transform = find(type);
    return transform == nullptr ? std::uint16_t{0} : transform->id;
  }

 private:
  std::vector<const Transform*> transforms_;
};

struct Cipher {
  EncrId encr = EncrId::kAesGcm16;
  std::uint16_t key_bits = 0;
  IntegId integ = IntegId::kNone;
};

Result<Cipher> cipher_of(const SingleValued& transforms) {
  const Transform* encr = transforms.find(TransformType::kEncr);
  if (encr == nullptr) return fail(ErrorCode::kPolicy, "the proposal has no encryption algorithm");
  const Cipher out{static_cast<EncrId>(encr->id), encr->key_length.value_or(0),
                   static_cast<IntegId>(transforms.id_or_zero(TransformType::kInteg))};
  // RFC 7296 3.3.5
  if (has_key_length(out.encr) && out.key_bits != 128 && out.key_bits != 192 && out.key_bits != 256)
    return fail(ErrorCode::kPolicy, "{} with a key length of {} bits, expected 128, 192 or 256",
                name(out.encr), out.key_bits);
  if (!has_key_length(out.encr) && encr->key_length)
    return fail(ErrorCode::kPolicy, "{} has a fixed key length, but came with {} bits", name(out.encr),
                out.key_bits);
  // RFC 7296 3.3: a combined-mode cipher goes without integrity, every other one with it.
  if (is_aead(out.encr) && out.integ != IntegId::kNone)
    return fail(ErrorCode::kPolicy, "{} has integrity built in, but {} came with it", name(out.encr),
                name(out.integ));
  if (!is_aead(out.encr) && out.integ == IntegId::kNone)
    return fail(ErrorCode::kPolicy, "{} came without an integrity algorithm", name(out.encr));
  return out;
}

}  // namespace

Proposals default_ike_proposals() {
  return {must_parse_ike("aes256gcm16-chacha20poly1305-aes128gcm16-prfsha256-prfsha384-prfsha512-"
                         "x25519-ecp384-ecp256-modp3072-modp2048"),
          must_parse_ike("aes256-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512-"
                         "x25519-ecp384-ecp256-modp3072-modp2048")};
}

Proposals default_esp_proposals() {
  return {
      must_parse_esp("aes256gcm16-chacha20poly1305-aes128gcm16-x25519-ecp384-ecp256-modp3072-modp2048-"
                     "modpnone-esn-noesn"),
      must_parse_esp(
          "aes256-aes128-sha256-sha384-sha512-x25519-ecp384-ecp256-modp3072-modp2048-modpnone-esn-noesn")};
}

std::string to_text(const ChosenIke& chosen) {
  return to_text(to_proposal(chosen));
}

std::string to_text(const ChosenEsp& chosen) {
  return to_text(to_proposal(chosen));
}

Proposal to_proposal(const ChosenIke& chosen) {
  Proposal out;
  out.protocol = SecurityProtocol::kIke;
  out.transforms.push_back(wire::encr_transform(chosen.encr, optional_key_length(chosen.key_bits)));
  out.transforms.push_back(wire::prf_transform(chosen.prf));
  if (chosen.integ != IntegId::kNone) out.transforms.push_back(wire::integ_transform(chosen.integ));
  out.transforms.push_back(wire::ke_transform(chosen.ke));
  return out;
}

Proposal to_proposal(const ChosenEsp& chosen) {
  Proposal out;
  out.protocol = SecurityProtocol::kEsp;
  out.transforms.push_back(wire::encr_transform(chosen.encr, optional_key_length(chosen.key_bits)));
  if (chosen.integ != IntegId::kNone) out.transforms.push_back(wire::integ_transform(chosen.integ));
  if (chosen.ke != KeMethod::kNone) out.transforms.push_back(wire::ke_transform(chosen.ke));
  out.transforms.push_back(wire::sn_transform(chosen.esn ? SnId::kPartialEsn64 : SnId::k32Bit));
  return out;
}

Result<ChosenIke> chosen_ike(const Proposal& proposal) {
  if (proposal.protocol != SecurityProtocol::kIke)
    return fail(ErrorCode::kPolicy, "expected an IKE proposal, this one is for {}", name(proposal.protocol));
  MERLON_TRY(const SingleValued transforms, SingleValued::of(proposal, kIkeTypes));
  MERLON_TRY(const Cipher cipher, cipher_of(transforms));
  // RFC 7296 3.3.2 and RFC 4543 5: never in IKE.
  if (cipher.encr == EncrId::kNull || cipher.encr == EncrId::kNullAuthAesGmac)
    return fail(ErrorCode::kPolicy, "{} must not protect IKE messages", name(cipher.encr));
  const Transform* prf = transforms.find(TransformType::kPrf);
  if (prf == nullptr) return fail(ErrorCode::kPolicy, "the IKE proposal has no PRF");
  const auto ke = static_cast<KeMethod>(transforms.id_or_zero(TransformType::kKe));
  if (ke == KeMethod::kNone) return fail(ErrorCode::kPolicy, "the IKE proposal has no key exchange method");
  return ChosenIke{cipher.encr, cipher.key_bits, cipher.integ, static_cast<PrfId>(prf->id), ke};
}

Result<ChosenEsp> chosen_esp(const Proposal& proposal) {
  if (proposal.protocol != SecurityProtocol::kEsp)
    return fail(ErrorCode::kPolicy, "expected an ESP proposal, this one is for {}", name(proposal.protocol));
  MERLON_TRY(const SingleValued transforms, SingleValued::of(proposal, kEspTypes));
  MERLON_TRY(const Cipher cipher, cipher_of(transforms));
  const std::uint16_t sn = transforms.id_or_zero(TransformType::kSn);
  if (sn > static_cast<std::uint16_t>(SnId::kPartialEsn64))
    return fail(ErrorCode::kPolicy, "sequence numbers of the kind {} are not known here", sn);
  return ChosenEsp{cipher.encr, cipher.key_bits, cipher.integ,
                   static_cast<KeMethod>(transforms.id_or_zero(TransformType::kKe)),
                   sn == static_cast<std::uint16_t>(SnId::kPartialEsn64)};
}

bool has_type(const Proposal& proposal, TransformType type) {
  return std::ranges::any_of(proposal.transforms,
                             [&](const Transform& transform) { return transform.type == type; });
}

std::vector<KeMethod> ke_methods(ProposalView proposals) {
  std::vector<KeMethod> out;
  for (const Proposal& proposal : proposals) {
    for (const Transform& transform : proposal.transforms) {
      const auto method = static_cast<KeMethod>(transform.id);
      if (transform.type != TransformType::kKe || method == KeMethod::kNone) continue;
      if (std::ranges::find(out, method) == out.end()) out.push_back(method);
    }
  }
  return out;
}

bool allows_ke(ProposalView proposals, KeMethod method) {
  const std::vector<KeMethod> methods = ke_methods(proposals);
  return std::ranges::find(methods, method) != methods.end();
}

}  // namespace merlon::policy
