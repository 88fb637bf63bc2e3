// ESP through intel-ipsec-mb. GCM and GMAC use the library's direct functions, one call a packet; the others
// go through its job queue, where the packets of a burst, of one key or of many, are worked on side by side. Keys are expanded once,
// at creation.
#include "crypto/backends/packet_backends.h"

#ifdef MERLON_HAVE_IPSEC_MB

#include <emmintrin.h>
#include <intel-ipsec-mb.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/secret.h"
#include "crypto/cipher.h"

namespace merlon::crypto {
namespace {

constexpr std::size_t kExpandedKeySize = 15 * 16;  // AES-256; shorter keys need less
constexpr std::size_t kBlockSize = 16;

// The job queue of this thread; empty between calls, since every call drains what it put in.
IMB_MGR* thread_manager() {
  struct Free {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
  };
  static thread_local const std::unique_ptr<IMB_MGR, Free> manager_of_thread([] {
    IMB_MGR* manager = alloc_mb_mgr(0);
    if (manager != nullptr) {
      init_mb_mgr_auto(manager, nullptr);
      if (manager->imb_errno != 0) free_mb_mgr(std::exchange(manager, nullptr));
    }
    return manager;
  }());
  return manager_of_thread.get();
}

tl::unexpected<Error> not_here(const EspTransform& transform) {
  return fail(ErrorCode::kUnsupported, "intel-ipsec-mb does not do {} with {}",
              name(transform.encr, transform.key_bits), name(transform.integ));
}

std::uint32_t load_word(const std::uint8_t* from) {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}
bool icv_matches(const std::uint8_t* expected, const PacketJob& job, std::size_t icv_size) {
  return equal_constant_time({expected, icv_size}, {job.icv, icv_size});
}

class IpsecMbCipher : public PacketCipher {
 public:
  using PacketCipher::PacketCipher;
  PacketBackend backend() const final { return PacketBackend::kIpsecMb; }
};

// ---- AES-GCM and AES-GMAC: direct functions ----

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
std::uint8_t gcm_variant(const IMB_MGR* from, unsigned key_bits) {
  static std::once_flag once;
  std::call_once(once, [from] {
    gcm_functions = {{{from->gcm128_pre, from->gcm128_enc, from->gcm128_dec, from->gmac128_init,
                       from->gmac128_update, from->gmac128_finalize},
                      {from->gcm192_pre, from->gcm192_enc, from->gcm192_dec, from->gmac192_init,
                       from->gmac192_update, from->gmac192_finalize},
                      {from->gcm256_pre, from->gcm256_enc, from->gcm256_dec, from->gmac256_init,
                       from->gmac256_update, from->gmac256_finalize}}};
  });
  return key_bits == 128 ? 0 : key_bits == 192 ? 1 : 2;
}

// What the library wants beside the packet. Both are written with one store each: it reads them back at once with wide
// loads, which would wait for narrower stores.
struct GcmExtras {
  alignas(16) std::uint8_t nonce[16];  // salt | IV (RFC 4106 4); 12 bytes count
  alignas(16) std::uint8_t aad[16];    // SPI | sequence number (RFC 4106 5); 8 bytes count, with ESN 12

  void set_nonce(std::uint32_t salt, const PacketJob& job) {
    _mm_store_si128(reinterpret_cast<__m128i*>(nonce),
                    _mm_set_epi32(0, as_int(load_word(job.iv + 4)), as_int(load_word(job.iv)), as_int(salt)));
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
    return {static_cast<std::uint8_t>(key_lines()), sizeof(GcmCipher) / kCacheLine - 2};
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
    assert_layout(job, sizes_);
    MERLON_ASSERT(is_possible_length(job));
    GcmExtras extras;
    extras.set_nonce(salt_, job);
    extras.set_aad(job, esn_);
    functions().encrypt(&key_, &scratch.context, job.data, job.data, job.length, extras.nonce, extras.aad,
                        AdditionalData::size(esn_), job.icv, sizes_.icv);
    job.ok = true;
  }

