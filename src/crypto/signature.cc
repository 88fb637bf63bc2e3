#include "crypto/signature.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

constexpr unsigned kMinRsaBits = 2048;
constexpr unsigned kMaxRsaBits = 16384;

constexpr SignatureScheme kLegacyRsa[] = {{SignatureAlgorithm::kRsaPkcs1, HashId::kSha1},
                                          {SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_256},
                                          {SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_384},
                                          {SignatureAlgorithm::kRsaPkcs1, HashId::kSha2_512}};
constexpr SignatureScheme kLegacyP256[] = {{SignatureAlgorithm::kEcdsa, HashId::kSha2_256, EcdsaForm::kRaw}};
constexpr SignatureScheme kLegacyP384[] = {{SignatureAlgorithm::kEcdsa, HashId::kSha2_384, EcdsaForm::kRaw}};
constexpr SignatureScheme kLegacyP521[] = {{SignatureAlgorithm::kEcdsa, HashId::kSha2_512, EcdsaForm::kRaw}};

const char* digest_name(HashId hash) {
  switch (hash) {
    case HashId::kSha1:
      return "SHA1";
    case HashId::kSha2_256:
      return "SHA256";
    case HashId::kSha2_384:
      return "SHA384";
    case HashId::kSha2_512:
      return "SHA512";
    default:
      return nullptr;
  }
}

// The hash that an ECDSA key goes with in RFC 4754, and whose strength is the curve's.
HashId hash_of_curve(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcdsaP256:
      return HashId::kSha2_256;
    case KeyKind::kEcdsaP384:
      return HashId::kSha2_384;
    default:
      return HashId::kSha2_512;
  }
}

std::size_t order_bytes(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcdsaP256:
      return 32;
    case KeyKind::kEcdsaP384:
      return 48;
    default:
      return 66;
  }
}

bool fits(KeyKind kind, const SignatureScheme& scheme) {
  switch (scheme.algorithm) {
    case SignatureAlgorithm::kRsaPkcs1:
      return kind == KeyKind::kRsa && digest_name(scheme.hash) != nullptr;
    case SignatureAlgorithm::kRsaPss:
      return kind == KeyKind::kRsa && digest_name(scheme.hash) != nullptr && scheme.hash != HashId::kSha1;
    case SignatureAlgorithm::kEcdsa:
      if (!is_ecdsa(kind) || digest_name(scheme.hash) == nullptr) return false;
      // RFC 4754 3: each of the methods 9 to 11 is one curve with one hash.
      return scheme.ecdsa_form == EcdsaForm::kDer || scheme.hash == hash_of_curve(kind);
    case SignatureAlgorithm::kEd25519:
      return kind == KeyKind::kEd25519 && scheme.hash == HashId::kIdentity;
    case SignatureAlgorithm::kEd448:
      return kind == KeyKind::kEd448 && scheme.hash == HashId::kIdentity;
  }
  return false;
}

std::string mismatch(KeyKind kind, const SignatureScheme& scheme) {
  return fmt::format("a signature of kind {} does not go with a key of kind {}", name(scheme), name(kind));
}

// ---- degenerate keys ----

Result<> check_rsa(const PublicKey& key) {
  // RFC 8247 4.1: 1024 bits MUST NOT; the upper bound keeps a peer from making verification expensive.
  if (key.bits() < kMinRsaBits || key.bits() > kMaxRsaBits)
    return fail(ErrorCode::kPolicy, "an RSA key of {} bits, expected {} to {}", key.bits(), kMinRsaBits,
                kMaxRsaBits);
  BIGNUM* modulus = nullptr;
  BIGNUM* exponent = nullptr;
  EVP_PKEY_get_bn_param(key.native(), OSSL_PKEY_PARAM_RSA_N, &modulus);
  EVP_PKEY_get_bn_param(key.native(), OSSL_PKEY_PARAM_RSA_E, &exponent);
  const BnPtr owned_modulus(modulus);
  const BnPtr owned_exponent(exponent);
  if (!owned_modulus || !owned_exponent || BN_is_odd(modulus) == 0)
    return fail(ErrorCode::kPolicy, "an RSA key with an even modulus");
  if (BN_is_odd(exponent) == 0 || BN_is_one(exponent) != 0 || BN_num_bits(exponent) > 64)
    return fail(ErrorCode::kPolicy, "an RSA key whose public exponent is even, 1, or longer than 64 bits");
  return {};
}

