#include "crypto/key_exchange.h"

#include <openssl/obj_mac.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

// Draws that land outside a group's range are repeated; a source that never gives a usable value is broken.
constexpr int kMaxDraws = 128;

tl::unexpected<Error> openssl_failed(KeMethod method) {
  return fail(ErrorCode::kSystem, "{}: OpenSSL failed: {}", name(method), openssl_reason());
}

tl::unexpected<Error> draws_exhausted(KeMethod method) {
  return fail(ErrorCode::kExhausted, "{}: the source of randomness gave no usable private value",
              name(method));
}

Result<> check_size(KeMethod method, ByteView peer_public_value) {
  if (peer_public_value.size() == public_value_size(method)) return {};
  return fail(ErrorCode::kMalformed, "a public value of {} has {} bytes, the peer's has {}", name(method),
              public_value_size(method), peer_public_value.size());
}

// ---- MODP ----

struct ModpFacts {
  std::size_t modulus_bytes;
  std::size_t exponent_bytes;  // RFC 3526 8: twice the group's strength (the higher estimate), in whole bytes
  BIGNUM* (*prime)(BIGNUM*);
};

std::optional<ModpFacts> modp_facts(KeMethod method) {
  switch (method) {
    case KeMethod::kModp1024:
      return ModpFacts{128, 32, BN_get_rfc2409_prime_1024};
    case KeMethod::kModp1536:
      return ModpFacts{192, 32, BN_get_rfc3526_prime_1536};
    case KeMethod::kModp2048:
      return ModpFacts{256, 40, BN_get_rfc3526_prime_2048};
    case KeMethod::kModp3072:
      return ModpFacts{384, 53, BN_get_rfc3526_prime_3072};
    case KeMethod::kModp4096:
      return ModpFacts{512, 60, BN_get_rfc3526_prime_4096};
    case KeMethod::kModp6144:
      return ModpFacts{768, 68, BN_get_rfc3526_prime_6144};
    case KeMethod::kModp8192:
      return ModpFacts{1024, 78, BN_get_rfc3526_prime_8192};
    default:
      return std::nullopt;
  }
}

class ModpKeyExchange final : public KeyExchange {
 public:
  static Result<std::unique_ptr<KeyExchange>> generate(KeMethod method, const ModpFacts& facts, Rng& rng) {
    BnPtr prime(facts.prime(nullptr));
    BnPtr exponent(BN_new());
    BnPtr generator(BN_new());
    if (!prime || !exponent || !generator || BN_set_word(generator.get(), 2) != 1)
      return openssl_failed(method);
    Secret drawn(facts.exponent_bytes);
    int draws = 0;
    do {
      if (++draws > kMaxDraws) return draws_exhausted(method);
      rng.fill(drawn.mutable_bytes());
      if (BN_bin2bn(drawn.bytes().data(), static_cast<int>(drawn.size()), exponent.get()) == nullptr)
        return openssl_failed(method);
    } while (BN_is_zero(exponent.get()) || BN_is_one(exponent.get()));
    MERLON_TRY(const Secret value, power(method, facts, generator.get(), exponent.get(), prime.get()));
    return std::unique_ptr<KeyExchange>(
        new ModpKeyExchange(method, to_bytes(value.bytes()), std::move(prime), std::move(exponent), facts));
  }

  Result<Secret> derive(ByteView peer_public_value) const override {
    MERLON_TRY_VOID(check_size(method(), peer_public_value));
    const BnPtr peer(
        BN_bin2bn(peer_public_value.data(), static_cast<int>(peer_public_value.size()), nullptr));
    const BnPtr limit(BN_dup(prime_.get()));
    if (!peer || !limit || BN_sub_word(limit.get(), 1) != 1) return openssl_failed(method());
    // RFC 6989 2.1: 1 < r < p - 1; the primes are safe, so no more is asked for.
    if (BN_is_zero(peer.get()) || BN_is_one(peer.get()) || BN_cmp(peer.get(), limit.get()) >= 0)
      return fail(ErrorCode::kAuthentication, "the peer's public value for {} is not between 1 and p - 1",
                  name(method()));
    return power(method(), facts_, peer.get(), exponent_.get(), prime_.get());
  }

 private:
  ModpKeyExchange(KeMethod method, Bytes public_value, BnPtr prime, BnPtr exponent, const ModpFacts& facts)
      : KeyExchange(method, std::move(public_value)),
        prime_(std::move(prime)),
        exponent_(std::move(exponent)),
        facts_(facts) {}

