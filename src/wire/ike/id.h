// Identification payloads, IDi and IDr (RFC 7296 3.5).
#pragma once

#include "base/identity.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

template <PayloadType type>
struct IdPayload {
  static constexpr PayloadType kType = type;
  Identity identity;  // its type may lie outside the enumerators
  bool critical = false;

  // Malformed: cut short, or an ID_IPV4_ADDR, ID_IPV6_ADDR or ID_NULL whose data has not 4, 16 or 0 bytes.
  [[nodiscard]] static Result<IdPayload> parse(ByteView body);
  // Writes the payload's body. RFC 7296 2.15: exactly these bytes enter the AUTH computation as
  // RestOfIDPayload.
  void encode(ByteWriter& out) const;
  friend bool operator==(const IdPayload&, const IdPayload&) = default;
};

using IdiPayload = IdPayload<PayloadType::kIdi>;
using IdrPayload = IdPayload<PayloadType::kIdr>;
extern template struct IdPayload<PayloadType::kIdi>;
extern template struct IdPayload<PayloadType::kIdr>;

// RestOfIDPayload of RFC 7296 2.15 (type, three reserved bytes, data) for an identity.
//
// For the peer's own ID the reserved bytes as received count, but they are zero on send and ignored on
// receipt, so a peer that puts something else there fails authentication.
[[nodiscard]] Bytes encode_id_body(const Identity& identity);

}  // namespace merlon::wire
