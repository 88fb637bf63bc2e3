// Authentication payload (RFC 7296 3.8). With AuthMethod::kDigitalSignature the data begins with the
// algorithm's identifier (RFC 7427 3), which is crypto's and pki's to read.
#pragma once

#include "base/bytes.h"
#include "base/iana.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct AuthPayload {
  static constexpr PayloadType kType = PayloadType::kAuth;
  AuthMethod method = AuthMethod::kDigitalSignature;  // may lie outside the enumerators
  Bytes data;
  bool critical = false;

  [[nodiscard]] static Result<AuthPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const AuthPayload&, const AuthPayload&) = default;
};

}  // namespace merlon::wire
