// Key Exchange payload (RFC 7296 3.4).
#pragma once

#include "base/bytes.h"
#include "base/iana.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct KePayload {
  static constexpr PayloadType kType = PayloadType::kKe;
  KeMethod method = KeMethod::kNone;  // may lie outside the enumerators
  Bytes data;                         // the public value; its length is for crypto to judge
  bool critical = false;

  [[nodiscard]] static Result<KePayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const KePayload&, const KePayload&) = default;
};

}  // namespace merlon::wire
