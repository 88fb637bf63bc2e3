#include "wire/esp.h"

#include <algorithm>

#include "base/check.h"
#include "wire/ip/byte_order.h"

namespace merlon::wire {

std::optional<EspHeader> parse_esp_header(ByteView packet) {
  if (packet.size() < kEspHeaderSize) return std::nullopt;
  return EspHeader{.spi = {load_u32(packet, 0)}, .sequence = load_u32(packet, 4)};
}

void write_esp_header(MutableByteView out, const EspHeader& header) {
  MERLON_ASSERT(out.size() >= kEspHeaderSize);
  store_u32(out, 0, header.spi.value);
  store_u32(out, 4, header.sequence);
}

std::size_t esp_pad_length(std::size_t payload_size, std::size_t block_size) {
  // RFC 4303 2.4: the cipher's block, and in any case 4 bytes; both are powers of two
  const std::size_t alignment = std::max<std::size_t>(block_size, 4);
  MERLON_ASSERT((alignment & (alignment - 1)) == 0 && alignment <= kEspMaxPadLength + 1);
  return (alignment - (payload_size + kEspTrailerSize) % alignment) % alignment;
}

void write_esp_trailer(MutableByteView out, std::size_t pad_length, IpProtocol next_header) {
  MERLON_ASSERT(pad_length <= kEspMaxPadLength && out.size() >= pad_length + kEspTrailerSize);
  for (std::size_t i = 0; i < pad_length; ++i) out[i] = static_cast<std::uint8_t>(i + 1);
  out[pad_length] = static_cast<std::uint8_t>(pad_length);
  out[pad_length + 1] = static_cast<std::uint8_t>(next_header);
}

PacketResult<EspTrailer> parse_esp_trailer(ByteView plaintext) {
  if (plaintext.size() < kEspTrailerSize) return tl::unexpected(PacketError::kTruncated);
  const std::size_t pad_length = plaintext[plaintext.size() - 2];
  if (pad_length > plaintext.size() - kEspTrailerSize) return tl::unexpected(PacketError::kBadLength);
  const std::size_t payload_size = plaintext.size() - kEspTrailerSize - pad_length;
  for (std::size_t i = 0; i < pad_length; ++i)
    if (plaintext[payload_size + i] != i + 1) return tl::unexpected(PacketError::kBadPadding);
  return EspTrailer{.payload_size = payload_size, .next_header = static_cast<IpProtocol>(plaintext.back())};
}

}  // namespace merlon::wire
