// Proposals (RFC 7296 3.3) as configured: text, defaults, what is weak, and the algorithms once chosen.
//
// Proposal and Transform are wire/'s own. A configured Proposal has no SPI and its number does not count; its
// transforms stand in the order of preference within their type. In an ESP proposal KE transforms say which
// methods a CREATE_CHILD_SA exchange uses (perfect forward secrecy; NONE among them: also without); the Child
// SA of IKE_AUTH never has one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/iana.h"
#include "base/result.h"
#include "wire/ike/sa.h"

namespace merlon::policy {

using Proposal = wire::Proposal;
using Transform = wire::Transform;
using Proposals = std::vector<Proposal>;
using ProposalView = std::span<const Proposal>;

// ---- Text: keywords joined by '-', several of one type in order of preference, as strongSwan's users write
// them: "aes256gcm16-prfsha384-x25519", "aes256-aes128-sha256-x25519-ecp256", "chacha20poly1305-x25519-esn".
// IKE: a missing PRF is derived from the integrity algorithm; a KE method is needed. ESP: without "esn" and
// "noesn" both are acceptable, ESN first. Errors (kInvalidArgument): an unknown word with the nearest known
// one, ciphers with and without built-in integrity mixed (RFC 7296 3.3), integrity missing or too many, NULL
// or GMAC in IKE.
[[nodiscard]] Result<Proposal> parse_ike_proposal(std::string_view text);
[[nodiscard]] Result<Proposal> parse_esp_proposal(std::string_view text);
// The keywords again, also of a proposal received: what has no keyword prints as IANA's name in brackets,
// "[ENCR 99]".
[[nodiscard]] std::string to_text(const Proposal& proposal);
[[nodiscard]] std::string to_text(ProposalView proposals);  // comma-separated; "nothing" when empty
[[nodiscard]] std::string to_text(const Transform& transform);

// ---- Defaults, strongest first; what cloud gateways accept is among them; no SHA-1.
[[nodiscard]] Proposals default_ike_proposals();
[[nodiscard]] Proposals default_esp_proposals();

// ---- RFC 8247 (IKE), RFC 8221 (ESP) and RFC 9395: algorithms that MUST NOT or SHOULD NOT be used, or are on
// their way out ("MUST-").
enum class Weakness { kDeprecated, kShouldNot, kMustNot };
struct WeakTransform {
  Transform transform;
  Weakness weakness = Weakness::kDeprecated;
  std::string reason;  // "modp1024: RFC 8247 says SHOULD NOT"
};
[[nodiscard]] std::vector<WeakTransform> weak_transforms(const Proposal& proposal);
// kPolicy naming every SHOULD NOT and MUST NOT algorithm; merely deprecated ones (SHA-1) pass.
[[nodiscard]] Result<> check_safe(const Proposal& proposal);

// ---- The algorithms of an SA.
struct ChosenIke {
  EncrId encr = EncrId::kAesGcm16;
  std::uint16_t key_bits = 0;      // 0 where the cipher has but one key length
  IntegId integ = IntegId::kNone;  // kNone with an AEAD cipher
  PrfId prf = PrfId::kHmacSha2_256;
  KeMethod ke = KeMethod::kNone;
  friend bool operator==(const ChosenIke&, const ChosenIke&) = default;
};
struct ChosenEsp {
  EncrId encr = EncrId::kAesGcm16;
  std::uint16_t key_bits = 0;
  IntegId integ = IntegId::kNone;
  KeMethod ke = KeMethod::kNone;  // kNone: no key exchange of its own
  bool esn = false;
  friend bool operator==(const ChosenEsp&, const ChosenEsp&) = default;
};
[[nodiscard]] std::string to_text(const ChosenIke& chosen);  // "aes256gcm16-prfsha256-x25519"
[[nodiscard]] std::string to_text(const ChosenEsp& chosen);  // "aes256gcm16-esn"
[[nodiscard]] Proposal to_proposal(const ChosenIke& chosen);
[[nodiscard]] Proposal to_proposal(const ChosenEsp& chosen);  // KE and INTEG are left out where they are NONE
// From a proposal with at most one transform a type. kPolicy: one that is missing, doubled or does not
// belong. An ESP proposal without SN means 32-bit sequence numbers.
[[nodiscard]] Result<ChosenIke> chosen_ike(const Proposal& proposal);
[[nodiscard]] Result<ChosenEsp> chosen_esp(const Proposal& proposal);

// ---- Small questions.
[[nodiscard]] bool has_type(const Proposal& proposal, TransformType type);
[[nodiscard]] std::vector<KeMethod> ke_methods(ProposalView proposals);  // in order, each once, NONE left out
[[nodiscard]] bool allows_ke(ProposalView proposals, KeMethod method);

}  // namespace merlon::policy
