#include "wire/ike/auth.h"

#include "base/reader.h"

namespace merlon::wire {

Result<AuthPayload> AuthPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto method = reader.u8();
  if (!method || !reader.skip(3)) return truncated("the Authentication payload");
  return AuthPayload{.method = static_cast<AuthMethod>(*method), .data = to_bytes(reader.rest())};
}

void AuthPayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(method));
  out.zeros(3);
  out.bytes(data);
}

}  // namespace merlon::wire