// The encoded y coordinates of the points whose order divides the cofactor, the two that are not canonical (p
// and p + 1) included: such a key lets anybody forge. Without the bit that holds the sign of x.
bool has_small_order(KeyKind kind, Bytes encoded) {
  Bytes p;
  std::vector<Bytes> refused;
  if (kind == KeyKind::kEd25519) {
    encoded[31] &= 0x7f;
    p.assign(32, 0xff);  // 2^255 - 19
    p[0] = 0xed;
    p[31] = 0x7f;
    // The two y coordinates of the points of order 8.
    refused.push_back(*from_hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"));
    refused.push_back(*from_hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"));
  } else {
    if ((encoded[56] & 0x7f) != 0) return false;  // above p + 1; OpenSSL refuses to decode it
    encoded[56] = 0;
    p.assign(57, 0xff);  // 2^448 - 2^224 - 1
    p[28] = 0xfe;
    p[56] = 0;
  }
  Bytes zero(p.size(), 0);
  Bytes one = zero;
  one[0] = 1;
  Bytes minus_one = p;  // p is odd
  minus_one[0] = static_cast<std::uint8_t>(minus_one[0] - 1);
  Bytes p_plus_one = p;
  for (std::size_t i = 0; ++p_plus_one[i] == 0;) ++i;
  for (Bytes* value : {&zero, &one, &minus_one, &p, &p_plus_one}) refused.push_back(std::move(*value));
  return std::find(refused.begin(), refused.end(), encoded) != refused.end();
}

Result<> check_edwards(const PublicKey& key) {
  std::size_t size = key.kind() == KeyKind::kEd25519 ? 32 : 57;
  Bytes encoded(size);
  if (EVP_PKEY_get_raw_public_key(key.native(), encoded.data(), &size) != 1 || size != encoded.size())
    return fail(ErrorCode::kPolicy, "an {} key without a public value", name(key.kind()));
  if (has_small_order(key.kind(), std::move(encoded)))
    return fail(ErrorCode::kPolicy, "an {} key of small order, which anybody can sign for", name(key.kind()));
  return {};
}

Result<> check_curve(const PublicKey& key) {
  const PkeyCtxPtr ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key.native(), nullptr));
  if (ctx && EVP_PKEY_public_check_quick(ctx.get()) == 1) return {};
  return fail(ErrorCode::kPolicy, "an {} key that is no point of its curve: {}", name(key.kind()),
              openssl_reason());
}

// ---- ECDSA's two forms ----

// r | s to Ecdsa-Sig-Value; empty where it has the wrong size.
Bytes ecdsa_der_from_raw(ByteView raw, std::size_t half) {
  if (raw.size() != 2 * half) return {};
  const EcdsaSigPtr pair(ECDSA_SIG_new());
  BnPtr r(BN_bin2bn(raw.data(), static_cast<int>(half), nullptr));
  BnPtr s(BN_bin2bn(raw.data() + half, static_cast<int>(half), nullptr));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* cursor = der.data();
  return i2d_ECDSA_SIG(pair.get(), &cursor) == size ? der : Bytes{};
}

Bytes ecdsa_raw_from_der(ByteView der, std::size_t half) {
  const unsigned char* cursor = der.data();
  const EcdsaSigPtr pair(d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der.size())));
  Bytes raw(2 * half);
  const int size = static_cast<int>(half);
  if (!pair || BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), raw.data(), size) != size ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), raw.data() + half, size) != size)
    return {};
  return raw;
}

bool set_padding(EVP_PKEY_CTX* ctx, const SignatureScheme& scheme) {
  switch (scheme.algorithm) {
    case SignatureAlgorithm::kRsaPkcs1:
      return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case SignatureAlgorithm::kRsaPss:
      // RFC 8247 4.2 and RFC 7427 A.4: one hash for message and mask, and the salt as long as the hash.
      return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, digest_name(scheme.hash), nullptr) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    default:
      return true;
  }
}

}  // namespace

std::string name(const SignatureScheme& scheme) {
  switch (scheme.algorithm) {
    case SignatureAlgorithm::kRsaPkcs1:
      return fmt::format("RSASSA-PKCS1-v1_5 with {}", name(scheme.hash));
    case SignatureAlgorithm::kRsaPss:
      return fmt::format("RSASSA-PSS with {}", name(scheme.hash));
    case SignatureAlgorithm::kEcdsa:
      return fmt::format("ECDSA with {}", name(scheme.hash));
    case SignatureAlgorithm::kEd25519:
      return "Ed25519";
    case SignatureAlgorithm::kEd448:
      return "Ed448";
  }
  return "unknown";
}

std::span<const SignatureScheme> schemes_of(AuthMethod method) {
  switch (method) {
    case AuthMethod::kRsaDigitalSignature:
      return kLegacyRsa;
    case AuthMethod::kEcdsaSha256P256:
      return kLegacyP256;
    case AuthMethod::kEcdsaSha384P384:
      return kLegacyP384;
    case AuthMethod::kEcdsaSha512P521:
      return kLegacyP521;
    default:
      return {};
  }
}

std::optional<AuthMethod> legacy_auth_method(const PublicKey& key) {
  switch (key.kind()) {
    case KeyKind::kRsa:
      return AuthMethod::kRsaDigitalSignature;
    case KeyKind::kEcdsaP256:
      return AuthMethod::kEcdsaSha256P256;
    case KeyKind::kEcdsaP384:
      return AuthMethod::kEcdsaSha384P384;
    case KeyKind::kEcdsaP521:
      return AuthMethod::kEcdsaSha512P521;
    default:
      return std::nullopt;
  }
}

