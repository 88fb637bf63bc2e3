#include "wire/ike/sk.h"

namespace merlon::wire {

Result<SkPayload> SkPayload::parse(ByteView body) {
  return SkPayload{.body = to_bytes(body)};
}

void SkPayload::encode(ByteWriter& out) const {
  out.bytes(body);
}

}  // namespace merlon::wire
