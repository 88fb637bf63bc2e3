// Delete payload (RFC 7296 3.11). The SPIs are those of the sender's inbound SAs.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/ids.h"
#include "base/writer.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct DeletePayload {
  static constexpr PayloadType kType = PayloadType::kDelete;
  SecurityProtocol protocol = SecurityProtocol::kIke;  // kIke: this IKE SA, without SPIs
  std::vector<Spi> spis;                               // kAh and kEsp
  bool critical = false;

  // Malformed: an SPI size other than 0 for IKE and 4 for AH and ESP, another protocol, a count that
  // contradicts the length.
  [[nodiscard]] static Result<DeletePayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const DeletePayload&, const DeletePayload&) = default;
};

}  // namespace merlon::wire
