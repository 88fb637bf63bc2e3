#include "wire/ike/header.h"

#include "base/reader.h"

namespace merlon::wire {
namespace {

// RFC 7296 3.1
constexpr std::uint8_t kInitiatorFlag = 0x08;
constexpr std::uint8_t kVersionFlag = 0x10;
constexpr std::uint8_t kResponseFlag = 0x20;

}  // namespace

Result<IkeHeader> IkeHeader::parse(ByteView message) {
  ByteReader reader(message);
  const auto initiator_spi = reader.u64();
  const auto responder_spi = reader.u64();
  const auto next_payload = reader.u8();
  const auto version = reader.u8();
  const auto exchange_type = reader.u8();
  const auto flags = reader.u8();
  const auto message_id = reader.u32();
  const auto length = reader.u32();
  if (!initiator_spi || !responder_spi || !next_payload || !version || !exchange_type || !flags ||
      !message_id || !length)
    return truncated("the IKE header");
  if (*length < kIkeHeaderSize)
    return fail(ErrorCode::kMalformed,
                "the IKE header says that the message has {} bytes, fewer than the header itself", *length);
  return IkeHeader{
      .initiator_spi = {*initiator_spi},
      .responder_spi = {*responder_spi},
      .next_payload = static_cast<PayloadType>(*next_payload),
      .major = static_cast<std::uint8_t>(*version >> 4U),
      .minor = static_cast<std::uint8_t>(*version & 0x0fU),
      .exchange_type = static_cast<ExchangeType>(*exchange_type),
      .flags = {.initiator = (*flags & kInitiatorFlag) != 0,
                .version = (*flags & kVersionFlag) != 0,
                .response = (*flags & kResponseFlag) != 0},
      .message_id = {*message_id},
      .length = *length,
  };
}

void IkeHeader::encode(ByteWriter& out) const {
  out.u64(initiator_spi.value);
  out.u64(responder_spi.value);
  out.u8(static_cast<std::uint8_t>(next_payload));
  out.u8(static_cast<std::uint8_t>(static_cast<unsigned>(major) << 4U | (minor & 0x0fU)));
  out.u8(static_cast<std::uint8_t>(exchange_type));
  out.u8(static_cast<std::uint8_t>((flags.initiator ? kInitiatorFlag : 0U) |
                                   (flags.version ? kVersionFlag : 0U) |
                                   (flags.response ? kResponseFlag : 0U)));
  out.u32(message_id.value);
  out.u32(length);
}

}  // namespace merlon::wire
