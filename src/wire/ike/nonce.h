// Nonce payload (RFC 7296 3.9).
#pragma once

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

inline constexpr std::size_t kNonceMinSize = 16;
inline constexpr std::size_t kNonceMaxSize = 256;

struct NoncePayload {
  static constexpr PayloadType kType = PayloadType::kNonce;
  Bytes data;
  bool critical = false;

  // Malformed: fewer than 16 or more than 256 bytes (RFC 7296 3.9).
  [[nodiscard]] static Result<NoncePayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const NoncePayload&, const NoncePayload&) = default;
};

}  // namespace merlon::wire