  void open_one(PacketJob& job, GcmScratch& scratch) const {
    assert_layout(job, sizes_);
    job.ok = is_possible_length(job);
    if (!job.ok) return;
    GcmExtras extras;
    extras.set_nonce(salt_, job);
    extras.set_aad(job, esn_);
    alignas(16) std::uint8_t icv[kBlockSize];
    functions().decrypt(&key_, &scratch.context, job.data, job.data, job.length, extras.nonce, extras.aad,
                        AdditionalData::size(esn_), icv, sizes_.icv);
    job.ok = icv_matches(icv, job, sizes_.icv);
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
      assert_layout(job, sizes_);
      MERLON_ASSERT(is_possible_length(job));
      compute(job, job.icv);
      job.ok = true;
    }
  }

  void open(std::span<PacketJob> jobs) override {
    for (PacketJob& job : jobs) {
      assert_layout(job, sizes_);
      job.ok = is_possible_length(job);
      if (!job.ok) continue;
      std::uint8_t icv[kBlockSize];
      compute(job, icv);
      job.ok = icv_matches(icv, job, sizes_.icv);
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
    functions().gmac_update(&key_, &scratch.context, job.iv, sizes_.iv + job.length);
    functions().gmac_finish(&key_, &scratch.context, icv, sizes_.icv);
  }
};

// ---- the job queue ----

struct HmacFacts {
  IMB_HASH_ALG algorithm;
  std::size_t block_size;
  hash_one_block_t one_block;
};

std::optional<HmacFacts> hmac_facts(const IMB_MGR* manager, IntegId integ) {
  switch (integ) {
    case IntegId::kHmacSha1_96:
      return HmacFacts{IMB_AUTH_HMAC_SHA_1, 64, manager->sha1_one_block};
    case IntegId::kHmacSha2_256_128:
      return HmacFacts{IMB_AUTH_HMAC_SHA_256, 64, manager->sha256_one_block};
    case IntegId::kHmacSha2_384_192:
      return HmacFacts{IMB_AUTH_HMAC_SHA_384, 128, manager->sha384_one_block};
    case IntegId::kHmacSha2_512_256:
      return HmacFacts{IMB_AUTH_HMAC_SHA_512, 128, manager->sha512_one_block};
    default:
      return std::nullopt;
  }
}

// Everything that is the same for all packets of one key.
struct alignas(64) JobKeys {
  alignas(64) std::uint8_t encrypt[kExpandedKeySize]{};
  alignas(64) std::uint8_t decrypt[kExpandedKeySize]{};
  alignas(64) std::uint8_t auth_1[kExpandedKeySize]{};  // HMAC: inner hash; XCBC, CMAC: expanded key
  alignas(64) std::uint8_t auth_2[64]{};                // HMAC: outer hash; XCBC: K2, CMAC: first subkey
  alignas(64) std::uint8_t auth_3[kBlockSize]{};        // XCBC: K3, CMAC: second subkey
  std::uint8_t salt[4]{};
};

class JobCipher final : public IpsecMbCipher {
 public:
  JobCipher(const EspSizes& sizes, bool esn, const EspTransform& transform, const EncrFacts& facts)
      : IpsecMbCipher(sizes, esn, Kind::kQueue),
        facts_(facts),
        cipher_block_(facts.block),
        is_aead_(is_aead(transform.encr)) {}
  ~JobCipher() override { wipe({reinterpret_cast<std::uint8_t*>(&keys_), sizeof keys_}); }
  JobCipher(const JobCipher&) = delete;
  JobCipher& operator=(const JobCipher&) = delete;

  // False where the library lacks the cipher or the integrity algorithm.
  bool set_keys(IMB_MGR* manager, const EspTransform& transform, ByteView keymat_encr,
                ByteView keymat_integ) {
    std::copy_n(keymat_encr.begin() + static_cast<std::ptrdiff_t>(facts_.key), facts_.salt, keys_.salt);
    return set_cipher(manager, transform.encr, keymat_encr.first(facts_.key)) &&
           (is_aead_ || set_integrity(manager, transform.integ, keymat_integ));
  }

  void seal(std::span<PacketJob> jobs) override { run_all(jobs, {}, IMB_DIR_ENCRYPT); }
  void open(std::span<PacketJob> jobs) override { run_all(jobs, {}, IMB_DIR_DECRYPT); }

