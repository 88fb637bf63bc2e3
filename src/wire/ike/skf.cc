#include "wire/ike/skf.h"

#include "base/reader.h"

namespace merlon::wire {

Result<SkfPayload> SkfPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto fragment_number = reader.u16();
  const auto total_fragments = reader.u16();
  if (!fragment_number || !total_fragments) return truncated("the Encrypted Fragment payload");
  // RFC 7383 2.5, 2.6: both fields start from 1; a number above the total is not accepted
  if (*fragment_number == 0 || *fragment_number > *total_fragments)
    return fail(ErrorCode::kMalformed, "this is said to be fragment {} of {}", *fragment_number,
                *total_fragments);
  return SkfPayload{.fragment_number = *fragment_number,
                    .total_fragments = *total_fragments,
                    .body = to_bytes(reader.rest())};
}

void SkfPayload::encode(ByteWriter& out) const {
  out.u16(fragment_number);
  out.u16(total_fragments);
  out.bytes(body);
}

}  // namespace merlon::wire
