// The back ends of packet_cipher.h and what they share. For crypto/.
#pragma once

#include <array>
#include <cstring>

#include "base/check.h"
#include "crypto/packet_cipher.h"

namespace merlon::crypto {

// All take checked arguments. Errors: kUnsupported where the back end does not have the transform.
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> make_openssl_cipher(const EspTransform& transform,
                                                                        bool esn, ByteView keymat_encr,
                                                                        ByteView keymat_integ);
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> make_ipsec_mb_cipher(const EspTransform& transform,
                                                                         bool esn, ByteView keymat_encr,
                                                                         ByteView keymat_integ);

// Only where the CPU has VAES, VPCLMULQDQ and AVX-512; AES-GCM only.
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> make_vaes_cipher(const EspTransform& transform, bool esn,
                                                                     ByteView keymat_encr);

inline bool is_gcm(EncrId id) {
  return id == EncrId::kAesGcm8 || id == EncrId::kAesGcm12 || id == EncrId::kAesGcm16;
}

inline constexpr std::size_t kEspHeaderSize = 8;
inline constexpr std::size_t kEsnSize = 4;
inline constexpr std::size_t kMaxIcvSize = 32;

// RFC 4303 2.4: a packet has a trailer of two bytes at least, so data are never empty.
inline bool is_possible_length(const PacketJob& job) {
  return job.length != 0 && job.length <= kMaxPacketData;
}

inline void write_u32(std::uint8_t* out, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) out[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

// The additional data of an AEAD: SPI | sequence number, with ESN 64 bits of it (RFC 4106 5, RFC 4309 5, RFC
// 7634 2.1).
struct AdditionalData {
  std::array<std::uint8_t, kEspHeaderSize + kEsnSize> bytes{};

  AdditionalData(const PacketJob& job, bool esn) {
    std::memcpy(bytes.data(), job.header, 4);
    if (esn) write_u32(bytes.data() + 4, job.sequence_high);
    std::memcpy(bytes.data() + (esn ? 8 : 4), job.header + 4, 4);
  }
  static std::size_t size(bool esn) { return esn ? kEspHeaderSize + kEsnSize : kEspHeaderSize; }
  [[nodiscard]] ByteView view(bool esn) const { return ByteView(bytes).first(size(esn)); }
};

}  // namespace merlon::crypto