Result<SignatureScheme> choose_scheme(const PublicKey& key, std::span<const HashId> peer_hashes,
                                      bool prefer_pss) {
  const auto peer_has = [&](HashId hash) {
    return std::find(peer_hashes.begin(), peer_hashes.end(), hash) != peer_hashes.end();
  };
  if (key.kind() == KeyKind::kEd25519 || key.kind() == KeyKind::kEd448) {
    // RFC 8420 2: EdDSA needs the peer's "Identity".
    if (!peer_has(HashId::kIdentity))
      return fail(ErrorCode::kUnsupported, "the peer does not announce the hash {}, which {} needs",
                  name(HashId::kIdentity), name(key.kind()));
    return SignatureScheme{
        key.kind() == KeyKind::kEd25519 ? SignatureAlgorithm::kEd25519 : SignatureAlgorithm::kEd448,
        HashId::kIdentity};
  }
  SignatureScheme scheme;
  HashId fitting = hash_of_curve(key.kind());
  if (key.kind() == KeyKind::kRsa) {
    scheme.algorithm = prefer_pss ? SignatureAlgorithm::kRsaPss : SignatureAlgorithm::kRsaPkcs1;
    // NIST SP 800-57 part 1, table 2: 3072 bits of RSA are worth 128, 7680 are worth 192.
    fitting = key.bits() <= 3072   ? HashId::kSha2_256
              : key.bits() <= 7680 ? HashId::kSha2_384
                                   : HashId::kSha2_512;
  } else {
    scheme.algorithm = SignatureAlgorithm::kEcdsa;
  }
  for (const HashId hash : {fitting, HashId::kSha2_512, HashId::kSha2_384, HashId::kSha2_256}) {
    if (!peer_has(hash)) continue;
    scheme.hash = hash;
    return scheme;
  }
  return fail(ErrorCode::kUnsupported, "the peer announces no SHA-2 hash for signatures, which {} needs",
              key.to_string());
}

Result<> check_key(const PublicKey& key) {
  if (key.kind() == KeyKind::kRsa) return check_rsa(key);
  return is_ecdsa(key.kind()) ? check_curve(key) : check_edwards(key);
}

Result<Bytes> sign(const PrivateKey& key, const SignatureScheme& scheme, ByteView message) {
  if (!fits(key.kind(), scheme)) return fail(ErrorCode::kInvalidArgument, "{}", mismatch(key.kind(), scheme));
  MERLON_TRY_VOID(check_key(key.public_key()));
  const MdCtxPtr ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  std::size_t size = 0;
  if (!ctx ||
      EVP_DigestSignInit_ex(ctx.get(), &parameters, digest_name(scheme.hash), nullptr, nullptr, key.native(),
                            nullptr) != 1 ||
      !set_padding(parameters, scheme) ||
      EVP_DigestSign(ctx.get(), nullptr, &size, message.data(), message.size()) != 1)
    return fail(ErrorCode::kSystem, "signing with {} failed: {}", name(scheme), openssl_reason());
  Bytes signature(size);
  if (EVP_DigestSign(ctx.get(), signature.data(), &size, message.data(), message.size()) != 1)
    return fail(ErrorCode::kSystem, "signing with {} failed: {}", name(scheme), openssl_reason());
  signature.resize(size);
  if (scheme.algorithm == SignatureAlgorithm::kEcdsa && scheme.ecdsa_form == EcdsaForm::kRaw) {
    signature = ecdsa_raw_from_der(signature, order_bytes(key.kind()));
    if (signature.empty()) return fail(ErrorCode::kSystem, "an ECDSA signature could not be rewritten");
  }
  return signature;
}

Result<> verify(const PublicKey& key, const SignatureScheme& scheme, ByteView message, ByteView signature) {
  if (!fits(key.kind(), scheme)) return fail(ErrorCode::kAuthentication, "{}", mismatch(key.kind(), scheme));
  MERLON_TRY_VOID(check_key(key));
  Bytes rewritten;
  if (scheme.algorithm == SignatureAlgorithm::kEcdsa && scheme.ecdsa_form == EcdsaForm::kRaw) {
    rewritten = ecdsa_der_from_raw(signature, order_bytes(key.kind()));
    if (rewritten.empty())
      return fail(ErrorCode::kAuthentication, "an ECDSA signature of {} bytes, expected {}", signature.size(),
                  2 * order_bytes(key.kind()));
    signature = rewritten;
  }
  const MdCtxPtr ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  if (!ctx ||
      EVP_DigestVerifyInit_ex(ctx.get(), &parameters, digest_name(scheme.hash), nullptr, nullptr,
                              key.native(), nullptr) != 1 ||
      !set_padding(parameters, scheme))
    return fail(ErrorCode::kSystem, "verifying {} failed: {}", name(scheme), openssl_reason());
  const int verdict =
      EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), message.data(), message.size());
  ERR_clear_error();
  if (verdict == 1) return {};
  return fail(ErrorCode::kAuthentication, "the signature ({}) is not the key's ({})", name(scheme),
              key.to_string());
}

}  // namespace merlon::crypto
