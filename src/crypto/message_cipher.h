// The protection of an IKE message's Encrypted payload (RFC 7296 3.14; AEAD: RFC 5282, RFC 7634; AES-CTR: RFC
// 5930). One object is one direction of one IKE SA: SK_ei with SK_ai, or SK_er with SK_ar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/rng.h"
#include "base/secret.h"

namespace merlon::crypto {

struct MessageCipherSuite {
  EncrId encr = EncrId::kAesGcm16;
  unsigned key_bits = 256;         // of the cipher key, without salt; 256 or 0 for CHACHA20_POLY1305
  IntegId integ = IntegId::kNone;  // kNone with an AEAD, and only then
  friend bool operator==(const MessageCipherSuite&, const MessageCipherSuite&) = default;
};

// AES_GCM and AES_CCM (16, 12, 8), CHACHA20_POLY1305; AES_CBC and AES_CTR with an integrity algorithm. Never
// NULL nor GMAC.
[[nodiscard]] bool is_supported(const MessageCipherSuite& suite);

// Bytes of one SK_e: the key and, behind it, the salt (GCM, ChaCha20-Poly1305, CTR: 4, CCM: 3); 0 where the
// cipher or its key length is not supported. Also for ESP, whose KEYMAT is cut the same way.
[[nodiscard]] std::size_t encryption_key_size(EncrId id, unsigned key_bits);
[[nodiscard]] inline std::size_t encryption_key_size(const MessageCipherSuite& suite) {
  return encryption_key_size(suite.encr, suite.key_bits);
}
// Bytes of one SK_a; 0 with an AEAD (RFC 5282 7).
[[nodiscard]] std::size_t integrity_key_size(const MessageCipherSuite& suite);

class MessageCipher {
 public:
  // Errors: kUnsupported (suite), kInvalidArgument (a key of the wrong size). `first_iv` is the first value
  // of the IV counter, for one who takes over another's IKE SA; CBC does not use it.
  [[nodiscard]] static Result<std::unique_ptr<MessageCipher>> create(const MessageCipherSuite& suite,
                                                                     Secret sk_e, Secret sk_a,
                                                                     std::uint64_t first_iv = 0);
  MessageCipher() = default;
  MessageCipher(const MessageCipher&) = delete;
  MessageCipher& operator=(const MessageCipher&) = delete;
  virtual ~MessageCipher() = default;

  [[nodiscard]] std::size_t iv_size() const { return iv_size_; }
  // The plaintext (payloads, padding, pad length byte) must be a multiple of this: 16 for CBC, 1 for the
  // others.
  [[nodiscard]] std::size_t block_size() const { return block_size_; }
  [[nodiscard]] std::size_t icv_size() const { return icv_size_; }
  // What seal() gives for a plaintext of this size. The lengths in the message's headers, which `aad` holds,
  // count it.
  [[nodiscard]] std::size_t sealed_size(std::size_t plaintext_size) const {
    return iv_size_ + plaintext_size + icv_size_;
  }

  // aad: the message from the first byte of its header to the last byte of the Encrypted (Fragment) payload's
  // header(s), lengths filled in. Returns IV | ciphertext | ICV. Counter modes number their IVs themselves,
  // never the same twice; CBC draws its IV from `rng`. Errors: kInvalidArgument (not a multiple of
  // block_size), kExhausted (no IV is left: the IKE SA must be rekeyed).
  [[nodiscard]] virtual Result<Bytes> seal(ByteView aad, ByteView plaintext, Rng& rng) = 0;

  // The inverse: the plaintext with its padding. The ICV is checked before anything is decrypted.
  // Errors: kMalformed (too short, or not whole blocks), kAuthentication.
  [[nodiscard]] virtual Result<Bytes> open(ByteView aad, ByteView iv_ciphertext_icv) = 0;

 protected:
  std::size_t iv_size_ = 0;
  std::size_t block_size_ = 1;
  std::size_t icv_size_ = 0;
};

}  // namespace merlon::crypto
