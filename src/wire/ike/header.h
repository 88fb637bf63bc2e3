// The IKE header (RFC 7296 3.1). IKEv1 lays its header out alike (RFC 2408 3.1), so the version can be read
// here before it is known which engine a datagram is for; only the flags mean something else there.
#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/writer.h"
#include "wire/ike/exchange_type.h"
#include "wire/ike/payload_type.h"

namespace merlon::wire {

inline constexpr std::size_t kIkeHeaderSize = 28;
inline constexpr std::uint8_t kIkeMajorVersion = 2;

struct IkeFlags {
  bool initiator = false;  // I: sent by the original initiator of the IKE SA
  bool version = false;  // V: the sender could speak a higher major version; zero on send, ignored on receipt
  bool response = false;  // R: answers the request of the same Message ID
  friend bool operator==(const IkeFlags&, const IkeFlags&) = default;
};

struct IkeHeader {
  IkeSpi initiator_spi;
  IkeSpi responder_spi;
  PayloadType next_payload = PayloadType::kNone;
  std::uint8_t major = kIkeMajorVersion;
  std::uint8_t minor = 0;
  ExchangeType exchange_type = ExchangeType::kInformational;
  IkeFlags flags;
  MessageId message_id;
  std::uint32_t length = 0;  // of the whole message in bytes, the header included; set by encode_message

  [[nodiscard]] IkeSaId ike_sa_id() const { return {initiator_spi, responder_spi}; }

  // Reads the first 28 bytes of a message and no more: neither the version nor the length is judged here,
  // except that a length below 28 is malformed. Unknown flag bits are ignored (RFC 7296 3.1).
  [[nodiscard]] static Result<IkeHeader> parse(ByteView message);
  void encode(ByteWriter& out) const;

  friend bool operator==(const IkeHeader&, const IkeHeader&) = default;
};

}  // namespace merlon::wire