 protected:
  void seal_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) override {
    run_all(jobs, ciphers, IMB_DIR_ENCRYPT);
  }
  void open_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) override {
    run_all(jobs, ciphers, IMB_DIR_DECRYPT);
  }

 private:
  // What the library reads and writes for one packet besides the packet. Left uninitialised on purpose: 64 of
  // them stand on the stack for each burst, and each field is written before it is read.
  struct Slot {
    alignas(16) std::uint8_t icv[64];    // computed
    alignas(16) std::uint8_t nonce[16];  // salt | IV
    std::uint8_t received[kMaxIcvSize];  // what stood behind the data, while the ESN's high half stands there
    std::uint8_t aad[sizeof(AdditionalData)];
  };

  struct Taken {  // a packet that the library will work on
    PacketJob* job;
    JobCipher* cipher;
  };
  static constexpr std::size_t kAhead = 4;  // packets whose keys are asked for ahead

  bool set_cipher(IMB_MGR* manager, EncrId encr, ByteView key) {
    switch (encr) {
      case EncrId::kNull:
        cipher_mode_ = IMB_CIPHER_NULL;
        return true;
      case EncrId::kChacha20Poly1305:
        cipher_mode_ = IMB_CIPHER_CHACHA20_POLY1305;
        hash_alg_ = IMB_AUTH_CHACHA20_POLY1305;
        std::copy(key.begin(), key.end(), keys_.encrypt);
        std::copy(key.begin(), key.end(), keys_.decrypt);
        return true;
      case EncrId::kAesCbc:
        cipher_mode_ = IMB_CIPHER_CBC;
        break;
      case EncrId::kAesCtr:
        cipher_mode_ = IMB_CIPHER_CNTR;
        break;
      case EncrId::kAesCcm8:
      case EncrId::kAesCcm12:
      case EncrId::kAesCcm16:
        if (key.size() == IMB_KEY_192_BYTES) return false;
        cipher_mode_ = IMB_CIPHER_CCM;
        hash_alg_ = IMB_AUTH_AES_CCM;
        break;
      default:
        return false;
    }
    const keyexp_t expand = key.size() == 16   ? manager->keyexp_128
                            : key.size() == 24 ? manager->keyexp_192
                                               : manager->keyexp_256;
    expand(key.data(), keys_.encrypt, keys_.decrypt);
    return true;
  }

  bool set_integrity(IMB_MGR* manager, IntegId integ, ByteView key) {
    if (const auto hmac = hmac_facts(manager, integ)) {
      hash_alg_ = hmac->algorithm;
      std::uint8_t pad[128];
      for (const auto& [byte, out] : {std::pair(0x36, keys_.auth_1), std::pair(0x5c, keys_.auth_2)}) {
        std::memset(pad, byte, sizeof pad);
        for (std::size_t i = 0; i < key.size(); ++i) pad[i] = static_cast<std::uint8_t>(pad[i] ^ key[i]);
        hmac->one_block(pad, out);
      }
      wipe(pad);
      return true;
    }
    if (integ == IntegId::kAesXcbc96) {
      hash_alg_ = IMB_AUTH_AES_XCBC;
      manager->xcbc_keyexp(key.data(), keys_.auth_1, keys_.auth_2, keys_.auth_3);
      return true;
    }
    if (integ == IntegId::kAesCmac96) {
      hash_alg_ = IMB_AUTH_AES_CMAC;
      std::uint8_t unused[kExpandedKeySize];
      manager->keyexp_128(key.data(), keys_.auth_1, unused);
      manager->cmac_subkey_gen_128(keys_.auth_1, keys_.auth_2, keys_.auth_3);
      wipe(unused);
      return true;
    }
    return false;
  }