  // base ^ exponent mod prime in constant time, padded to the modulus' length (RFC 7296 2.14).
  static Result<Secret> power(KeMethod method, const ModpFacts& facts, const BIGNUM* base,
                              const BIGNUM* exponent, const BIGNUM* prime) {
    const BnCtxPtr ctx(BN_CTX_secure_new());
    const BnPtr result(BN_new());
    if (!ctx || !result ||
        BN_mod_exp_mont_consttime(result.get(), base, exponent, prime, ctx.get(), nullptr) != 1)
      return openssl_failed(method);
    Secret out(facts.modulus_bytes);
    if (BN_bn2binpad(result.get(), out.mutable_bytes().data(), static_cast<int>(out.size())) < 0)
      return openssl_failed(method);
    return out;
  }

  BnPtr prime_;
  BnPtr exponent_;
  ModpFacts facts_;
};

// ---- ECP ----

struct EcpFacts {
  const EC_GROUP* group;
  std::size_t field_bytes;
  std::uint8_t top_mask;  // of the private value's first byte: P-521's order has 521 bits in 66 bytes
};

std::optional<EcpFacts> ecp_facts(KeMethod method) {
  static const EcGroupPtr p256(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  static const EcGroupPtr p384(EC_GROUP_new_by_curve_name(NID_secp384r1));
  static const EcGroupPtr p521(EC_GROUP_new_by_curve_name(NID_secp521r1));
  switch (method) {
    case KeMethod::kEcp256:
      return EcpFacts{p256.get(), 32, 0xff};
    case KeMethod::kEcp384:
      return EcpFacts{p384.get(), 48, 0xff};
    case KeMethod::kEcp521:
      return EcpFacts{p521.get(), 66, 0x01};
    default:
      return std::nullopt;
  }
}

class EcpKeyExchange final : public KeyExchange {
 public:
  static Result<std::unique_ptr<KeyExchange>> generate(KeMethod method, const EcpFacts& facts, Rng& rng) {
    BnPtr scalar(BN_new());
    const EcPointPtr point(EC_POINT_new(facts.group));
    const BnCtxPtr ctx(BN_CTX_secure_new());
    if (!scalar || !point || !ctx) return openssl_failed(method);
    Secret drawn(facts.field_bytes);
    int draws = 0;
    do {
      if (++draws > kMaxDraws) return draws_exhausted(method);
      rng.fill(drawn.mutable_bytes());
      drawn.mutable_bytes()[0] &= facts.top_mask;
      if (BN_bin2bn(drawn.bytes().data(), static_cast<int>(drawn.size()), scalar.get()) == nullptr)
        return openssl_failed(method);
    } while (BN_is_zero(scalar.get()) || BN_cmp(scalar.get(), EC_GROUP_get0_order(facts.group)) >= 0);
    BN_set_flags(scalar.get(), BN_FLG_CONSTTIME);
    Bytes uncompressed(1 + 2 * facts.field_bytes);
    if (EC_POINT_mul(facts.group, point.get(), scalar.get(), nullptr, nullptr, ctx.get()) != 1 ||
        EC_POINT_point2oct(facts.group, point.get(), POINT_CONVERSION_UNCOMPRESSED, uncompressed.data(),
                           uncompressed.size(), ctx.get()) != uncompressed.size())
      return openssl_failed(method);
    // RFC 5903 7: x | y, without the octet that names the form.
    return std::unique_ptr<KeyExchange>(new EcpKeyExchange(
        method, Bytes(uncompressed.begin() + 1, uncompressed.end()), std::move(scalar), facts));
  }

  Result<Secret> derive(ByteView peer_public_value) const override {
    MERLON_TRY_VOID(check_size(method(), peer_public_value));
    Bytes uncompressed{POINT_CONVERSION_UNCOMPRESSED};
    append(uncompressed, peer_public_value);
    const EcPointPtr peer(EC_POINT_new(facts_.group));
    const EcPointPtr product(EC_POINT_new(facts_.group));
    const BnPtr x(BN_new());
    const BnCtxPtr ctx(BN_CTX_secure_new());
    if (!peer || !product || !x || !ctx) return openssl_failed(method());
    // RFC 6989 2.3: both coordinates are in range and the point is on the curve; the cofactor is 1.
    if (EC_POINT_oct2point(facts_.group, peer.get(), uncompressed.data(), uncompressed.size(), ctx.get()) !=
            1 ||
        EC_POINT_is_on_curve(facts_.group, peer.get(), ctx.get()) != 1) {
      ERR_clear_error();
      return fail(ErrorCode::kAuthentication, "the peer's public value for {} is not a point of the curve",
                  name(method()));
    }
    if (EC_POINT_mul(facts_.group, product.get(), nullptr, peer.get(), scalar_.get(), ctx.get()) != 1 ||
        EC_POINT_get_affine_coordinates(facts_.group, product.get(), x.get(), nullptr, ctx.get()) != 1)
      return openssl_failed(method());
    Secret out(facts_.field_bytes);
    if (BN_bn2binpad(x.get(), out.mutable_bytes().data(), static_cast<int>(out.size())) < 0)
      return openssl_failed(method());
    return out;
  }

 private:
  EcpKeyExchange(KeMethod method, Bytes public_value, BnPtr scalar, const EcpFacts& facts)
      : KeyExchange(method, std::move(public_value)), scalar_(std::move(scalar)), facts_(facts) {}

  BnPtr scalar_;
  EcpFacts facts_;
};

// ---- X25519, X448 ----

struct XdhFacts {
  const char* name;
  std::size_t size;
};

std::optional<XdhFacts> xdh_facts(KeMethod method) {
  switch (method) {
    case KeMethod::kCurve25519:
      return XdhFacts{"X25519", 32};
    case KeMethod::kCurve448:
      return XdhFacts{"X448", 56};
    default:
      return std::nullopt;
  }
}

class XdhKeyExchange final : public KeyExchange {
 public:
  static Result<std::unique_ptr<KeyExchange>> generate(KeMethod method, const XdhFacts& facts, Rng& rng) {
    Secret drawn(facts.size);
    rng.fill(drawn.mutable_bytes());
    PkeyPtr key(
        EVP_PKEY_new_raw_private_key_ex(nullptr, facts.name, nullptr, drawn.bytes().data(), drawn.size()));
    Bytes value(facts.size);
    std::size_t size = value.size();
    if (!key || EVP_PKEY_get_raw_public_key(key.get(), value.data(), &size) != 1 || size != value.size())
      return openssl_failed(method);
    return std::unique_ptr<KeyExchange>(new XdhKeyExchange(method, std::move(value), std::move(key), facts));
  }

  Result<Secret> derive(ByteView peer_public_value) const override {
    MERLON_TRY_VOID(check_size(method(), peer_public_value));
    const PkeyPtr peer(EVP_PKEY_new_raw_public_key_ex(nullptr, facts_.name, nullptr, peer_public_value.data(),
                                                      peer_public_value.size()));
    const PkeyCtxPtr ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
    if (!peer || !ctx || EVP_PKEY_derive_init(ctx.get()) != 1 ||
        EVP_PKEY_derive_set_peer_ex(ctx.get(), peer.get(), 0) != 1)
      return openssl_failed(method());
    Secret out(facts_.size);
    std::size_t size = out.size();
    const bool derived =
        EVP_PKEY_derive(ctx.get(), out.mutable_bytes().data(), &size) == 1 && size == out.size();
    // RFC 8031 3.2 and RFC 7748 6: an all-zero result comes from a point of small order.
    if (!derived || out == Secret(facts_.size)) {
      ERR_clear_error();
      return fail(ErrorCode::kAuthentication, "the peer's public value for {} has small order",
                  name(method()));
    }
    return out;
  }

 private:
  XdhKeyExchange(KeMethod method, Bytes public_value, PkeyPtr key, const XdhFacts& facts)
      : KeyExchange(method, std::move(public_value)), key_(std::move(key)), facts_(facts) {}

  PkeyPtr key_;
  XdhFacts facts_;
};

}  // namespace

bool is_supported(KeMethod method) {
  return public_value_size(method) != 0;
}

bool is_weak(KeMethod method) {
  return method == KeMethod::kModp1024 || method == KeMethod::kModp1536;
}

std::size_t public_value_size(KeMethod method) {
  if (const auto modp = modp_facts(method)) return modp->modulus_bytes;
  if (const auto ecp = ecp_facts(method)) return 2 * ecp->field_bytes;
  if (const auto xdh = xdh_facts(method)) return xdh->size;
  return 0;
}

Result<std::unique_ptr<KeyExchange>> KeyExchange::generate(KeMethod method, Rng& rng) {
  if (const auto modp = modp_facts(method)) return ModpKeyExchange::generate(method, *modp, rng);
  if (const auto ecp = ecp_facts(method)) return EcpKeyExchange::generate(method, *ecp, rng);
  if (const auto xdh = xdh_facts(method)) return XdhKeyExchange::generate(method, *xdh, rng);
  return fail(ErrorCode::kUnsupported, "key exchange method {} is not supported", name(method));
}

}  // namespace merlon::crypto
