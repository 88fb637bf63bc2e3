#include "ikev2/message_protection.h"

namespace merlon::ikev2 {

namespace {

constexpr std::size_t kMaxMessage = 65535;

tl::unexpected<OpenError> open_error(OpenFailure kind, Error error) {
  OpenError failure;
  failure.kind = kind;
  failure.parse.notify = wire::NotifyType::kInvalidSyntax;
  failure.parse.error = std::move(error);
  return tl::unexpected(std::move(failure));
}

template <class T>
const T* last_payload(const wire::Message& message) {
  return message.payloads.empty() ? nullptr : std::get_if<T>(&message.payloads.back());
}

}  // namespace

Result<MessageProtection> MessageProtection::create(const crypto::MessageCipherSuite& suite,
                                                    const IkeKeys& keys, bool initiator) {
  MERLON_TRY(auto from_initiator,
             crypto::MessageCipher::create(suite, keys.sk_ei.clone(), keys.sk_ai.clone()));
  MERLON_TRY(auto from_responder,
             crypto::MessageCipher::create(suite, keys.sk_er.clone(), keys.sk_ar.clone()));
  if (!initiator) std::swap(from_initiator, from_responder);
  return MessageProtection(std::move(from_initiator), std::move(from_responder));
}

// RFC 7296 3.14: content | padding | pad length, in whole blocks of the cipher.
std::size_t MessageProtection::sealed_size(std::size_t size) const {
  const std::size_t block = outbound_->block_size();
  const std::size_t padded = (size + 1 + block - 1) / block * block;
  return outbound_->sealed_size(padded);
}

std::size_t MessageProtection::content_that_fits(std::size_t space) const {
  const std::size_t block = outbound_->block_size();
  const std::size_t overhead = outbound_->sealed_size(0);
  if (space < overhead + block) return 0;
  return (space - overhead) / block * block - 1;
}

Result<Bytes> MessageProtection::finish(Bytes begun, ByteView content, Rng& rng) {
  const std::size_t block = outbound_->block_size();
  const std::size_t padding = (block - (content.size() + 1) % block) % block;
  Bytes plaintext = to_bytes(content);
  plaintext.insert(plaintext.end(), padding, 0);
  plaintext.push_back(static_cast<std::uint8_t>(padding));
  auto sealed = outbound_->seal(begun, plaintext, rng);
  wipe(plaintext);
  if (!sealed) return fail_in("sealing an IKE message", std::move(sealed).error());
  append(begun, *sealed);
  ++counts_.sealed;
  return begun;
}

Result<Bytes> MessageProtection::seal(const wire::IkeHeader& header, std::span<const wire::Payload> payloads,
                                      Rng& rng) {
  MERLON_TRY(auto encoded, wire::encode_payloads(payloads));
  auto sealed = seal_encoded(header, encoded, rng);
  wipe(encoded.bytes);
  return sealed;
}

Result<Bytes> MessageProtection::seal_encoded(const wire::IkeHeader& header,
                                              const wire::EncodedPayloads& payloads, Rng& rng) {
  const std::size_t body_size = sealed_size(payloads.bytes.size());
  if (wire::kIkeHeaderSize + wire::kGenericHeaderSize + body_size > kMaxMessage)
    return fail(ErrorCode::kInvalidArgument, "an IKE message of {} bytes does not fit into a datagram",
                body_size);
  MERLON_TRY(Bytes begun, wire::begin_encrypted_message(header, {}, payloads.first, body_size));
  return finish(std::move(begun), payloads.bytes, rng);
}

Result<Bytes> MessageProtection::seal_fragment(const wire::IkeHeader& header, wire::PayloadType first,
                                               std::uint16_t number, std::uint16_t total, ByteView content,
                                               Rng& rng) {
  const std::size_t body_size = sealed_size(content.size());
  if (body_size > kMaxMessage - 64)
    return fail(ErrorCode::kInvalidArgument, "an IKE fragment of {} bytes does not fit into a datagram",
                body_size);
  MERLON_TRY(Bytes begun, wire::begin_encrypted_fragment(header, {}, first, number, total, body_size));
  return finish(std::move(begun), content, rng);
}

// The plaintext without padding and pad length.
OpenResult<Bytes> MessageProtection::decrypt(ByteView datagram, std::size_t aad_size, ByteView body) {
  if (aad_size > datagram.size() || datagram.size() - aad_size != body.size())
    return open_error(OpenFailure::kNotEncrypted,
                      {ErrorCode::kMalformed, "the Encrypted payload does not reach the end of the message"});
  auto plaintext = inbound_->open(datagram.first(aad_size), body);
  if (!plaintext) {
    ++counts_.bad_icv;
    return open_error(OpenFailure::kBadIcv, std::move(plaintext).error());
  }
  // RFC 7296 3.14: the receiver MUST accept any padding; only its length must fit.
  if (plaintext->empty() || std::size_t{plaintext->back()} + 1 > plaintext->size()) {
    ++counts_.malformed;
    return open_error(
        OpenFailure::kMalformed,
        {ErrorCode::kMalformed, "the padding of an Encrypted payload is longer than the payload"});
  }
  plaintext->resize(plaintext->size() - plaintext->back() - 1);
  ++counts_.opened;
  return std::move(*plaintext);
}

OpenResult<OpenedPayloads> MessageProtection::open(ByteView datagram, const wire::Message& message) {
  const auto* sk = last_payload<wire::SkPayload>(message);
  if (sk == nullptr)
    return open_error(OpenFailure::kNotEncrypted,
                      {ErrorCode::kPolicy, "a message without an Encrypted payload"});
  auto content = decrypt(datagram, sk->aad_size(), sk->body);
  if (!content) return tl::unexpected(std::move(content).error());
  auto payloads = wire::parse_payloads(sk->first_payload, *content);
  wipe(*content);
  if (!payloads) {
    ++counts_.malformed;
    return tl::unexpected(OpenError{OpenFailure::kMalformed, std::move(payloads).error()});
  }
  return OpenedPayloads{sk->first_payload, std::move(*payloads)};
}

OpenResult<OpenedFragment> MessageProtection::open_fragment(ByteView datagram, const wire::Message& message) {
  const auto* skf = last_payload<wire::SkfPayload>(message);
  if (skf == nullptr)
    return open_error(OpenFailure::kNotEncrypted,
                      {ErrorCode::kPolicy, "a message without an Encrypted Fragment payload"});
  auto content = decrypt(datagram, skf->aad_size(), skf->body);
  if (!content) return tl::unexpected(std::move(content).error());
  return OpenedFragment{skf->fragment_number, skf->total_fragments, skf->first_payload, std::move(*content)};
}

}  // namespace merlon::ikev2
