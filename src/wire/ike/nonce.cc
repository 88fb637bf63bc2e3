#include "wire/ike/nonce.h"

namespace merlon::wire {

Result<NoncePayload> NoncePayload::parse(ByteView body) {
  // RFC 7296 3.9
  if (body.size() < kNonceMinSize || body.size() > kNonceMaxSize)
    return fail(ErrorCode::kMalformed, "a nonce has {} to {} bytes; this one has {}", kNonceMinSize,
                kNonceMaxSize, body.size());
  return NoncePayload{.data = to_bytes(body)};
}

void NoncePayload::encode(ByteWriter& out) const {
  out.bytes(data);
}

}  // namespace merlon::wire
