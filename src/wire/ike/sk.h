// Encrypted and Authenticated payload (RFC 7296 3.14): only its frame. What is inside belongs to whoever has
// the keys.
#pragma once

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

inline constexpr std::size_t kGenericHeaderSize = 4;  // RFC 7296 3.2

struct SkPayload {
  static constexpr PayloadType kType = PayloadType::kSk;
  PayloadType first_payload =
      PayloadType::kNone;  // type of the first payload inside: this payload's own Next Payload
  Bytes body;              // IV, ciphertext, ICV
  // Where this payload's generic header starts, in bytes from the start of the IKE header. Set by
  // parse_message, not sent, not compared.
  std::size_t offset = 0;
  bool critical = false;

  // Bytes of the message, from its start, that the AEAD authenticates beside the ciphertext (RFC 5282 5.1):
  // IKE header, unencrypted payloads, this payload's generic header.
  [[nodiscard]] std::size_t aad_size() const { return offset + kGenericHeaderSize; }

  [[nodiscard]] static Result<SkPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const SkPayload& a, const SkPayload& b) {
    return a.first_payload == b.first_payload && a.body == b.body && a.critical == b.critical;
  }
};

}  // namespace merlon::wire
