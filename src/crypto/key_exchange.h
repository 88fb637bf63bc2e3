// Key exchange methods (IKEv2 transform type 4): MODP (RFC 3526, RFC 2409), ECP (RFC 5903), X25519 and X448
// (RFC 8031).
#pragma once

#include <cstddef>
#include <memory>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/rng.h"
#include "base/secret.h"

namespace merlon::crypto {

// MODP_1024, 1536, 2048, 3072, 4096, 6144, 8192, ECP_256, 384, 521, CURVE25519, CURVE448.
[[nodiscard]] bool is_supported(KeMethod method);
// MODP_1024 and MODP_1536: for old peers, where the configuration asks for them (RFC 8247 2.4).
[[nodiscard]] bool is_weak(KeMethod method);
// Bytes of the Key Exchange Data field; 0 where the method is not supported.
[[nodiscard]] std::size_t public_value_size(KeMethod method);

// A fresh private value and its public value. derive() is const and may run on another thread than the
// owner's.
class KeyExchange {
 public:
  // All of the private value comes from `rng`, none from OpenSSL. Errors: kUnsupported; kExhausted where
  // `rng` never gives a usable value.
  [[nodiscard]] static Result<std::unique_ptr<KeyExchange>> generate(KeMethod method, Rng& rng);
  KeyExchange(const KeyExchange&) = delete;
  KeyExchange& operator=(const KeyExchange&) = delete;
  virtual ~KeyExchange() = default;

  [[nodiscard]] KeMethod method() const { return method_; }
  // As the KE payload carries it: MODP: as long as the modulus; ECP: x | y; X25519 and X448: 32 and 56 bytes.
  [[nodiscard]] ByteView public_value() const { return public_value_; }

  // The shared secret g^ir: MODP: padded to the modulus' length; ECP: the x coordinate; X25519, X448: as they
  // are. The peer's value is checked first (RFC 6989 2). Errors: kMalformed (size), kAuthentication (a value
  // that RFC 6989 or RFC 8031 3.2 refuses).
  [[nodiscard]] virtual Result<Secret> derive(ByteView peer_public_value) const = 0;

 protected:
  KeyExchange(KeMethod method, Bytes public_value)
      : method_(method), public_value_(std::move(public_value)) {}

 private:
  KeMethod method_;
  Bytes public_value_;
};

}  // namespace merlon::crypto
