// Keying material of IKEv2 (RFC 7296 2.13, 2.14, 2.17, 2.18). RFC 7296 itself has no vectors.
#pragma once

#include "base/bytes.h"
#include "base/iana.h"
#include "base/ids.h"
#include "base/secret.h"
#include "crypto/message_cipher.h"
#include "policy/sad.h"

namespace merlon::ikev2 {

// The algorithms of an IKE SA.
struct IkeAlgorithms {
  crypto::MessageCipherSuite cipher;
  PrfId prf = PrfId::kHmacSha2_256;
  KeMethod ke = KeMethod::kNone;
  friend bool operator==(const IkeAlgorithms&, const IkeAlgorithms&) = default;
};
// "AES_GCM_16-256/HMAC_SHA2_384/CURVE25519", with the integrity algorithm behind the cipher where there is
// one.
[[nodiscard]] std::string describe(const IkeAlgorithms& algorithms);

struct IkeKeys {
  Secret sk_d;          // seed of Child SA keys and of the next IKE SA's
  Secret sk_ai, sk_ar;  // integrity; empty with an AEAD
  Secret sk_ei, sk_er;  // encryption, with the salt behind it
  Secret sk_pi, sk_pr;  // AUTH payloads

  [[nodiscard]] IkeKeys clone() const;
};

// What both sides put into it. The nonces are the Nonce payloads' data; i and r are the roles in the exchange
// that makes the keys (for a rekey: in the CREATE_CHILD_SA exchange, RFC 7296 2.18).
struct KeySeed {
  ByteView nonce_i, nonce_r;
  IkeSaId spis;  // of the IKE SA that the keys are for
};

// RFC 7296 2.14: SKEYSEED = prf(Ni | Nr, g^ir), cut as the PRF demands, then {SK_d | SK_ai | ...} = prf+.
// Errors: kUnsupported.
[[nodiscard]] Result<IkeKeys> derive_ike_keys(const IkeAlgorithms& algorithms, const KeySeed& seed,
                                              const Secret& shared_secret);

// RFC 7296 2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old IKE SA's PRF; what follows
// with the new one's.
[[nodiscard]] Result<IkeKeys> derive_rekeyed_ike_keys(PrfId old_prf, const Secret& old_sk_d,
                                                      const IkeAlgorithms& algorithms, const KeySeed& seed,
                                                      const Secret& shared_secret);

// Keys of a Child SA by direction.
struct ChildKeys {
  policy::DirectionKeys initiator_to_responder, responder_to_initiator;
};
// RFC 7296 2.17: KEYMAT = prf+(SK_d, [g^ir (new)] | Ni | Nr); all keys of the initiator-to-responder SA come
// first, and of each SA encryption before integrity. `shared_secret` null without PFS. Errors: kUnsupported.
[[nodiscard]] Result<ChildKeys> derive_child_keys(PrfId prf, const Secret& sk_d,
                                                  const policy::EspAlgorithms& algorithms, ByteView nonce_i,
                                                  ByteView nonce_r, const Secret* shared_secret);

// RFC 7296 2.10: a nonce has at least 16 bytes (and at most 256, 3.9), and at least half the PRF's key. Ours
// always have 32, which fits every PRF we know.
inline constexpr std::size_t kNonceSize = 32;
[[nodiscard]] Result<> check_nonce_size(PrfId prf, std::size_t size);

}  // namespace merlon::ikev2
