#include "crypto/mac.h"

#include <openssl/core_names.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/secret.h"
#include "crypto/backends/openssl_util.h"

namespace merlon::crypto {
namespace {

constexpr std::size_t kBlock = 16;
using Block = std::array<std::uint8_t, kBlock>;
constexpr Block kZeroBlock{};

// OpenSSL's HMAC and CMAC: keyed once, restarted for each message.
class EvpMac final : public Mac {
 public:
  EvpMac(MacCtxPtr ctx, std::size_t output_size) : Mac(output_size), ctx_(std::move(ctx)) {}

  void update(ByteView data) override {
    MERLON_ASSERT(EVP_MAC_update(ctx_.get(), data.data(), data.size()) == 1);
  }

  void finish(std::uint8_t* out) override {
    std::size_t written = 0;
    MERLON_ASSERT(EVP_MAC_final(ctx_.get(), out, &written, output_size()) == 1 && written == output_size());
    MERLON_ASSERT(EVP_MAC_init(ctx_.get(), nullptr, 0, nullptr) == 1);
  }

 private:
  MacCtxPtr ctx_;
};

// RFC 3566. The message runs through AES-CBC under K1; its last block is held back, since it is treated
// differently.
class XcbcMac final : public Mac {
 public:
  XcbcMac(CipherCtxPtr cbc, const Block& k2, const Block& k3)
      : Mac(kBlock), cbc_(std::move(cbc)), k2_(k2), k3_(k3) {}
  ~XcbcMac() override {
    wipe(k2_);
    wipe(k3_);
    wipe(held_);
  }
  XcbcMac(const XcbcMac&) = delete;
  XcbcMac& operator=(const XcbcMac&) = delete;

  void update(ByteView data) override {
    while (!data.empty()) {
      if (held_size_ == kBlock) {
        encrypt(held_);
        held_size_ = 0;
      }
      const std::size_t taken = std::min(data.size(), kBlock - held_size_);
      std::copy_n(data.begin(), taken, held_.begin() + static_cast<std::ptrdiff_t>(held_size_));
      held_size_ += taken;
      data = data.subspan(taken);
    }
  }

  void finish(std::uint8_t* out) override {
    // RFC 3566 4: K2 for a whole last block; else padding 10...0 and K3.
    const bool whole = held_size_ == kBlock;
    if (!whole) {
      held_[held_size_] = 0x80;
      std::fill(held_.begin() + static_cast<std::ptrdiff_t>(held_size_) + 1, held_.end(), std::uint8_t{0});
    }
    const Block& mask = whole ? k2_ : k3_;
    for (std::size_t i = 0; i < kBlock; ++i) held_[i] = static_cast<std::uint8_t>(held_[i] ^ mask[i]);
    encrypt(held_);
    std::copy(held_.begin(), held_.end(), out);
    held_size_ = 0;
    MERLON_ASSERT(EVP_EncryptInit_ex2(cbc_.get(), nullptr, nullptr, kZeroBlock.data(), nullptr) == 1);
  }

 private:
  void encrypt(Block& block) {
    int written = 0;
    MERLON_ASSERT(EVP_EncryptUpdate(cbc_.get(), block.data(), &written, block.data(), kBlock) == 1);
  }

