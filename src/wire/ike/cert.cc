#include "wire/ike/cert.h"

#include "base/reader.h"

namespace merlon::wire {

Result<CertPayload> CertPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto encoding = reader.u8();
  if (!encoding) return truncated("the Certificate payload");
  return CertPayload{.encoding = static_cast<CertEncoding>(*encoding), .data = to_bytes(reader.rest())};
}

void CertPayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(encoding));
  out.bytes(data);
}

}  // namespace merlon::wire
