// Extensible Authentication Protocol payload (RFC 7296 3.16): the EAP message as it came, for eap/ to read.
#pragma once

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct EapPayload {
  static constexpr PayloadType kType = PayloadType::kEap;
  Bytes message;  // code, identifier, length, ...
  bool critical = false;

  [[nodiscard]] static Result<EapPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const EapPayload&, const EapPayload&) = default;
};

}  // namespace merlon::wire
