// Public and private keys for signatures.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/secret.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace merlon::crypto {

enum class KeyKind : std::uint8_t { kRsa, kEcdsaP256, kEcdsaP384, kEcdsaP521, kEd25519, kEd448 };

// "RSA", "ECDSA P-256", "Ed25519".
[[nodiscard]] std::string name(KeyKind kind);
[[nodiscard]] bool is_ecdsa(KeyKind kind);

// A value; copies share the (immutable) key.
class PublicKey {
 public:
  // A SubjectPublicKeyInfo in DER, nothing behind it. Errors: kMalformed; kUnsupported (another algorithm or
  // curve, a curve given by parameters, an id-RSASSA-PSS key). That the key is well formed does not say it is
  // strong: check_key.
  [[nodiscard]] static Result<PublicKey> from_spki_der(ByteView der);
  [[nodiscard]] static Result<PublicKey> from_pem(std::string_view text);  // "BEGIN PUBLIC KEY"
  // What from_spki_der makes of `spki_der`, where OpenSSL has already decoded it to `key`: both its decoding
  // and its encoding take longer than a signature. For pki/ only.
  [[nodiscard]] static Result<PublicKey> from_decoded(std::shared_ptr<evp_pkey_st> key, ByteView spki_der);

  [[nodiscard]] const Bytes& spki_der() const { return spki_der_; }
  [[nodiscard]] std::string to_pem() const;
  [[nodiscard]] KeyKind kind() const { return kind_; }
  [[nodiscard]] unsigned bits() const {
    return bits_;
  }                                             // RSA: of the modulus; the others: 256, 384, 521, 256, 456
  [[nodiscard]] std::string to_string() const;  // "RSA 3072", "ECDSA P-256"

  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.spki_der_ == b.spki_der_; }

  // For crypto/ and pki/ only.
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  friend class PrivateKey;
  PublicKey() = default;
  static Result<PublicKey> of_kind(std::shared_ptr<evp_pkey_st> key);  // without its encoding
  static Result<PublicKey> from_native(std::shared_ptr<evp_pkey_st> key);

  std::shared_ptr<evp_pkey_st> key_;
  Bytes spki_der_;
  KeyKind kind_ = KeyKind::kRsa;
  unsigned bits_ = 0;
};

class PrivateKey {
 public:
  // "BEGIN PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY", "BEGIN RSA PRIVATE KEY", "BEGIN EC PRIVATE KEY";
  // never asks anybody for a passphrase. Errors: kMalformed (also: wrong passphrase), kUnsupported.
  [[nodiscard]] static Result<PrivateKey> from_pem(std::string_view text, std::string_view passphrase = {});
  // PKCS#8, or the traditional RSA and EC forms.
  [[nodiscard]] static Result<PrivateKey> from_der(ByteView der);
  // By OpenSSL's own randomness. `bits` is for RSA: 2048 to 16384, 0 means 3072. Errors: kInvalidArgument,
  // kSystem.
  [[nodiscard]] static Result<PrivateKey> generate(KeyKind kind, unsigned bits = 0);

  PrivateKey(PrivateKey&&) noexcept = default;
  PrivateKey& operator=(PrivateKey&&) noexcept = default;
  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;
  ~PrivateKey() = default;

  [[nodiscard]] Secret to_pem() const;  // PKCS#8, not encrypted
  [[nodiscard]] Secret to_pkcs8_der() const;
  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] KeyKind kind() const { return public_key_.kind(); }
  [[nodiscard]] unsigned bits() const { return public_key_.bits(); }

  // For crypto/ and pki/ only.
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  PrivateKey() = default;
  static Result<PrivateKey> from_native(std::shared_ptr<evp_pkey_st> key);

  std::shared_ptr<evp_pkey_st> key_;
  PublicKey public_key_;
};

}  // namespace merlon::crypto
