#include "wire/ike/message.h"

#include <limits>

#include "base/reader.h"

namespace merlon::wire {
namespace {

constexpr std::uint8_t kCriticalBit = 0x80;  // RFC 7296 3.2

tl::unexpected<ParseError> refuse(Error error) {
  return tl::unexpected<ParseError>(ParseError{
      .notify = NotifyType::kInvalidSyntax, .payload_type = PayloadType::kNone, .error = std::move(error)});
}

template <class T>
Result<Payload> parse_as(ByteView body, bool critical) {
  auto parsed = T::parse(body);
  if (!parsed) return fail_in(name(T::kType), std::move(parsed).error());
  parsed->critical = critical;
  return Payload(std::move(*parsed));
}

// Nothing for the types that we do not know; SK and SKF end a chain and are read by read_encrypted.
std::optional<Result<Payload>> parse_known(PayloadType type, ByteView body, bool critical) {
  switch (type) {
    case PayloadType::kSa:
      return parse_as<SaPayload>(body, critical);
    case PayloadType::kKe:
      return parse_as<KePayload>(body, critical);
    case PayloadType::kIdi:
      return parse_as<IdiPayload>(body, critical);
    case PayloadType::kIdr:
      return parse_as<IdrPayload>(body, critical);
    case PayloadType::kCert:
      return parse_as<CertPayload>(body, critical);
    case PayloadType::kCertreq:
      return parse_as<CertreqPayload>(body, critical);
    case PayloadType::kAuth:
      return parse_as<AuthPayload>(body, critical);
    case PayloadType::kNonce:
      return parse_as<NoncePayload>(body, critical);
    case PayloadType::kNotify:
      return parse_as<NotifyPayload>(body, critical);
    case PayloadType::kDelete:
      return parse_as<DeletePayload>(body, critical);
    case PayloadType::kVendorId:
      return parse_as<VendorIdPayload>(body, critical);
    case PayloadType::kTsi:
      return parse_as<TsiPayload>(body, critical);
    case PayloadType::kTsr:
      return parse_as<TsrPayload>(body, critical);
    case PayloadType::kCp:
      return parse_as<CpPayload>(body, critical);
    case PayloadType::kEap:
      return parse_as<EapPayload>(body, critical);
    default:
      return std::nullopt;
  }
}

// The generic payload header (RFC 7296 3.2) and the body its length covers.
struct GenericPayload {
  PayloadType next = PayloadType::kNone;
  bool critical = false;
  ByteView body;
};

Result<GenericPayload> read_generic(ByteReader& reader, PayloadType type) {
  const auto next = reader.u8();
  const auto flags = reader.u8();
  const auto length = reader.u16();
  if (!next || !flags || !length)
    return fail(ErrorCode::kMalformed, "the chain of payloads ends where payload {} was announced",
                name(type));
  if (*length < kGenericHeaderSize)
    return fail(ErrorCode::kMalformed, "payload {} says it has {} bytes, fewer than its header", name(type),
                *length);
  const auto body = reader.take(*length - kGenericHeaderSize);
  if (!body)
    return fail(ErrorCode::kMalformed, "payload {} says it has {} bytes, but only {} are left", name(type),
                *length, reader.remaining() + kGenericHeaderSize);
  return GenericPayload{
      .next = static_cast<PayloadType>(*next), .critical = (*flags & kCriticalBit) != 0, .body = *body};
}

template <class T>
Result<Payload> read_encrypted(const GenericPayload& generic, std::size_t offset) {
  MERLON_TRY(Payload payload, parse_as<T>(generic.body, generic.critical));
  auto& encrypted = std::get<T>(payload);
  encrypted.first_payload = generic.next;
  encrypted.offset = offset;
  return payload;
}

bool is_encrypted(PayloadType type) {
  return type == PayloadType::kSk || type == PayloadType::kSkf;
}

tl::unexpected<ParseError> refuse_critical(PayloadType type) {
  return tl::unexpected<ParseError>(
      ParseError{.notify = NotifyType::kUnsupportedCriticalPayload,
                 .payload_type = type,
                 .error = {ErrorCode::kUnsupported,
                           fmt::format("payload type {} is marked critical and is not understood here",
                                       static_cast<unsigned>(type))}});
}

// Walks a chain. `offset` is where `body` starts in the datagram; nothing in it may be encrypted where
// `offset` is unset.
ParseResult<std::vector<Payload>> parse_chain(PayloadType first, ByteView body,
                                              std::optional<std::size_t> offset) {
  std::vector<Payload> payloads;
  ByteReader reader(body);
  PayloadType type = first;
  while (type != PayloadType::kNone) {
    const std::size_t position = body.size() - reader.remaining();
    const auto generic = read_generic(reader, type);
    if (!generic) return refuse(generic.error());
    if (is_encrypted(type)) {
      if (!offset)
        return refuse({ErrorCode::kMalformed, "an encrypted payload stands inside an encrypted payload"});
      // RFC 7296 3.14, RFC 7383 2.5: it must be the last payload of the message
      if (!reader.empty()) return refuse({ErrorCode::kMalformed, "something follows the encrypted payload"});
      auto encrypted = type == PayloadType::kSk ? read_encrypted<SkPayload>(*generic, *offset + position)
                                                : read_encrypted<SkfPayload>(*generic, *offset + position);
      if (!encrypted) return refuse(std::move(encrypted).error());
      payloads.push_back(std::move(*encrypted));
      return payloads;
    }
    if (auto known = parse_known(type, generic->body, generic->critical)) {
      if (!*known) return refuse(std::move(*known).error());
      payloads.push_back(std::move(**known));
    } else {
      // RFC 7296 2.5: refuse what is critical and unknown, skip what is unknown
      if (generic->critical) return refuse_critical(type);
      payloads.emplace_back(UnknownPayload{.type = type, .body = to_bytes(generic->body)});
    }
    type = generic->next;
  }
  if (auto finished = reader.finish("the chain of payloads"); !finished)
    return refuse(std::move(finished).error());
  return payloads;
}

// What does not fit its field, where the length of the whole payload would not show it. Values that were
// parsed always fit.
Result<> fits(const SaPayload& sa) {
  bool fitting = !sa.proposals.empty() && sa.proposals.size() <= 255;
  for (const auto& proposal : sa.proposals)
    fitting = fitting && proposal.transforms.size() <= 255 && proposal.spi.size() <= 255;
  if (fitting) return {};
  return fail(ErrorCode::kInvalidArgument,
              "an SA payload carries 1 to 255 proposals of at most 255 transforms each");
}
template <PayloadType type>
Result<> fits(const TsPayload<type>& ts) {
  const std::size_t count = ts.selectors.size() + ts.unknown.size();
  if (count >= 1 && count <= 255) return {};
  return fail(ErrorCode::kInvalidArgument, "a Traffic Selector payload carries 1 to 255 selectors, not {}",
              count);
}
Result<> fits(const NotifyPayload& notify) {
  if (notify.spi.size() <= 255) return {};
  return fail(ErrorCode::kInvalidArgument, "the SPI of a notification has {} bytes", notify.spi.size());
}
Result<> fits(const UnknownPayload& unknown) {
  if (unknown.type != PayloadType::kNone && !is_encrypted(unknown.type)) return {};
  return fail(ErrorCode::kInvalidArgument, "payload type {} cannot be sent as an unknown one",
              name(unknown.type));
}
template <class T>
Result<> fits(const T& /*payload*/) {
  return {};
}

void encode_body(const UnknownPayload& unknown, ByteWriter& out) {
  out.bytes(unknown.body);
}
template <class T>
void encode_body(const T& payload, ByteWriter& out) {
  payload.encode(out);
}

PayloadType first_inside(const Payload& payload) {
  if (const auto* sk = std::get_if<SkPayload>(&payload)) return sk->first_payload;
  if (const auto* skf = std::get_if<SkfPayload>(&payload)) return skf->first_payload;
  return PayloadType::kNone;
}

Result<> encode_chain(std::span<const Payload> payloads, ByteWriter& out) {
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    const Payload& payload = payloads[i];
    const bool last = i + 1 == payloads.size();
    if (is_encrypted(type_of(payload)) && !last)
      return fail(ErrorCode::kInvalidArgument, "payload {} must be the last of its message",
                  name(type_of(payload)));
    MERLON_TRY_VOID(std::visit([](const auto& typed) { return fits(typed); }, payload));
    const std::size_t start = out.size();
    out.u8(static_cast<std::uint8_t>(last ? first_inside(payload) : type_of(payloads[i + 1])));
    out.u8(is_critical(payload) ? kCriticalBit : 0);
    out.u16(0);  // patched below
    std::visit([&out](const auto& typed) { encode_body(typed, out); }, payload);
    const std::size_t length = out.size() - start;
    if (length > std::numeric_limits<std::uint16_t>::max())
      return fail(ErrorCode::kInvalidArgument, "payload {} has {} bytes; at most 65535 fit",
                  name(type_of(payload)), length);
    out.patch_u16(start + 2, static_cast<std::uint16_t>(length));
  }
  return {};
}

PayloadType first_of(std::span<const Payload> payloads) {
  return payloads.empty() ? PayloadType::kNone : type_of(payloads.front());
}

Result<Bytes> encode(IkeHeader header, std::span<const Payload> payloads) {
  header.next_payload = first_of(payloads);
  ByteWriter out;
  header.encode(out);
  MERLON_TRY_VOID(encode_chain(payloads, out));
  out.patch_u32(kIkeHeaderSize - 4, static_cast<std::uint32_t>(out.size()));
  return out.take();
}

// Encodes with an empty body, then raises the two lengths by what will follow.
Result<Bytes> begin_encrypted(const IkeHeader& header, std::span<const Payload> outer, Payload encrypted,
                              std::size_t frame_size, std::size_t body_size) {
  if (frame_size + body_size > std::numeric_limits<std::uint16_t>::max())
    return fail(ErrorCode::kInvalidArgument, "an encrypted payload cannot carry {} bytes; at most {} fit",
                body_size, std::numeric_limits<std::uint16_t>::max() - frame_size);
  std::vector<Payload> payloads(outer.begin(), outer.end());
  payloads.push_back(std::move(encrypted));
  MERLON_TRY(const Bytes start, encode(header, payloads));
  ByteWriter out;
  out.bytes(start);
  out.patch_u16(start.size() - frame_size + 2, static_cast<std::uint16_t>(frame_size + body_size));
  out.patch_u32(kIkeHeaderSize - 4, static_cast<std::uint32_t>(start.size() + body_size));
  return out.take();
}

}  // namespace

