// IKE messages (RFC 7296 3.1, 3.2): a header and a chain of payloads, as owned values.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "wire/ike/auth.h"
#include "wire/ike/cert.h"
#include "wire/ike/certreq.h"
#include "wire/ike/cp.h"
#include "wire/ike/delete_payload.h"
#include "wire/ike/eap.h"
#include "wire/ike/header.h"
#include "wire/ike/id.h"
#include "wire/ike/ke.h"
#include "wire/ike/nonce.h"
#include "wire/ike/notify.h"
#include "wire/ike/sa.h"
#include "wire/ike/sk.h"
#include "wire/ike/skf.h"
#include "wire/ike/ts.h"
#include "wire/ike/vendor_id.h"

namespace merlon::wire {

// A payload of a type we do not know. From the wire it is never critical (that is a ParseError).
struct UnknownPayload {
  PayloadType type = PayloadType::kNone;
  Bytes body;
  bool critical = false;
  friend bool operator==(const UnknownPayload&, const UnknownPayload&) = default;
};

using Payload =
    std::variant<SaPayload, KePayload, IdiPayload, IdrPayload, CertPayload, CertreqPayload, AuthPayload,
                 NoncePayload, NotifyPayload, DeletePayload, VendorIdPayload, TsiPayload, TsrPayload,
                 SkPayload, SkfPayload, CpPayload, EapPayload, UnknownPayload>;

struct Message {
  IkeHeader header;
  std::vector<Payload> payloads;
  friend bool operator==(const Message&, const Message&) = default;
};

// Why a message was refused, as the peer would be told: INVALID_SYNTAX, UNSUPPORTED_CRITICAL_PAYLOAD or
// INVALID_MAJOR_VERSION. Turns into an Error by itself, so MERLON_TRY passes it on.
struct ParseError {
  NotifyType notify = NotifyType::kInvalidSyntax;
  PayloadType payload_type = PayloadType::kNone;  // with UNSUPPORTED_CRITICAL_PAYLOAD: which
  Error error;

  operator Error() const { return error; }  // NOLINT(google-explicit-constructor)
};
template <class T>
using ParseResult = tl::expected<T, ParseError>;

// One whole message, one datagram (without the non-ESP marker). Its header's length must be the datagram's.
//
// - Major version other than 2: INVALID_MAJOR_VERSION (RFC 7296 2.5); IKEv1 is to be told apart before, by
// IkeHeader.
// - SK or SKF ends the chain (RFC 7296 3.14, RFC 7383 2.5): it must be the last payload and reach the
// message's end.
//   Its offset, and so its AAD, refers to `datagram`.
// - A payload that contradicts its format, or the chain's lengths: INVALID_SYNTAX.
// - A critical payload of unknown type: UNSUPPORTED_CRITICAL_PAYLOAD. The critical bit of known types is
// ignored, but
//   kept (RFC 7296 2.5).
// Which payloads an exchange needs, and how often, is for the exchanges to judge.
[[nodiscard]] ParseResult<Message> parse_message(ByteView datagram);

// The decrypted chain inside an SK payload (or a reassembled series of SKF): `first` is
// SkPayload::first_payload, `body` the plaintext without padding and pad length. Errors as above; SK and SKF
// inside are INVALID_SYNTAX.
[[nodiscard]] ParseResult<std::vector<Payload>> parse_payloads(PayloadType first, ByteView body);

struct EncodedPayloads {
  PayloadType first = PayloadType::kNone;  // what the header (or the SK payload) before the chain must name
  Bytes bytes;
};

// Fails only where a payload's length does not fit its 16-bit field. An SkPayload or SkfPayload may only
// stand last.
[[nodiscard]] Result<EncodedPayloads> encode_payloads(std::span<const Payload> payloads);
// Sets next_payload and length, whatever they say in `message`.
[[nodiscard]] Result<Bytes> encode_message(const Message& message);

// The start of a message whose SK payload (or SKF payload) will carry `body_size` bytes (IV, ciphertext,
// ICV): IKE header with the final length, `outer` payloads in the clear (mostly none), the SK generic header,
// and for SKF the two fragment fields. These bytes are the AAD; the message is complete when the body is
// appended.
[[nodiscard]] Result<Bytes> begin_encrypted_message(const IkeHeader& header, std::span<const Payload> outer,
                                                    PayloadType first_payload, std::size_t body_size);
[[nodiscard]] Result<Bytes> begin_encrypted_fragment(const IkeHeader& header, std::span<const Payload> outer,
                                                     PayloadType first_payload, std::uint16_t fragment_number,
                                                     std::uint16_t total_fragments, std::size_t body_size);

[[nodiscard]] PayloadType type_of(const Payload& payload);
[[nodiscard]] bool is_critical(const Payload& payload);

// The first payload of a type, or null. find<SaPayload>(message.payloads).
template <class T>
[[nodiscard]] const T* find(std::span<const Payload> payloads) {
  for (const auto& payload : payloads)
    if (const auto* found = std::get_if<T>(&payload)) return found;
  return nullptr;
}

// All payloads of a type, in their order. The pointers live as long as `payloads`.
template <class T>
[[nodiscard]] std::vector<const T*> find_all(std::span<const Payload> payloads) {
  std::vector<const T*> found;
  for (const auto& payload : payloads)
    if (const auto* one = std::get_if<T>(&payload)) found.push_back(one);
  return found;
}

// The first notification of a type, or null.
[[nodiscard]] const NotifyPayload* find_notify(std::span<const Payload> payloads, NotifyType type);
[[nodiscard]] std::vector<const NotifyPayload*> find_all_notify(std::span<const Payload> payloads,
                                                                NotifyType type);
// The first notification that reports an error (RFC 7296 3.10.1), or null.
[[nodiscard]] const NotifyPayload* find_error_notify(std::span<const Payload> payloads);

}  // namespace merlon::wire
