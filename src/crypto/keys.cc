#include "crypto/keys.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <optional>

#include "base/check.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

constexpr unsigned kMinRsaBits = 2048;
constexpr unsigned kMaxRsaBits = 16384;
constexpr unsigned kDefaultRsaBits = 3072;

struct KindFacts {
  KeyKind kind;
  const char* text;
  unsigned bits;
  const char* openssl_curve;  // for ECDSA
  std::size_t
      spki_size;  // of the SubjectPublicKeyInfo with a named curve and the point uncompressed; 0 for RSA
  std::size_t point_size;  // of such a point
};

constexpr KindFacts kKinds[] = {
    {KeyKind::kRsa, "RSA", 0, nullptr, 0, 0},
    {KeyKind::kEcdsaP256, "ECDSA P-256", 256, "prime256v1", 91, 65},
    {KeyKind::kEcdsaP384, "ECDSA P-384", 384, "secp384r1", 120, 97},
    {KeyKind::kEcdsaP521, "ECDSA P-521", 521, "secp521r1", 158, 133},
    {KeyKind::kEd25519, "Ed25519", 256, nullptr, 44, 0},
    {KeyKind::kEd448, "Ed448", 456, nullptr, 69, 0},
};

const KindFacts& facts(KeyKind kind) {
  return kKinds[static_cast<std::size_t>(kind)];
}

Result<KeyKind> ecdsa_kind(const EVP_PKEY* key) {
  // RFC 5480 2.1.1: only named curves. OpenSSL recognises a known curve in explicit parameters; that is
  // refused too.
  int is_explicit = 0;
  if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) == 1 &&
      is_explicit != 0)
    return fail(ErrorCode::kUnsupported,
                "an elliptic curve must be named, this key spells out its parameters");
  std::array<char, 80> group{};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1)
    for (const KindFacts& candidate : kKinds)
      if (candidate.openssl_curve != nullptr &&
          std::string_view(group.data(), size) == candidate.openssl_curve)
        return candidate.kind;
  ERR_clear_error();
  return fail(ErrorCode::kUnsupported, "elliptic curve {} is not supported: P-256, P-384 and P-521 are",
              std::string_view(group.data(), size));
}

Result<KeyKind> kind_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) return KeyKind::kRsa;
  if (EVP_PKEY_is_a(key, "EC") == 1) return ecdsa_kind(key);
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return KeyKind::kEd25519;
  if (EVP_PKEY_is_a(key, "ED448") == 1) return KeyKind::kEd448;
  const char* type = EVP_PKEY_get0_type_name(key);
  return fail(ErrorCode::kUnsupported, "keys of type {} are not supported",
              type != nullptr ? type : "unknown");
}

template <int (*kEncode)(const EVP_PKEY*, unsigned char**)>
std::optional<Bytes> encode(const EVP_PKEY* key) {
  const int size = kEncode(key, nullptr);
  if (size <= 0) return std::nullopt;
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* cursor = out.data();
  if (kEncode(key, &cursor) != size) return std::nullopt;
  return out;
}

struct Passphrase {
  std::string_view text;
};

// Without a callback OpenSSL would ask on the terminal.
int give_passphrase(char* buffer, int size, int /*writing*/, void* context) {
  const auto* passphrase = static_cast<const Passphrase*>(context);
  if (passphrase->text.empty() || passphrase->text.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(passphrase->text.begin(), passphrase->text.end(), buffer);
  return static_cast<int>(passphrase->text.size());
}

BioPtr bio_of(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Secret contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  if (size <= 0) return {};
  return Secret::copy_of({reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)});
}

std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) {
  return {key, EVP_PKEY_free};
}

}  // namespace

std::string name(KeyKind kind) {
  return facts(kind).text;
}

bool is_ecdsa(KeyKind kind) {
  return facts(kind).openssl_curve != nullptr;
}

Result<PublicKey> PublicKey::of_kind(std::shared_ptr<EVP_PKEY> key) {
  PublicKey out;
  MERLON_TRY(out.kind_, kind_of(key.get()));
  out.bits_ = facts(out.kind_).bits;
  if (out.kind_ == KeyKind::kRsa) out.bits_ = static_cast<unsigned>(EVP_PKEY_get_bits(key.get()));
  out.key_ = std::move(key);
  return out;
}

// Points and RSA's parameters have several encodings; this says that `spki_der`, which OpenSSL read as such a
// key, is the one we keep.
static bool is_our_encoding(const KindFacts& kind, ByteView spki_der) {
  if (spki_der.size() != kind.spki_size) return false;
  // RFC 5480 2.2: 04 stands before an uncompressed point
  return kind.point_size == 0 || spki_der[kind.spki_size - kind.point_size] == 0x04;
}