  // `ciphers`: beside the jobs, or empty where all are this one's.
  void run_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers,
               IMB_CIPHER_DIRECTION direction) {
    for (std::size_t first = 0; first < jobs.size(); first += kMaxBurst) {
      const std::size_t count = std::min(kMaxBurst, jobs.size() - first);
      run(jobs.subspan(first, count), ciphers.empty() ? ciphers : ciphers.subspan(first, count), direction);
    }
  }

  [[nodiscard]] bool can_be_mine(const PacketJob& job) const {
    return is_possible_length(job) && job.length % cipher_block_ == 0;
  }

  void run(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers,
           IMB_CIPHER_DIRECTION direction) {
    IMB_MGR* manager = thread_manager();
    MERLON_ASSERT(manager != nullptr && jobs.size() <= kMaxBurst);
    Slot slots[kMaxBurst];
    Taken taken[kMaxBurst];
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      JobCipher& cipher = ciphers.empty() ? *this : static_cast<JobCipher&>(*ciphers[i]);
      PacketJob& job = jobs[i];
      assert_layout(job, cipher.sizes_);
      job.ok = false;
      const bool is_possible = cipher.can_be_mine(job);
      MERLON_ASSERT(is_possible || direction == IMB_DIR_DECRYPT);
      if (is_possible) taken[count++] = {&job, &cipher};
    }
    if (count == 0) return;
    IMB_JOB* queued[kMaxBurst];
    MERLON_ASSERT(IMB_GET_NEXT_BURST(manager, count, queued) == count);
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i + kAhead < count) prefetch_lines(&taken[i + kAhead].cipher->keys_, sizeof(JobKeys) / 64);
      taken[i].cipher->fill(*queued[i], *taken[i].job, slots[i], direction);
    }
    // Every length was checked above and the rest is ours: the library need not look for reasons to refuse a job, which
    // takes it some 25 cycles. What it did not do must not be sent.
    std::uint32_t finished = IMB_SUBMIT_BURST_NOCHECK(manager, count, queued);
    for (std::uint32_t done = 0; (done += assert_completed(queued, finished)) < count;) {
      finished = IMB_FLUSH_BURST(manager, count - done, queued);
      MERLON_ASSERT(finished != 0);
    }
    for (std::uint32_t i = 0; i < count; ++i) taken[i].cipher->finish(*taken[i].job, slots[i], direction);
  }

  static std::uint32_t assert_completed(IMB_JOB* const* jobs, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) MERLON_ASSERT(jobs[i]->status == IMB_STATUS_COMPLETED);
    return count;
  }

  void fill(IMB_JOB& out, PacketJob& job, Slot& slot, IMB_CIPHER_DIRECTION direction) {
    const bool encrypts = direction == IMB_DIR_ENCRYPT;
    // In the order of RFC 4303 the ciphertext is what is authenticated; CCM authenticates the plaintext.
    const bool hash_last = encrypts != (cipher_mode_ == IMB_CIPHER_CCM);
    out.cipher_mode = cipher_mode_;
    out.hash_alg = hash_alg_;
    out.cipher_direction = direction;
    out.chain_order = hash_last ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    out.enc_keys = keys_.encrypt;
    out.dec_keys = keys_.decrypt;
    out.key_len_in_bytes = facts_.key;
    out.msg_len_to_cipher_in_bytes = job.length;
    out.auth_tag_output = slot.icv;
    out.auth_tag_output_len_in_bytes = sizes_.icv;
    if (facts_.salt == 0) {
      out.iv = job.iv;
      out.iv_len_in_bytes = facts_.iv;
    } else {
      std::memcpy(slot.nonce, keys_.salt, facts_.salt);
      std::memcpy(slot.nonce + facts_.salt, job.iv, facts_.iv);
      out.iv = slot.nonce;
      out.iv_len_in_bytes = facts_.salt + facts_.iv;
    }
    if (is_aead_) {
      fill_aead(out, job, slot);
    } else {
      fill_mac(out, job, slot);
    }
  }

  void fill_aead(IMB_JOB& out, const PacketJob& job, Slot& slot) const {
    std::memcpy(slot.aad, AdditionalData(job, esn_).bytes.data(), sizeof slot.aad);
    out.src = job.data;
    out.dst = job.data;
    out.cipher_start_src_offset_in_bytes = 0;
    out.hash_start_src_offset_in_bytes = 0;
    out.msg_len_to_hash_in_bytes = job.length;
    if (cipher_mode_ == IMB_CIPHER_CCM) {
      out.u.CCM.aad = slot.aad;
      out.u.CCM.aad_len_in_bytes = AdditionalData::size(esn_);
    } else {
      out.u.CHACHA20_POLY1305.aad = slot.aad;
      out.u.CHACHA20_POLY1305.aad_len_in_bytes = AdditionalData::size(esn_);
    }
  }

  void fill_mac(IMB_JOB& out, PacketJob& job, Slot& slot) const {
    out.src = job.header;
    out.dst = job.data;
    out.cipher_start_src_offset_in_bytes = kEspHeaderSize + sizes_.iv;
    out.hash_start_src_offset_in_bytes = 0;
    out.msg_len_to_hash_in_bytes = kEspHeaderSize + sizes_.iv + job.length;
    if (esn_) {
      // RFC 4303 2.2.1: the high half goes behind what is authenticated. The ICV's place lends it room.
      std::memcpy(slot.received, job.icv, sizes_.icv);
      write_u32(job.icv, job.sequence_high);
      out.msg_len_to_hash_in_bytes += kEsnSize;
    }
    if (hash_alg_ == IMB_AUTH_AES_XCBC) {
      out.u.XCBC._k1_expanded = reinterpret_cast<const std::uint32_t*>(keys_.auth_1);
      out.u.XCBC._k2 = keys_.auth_2;
      out.u.XCBC._k3 = keys_.auth_3;
    } else if (hash_alg_ == IMB_AUTH_AES_CMAC) {
      out.u.CMAC._key_expanded = keys_.auth_1;
      out.u.CMAC._skey1 = keys_.auth_2;
      out.u.CMAC._skey2 = keys_.auth_3;
    } else {
      out.u.HMAC._hashed_auth_key_xor_ipad = keys_.auth_1;
      out.u.HMAC._hashed_auth_key_xor_opad = keys_.auth_2;
    }
  }

  void finish(PacketJob& job, const Slot& slot, IMB_CIPHER_DIRECTION direction) const {
    if (direction == IMB_DIR_ENCRYPT) {
      std::memcpy(job.icv, slot.icv, sizes_.icv);
      job.ok = true;
      return;
    }
    if (!is_aead_ && esn_) std::memcpy(job.icv, slot.received, sizes_.icv);
    job.ok = icv_matches(slot.icv, job, sizes_.icv);
  }

  JobKeys keys_;
  EncrFacts facts_;
  std::size_t cipher_block_;
  bool is_aead_;
  IMB_CIPHER_MODE cipher_mode_ = IMB_CIPHER_NULL;
  IMB_HASH_ALG hash_alg_ = IMB_AUTH_NULL;
};