  CipherCtxPtr cbc_;
  Block k2_;
  Block k3_;
  Block held_{};
  std::size_t held_size_ = 0;
};

CipherCtxPtr aes128_encryptor(const EVP_CIPHER* cipher, const std::uint8_t* key) {
  CipherCtxPtr ctx(EVP_CIPHER_CTX_new());
  MERLON_ASSERT(ctx != nullptr &&
                EVP_EncryptInit_ex2(ctx.get(), cipher, key, kZeroBlock.data(), nullptr) == 1 &&
                EVP_CIPHER_CTX_set_padding(ctx.get(), 0) == 1);
  return ctx;
}

std::unique_ptr<Mac> make_xcbc(ByteView key) {
  static const CipherPtr ecb_cipher(EVP_CIPHER_fetch(nullptr, "AES-128-ECB", nullptr));
  static const CipherPtr cbc_cipher(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr));
  const CipherCtxPtr ecb = aes128_encryptor(ecb_cipher.get(), key.data());
  Block derived[3];
  for (std::uint8_t i = 0; i < 3; ++i) {
    derived[i].fill(static_cast<std::uint8_t>(i + 1));
    int written = 0;
    MERLON_ASSERT(EVP_EncryptUpdate(ecb.get(), derived[i].data(), &written, derived[i].data(), kBlock) == 1);
  }
  auto mac = std::make_unique<XcbcMac>(aes128_encryptor(cbc_cipher.get(), derived[0].data()), derived[1],
                                       derived[2]);
  for (Block& block : derived) wipe(block);
  return mac;
}

std::unique_ptr<Mac> make_evp(const EVP_MAC* algorithm, const char* parameter, const char* value,
                              ByteView key, std::size_t output_size) {
  MacCtxPtr ctx(EVP_MAC_CTX_new(const_cast<EVP_MAC*>(algorithm)));
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(parameter, const_cast<char*>(value), 0),
                                   OSSL_PARAM_construct_end()};
  // A null pointer would mean "no key" rather than "the empty key".
  const std::uint8_t* bytes = key.empty() ? kZeroBlock.data() : key.data();
  MERLON_ASSERT(ctx != nullptr && EVP_MAC_init(ctx.get(), bytes, key.size(), parameters) == 1);
  return std::make_unique<EvpMac>(std::move(ctx), output_size);
}

std::unique_ptr<Mac> make_hmac(const char* digest, ByteView key, std::size_t output_size) {
  static const MacPtr hmac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  return make_evp(hmac.get(), OSSL_MAC_PARAM_DIGEST, digest, key, output_size);
}

}  // namespace

Result<MacAlgorithm> mac_algorithm(IntegId id) {
  switch (id) {
    case IntegId::kHmacSha1_96:
      return MacAlgorithm::kHmacSha1;
    case IntegId::kHmacSha2_256_128:
      return MacAlgorithm::kHmacSha2_256;
    case IntegId::kHmacSha2_384_192:
      return MacAlgorithm::kHmacSha2_384;
    case IntegId::kHmacSha2_512_256:
      return MacAlgorithm::kHmacSha2_512;
    case IntegId::kAesXcbc96:
      return MacAlgorithm::kAesXcbc;
    case IntegId::kAesCmac96:
      return MacAlgorithm::kAesCmac;
    default:
      return fail(ErrorCode::kUnsupported, "integrity algorithm {} is not supported", name(id));
  }
}

Result<std::unique_ptr<Mac>> Mac::create(MacAlgorithm algorithm, ByteView key) {
  const bool is_aes = algorithm == MacAlgorithm::kAesXcbc || algorithm == MacAlgorithm::kAesCmac;
  if (is_aes && key.size() != kBlock)
    return fail(ErrorCode::kInvalidArgument, "an AES MAC takes a key of 16 bytes, not {}", key.size());
  switch (algorithm) {
    case MacAlgorithm::kHmacSha1:
      return make_hmac("SHA1", key, 20);
    case MacAlgorithm::kHmacSha2_256:
      return make_hmac("SHA256", key, 32);
    case MacAlgorithm::kHmacSha2_384:
      return make_hmac("SHA384", key, 48);
    case MacAlgorithm::kHmacSha2_512:
      return make_hmac("SHA512", key, 64);
    case MacAlgorithm::kAesXcbc:
      return make_xcbc(key);
    case MacAlgorithm::kAesCmac: {
      static const MacPtr cmac(EVP_MAC_fetch(nullptr, "CMAC", nullptr));
      return make_evp(cmac.get(), OSSL_MAC_PARAM_CIPHER, "AES-128-CBC", key, kBlock);
    }
  }
  return fail(ErrorCode::kUnsupported, "unknown MAC algorithm");
}

}  // namespace merlon::crypto
