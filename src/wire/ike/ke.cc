#include "wire/ike/ke.h"

#include "base/reader.h"

namespace merlon::wire {

Result<KePayload> KePayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto method = reader.u16();
  if (!method || !reader.skip(2)) return truncated("the Key Exchange payload");
  return KePayload{.method = static_cast<KeMethod>(*method), .data = to_bytes(reader.rest())};
}

void KePayload::encode(ByteWriter& out) const {
  out.u16(static_cast<std::uint16_t>(method));
  out.zeros(2);
  out.bytes(data);
}

}  // namespace merlon::wire
