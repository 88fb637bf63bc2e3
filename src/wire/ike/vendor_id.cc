#include "wire/ike/vendor_id.h"

namespace merlon::wire {

Result<VendorIdPayload> VendorIdPayload::parse(ByteView body) {
  return VendorIdPayload{.data = to_bytes(body)};
}

void VendorIdPayload::encode(ByteWriter& out) const {
  out.bytes(data);
}

}  // namespace merlon::wire
