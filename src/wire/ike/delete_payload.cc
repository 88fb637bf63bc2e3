#include "wire/ike/delete_payload.h"

#include "base/reader.h"

namespace merlon::wire {
namespace {

Result<std::size_t> spi_size_of(SecurityProtocol protocol) {
  // RFC 7296 3.11
  switch (protocol) {
    case SecurityProtocol::kIke:
      return 0;
    case SecurityProtocol::kAh:
    case SecurityProtocol::kEsp:
      return 4;
    default:
      return fail(ErrorCode::kMalformed,
                  "a Delete payload is for IKE, AH or ESP; this one is for protocol {}",
                  static_cast<unsigned>(protocol));
  }
}

}  // namespace

Result<DeletePayload> DeletePayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto protocol = reader.u8();
  const auto spi_size = reader.u8();
  const auto count = reader.u16();
  if (!protocol || !spi_size || !count) return truncated("the Delete payload");
  DeletePayload payload{.protocol = static_cast<SecurityProtocol>(*protocol), .spis = {}};
  MERLON_TRY(const std::size_t expected_size, spi_size_of(payload.protocol));
  if (*spi_size != expected_size)
    return fail(ErrorCode::kMalformed, "a Delete payload for {} has SPIs of {} bytes; this one says {}",
                name(payload.protocol), expected_size, *spi_size);
  // RFC 7296 3.11: no SPIs for the IKE SA, which the header names
  if (reader.remaining() != expected_size * *count || (expected_size == 0 && *count != 0))
    return fail(ErrorCode::kMalformed, "a Delete payload announces {} SPIs and carries {} bytes of them",
                *count, reader.remaining());
  payload.spis.reserve(*count);
  while (const auto spi = reader.u32()) payload.spis.push_back({*spi});
  return payload;
}

void DeletePayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(protocol));
  out.u8(protocol == SecurityProtocol::kIke ? 0 : 4);
  out.u16(static_cast<std::uint16_t>(spis.size()));
  for (const Spi spi : spis) out.u32(spi.value);
}

}  // namespace merlon::wire
