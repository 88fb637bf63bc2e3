#include "crypto/cipher.h"

#include <algorithm>

#include "base/check.h"
#include "base/secret.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

constexpr std::size_t kCounterBlock = 16;

bool is_aes_key_length(unsigned key_bits) {
  return key_bits == 128 || key_bits == 192 || key_bits == 256;
}

bool is_ccm(EncrId id) {
  return id == EncrId::kAesCcm8 || id == EncrId::kAesCcm12 || id == EncrId::kAesCcm16;
}

// Fetched once a process; a null pointer where this OpenSSL does not have it.
const EVP_CIPHER* fetched(EncrId id, std::size_t key_bytes) {
  static const CipherPtr gcm[] = {CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-192-GCM", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr))};
  static const CipherPtr ccm[] = {CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-128-CCM", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-192-CCM", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-256-CCM", nullptr))};
  static const CipherPtr cbc[] = {CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-192-CBC", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr))};
  static const CipherPtr ctr[] = {CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-192-CTR", nullptr)),
                                  CipherPtr(EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr))};
  static const CipherPtr chacha(EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr));
  const std::size_t index = (key_bytes - 16) / 8;
  switch (id) {
    case EncrId::kAesCbc:
      return cbc[index].get();
    case EncrId::kAesCtr:
      return ctr[index].get();
    case EncrId::kChacha20Poly1305:
      return chacha.get();
    default:
      return is_ccm(id) ? ccm[index].get() : gcm[index].get();
  }
}

Result<EncrFacts> checked_facts(EncrId id, unsigned key_bits, ByteView keymat) {
  const auto facts = encr_facts(id, key_bits);
  if (!facts)
    return fail(ErrorCode::kUnsupported, "encryption algorithm {} is not supported", name(id, key_bits));
  if (keymat.size() != facts->key + facts->salt)
    return fail(ErrorCode::kInvalidArgument, "{} takes {} bytes of key material, not {}", name(id, key_bits),
                facts->key + facts->salt, keymat.size());
  return *facts;
}

enum class Direction : std::uint8_t { kDecrypt = 0, kEncrypt = 1 };

// A context with its key, waiting for a nonce. CCM must know the sizes of nonce and ICV before the key.
CipherCtx keyed_context(EncrId id, const EncrFacts& facts, const std::uint8_t* key, Direction direction) {
  CipherCtx ctx(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* cipher = fetched(id, facts.key);
  const int encrypts = static_cast<int>(direction);
  if (!ctx || cipher == nullptr ||
      EVP_CipherInit_ex2(ctx.get(), cipher, nullptr, nullptr, encrypts, nullptr) != 1)
    return nullptr;
  if (is_aead(id) && EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_IVLEN,
                                         static_cast<int>(facts.salt + facts.iv), nullptr) != 1)
    return nullptr;
  if (is_ccm(id) &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(facts.icv), nullptr) != 1)
    return nullptr;
  if (EVP_CipherInit_ex2(ctx.get(), nullptr, key, nullptr, encrypts, nullptr) != 1) return nullptr;
  EVP_CIPHER_CTX_set_padding(ctx.get(), 0);
  return ctx;
}

}  // namespace

void CipherCtxDeleter::operator()(evp_cipher_ctx_st* ctx) const {
  EVP_CIPHER_CTX_free(ctx);
}

std::optional<EncrFacts> encr_facts(EncrId id, unsigned key_bits) {
  if (id == EncrId::kNull) return key_bits == 0 ? std::optional(EncrFacts{}) : std::nullopt;
  if (id == EncrId::kChacha20Poly1305) {
    if (key_bits != 0 && key_bits != 256) return std::nullopt;
    return EncrFacts{.key = 32, .salt = 4, .iv = 8, .icv = 16, .block = 1};  // RFC 7634 2
  }
  if (!is_aes_key_length(key_bits)) return std::nullopt;
  const std::size_t key = key_bits / 8;
  switch (id) {
    case EncrId::kAesCbc:
      return EncrFacts{.key = key, .salt = 0, .iv = 16, .icv = 0, .block = 16};  // RFC 3602
    case EncrId::kAesCtr:
      return EncrFacts{.key = key, .salt = 4, .iv = 8, .icv = 0, .block = 1};  // RFC 3686, RFC 5930
    case EncrId::kAesGcm8:
      return EncrFacts{.key = key, .salt = 4, .iv = 8, .icv = 8, .block = 1};  // RFC 4106, RFC 5282
    case EncrId::kAesGcm12:
      return EncrFacts{.key = key, .salt = 4, .iv = 8, .icv = 12, .block = 1};
    case EncrId::kAesGcm16:
    case EncrId::kNullAuthAesGmac:  // RFC 4543
      return EncrFacts{.key = key, .salt = 4, .iv = 8, .icv = 16, .block = 1};
    case EncrId::kAesCcm8:
      return EncrFacts{.key = key, .salt = 3, .iv = 8, .icv = 8, .block = 1};  // RFC 4309, RFC 5282
    case EncrId::kAesCcm12:
      return EncrFacts{.key = key, .salt = 3, .iv = 8, .icv = 12, .block = 1};
    case EncrId::kAesCcm16:
      return EncrFacts{.key = key, .salt = 3, .iv = 8, .icv = 16, .block = 1};
    default:
      return std::nullopt;
  }
}

