#include "wire/ike/eap.h"

#include "base/reader.h"

namespace merlon::wire {

Result<EapPayload> EapPayload::parse(ByteView body) {
  ByteReader reader(body);
  if (!reader.skip(2)) return truncated("the EAP payload");
  const auto length = reader.u16();
  // RFC 7296 3.16: four less than the payload's length
  if (!length || *length != body.size())
    return fail(ErrorCode::kMalformed, "an EAP payload of {} bytes carries a message of another length",
                body.size());
  return EapPayload{.message = to_bytes(body)};
}

void EapPayload::encode(ByteWriter& out) const {
  out.bytes(message);
}

}  // namespace merlon::wire
