// The Encrypted payload (RFC 7296 3.14, RFC 5282) around a list of payloads: both directions of one IKE SA.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/rng.h"
#include "crypto/message_cipher.h"
#include "ikev2/keys.h"
#include "wire/ike/message.h"

namespace merlon::ikev2 {

enum class OpenFailure {
  kNotEncrypted,  // no SK (SKF) payload in the message
  kBadIcv,        // not authentic: drop without a word (RFC 7296 2.21.2), whatever is in it
  kMalformed,  // authentic, but the content contradicts its format: `parse` says what the peer is to be told
};
struct OpenError {
  OpenFailure kind = OpenFailure::kNotEncrypted;
  wire::ParseError parse;  // its error.message says for people what happened, whatever the kind
};
template <class T>
using OpenResult = tl::expected<T, OpenError>;

struct OpenedPayloads {
  wire::PayloadType first = wire::PayloadType::kNone;
  std::vector<wire::Payload> payloads;
};

// One fragment, authenticated and decrypted (RFC 7383 2.6); fragmentation.h puts them together.
struct OpenedFragment {
  std::uint16_t number = 1, total = 1;
  wire::PayloadType first = wire::PayloadType::kNone;
  Bytes content;  // without padding
};

class MessageProtection {
 public:
  // `initiator`: whether we are the original initiator of the IKE SA: then SK_ei and SK_ai are ours. Copies
  // from `keys` what it needs.
  [[nodiscard]] static Result<MessageProtection> create(const crypto::MessageCipherSuite& suite,
                                                        const IkeKeys& keys, bool initiator);
  MessageProtection(MessageProtection&&) noexcept = default;
  MessageProtection& operator=(MessageProtection&&) noexcept = default;

  // A whole message with one SK payload around `payloads` (which may be none: an empty INFORMATIONAL). The
  // header's length and next payload are set here. Errors: kInvalidArgument (payloads that cannot be encoded,
  // or a message above 64 KiB), kExhausted.
  [[nodiscard]] Result<Bytes> seal(const wire::IkeHeader& header, std::span<const wire::Payload> payloads,
                                   Rng& rng);
  // The same for payloads that are encoded already.
  [[nodiscard]] Result<Bytes> seal_encoded(const wire::IkeHeader& header,
                                           const wire::EncodedPayloads& payloads, Rng& rng);
  // One fragment's message (RFC 7383 2.5).
  [[nodiscard]] Result<Bytes> seal_fragment(const wire::IkeHeader& header, wire::PayloadType first,
                                            std::uint16_t number, std::uint16_t total, ByteView content,
                                            Rng& rng);

  // `message` is parse_message(datagram), its last payload SK. The payloads that came outside the SK payload
  // are not in the result.
  [[nodiscard]] OpenResult<OpenedPayloads> open(ByteView datagram, const wire::Message& message);
  // Only authenticates and decrypts: for SKF.
  [[nodiscard]] OpenResult<OpenedFragment> open_fragment(ByteView datagram, const wire::Message& message);

  // Bytes that encryption adds behind the SK header to a content of `size` bytes, and what content fits into
  // `space` bytes there.
  [[nodiscard]] std::size_t sealed_size(std::size_t size) const;
  [[nodiscard]] std::size_t content_that_fits(std::size_t space) const;

  struct Counts {
    std::uint64_t sealed = 0, opened = 0, bad_icv = 0, malformed = 0;  // messages and fragments
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  MessageProtection(std::unique_ptr<crypto::MessageCipher> outbound,
                    std::unique_ptr<crypto::MessageCipher> inbound)
      : outbound_(std::move(outbound)), inbound_(std::move(inbound)) {}
  [[nodiscard]] Result<Bytes> finish(Bytes begun, ByteView content, Rng& rng);
  [[nodiscard]] OpenResult<Bytes> decrypt(ByteView datagram, std::size_t aad_size, ByteView body);

  std::unique_ptr<crypto::MessageCipher> outbound_, inbound_;
  Counts counts_;
};

}  // namespace merlon::ikev2
