// AES-GCM and AES-GMAC by intel-ipsec-mb's direct functions, one call a packet.
#include "crypto/backends/ipsec_mb.h"

#ifdef MERLON_HAVE_IPSEC_MB

#include <emmintrin.h>

#include <algorithm>
#include <mutex>

#include "base/secret.h"

// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): what a packet needs is written before it is read; zeros before it would cost cycles
namespace merlon::crypto {
namespace {

constexpr std::size_t kBlockSize = 16;

std::uint32_t load_word(const std::uint8_t* from) {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The functions for one key length; the same in every thread, since the CPU is.
struct GcmFunctions {
  aes_gcm_pre_t expand;
  aes_gcm_enc_dec_t encrypt;
  aes_gcm_enc_dec_t decrypt;
  aes_gmac_init_t gmac_begin;
  aes_gmac_update_t gmac_update;
  aes_gmac_finalize_t gmac_finish;
};

// By a cipher's variant: 128, 192 and 256 bits. Written before the first cipher is made.
std::array<GcmFunctions, 3> gcm_functions;

// The variant for one key length.
std::uint8_t gcm_variant(const IMB_MGR& from, unsigned key_bits) {
  static std::once_flag once;
  std::call_once(once, [&from] {
    gcm_functions = {{{from.gcm128_pre, from.gcm128_enc, from.gcm128_dec, from.gmac128_init,
                       from.gmac128_update, from.gmac128_finalize},
                      {from.gcm192_pre, from.gcm192_enc, from.gcm192_dec, from.gmac192_init,
                       from.gmac192_update, from.gmac192_finalize},
                      {from.gcm256_pre, from.gcm256_enc, from.gcm256_dec, from.gmac256_init,
                       from.gmac256_update, from.gmac256_finalize}}};
  });
  return key_bits == 128 ? 0 : key_bits == 192 ? 1 : 2;
}

// What the library wants beside the packet. Both are written with one store each: it reads them back at once with wide
// loads, which would wait for narrower stores.
struct GcmExtras {
  alignas(16) std::uint8_t nonce[16];  // salt | IV (RFC 4106 4); 12 bytes count
  alignas(16) std::uint8_t aad[16];    // SPI | sequence number (RFC 4106 5); 8 bytes count, with ESN 12

  void set_nonce(std::uint32_t salt, const PacketJob& job) {
    _mm_store_si128(
        reinterpret_cast<__m128i*>(nonce),
        _mm_set_epi32(0, as_int(load_word(job.iv() + 4)), as_int(load_word(job.iv())), as_int(salt)));
  }
  void set_aad(const PacketJob& job, bool esn) {
    const int spi = as_int(load_word(job.header)), low = as_int(load_word(job.header + 4));
    const int high = as_int(__builtin_bswap32(job.sequence_high));
    _mm_store_si128(reinterpret_cast<__m128i*>(aad),
                    esn ? _mm_set_epi32(0, low, high, spi) : _mm_set_epi32(0, 0, low, spi));
  }

 private:
  static int as_int(std::uint32_t word) { return static_cast<int>(word); }
};

// What the library remembers of a packet while it works on it: key stream among it.
struct GcmScratch {
  GcmScratch() = default;
  ~GcmScratch() { wipe({reinterpret_cast<std::uint8_t*>(&context), sizeof context}); }
  GcmScratch(const GcmScratch&) = delete;
  GcmScratch& operator=(const GcmScratch&) = delete;
  alignas(64) gcm_context_data context;  // written before it is read
};

class GcmCipher : public IpsecMbCipher {
 public:
  GcmCipher(const EspSizes& sizes, bool esn, std::uint8_t variant, ByteView keymat, Kind kind = Kind::kGcm)
      : IpsecMbCipher(sizes, esn, kind, variant), salt_(load_word(keymat.last(4).data())) {
    functions().expand(keymat.data(), &key_);
  }
  ~GcmCipher() override {
    wipe({reinterpret_cast<std::uint8_t*>(&key_), sizeof key_});
    wipe({reinterpret_cast<std::uint8_t*>(&salt_), sizeof salt_});
  }
  GcmCipher(const GcmCipher&) = delete;
  GcmCipher& operator=(const GcmCipher&) = delete;

  Footprint footprint() const final {
    return {.head = static_cast<std::uint8_t>(key_lines()),
            .tail = sizeof(GcmCipher) / kCacheLine - 2,
            .tail_count = 2};
  }

  void seal(std::span<PacketJob> jobs) override {
    GcmScratch scratch;
    for (PacketJob& job : jobs) seal_one(job, scratch);
  }
  void open(std::span<PacketJob> jobs) override {
    GcmScratch scratch;
    for (PacketJob& job : jobs) open_one(job, scratch);
  }

 protected:
  void seal_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) final {
    GcmScratch scratch;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (i + kAhead < jobs.size()) of(ciphers[i + kAhead]).prefetch_key(jobs[i + kAhead].length);
      of(ciphers[i]).seal_one(jobs[i], scratch);
    }
  }
  void open_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) final {
    GcmScratch scratch;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (i + kAhead < jobs.size()) of(ciphers[i + kAhead]).prefetch_key(jobs[i + kAhead].length);
      of(ciphers[i]).open_one(jobs[i], scratch);
    }
  }

  void set_nonce(const PacketJob& job, GcmExtras& extras) const { extras.set_nonce(salt_, job); }

  [[nodiscard]] const GcmFunctions& functions() const { return gcm_functions[variant_]; }

 private:
  // Everything but the key is 16 bytes, so the library's key and this are whole cache lines: round keys in the first
  // ones, the powers of the hash key for short packets in the last.
  std::uint32_t salt_;

 protected:
  gcm_key_data key_;

 private:
  static constexpr std::size_t kAhead =
      4;  // packets; what is on its way from memory must not push each other out

  static GcmCipher& of(PacketCipher* cipher) { return static_cast<GcmCipher&>(*cipher); }

  // Of the round keys with what stands before them: 11, 13 or 15.
  [[nodiscard]] std::size_t key_lines() const {
    return (16 + (11 + 2 * std::size_t{variant_}) * kBlockSize + kCacheLine - 1) / kCacheLine;
  }
  // Round keys, and the powers of the hash key that a packet of this size wants, which stand last: one for each block, for
  // the additional data and for the lengths. No line more: from main memory each costs as much as a round of the cipher.
  void prefetch_key(std::uint32_t length) const {
    prefetch_lines(this, key_lines());
    const std::size_t powers = std::min<std::size_t>(length / kBlockSize + 3, 16);
    const std::size_t lines = (powers * kBlockSize + kCacheLine - 1) / kCacheLine;
    prefetch_lines(reinterpret_cast<const std::uint8_t*>(this + 1) - lines * kCacheLine, lines);
  }

  void seal_one(PacketJob& job, GcmScratch& scratch) const {
    MERLON_ASSERT(is_possible_length(job));
    GcmExtras extras;
    extras.set_nonce(salt_, job);
    extras.set_aad(job, esn_);
    functions().encrypt(&key_, &scratch.context, job.data(sizes_), job.data(sizes_), job.length, extras.nonce,
                        extras.aad, AdditionalData::size(esn_), job.icv(sizes_), sizes_.icv);
    job.ok = true;
  }

  void open_one(PacketJob& job, GcmScratch& scratch) const {
    job.ok = is_possible_length(job);
    if (!job.ok) return;
    GcmExtras extras;
    extras.set_nonce(salt_, job);
    extras.set_aad(job, esn_);
    alignas(16) std::uint8_t icv[kBlockSize];
    functions().decrypt(&key_, &scratch.context, job.data(sizes_), job.data(sizes_), job.length, extras.nonce,
                        extras.aad, AdditionalData::size(esn_), icv, sizes_.icv);
    job.ok = icv_matches(icv, job, sizes_);
  }
};

