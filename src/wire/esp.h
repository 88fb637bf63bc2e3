// What of an ESP packet is visible, and the trailer inside (RFC 4303 2).
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/ids.h"
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
[[nodiscard]] std::optional<EspHeader> parse_esp_header(ByteView packet);
// Writes 8 bytes.
void write_esp_header(MutableByteView out, const EspHeader& header);

// RFC 4303 2.4: padding bytes so that payload, padding, pad length and next header fill whole blocks.
// `block_size` is the cipher's, or 1; at least 4-byte alignment is always kept.
[[nodiscard]] std::size_t esp_pad_length(std::size_t payload_size, std::size_t block_size);

// Writes the padding 1, 2, 3, ... (RFC 4303 2.4), the pad length and the next header: pad_length + 2 bytes.
void write_esp_trailer(MutableByteView out, std::size_t pad_length, IpProtocol next_header);

struct EspTrailer {
  std::size_t payload_size = 0;  // bytes before the padding; may include TFC padding (RFC 4303 2.7)
  IpProtocol next_header = IpProtocol::kNoNext;  // kNoNext: a dummy packet to discard (RFC 4303 2.6)
};
// Takes the end of a decrypted and authenticated plaintext apart. kBadLength where the pad length exceeds
// what is there, kBadPadding where the padding is not 1, 2, 3, ... (RFC 4303 2.4 lets the receiver look).
[[nodiscard]] PacketResult<EspTrailer> parse_esp_trailer(ByteView plaintext);

}  // namespace merlon::wire
