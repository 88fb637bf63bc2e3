// What of an ESP packet is visible, and the trailer inside (RFC 4303 2).
#pragma once

#include <array>
#include <optional>

#include "base/bytes.h"
#include "base/check.h"
#include "base/iana.h"
#include "base/ids.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/packet_error.h"

namespace merlon::wire {

inline constexpr std::size_t kEspHeaderSize = 8;   // SPI, sequence number
inline constexpr std::size_t kEspTrailerSize = 2;  // pad length, next header
inline constexpr std::size_t kEspMaxPadLength = 255;
inline constexpr Spi kFirstUsableSpi{256};  // RFC 4303 2.1: 1 to 255 are reserved by IANA, 0 is for local use

struct EspHeader {
  Spi spi;
  std::uint32_t sequence = 0;  // low half (RFC 4303 2.2.1)
  friend bool operator==(const EspHeader&, const EspHeader&) = default;
};

// Needs 8 bytes; nothing where there are fewer. The SPI is not judged.
[[nodiscard]] inline std::optional<EspHeader> parse_esp_header(ByteView packet) {
  if (packet.size() < kEspHeaderSize) return std::nullopt;
  return EspHeader{.spi = {load_u32(packet, 0)}, .sequence = load_u32(packet, 4)};
}
// Writes 8 bytes.
inline void write_esp_header(MutableByteView out, const EspHeader& header) {
  MERLON_ASSERT(out.size() >= kEspHeaderSize);
  store_u32(out, 0, header.spi.value);
  store_u32(out, 4, header.sequence);
}

// RFC 4303 2.4: padding bytes so that payload, padding, pad length and next header fill whole blocks.
// `block_size` is the cipher's, or 1; at least 4-byte alignment is always kept.
[[nodiscard]] inline std::size_t esp_pad_length(std::size_t payload_size, std::size_t block_size) {
  // RFC 4303 2.4: the cipher's block, and in any case 4 bytes; both are powers of two
  const std::size_t alignment = block_size < 4 ? 4 : block_size;
  MERLON_ASSERT((alignment & (alignment - 1)) == 0 && alignment <= kEspMaxPadLength + 1);
  return (0 - (payload_size + kEspTrailerSize)) & (alignment - 1);
}

// Writes the padding 1, 2, 3, ... (RFC 4303 2.4), the pad length and the next header: pad_length + 2 bytes.
inline void write_esp_trailer(MutableByteView out, std::size_t pad_length, IpProtocol next_header) {
  MERLON_ASSERT(pad_length <= kEspMaxPadLength && out.size() >= pad_length + kEspTrailerSize);
  for (std::size_t i = 0; i < pad_length; ++i) out[i] = static_cast<std::uint8_t>(i + 1);
  out[pad_length] = static_cast<std::uint8_t>(pad_length);
  out[pad_length + 1] = static_cast<std::uint8_t>(next_header);
}

struct EspTrailer {
  std::size_t payload_size = 0;  // bytes before the padding; may include TFC padding (RFC 4303 2.7)
  IpProtocol next_header = IpProtocol::kNoNext;  // kNoNext: a dummy packet to discard (RFC 4303 2.6)
};
// Takes the end of a decrypted and authenticated plaintext apart. kBadLength where the pad length exceeds
// what is there, kBadPadding where the padding is not 1, 2, 3, ... (RFC 4303 2.4 lets the receiver look).
[[nodiscard]] inline PacketResult<EspTrailer> parse_esp_trailer(ByteView plaintext) {
  if (plaintext.size() < kEspTrailerSize) return tl::unexpected(PacketError::kTruncated);
  const std::size_t pad_length = plaintext[plaintext.size() - 2];
  if (pad_length > plaintext.size() - kEspTrailerSize) return tl::unexpected(PacketError::kBadLength);
  const std::size_t payload_size = plaintext.size() - kEspTrailerSize - pad_length;
  if (pad_length < 4 && payload_size >= 4) {  // mostly: in one piece with the length behind it
    constexpr std::array<std::uint32_t, 4> kPadded = {0x00, 0x0101, 0x010202, 0x01020303},
                                           kMask = {0xff, 0xffff, 0xffffff, 0xffffffff};
    const std::uint32_t end = load_u32(plaintext, plaintext.size() - kEspTrailerSize - 3);
    if ((end & kMask[pad_length]) != kPadded[pad_length]) return tl::unexpected(PacketError::kBadPadding);
    return EspTrailer{.payload_size = payload_size, .next_header = static_cast<IpProtocol>(plaintext.back())};
  }
  for (std::size_t i = 0; i < pad_length; ++i)
    if (plaintext[payload_size + i] != i + 1) return tl::unexpected(PacketError::kBadPadding);
  return EspTrailer{.payload_size = payload_size, .next_header = static_cast<IpProtocol>(plaintext.back())};
}

}  // namespace merlon::wire