ParseResult<Message> parse_message(ByteView datagram) {
  auto header = IkeHeader::parse(datagram);
  if (!header) return refuse(std::move(header).error());
  // RFC 7296 2.5
  if (header->major != kIkeMajorVersion)
    return tl::unexpected<ParseError>(
        ParseError{.notify = NotifyType::kInvalidMajorVersion,
                   .payload_type = PayloadType::kNone,
                   .error = {ErrorCode::kUnsupported,
                             fmt::format("the message is of IKE version {}, not 2", header->major)}});
  if (header->length != datagram.size())
    return refuse(
        {ErrorCode::kMalformed, fmt::format("the IKE header says that the message has {} bytes; {} came",
                                            header->length, datagram.size())});
  auto payloads = parse_chain(header->next_payload, datagram.subspan(kIkeHeaderSize), kIkeHeaderSize);
  if (!payloads) return tl::unexpected<ParseError>(std::move(payloads).error());
  return Message{.header = *header, .payloads = std::move(*payloads)};
}

ParseResult<std::vector<Payload>> parse_payloads(PayloadType first, ByteView body) {
  return parse_chain(first, body, std::nullopt);
}

Result<EncodedPayloads> encode_payloads(std::span<const Payload> payloads) {
  ByteWriter out;
  MERLON_TRY_VOID(encode_chain(payloads, out));
  return EncodedPayloads{.first = first_of(payloads), .bytes = out.take()};
}