static_assert(sizeof(GcmCipher) == 16 + sizeof(gcm_key_data), "nothing beside the key but 16 bytes");

// RFC 4543 3.3
class GmacCipher final : public GcmCipher {
 public:
  GmacCipher(const EspSizes& sizes, bool esn, std::uint8_t variant, ByteView keymat)
      : GcmCipher(sizes, esn, variant, keymat, Kind::kAlone) {}

  void seal(std::span<PacketJob> jobs) override {
    for (PacketJob& job : jobs) {
      MERLON_ASSERT(is_possible_length(job));
      compute(job, job.icv(sizes_));
      job.ok = true;
    }
  }

  void open(std::span<PacketJob> jobs) override {
    for (PacketJob& job : jobs) {
      job.ok = is_possible_length(job);
      if (!job.ok) continue;
      std::uint8_t icv[kBlockSize];
      compute(job, icv);
      job.ok = icv_matches(icv, job, sizes_);
    }
  }

 private:
  void compute(const PacketJob& job, std::uint8_t* icv) const {
    GcmScratch scratch;
    GcmExtras extras;
    set_nonce(job, extras);
    extras.set_aad(job, esn_);
    functions().gmac_begin(&key_, &scratch.context, extras.nonce, 12);
    functions().gmac_update(&key_, &scratch.context, extras.aad, AdditionalData::size(esn_));
    functions().gmac_update(&key_, &scratch.context, job.iv(), sizes_.iv + job.length);
    functions().gmac_finish(&key_, &scratch.context, icv, sizes_.icv);
  }
};

}  // namespace

std::unique_ptr<PacketCipher> make_ipsec_mb_gcm(const IMB_MGR& manager, const EspTransform& transform,
                                                const EspSizes& sizes, bool esn, ByteView keymat) {
  const std::uint8_t variant = gcm_variant(manager, transform.key_bits);
  if (is_gcm(transform.encr)) return std::make_unique<GcmCipher>(sizes, esn, variant, keymat);
  return std::make_unique<GmacCipher>(sizes, esn, variant, keymat);
}

}  // namespace merlon::crypto
// NOLINTEND(cppcoreguidelines-pro-type-member-init)

#endif
