// Certificate payload (RFC 7296 3.6).
#pragma once

#include "base/bytes.h"
#include "base/iana.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct CertPayload {
  static constexpr PayloadType kType = PayloadType::kCert;
  CertEncoding encoding = CertEncoding::kX509Signature;  // may lie outside the enumerators
  Bytes data;                                            // kX509Signature: one DER certificate
  bool critical = false;

  [[nodiscard]] static Result<CertPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const CertPayload&, const CertPayload&) = default;
};

}  // namespace merlon::wire
