#include "crypto/message_cipher.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "crypto/cipher.h"
#include "crypto/integrity.h"

namespace merlon::crypto {
namespace {

// The IVs of a counter mode: a number that never comes twice under one key.
class IvCounter {
 public:
  explicit IvCounter(std::uint64_t first) : next_(first) {}

  Result<> take(std::uint8_t* out) {
    if (exhausted_) return fail(ErrorCode::kExhausted, "the IVs of this IKE SA's key are used up: rekey it");
    for (std::size_t i = 0; i < sizeof next_; ++i) out[i] = static_cast<std::uint8_t>(next_ >> (56 - 8 * i));
    exhausted_ = next_ == std::numeric_limits<std::uint64_t>::max();
    ++next_;
    return {};
  }

 private:
  std::uint64_t next_;
  bool exhausted_ = false;
};

tl::unexpected<Error> too_short(std::size_t size, std::size_t least) {
  return fail(ErrorCode::kMalformed, "an encrypted payload of {} bytes, expected at least {}", size, least);
}

tl::unexpected<Error> wrong_icv() {
  return fail(ErrorCode::kAuthentication, "the integrity check value of the message is wrong");
}

// RFC 5282
class AeadMessageCipher final : public MessageCipher {
 public:
  AeadMessageCipher(std::unique_ptr<Aead> aead, std::uint64_t first_iv)
      : aead_(std::move(aead)), counter_(first_iv) {
    iv_size_ = aead_->facts().iv;
    icv_size_ = aead_->facts().icv;
  }

  Result<Bytes> seal(ByteView aad, ByteView plaintext, Rng& /*rng*/) override {
    Bytes out(sealed_size(plaintext.size()));
    MERLON_TRY_VOID(counter_.take(out.data()));
    const MutableByteView data = MutableByteView(out).subspan(iv_size_, plaintext.size());
    std::copy(plaintext.begin(), plaintext.end(), data.begin());
    aead_->seal(out.data(), {aad}, data, data.data() + data.size());
    return out;
  }

  Result<Bytes> open(ByteView aad, ByteView iv_ciphertext_icv) override {
    if (iv_ciphertext_icv.size() < iv_size_ + icv_size_)
      return too_short(iv_ciphertext_icv.size(), iv_size_ + icv_size_);
    const std::size_t size = iv_ciphertext_icv.size() - iv_size_ - icv_size_;
    Bytes out = to_bytes(iv_ciphertext_icv.subspan(iv_size_, size));
    if (!aead_->open(iv_ciphertext_icv.data(), {aad}, out, iv_ciphertext_icv.last(icv_size_).data()))
      return wrong_icv();
    return out;
  }

 private:
  std::unique_ptr<Aead> aead_;
  IvCounter counter_;
};

// RFC 7296 3.14: encrypt, then compute the ICV over everything in front of it.
class BlockMessageCipher final : public MessageCipher {
 public:
  BlockMessageCipher(std::unique_ptr<BlockMode> mode, Integrity integrity, std::uint64_t first_iv)
      : mode_(std::move(mode)), integrity_(std::move(integrity)) {
    iv_size_ = mode_->facts().iv;
    block_size_ = mode_->facts().block;
    icv_size_ = integrity_.icv_size();
    if (block_size_ == 1) counter_.emplace(first_iv);  // RFC 5930
  }

  Result<Bytes> seal(ByteView aad, ByteView plaintext, Rng& rng) override {
    if (plaintext.size() % block_size_ != 0)
      return fail(ErrorCode::kInvalidArgument, "{} bytes to encrypt are not a multiple of {}",
                  plaintext.size(), block_size_);
    Bytes out(iv_size_ + plaintext.size());
    if (counter_) {
      MERLON_TRY_VOID(counter_->take(out.data()));
    } else {
      rng.fill(MutableByteView(out).first(iv_size_));
    }
    const MutableByteView data = MutableByteView(out).subspan(iv_size_);
    std::copy(plaintext.begin(), plaintext.end(), data.begin());
    mode_->encrypt(out.data(), data);
    append(out, integrity_.compute({aad, out}));
    return out;
  }

  Result<Bytes> open(ByteView aad, ByteView iv_ciphertext_icv) override {
    if (iv_ciphertext_icv.size() < iv_size_ + block_size_ + icv_size_)
      return too_short(iv_ciphertext_icv.size(), iv_size_ + block_size_ + icv_size_);
    const ByteView covered = iv_ciphertext_icv.first(iv_ciphertext_icv.size() - icv_size_);
    if (!integrity_.verify({aad, covered}, iv_ciphertext_icv.last(icv_size_))) return wrong_icv();
    Bytes out = to_bytes(covered.subspan(iv_size_));
    if (out.size() % block_size_ != 0)
      return fail(ErrorCode::kMalformed, "{} encrypted bytes are not a multiple of {}", out.size(),
                  block_size_);
    mode_->decrypt(covered.data(), out);
    return out;
  }

 private:
  std::unique_ptr<BlockMode> mode_;
  Integrity integrity_;
  std::optional<IvCounter> counter_;
};

}  // namespace

bool is_supported(const MessageCipherSuite& suite) {
  // RFC 7296 3.14, RFC 4543 7: an IKE message is always encrypted.
  if (suite.encr == EncrId::kNull || suite.encr == EncrId::kNullAuthAesGmac) return false;
  if (!encr_facts(suite.encr, suite.key_bits)) return false;
  // RFC 5282 8: no integrity algorithm with an AEAD; RFC 7296 3.3.3: one with anything else.
  return is_aead(suite.encr) ? suite.integ == IntegId::kNone : is_supported(suite.integ);
}

std::size_t encryption_key_size(EncrId id, unsigned key_bits) {
  const auto facts = encr_facts(id, key_bits);
  return facts ? facts->key + facts->salt : 0;
}

std::size_t integrity_key_size(const MessageCipherSuite& suite) {
  return is_aead(suite.encr) ? 0 : integrity_key_size(suite.integ);
}

Result<std::unique_ptr<MessageCipher>> MessageCipher::create(const MessageCipherSuite& suite, Secret sk_e,
                                                             Secret sk_a, std::uint64_t first_iv) {
  if (!is_supported(suite))
    return fail(ErrorCode::kUnsupported, "{} with {} cannot protect IKE messages",
                name(suite.encr, suite.key_bits), name(suite.integ));
  if (sk_a.size() != integrity_key_size(suite))
    return fail(ErrorCode::kInvalidArgument, "SK_a has {} bytes, expected {}", sk_a.size(),
                integrity_key_size(suite));
  if (is_aead(suite.encr)) {
    MERLON_TRY(std::unique_ptr<Aead> aead, Aead::create(suite.encr, suite.key_bits, sk_e.bytes()));
    return std::make_unique<AeadMessageCipher>(std::move(aead), first_iv);
  }
  MERLON_TRY(std::unique_ptr<BlockMode> mode, BlockMode::create(suite.encr, suite.key_bits, sk_e.bytes()));
  MERLON_TRY(Integrity integrity, Integrity::create(suite.integ, sk_a.bytes()));
  return std::make_unique<BlockMessageCipher>(std::move(mode), std::move(integrity), first_iv);
}

}  // namespace merlon::crypto
