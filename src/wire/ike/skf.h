// Encrypted and Authenticated Fragment payload (RFC 7383 2.5): only its frame.
#pragma once

#include "base/bytes.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

// The generic header, fragment number, total fragments.
inline constexpr std::size_t kSkfFrameSize = 8;

struct SkfPayload {
  static constexpr PayloadType kType = PayloadType::kSkf;
  // Type of the first payload inside the reassembled message; kNone in every fragment but the first (RFC
  // 7383 2.5).
  PayloadType first_payload = PayloadType::kNone;
  std::uint16_t fragment_number = 1;  // from 1 to total_fragments
  std::uint16_t total_fragments = 1;
  Bytes body;              // IV, ciphertext, ICV
  std::size_t offset = 0;  // as in SkPayload
  bool critical = false;

  // As in SkPayload; the two fragment fields are authenticated too (RFC 7383 2.5).
  [[nodiscard]] std::size_t aad_size() const { return offset + kSkfFrameSize; }

  // Malformed: fragment number 0, or above the total (RFC 7383 2.6).
  [[nodiscard]] static Result<SkfPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const SkfPayload& a, const SkfPayload& b) {
    return a.first_payload == b.first_payload && a.fragment_number == b.fragment_number &&
           a.total_fragments == b.total_fragments && a.body == b.body && a.critical == b.critical;
  }
};

}  // namespace merlon::wire
