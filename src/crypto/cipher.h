// The ciphers of IKE messages and ESP packets through OpenSSL, keyed once, in place, without allocation of
// ours: what message_cipher and the OpenSSL packet back end share. For crypto/.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/iana.h"

struct evp_cipher_ctx_st;  // OpenSSL's EVP_CIPHER_CTX

namespace merlon::crypto {

// How an encryption algorithm stands on the wire and in the key material.
struct EncrFacts {
  std::size_t key = 0;    // bytes
  std::size_t salt = 0;   // bytes behind the key
  std::size_t iv = 0;     // bytes on the wire
  std::size_t icv = 0;    // AEAD only
  std::size_t block = 1;  // the plaintext is a multiple of this
};
// None where the algorithm or its key length is not supported. NULL has all sizes 0.
[[nodiscard]] std::optional<EncrFacts> encr_facts(EncrId id, unsigned key_bits);

struct CipherCtxDeleter {
  void operator()(evp_cipher_ctx_st* ctx) const;
};
using CipherCtx = std::unique_ptr<evp_cipher_ctx_st, CipherCtxDeleter>;

// AES-GCM, AES-GMAC (everything is additional data), AES-CCM, ChaCha20-Poly1305. The nonce is salt | IV.
class Aead {
 public:
  // `keymat` is key | salt. Errors: kUnsupported, kInvalidArgument (size).
  [[nodiscard]] static Result<std::unique_ptr<Aead>> create(EncrId id, unsigned key_bits, ByteView keymat);
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;
  ~Aead();

  [[nodiscard]] const EncrFacts& facts() const { return facts_; }

  // Encrypts `data` in place and writes facts().icv bytes. The additional data come in parts; CCM takes only
  // one.
  void seal(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
            std::uint8_t* icv);
  // Decrypts in place; false where the ICV is wrong, and then `data` is undefined. May overwrite nothing but
  // `data`.
  [[nodiscard]] bool open(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
                          const std::uint8_t* icv);

 private:
  Aead() = default;
  // Decrypts where an ICV is expected.
  bool run(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
           const std::uint8_t* expected_icv);

  EncrFacts facts_;
  bool is_ccm_ = false;
  std::array<std::uint8_t, 12> nonce_{};  // the salt stays in front
  // For both ways where the key is expanded alike for them; CCM's are set up for one way only.
  CipherCtx ctx_;
  CipherCtx ccm_opener_;
};

// AES-CBC, and AES-CTR with the counter block of RFC 3686: nonce | IV | 1.
class BlockMode {
 public:
  [[nodiscard]] static Result<std::unique_ptr<BlockMode>> create(EncrId id, unsigned key_bits,
                                                                 ByteView keymat);
  BlockMode(const BlockMode&) = delete;
  BlockMode& operator=(const BlockMode&) = delete;
  ~BlockMode();

  [[nodiscard]] const EncrFacts& facts() const { return facts_; }

  // In place; the size is a multiple of facts().block.
  void encrypt(const std::uint8_t* iv, MutableByteView data);
  void decrypt(const std::uint8_t* iv, MutableByteView data);

 private:
  BlockMode() = default;
  void run(evp_cipher_ctx_st* ctx, const std::uint8_t* iv, MutableByteView data);

  EncrFacts facts_;
  std::array<std::uint8_t, 16> counter_block_{};  // CTR: the nonce in front, 1 at the end
  CipherCtx encryptor_;
  CipherCtx decryptor_;
};

}  // namespace merlon::crypto
