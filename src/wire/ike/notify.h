// Notify payload (RFC 7296 3.10). What a type's data means: notify_data.h.
#pragma once

#include "base/bytes.h"
#include "base/iana.h"
#include "base/writer.h"
#include "wire/ike/notify_type.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

struct NotifyPayload {
  static constexpr PayloadType kType = PayloadType::kNotify;
  NotifyType type = NotifyType::kInvalidSyntax;  // may lie outside the enumerators
  SecurityProtocol protocol =
      SecurityProtocol::kNone;  // of the SA the SPI names; kNone where there is no SPI
  Bytes spi;                    // empty where the notification is about the IKE SA or about none
  Bytes data;
  bool critical = false;

  [[nodiscard]] static Result<NotifyPayload> parse(ByteView body);
  void encode(ByteWriter& out) const;
  friend bool operator==(const NotifyPayload&, const NotifyPayload&) = default;
};

}  // namespace merlon::wire
