// ESP through OpenSSL: every transform, one packet after the other. Used where ipsec-mb is absent or lacks a
// transform.
#include <array>

#include "crypto/backends/packet_backends.h"
#include "crypto/cipher.h"
#include "crypto/integrity.h"
#include "crypto/mac.h"

namespace merlon::crypto {
namespace {

class OpensslPacketCipher : public PacketCipher {
 public:
  OpensslPacketCipher(const EspSizes& sizes, bool esn) : PacketCipher(sizes, esn) {}

  PacketBackend backend() const final { return PacketBackend::kOpenssl; }

  void seal(std::span<PacketJob> jobs) final {
    for (PacketJob& job : jobs) {
      MERLON_ASSERT(is_possible_length(job));
      seal_one(job);
      job.ok = true;
    }
  }

  void open(std::span<PacketJob> jobs) final {
    for (PacketJob& job : jobs) {
      job.ok = is_possible_length(job) && open_one(job);
    }
  }

 protected:
  virtual void seal_one(const PacketJob& job) = 0;
  virtual bool open_one(const PacketJob& job) = 0;
};

class AeadPacketCipher final : public OpensslPacketCipher {
 public:
  AeadPacketCipher(const EspSizes& sizes, bool esn, std::unique_ptr<Aead> aead)
      : OpensslPacketCipher(sizes, esn), aead_(std::move(aead)) {}

 private:
  void seal_one(const PacketJob& job) override {
    const AdditionalData aad(job, esn_);
    aead_->seal(job.iv(), {aad.view(esn_)}, {job.data(sizes_), job.length}, job.icv(sizes_));
  }
  bool open_one(const PacketJob& job) override {
    const AdditionalData aad(job, esn_);
    return aead_->open(job.iv(), {aad.view(esn_)}, {job.data(sizes_), job.length}, job.icv(sizes_));
  }

  std::unique_ptr<Aead> aead_;
};

// RFC 4543 3.3: the additional data are SPI | sequence number | IV | payload; nothing is encrypted.
class GmacPacketCipher final : public OpensslPacketCipher {
 public:
  GmacPacketCipher(const EspSizes& sizes, bool esn, std::unique_ptr<Aead> aead)
      : OpensslPacketCipher(sizes, esn), aead_(std::move(aead)) {}

 private:
  void seal_one(const PacketJob& job) override {
    const AdditionalData aad(job, esn_);
    aead_->seal(job.iv(), {aad.view(esn_), {job.iv(), sizes_.iv + job.length}}, {}, job.icv(sizes_));
  }
  bool open_one(const PacketJob& job) override {
    const AdditionalData aad(job, esn_);
    return aead_->open(job.iv(), {aad.view(esn_), {job.iv(), sizes_.iv + job.length}}, {}, job.icv(sizes_));
  }

  std::unique_ptr<Aead> aead_;
};

// CBC, CTR or NULL (no mode) and a MAC over SPI, sequence number, IV, ciphertext and, with ESN, the high half
// (RFC 4303 2.2.1, 3.3.2.1).
class MacPacketCipher final : public OpensslPacketCipher {
 public:
  MacPacketCipher(const EspSizes& sizes, bool esn, std::size_t cipher_block, std::unique_ptr<BlockMode> mode,
                  std::unique_ptr<Mac> mac)
      : OpensslPacketCipher(sizes, esn),
        cipher_block_(cipher_block),
        mode_(std::move(mode)),
        mac_(std::move(mac)) {}

 private:
  void seal_one(const PacketJob& job) override {
    MERLON_ASSERT(job.length % cipher_block_ == 0);
    if (mode_) mode_->encrypt(job.iv(), {job.data(sizes_), job.length});
    std::memcpy(job.icv(sizes_), compute(job).data(), sizes_.icv);
  }

  bool open_one(const PacketJob& job) override {
    if (job.length % cipher_block_ != 0) return false;
    const auto expected = compute(job);
    if (!equal_constant_time(ByteView(expected).first(sizes_.icv), {job.icv(sizes_), sizes_.icv}))
      return false;
    if (mode_) mode_->decrypt(job.iv(), {job.data(sizes_), job.length});
    return true;
  }

  std::array<std::uint8_t, kMaxMacSize> compute(const PacketJob& job) {
    mac_->update({job.header, kEspHeaderSize + sizes_.iv + job.length});
    std::array<std::uint8_t, kEsnSize> high{};
    write_u32(high.data(), job.sequence_high);
    if (esn_) mac_->update(high);
    std::array<std::uint8_t, kMaxMacSize> out{};
    mac_->finish(out.data());
    return out;
  }

  std::size_t cipher_block_;
  std::unique_ptr<BlockMode> mode_;  // none: NULL
  std::unique_ptr<Mac> mac_;
};

}  // namespace

Result<std::unique_ptr<PacketCipher>> make_openssl_cipher(const EspTransform& transform, bool esn,
                                                          ByteView keymat_encr, ByteView keymat_integ) {
  MERLON_TRY(const EspSizes sizes, esp_sizes(transform));
  if (is_aead(transform.encr)) {
    MERLON_TRY(std::unique_ptr<Aead> aead, Aead::create(transform.encr, transform.key_bits, keymat_encr));
    if (transform.encr == EncrId::kNullAuthAesGmac)
      return std::make_unique<GmacPacketCipher>(sizes, esn, std::move(aead));
    return std::make_unique<AeadPacketCipher>(sizes, esn, std::move(aead));
  }
  std::unique_ptr<BlockMode> mode;
  std::size_t cipher_block = 1;
  if (transform.encr != EncrId::kNull) {
    MERLON_TRY(mode, BlockMode::create(transform.encr, transform.key_bits, keymat_encr));
    cipher_block = mode->facts().block;
  }
  MERLON_TRY(const MacAlgorithm algorithm, mac_algorithm(transform.integ));
  MERLON_TRY(std::unique_ptr<Mac> mac, Mac::create(algorithm, keymat_integ));
  return std::make_unique<MacPacketCipher>(sizes, esn, cipher_block, std::move(mode), std::move(mac));
}

}  // namespace merlon::crypto
