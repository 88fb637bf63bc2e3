// Signatures of AUTH payloads and certificates: keys are in crypto/keys.h.
#pragma once

#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/iana.h"
#include "crypto/keys.h"

namespace merlon::crypto {

enum class SignatureAlgorithm : std::uint8_t { kRsaPkcs1, kRsaPss, kEcdsa, kEd25519, kEd448 };

// How the two numbers of an ECDSA signature are written: RFC 7427 and X.509 as a DER Ecdsa-Sig-Value, the
// authentication methods 9 to 11 as r | s, each as long as the order (RFC 4754 7).
enum class EcdsaForm : std::uint8_t { kDer, kRaw };

struct SignatureScheme {
  SignatureAlgorithm algorithm = SignatureAlgorithm::kEd25519;
  HashId hash = HashId::kIdentity;         // kIdentity for EdDSA and only there (RFC 8420)
  EcdsaForm ecdsa_form = EcdsaForm::kDer;  // kRaw: the curve must be the one that goes with the hash
  friend bool operator==(const SignatureScheme&, const SignatureScheme&) = default;
};

// For people: "RSASSA-PSS with SHA2-256", "ECDSA with SHA2-384", "Ed25519".
[[nodiscard]] std::string name(const SignatureScheme& scheme);

// RFC 7427 3 and appendix A, RFC 8420 A: the AlgorithmIdentifier in DER. Errors: kUnsupported for schemes
// without one (RSASSA-PSS with SHA-1, raw ECDSA).
[[nodiscard]] Result<Bytes> algorithm_identifier_der(const SignatureScheme& scheme);
// The inverse. RSASSA-PSS parameters must name one SHA-2 hash for both uses and a salt as long as the hash;
// absent and NULL parameters of a hash both pass (RFC 4055 2.1). Errors: kUnsupported, with the bytes in the
// message.
[[nodiscard]] Result<SignatureScheme> parse_algorithm_identifier(ByteView der);

// The older authentication methods: what a verifier of the method accepts; the first is what a signer uses
// (RFC 7296 2.15: RSA with SHA-1 unless told otherwise; RFC 4754 for 9 to 11). Empty for every other method.
[[nodiscard]] std::span<const SignatureScheme> schemes_of(AuthMethod method);
// The older method for this key; none for EdDSA, which only RFC 7427 can carry.
[[nodiscard]] std::optional<AuthMethod> legacy_auth_method(const PublicKey& key);

// RFC 7427 4, RFC 8420 2: the scheme to sign with, of those whose hash is in the peer's
// SIGNATURE_HASH_ALGORITHMS: the hash that fits the key's strength, or else the strongest; never SHA-1.
// Errors: kUnsupported, naming what is missing.
[[nodiscard]] Result<SignatureScheme> choose_scheme(const PublicKey& key, std::span<const HashId> peer_hashes,
                                                    bool prefer_pss);

// Whether a signature by this key is worth something: RSA of 2048 to 16384 bits with an odd exponent of at
// least 3 (RFC 8247 4.1), a point on its named curve, no small-order Ed25519 or Ed448 key. Errors: kPolicy.
[[nodiscard]] Result<> check_key(const PublicKey& key);

// Errors: kInvalidArgument where scheme and key do not go together, kPolicy (check_key), kSystem (OpenSSL
// failed).
[[nodiscard]] Result<Bytes> sign(const PrivateKey& key, const SignatureScheme& scheme, ByteView message);
// Errors: kAuthentication (the signature is wrong, malformed or for another kind of key), kPolicy
// (check_key).
[[nodiscard]] Result<> verify(const PublicKey& key, const SignatureScheme& scheme, ByteView message,
                              ByteView signature);

}  // namespace merlon::crypto