Result<PublicKey> PublicKey::from_decoded(std::shared_ptr<EVP_PKEY> key, ByteView spki_der) {
  MERLON_TRY(PublicKey out, of_kind(std::move(key)));
  if (out.kind_ == KeyKind::kRsa) return from_native(std::move(out.key_));
  // Not by way of `key`: others may be using it, and our encoding is a setting of the key.
  if (!is_our_encoding(facts(out.kind_), spki_der)) return from_spki_der(spki_der);
  out.spki_der_ = to_bytes(spki_der);
  return out;
}

Result<PublicKey> PublicKey::from_native(std::shared_ptr<EVP_PKEY> key) {
  MERLON_TRY(PublicKey out, of_kind(std::move(key)));
  // One key, one encoding, whichever form of the point came.
  if (is_ecdsa(out.kind_))
    EVP_PKEY_set_utf8_string_param(out.key_.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                   "uncompressed");
  auto der = encode<i2d_PUBKEY>(out.key_.get());
  if (!der) return fail(ErrorCode::kMalformed, "a public key that cannot be written: {}", openssl_reason());
  out.spki_der_ = std::move(*der);
  return out;
}

Result<PublicKey> PublicKey::from_spki_der(ByteView der) {
  const unsigned char* cursor = der.data();
  const auto key = shared(d2i_PUBKEY_ex(nullptr, &cursor, static_cast<long>(der.size()), nullptr, nullptr));
  if (!key) return fail(ErrorCode::kMalformed, "not a SubjectPublicKeyInfo: {}", openssl_reason());
  if (cursor != der.data() + der.size())
    return fail(ErrorCode::kMalformed, "{} bytes behind a SubjectPublicKeyInfo",
                der.data() + der.size() - cursor);
  return from_native(key);
}

Result<PublicKey> PublicKey::from_pem(std::string_view text) {
  const BioPtr bio = bio_of(text);
  Passphrase none;
  const auto key = shared(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, give_passphrase, &none) : nullptr);
  if (!key) return fail(ErrorCode::kMalformed, "expected a PEM \"PUBLIC KEY\": {}", openssl_reason());
  return from_native(key);
}

std::string PublicKey::to_pem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  MERLON_ASSERT(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  return std::string(as_text(contents(bio.get()).bytes()));
}

std::string PublicKey::to_string() const {
  return kind_ == KeyKind::kRsa ? fmt::format("RSA {}", bits_) : name(kind_);
}

Result<PrivateKey> PrivateKey::from_native(std::shared_ptr<EVP_PKEY> key) {
  PrivateKey out;
  MERLON_TRY(out.public_key_, PublicKey::from_native(key));
  // The public key must not keep the private one alive.
  MERLON_TRY(out.public_key_, PublicKey::from_spki_der(out.public_key_.spki_der()));
  out.key_ = std::move(key);
  return out;
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view text, std::string_view passphrase) {
  const BioPtr bio = bio_of(text);
  Passphrase given{passphrase};
  const auto key =
      shared(bio ? PEM_read_bio_PrivateKey_ex(bio.get(), nullptr, give_passphrase, &given, nullptr, nullptr)
                 : nullptr);
  if (!key) return fail(ErrorCode::kMalformed, "expected a PEM private key: {}", openssl_reason());
  return from_native(key);
}

Result<PrivateKey> PrivateKey::from_der(ByteView der) {
  const unsigned char* cursor = der.data();
  const auto key =
      shared(d2i_AutoPrivateKey_ex(nullptr, &cursor, static_cast<long>(der.size()), nullptr, nullptr));
  if (!key) return fail(ErrorCode::kMalformed, "not a private key in DER: {}", openssl_reason());
  if (cursor != der.data() + der.size())
    return fail(ErrorCode::kMalformed, "{} bytes behind a private key", der.data() + der.size() - cursor);
  return from_native(key);
}

Result<PrivateKey> PrivateKey::generate(KeyKind kind, unsigned bits) {
  EVP_PKEY* key = nullptr;
  if (kind == KeyKind::kRsa) {
    const std::size_t modulus_bits = bits == 0 ? kDefaultRsaBits : bits;
    if (modulus_bits < kMinRsaBits || modulus_bits > kMaxRsaBits)
      return fail(ErrorCode::kInvalidArgument, "an RSA key has {} to {} bits, not {}", kMinRsaBits,
                  kMaxRsaBits, bits);
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", modulus_bits);
  } else if (is_ecdsa(kind)) {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", facts(kind).openssl_curve);
  } else {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, kind == KeyKind::kEd25519 ? "ED25519" : "ED448");
  }
  if (key == nullptr)
    return fail(ErrorCode::kSystem, "no {} key could be made: {}", name(kind), openssl_reason());
  return from_native(shared(key));
}

Secret PrivateKey::to_pem() const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  MERLON_ASSERT(bio != nullptr && PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0,
                                                                nullptr, nullptr) == 1);
  return contents(bio.get());
}

Secret PrivateKey::to_pkcs8_der() const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  MERLON_ASSERT(bio != nullptr &&
                i2d_PKCS8PrivateKey_bio(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return contents(bio.get());
}

}  // namespace merlon::crypto