Result<std::unique_ptr<Aead>> Aead::create(EncrId id, unsigned key_bits, ByteView keymat) {
  if (!is_aead(id)) return fail(ErrorCode::kUnsupported, "{} is not an AEAD", name(id));
  std::unique_ptr<Aead> out(new Aead());
  MERLON_TRY(out->facts_, checked_facts(id, key_bits, keymat));
  out->is_ccm_ = is_ccm(id);
  std::copy_n(keymat.begin() + static_cast<std::ptrdiff_t>(out->facts_.key), out->facts_.salt,
              out->nonce_.begin());
  out->ctx_ = keyed_context(id, out->facts_, keymat.data(), Direction::kEncrypt);
  if (out->is_ccm_) out->ccm_opener_ = keyed_context(id, out->facts_, keymat.data(), Direction::kDecrypt);
  if (!out->ctx_ || (out->is_ccm_ && !out->ccm_opener_))
    return fail(ErrorCode::kUnsupported, "OpenSSL refused {}: {}", name(id, key_bits), openssl_reason());
  return out;
}

Aead::~Aead() {
  wipe(nonce_);
}

bool Aead::run(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
               const std::uint8_t* expected_icv) {
  const Direction direction = expected_icv == nullptr ? Direction::kEncrypt : Direction::kDecrypt;
  EVP_CIPHER_CTX* ctx = (is_ccm_ && direction == Direction::kDecrypt ? ccm_opener_ : ctx_).get();
  std::copy_n(iv, facts_.iv, nonce_.begin() + static_cast<std::ptrdiff_t>(facts_.salt));
  MERLON_ASSERT(
      EVP_CipherInit_ex2(ctx, nullptr, nullptr, nonce_.data(), static_cast<int>(direction), nullptr) == 1);
  int written = 0;
  if (expected_icv != nullptr)
    MERLON_ASSERT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(facts_.icv),
                                      const_cast<std::uint8_t*>(expected_icv)) == 1);
  if (is_ccm_) {
    // CCM's first block holds the length; the additional data must come at once.
    MERLON_ASSERT(aad.size() == 1);
    MERLON_ASSERT(EVP_CipherUpdate(ctx, nullptr, &written, nullptr, static_cast<int>(data.size())) == 1);
  }
  for (const ByteView part : aad)
    if (!part.empty())
      MERLON_ASSERT(EVP_CipherUpdate(ctx, nullptr, &written, part.data(), static_cast<int>(part.size())) ==
                    1);
  // CCM must be called for no data as well (and decides on the ICV here); the others must not.
  std::uint8_t nothing = 0;
  std::uint8_t* text = data.empty() ? &nothing : data.data();
  if (is_ccm_) return EVP_CipherUpdate(ctx, text, &written, text, static_cast<int>(data.size())) == 1;
  if (!data.empty())
    MERLON_ASSERT(EVP_CipherUpdate(ctx, text, &written, text, static_cast<int>(data.size())) == 1);
  return EVP_CipherFinal_ex(ctx, &nothing, &written) == 1;
}

void Aead::seal(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
                std::uint8_t* icv) {
  MERLON_ASSERT(run(iv, aad, data, nullptr));
  MERLON_ASSERT(EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(facts_.icv), icv) ==
                1);
}

bool Aead::open(const std::uint8_t* iv, std::initializer_list<ByteView> aad, MutableByteView data,
                const std::uint8_t* icv) {
  const bool authentic = run(iv, aad, data, icv);
  // Some failures leave a line in this thread's queue; it must not grow with forged packets.
  if (!authentic) ERR_clear_error();
  return authentic;
}

Result<std::unique_ptr<BlockMode>> BlockMode::create(EncrId id, unsigned key_bits, ByteView keymat) {
  if (id != EncrId::kAesCbc && id != EncrId::kAesCtr)
    return fail(ErrorCode::kUnsupported, "{} is neither CBC nor CTR", name(id));
  std::unique_ptr<BlockMode> out(new BlockMode());
  MERLON_TRY(out->facts_, checked_facts(id, key_bits, keymat));
  std::copy_n(keymat.begin() + static_cast<std::ptrdiff_t>(out->facts_.key), out->facts_.salt,
              out->counter_block_.begin());
  out->counter_block_[kCounterBlock - 1] = 1;  // RFC 3686 4: the block counter begins at one
  out->encryptor_ = keyed_context(id, out->facts_, keymat.data(), Direction::kEncrypt);
  out->decryptor_ = keyed_context(id, out->facts_, keymat.data(), Direction::kDecrypt);
  if (!out->encryptor_ || !out->decryptor_)
    return fail(ErrorCode::kUnsupported, "OpenSSL refused {}: {}", name(id, key_bits), openssl_reason());
  return out;
}

BlockMode::~BlockMode() {
  wipe(counter_block_);
}

void BlockMode::run(evp_cipher_ctx_st* ctx, const std::uint8_t* iv, MutableByteView data) {
  MERLON_ASSERT(data.size() % facts_.block == 0);
  if (facts_.salt != 0) {
    std::copy_n(iv, facts_.iv, counter_block_.begin() + static_cast<std::ptrdiff_t>(facts_.salt));
    iv = counter_block_.data();
  }
  MERLON_ASSERT(EVP_CipherInit_ex2(ctx, nullptr, nullptr, iv, -1, nullptr) == 1);
  int written = 0;
  if (!data.empty())
    MERLON_ASSERT(EVP_CipherUpdate(ctx, data.data(), &written, data.data(), static_cast<int>(data.size())) ==
                      1 &&
                  static_cast<std::size_t>(written) == data.size());
}

void BlockMode::encrypt(const std::uint8_t* iv, MutableByteView data) {
  run(encryptor_.get(), iv, data);
}
void BlockMode::decrypt(const std::uint8_t* iv, MutableByteView data) {
  run(decryptor_.get(), iv, data);
}

}  // namespace merlon::crypto