bool is_gcm(EncrId id) {
  return id == EncrId::kAesGcm8 || id == EncrId::kAesGcm12 || id == EncrId::kAesGcm16;
}

}  // namespace

Result<std::unique_ptr<PacketCipher>> make_ipsec_mb_cipher(const EspTransform& transform, bool esn,
                                                           ByteView keymat_encr, ByteView keymat_integ) {
  IMB_MGR* manager = thread_manager();
  if (manager == nullptr) return not_here(transform);
  MERLON_TRY(const EspSizes sizes, esp_sizes(transform));
  if (is_gcm(transform.encr))
    return std::make_unique<GcmCipher>(sizes, esn, gcm_variant(manager, transform.key_bits), keymat_encr);
  if (transform.encr == EncrId::kNullAuthAesGmac)
    return std::make_unique<GmacCipher>(sizes, esn, gcm_variant(manager, transform.key_bits), keymat_encr);
  auto cipher =
      std::make_unique<JobCipher>(sizes, esn, transform, *encr_facts(transform.encr, transform.key_bits));
  if (!cipher->set_keys(manager, transform, keymat_encr, keymat_integ)) return not_here(transform);
  return cipher;
}

}  // namespace merlon::crypto

#else

namespace merlon::crypto {

Result<std::unique_ptr<PacketCipher>> make_ipsec_mb_cipher(const EspTransform& /*transform*/, bool /*esn*/,
                                                           ByteView /*keymat_encr*/,
                                                           ByteView /*keymat_integ*/) {
  return fail(ErrorCode::kUnsupported, "this build has no intel-ipsec-mb");
}

}  // namespace merlon::crypto

#endif