Result<Bytes> encode_message(const Message& message) {
  return encode(message.header, message.payloads);
}

Result<Bytes> begin_encrypted_message(const IkeHeader& header, std::span<const Payload> outer,
                                      PayloadType first_payload, std::size_t body_size) {
  return begin_encrypted(header, outer, SkPayload{.first_payload = first_payload, .body = {}},
                         kGenericHeaderSize, body_size);
}

Result<Bytes> begin_encrypted_fragment(const IkeHeader& header, std::span<const Payload> outer,
                                       PayloadType first_payload, std::uint16_t fragment_number,
                                       std::uint16_t total_fragments, std::size_t body_size) {
  return begin_encrypted(header, outer,
                         SkfPayload{.first_payload = first_payload,
                                    .fragment_number = fragment_number,
                                    .total_fragments = total_fragments,
                                    .body = {}},
                         kSkfFrameSize, body_size);
}

PayloadType type_of(const Payload& payload) {
  return std::visit(
      [](const auto& typed) {
        if constexpr (std::is_same_v<std::decay_t<decltype(typed)>, UnknownPayload>)
          return typed.type;
        else
          return std::decay_t<decltype(typed)>::kType;
      },
      payload);
}

bool is_critical(const Payload& payload) {
  return std::visit([](const auto& typed) { return typed.critical; }, payload);
}

const NotifyPayload* find_notify(std::span<const Payload> payloads, NotifyType type) {
  for (const auto* notify : find_all<NotifyPayload>(payloads))
    if (notify->type == type) return notify;
  return nullptr;
}

std::vector<const NotifyPayload*> find_all_notify(std::span<const Payload> payloads, NotifyType type) {
  auto found = find_all<NotifyPayload>(payloads);
  std::erase_if(found, [type](const NotifyPayload* notify) { return notify->type != type; });
  return found;
}

const NotifyPayload* find_error_notify(std::span<const Payload> payloads) {
  for (const auto* notify : find_all<NotifyPayload>(payloads))
    if (is_error(notify->type)) return notify;
  return nullptr;
}

}  // namespace merlon::wire
