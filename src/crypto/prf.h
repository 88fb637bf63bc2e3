// Pseudo-random functions (IKEv2 transform type 2) and prf+.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/secret.h"

namespace merlon::crypto {

// HMAC_SHA1, HMAC_SHA2_256/384/512, AES128_XCBC (RFC 4434), AES128_CMAC (RFC 4615). HMAC_MD5 is not here.
[[nodiscard]] bool is_supported(PrfId id);

// Bytes that one call of the function gives; 0 where the function is not supported.
[[nodiscard]] std::size_t prf_output_size(PrfId id);

// RFC 7296 2.13: bytes of the preferred key, the size of SK_d, SK_pi and SK_pr; 0 where not supported.
[[nodiscard]] std::size_t prf_key_size(PrfId id);

// RFC 7296 2.14: how many bytes of each nonce make the key of SKEYSEED: 8 for AES128_XCBC and AES128_CMAC
// (all bytes of both nonces still go into prf+), the whole nonce (SIZE_MAX) for the others.
[[nodiscard]] std::size_t prf_skeyseed_nonce_bytes(PrfId id);

// prf(key, data[0] | data[1] | ...), prf_output_size bytes. Any key length: RFC 4434 and RFC 4615 say how a
// key that is not 16 bytes long is used. Errors: kUnsupported.
[[nodiscard]] Result<Secret> prf(PrfId id, ByteView key, std::span<const ByteView> data);
[[nodiscard]] inline Result<Secret> prf(PrfId id, ByteView key, std::initializer_list<ByteView> data) {
  return prf(id, key, std::span<const ByteView>(data.begin(), data.size()));
}

// RFC 7296 2.13: prf+(key, seed), the first `length` bytes. Errors: kUnsupported; kInvalidArgument beyond 255
// blocks.
[[nodiscard]] Result<Secret> prf_plus(PrfId id, ByteView key, ByteView seed, std::size_t length);

}  // namespace merlon::crypto
