#include "wire/ike/notify.h"

#include "base/reader.h"

namespace merlon::wire {

Result<NotifyPayload> NotifyPayload::parse(ByteView body) {
  ByteReader reader(body);
  const auto protocol = reader.u8();
  const auto spi_size = reader.u8();
  const auto type = reader.u16();
  if (!protocol || !spi_size || !type) return truncated("the Notify payload");
  const auto spi = reader.take(*spi_size);
  if (!spi) return truncated("the Notify payload's SPI");
  return NotifyPayload{.type = static_cast<NotifyType>(*type),
                       .protocol = static_cast<SecurityProtocol>(*protocol),
                       .spi = to_bytes(*spi),
                       .data = to_bytes(reader.rest())};
}

void NotifyPayload::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(protocol));
  out.u8(static_cast<std::uint8_t>(spi.size()));
  out.u16(static_cast<std::uint16_t>(type));
  out.bytes(spi);
  out.bytes(data);
}

}  // namespace merlon::wire
