// Ciphers that go through intel-ipsec-mb's job queue, where the packets of a burst, of one key or of many, are worked on side by
// side.
#include "crypto/backends/ipsec_mb.h"

#ifdef MERLON_HAVE_IPSEC_MB

#include <algorithm>
#include <utility>

#include "base/secret.h"
#include "crypto/cipher.h"

namespace merlon::crypto {
namespace {

constexpr std::size_t kExpandedKeySize = 15 * 16;  // AES-256; shorter keys need less
constexpr std::size_t kBlockSize = 16;

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
    if (!set_cipher(manager, transform.encr, keymat_encr.first(facts_.key))) return false;
    if (!is_aead_ && !set_integrity(manager, transform.integ, keymat_integ)) return false;
    begin_sessions(manager);
    return true;
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

  // From 1.4 on the library does not look at what a job of a burst asks for, but at the marks that it has given to such jobs.
#if IMB_VERSION_NUM >= IMB_VERSION(1, 4, 0)
  struct Session {
    std::uint32_t suite[2];
    std::uint32_t id;
  };
  void begin_sessions(IMB_MGR* manager) {
    for (const IMB_CIPHER_DIRECTION direction : {IMB_DIR_ENCRYPT, IMB_DIR_DECRYPT}) {
      IMB_JOB job{};
      fill_fixed(job, direction);
      Session& session = sessions_[direction == IMB_DIR_ENCRYPT ? 0 : 1];
      session.id = imb_set_session(manager, &job);
      std::copy(std::begin(job.suite_id), std::end(job.suite_id), session.suite);
    }
  }
  void mark(IMB_JOB& out, IMB_CIPHER_DIRECTION direction) const {
    const Session& session = sessions_[direction == IMB_DIR_ENCRYPT ? 0 : 1];
    std::copy(std::begin(session.suite), std::end(session.suite), out.suite_id);
    out.session_id = session.id;
  }
  Session sessions_[2] = {};  // to seal, to open
#else
  void begin_sessions(IMB_MGR* /*manager*/) {}
  void mark(IMB_JOB& /*out*/, IMB_CIPHER_DIRECTION /*direction*/) const {}
#endif

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
    IMB_MGR* manager = ipsec_mb_of_thread();
    MERLON_ASSERT(manager != nullptr && jobs.size() <= kMaxBurst);
    Slot slots[kMaxBurst];
    Taken taken[kMaxBurst];
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      JobCipher& cipher = ciphers.empty() ? *this : static_cast<JobCipher&>(*ciphers[i]);
      PacketJob& job = jobs[i];
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

  // What all packets of a direction have in common.
  void fill_fixed(IMB_JOB& out, IMB_CIPHER_DIRECTION direction) const {
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
    out.auth_tag_output_len_in_bytes = sizes_.icv;
    mark(out, direction);
  }

  void fill(IMB_JOB& out, PacketJob& job, Slot& slot, IMB_CIPHER_DIRECTION direction) {
    fill_fixed(out, direction);
    out.msg_len_to_cipher_in_bytes = job.length;
    out.auth_tag_output = slot.icv;
    if (facts_.salt == 0) {
      out.iv = job.iv();
      out.iv_len_in_bytes = facts_.iv;
    } else {
      std::memcpy(slot.nonce, keys_.salt, facts_.salt);
      std::memcpy(slot.nonce + facts_.salt, job.iv(), facts_.iv);
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
    out.src = job.data(sizes_);
    out.dst = job.data(sizes_);
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
    out.dst = job.data(sizes_);
    out.cipher_start_src_offset_in_bytes = kEspHeaderSize + sizes_.iv;
    out.hash_start_src_offset_in_bytes = 0;
    out.msg_len_to_hash_in_bytes = kEspHeaderSize + sizes_.iv + job.length;
    if (esn_) {
      // RFC 4303 2.2.1: the high half goes behind what is authenticated. The ICV's place lends it room.
      std::memcpy(slot.received, job.icv(sizes_), sizes_.icv);
      write_u32(job.icv(sizes_), job.sequence_high);
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
      std::memcpy(job.icv(sizes_), slot.icv, sizes_.icv);
      job.ok = true;
      return;
    }
    if (!is_aead_ && esn_) std::memcpy(job.icv(sizes_), slot.received, sizes_.icv);
    job.ok = icv_matches(slot.icv, job, sizes_);
  }

  JobKeys keys_;
  EncrFacts facts_;
  std::size_t cipher_block_;
  bool is_aead_;
  IMB_CIPHER_MODE cipher_mode_ = IMB_CIPHER_NULL;
  IMB_HASH_ALG hash_alg_ = IMB_AUTH_NULL;
};

}  // namespace

std::unique_ptr<PacketCipher> make_ipsec_mb_queued(IMB_MGR& manager, const EspTransform& transform,
                                                   const EspSizes& sizes, bool esn, ByteView keymat_encr,
                                                   ByteView keymat_integ) {
  auto cipher =
      std::make_unique<JobCipher>(sizes, esn, transform, *encr_facts(transform.encr, transform.key_bits));
  if (!cipher->set_keys(&manager, transform, keymat_encr, keymat_integ)) return nullptr;
  return cipher;
}

}  // namespace merlon::crypto

#endif
