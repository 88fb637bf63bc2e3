// Vendor ID payload (RFC 7296 3.12): opaque.
#pragma once

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct VendorIdPayload {
  static constexpr PayloadType kType = PayloadType::kVendorId;
  Bytes data;
  bool critical = false;

  [[nodiscard]] static Result<VendorIdPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const VendorIdPayload&, const VendorIdPayload&) = default;
};

}  // namespace merlon::wire
