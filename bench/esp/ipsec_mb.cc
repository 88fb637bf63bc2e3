// The benchmark "esp": intel-ipsec-mb alone, the floor: the cipher over what ESP would give it, without an ESP header
// written, a window looked at, or a policy asked. Of the library's ways to do a burst, the fastest that it has for the
// algorithm counts: its direct function once a packet, or a burst of jobs.
#include <intel-ipsec-mb.h>

#include <cstring>
#include <memory>

#include "bench/esp/subject.h"

namespace merlon::bench {
namespace {

constexpr std::size_t kIcv = 16, kAad = 12, kAlign = 64;

struct alignas(kAlign) Keys {
  gcm_key_data gcm;
  alignas(16) std::uint32_t expanded_encrypt[60], expanded_decrypt[60];
  alignas(16) std::uint8_t ipad[32], opad[32];
  alignas(16) std::uint8_t raw[32];
  gcm_context_data scratch;
};

struct alignas(kAlign) Buffer {
  std::uint8_t data[kInnerMaximum + 64];
  std::uint8_t iv[16], aad[kAad], icv[32];
  std::uint32_t length, sa;
};

class IpsecMbSubject final : public Subject {
 public:
  IpsecMbSubject() : manager_(alloc_mb_mgr(0)), buffers_(kMaxBurst * kBurstsInChunk) {
    if (manager_ != nullptr) init_mb_mgr_auto(manager_, nullptr);
    if (manager_ == nullptr || manager_->imb_errno != 0) give_up("ipsec-mb does not start");
  }

  std::string set_up(Algorithm algorithm, std::uint32_t sas, Kind /*kind*/) override {
    algorithm_ = algorithm;
    keys_.clear();
    keys_.resize(sas);
    for (std::uint32_t sa = 0; sa < sas; ++sa) make_keys(keys_[sa], sa);
    way_ = is_gcm() ? Way::kDirect : Way::kBurst;
    if (is_gcm()) choose_way();
    return {};
  }
  std::string note() const override {
    return std::string(IMB_VERSION_STR) + (way_ == Way::kDirect ? ", direct calls" : ", bursts of jobs");
  }

  std::uint64_t encapsulate(BurstPlan plan, bool keep) override {
    Buffer* const first = &buffers_[keep ? kept_ : 0];
    for (std::size_t i = 0; i < plan.size(); ++i) {
      Buffer& buffer = first[i];
      const std::size_t block = algorithm_ == Algorithm::kAes128CbcSha256 ? 16 : 4;
      buffer.length = static_cast<std::uint32_t>((plan[i].size + 2 + block - 1) / block * block);
      buffer.sa = plan[i].sa;
      write_inner_packet(buffer.data, plan[i]);
      std::memset(buffer.aad, 1, kAad);
      std::memcpy(buffer.iv, &++counter_, sizeof counter_);
    }
    if (keep) kept_ += plan.size();
    return run(first, plan.size(), IMB_DIR_ENCRYPT);
  }
  std::uint64_t decapsulate(BurstPlan plan) override {
    Buffer* const first = &buffers_[opened_];
    opened_ += plan.size();
    // What other programs copy into their buffers is warm there, so here as well.
    for (std::size_t i = 0; i < plan.size(); ++i)
      for (std::size_t at = 0; at < sizeof(Buffer); at += 64)
        warm_ = warm_ + reinterpret_cast<std::uint8_t*>(first + i)[at];
    return run(first, plan.size(), IMB_DIR_DECRYPT);
  }
  void forget() override { kept_ = opened_ = 0; }

 private:
  enum class Way { kDirect, kBurst };

  [[nodiscard]] bool is_gcm() const {
    return algorithm_ == Algorithm::kAes128Gcm || algorithm_ == Algorithm::kAes256Gcm;
  }

  void make_keys(Keys& keys, std::uint32_t sa) {
    for (std::size_t i = 0; i < 32; ++i) keys.raw[i] = static_cast<std::uint8_t>(i * 11 + sa);
    if (algorithm_ == Algorithm::kAes128Gcm) IMB_AES128_GCM_PRE(manager_, keys.raw, &keys.gcm);
    if (algorithm_ == Algorithm::kAes256Gcm) IMB_AES256_GCM_PRE(manager_, keys.raw, &keys.gcm);
    if (algorithm_ != Algorithm::kAes128CbcSha256) return;
    IMB_AES_KEYEXP_128(manager_, keys.raw, keys.expanded_encrypt, keys.expanded_decrypt);
    std::uint8_t block[64];
    std::memset(block, 0x36, sizeof block);
    IMB_SHA256_ONE_BLOCK(manager_, block, keys.ipad);
    std::memset(block, 0x5c, sizeof block);
    IMB_SHA256_ONE_BLOCK(manager_, block, keys.opad);
  }

  void choose_way() {
    std::uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    std::vector<PacketPlan> plan(kMaxBurst);
    for (int round = 0; round < 200; ++round)
      for (const Way way : {Way::kDirect, Way::kBurst}) {
        way_ = way;
        auto& least = best[static_cast<int>(way)];
        least = std::min(least, encapsulate(plan, false));
      }
    way_ = best[0] <= best[1] ? Way::kDirect : Way::kBurst;
  }

  std::uint64_t run(Buffer* buffers, std::size_t count, IMB_CIPHER_DIRECTION direction) {
    const std::uint64_t begin = cycles_begin();
    if (way_ == Way::kDirect) {
      run_direct(buffers, count, direction);
    } else {
      run_burst(buffers, count, direction);
    }
    return cycles_end() - begin;
  }

  void run_direct(Buffer* buffers, std::size_t count, IMB_CIPHER_DIRECTION direction) {
    const bool is_128 = algorithm_ == Algorithm::kAes128Gcm;
    const aes_gcm_enc_dec_t function = direction == IMB_DIR_ENCRYPT
                                           ? (is_128 ? manager_->gcm128_enc : manager_->gcm256_enc)
                                           : (is_128 ? manager_->gcm128_dec : manager_->gcm256_dec);
    for (std::size_t i = 0; i < count; ++i) {
      Buffer& one = buffers[i];
      Keys& keys = keys_[one.sa];
      function(&keys.gcm, &keys.scratch, one.data, one.data, one.length, one.iv, one.aad, kAad, one.icv,
               kIcv);
    }
  }

  void run_burst(Buffer* buffers, std::size_t count, IMB_CIPHER_DIRECTION direction) {
    IMB_JOB* jobs[kMaxBurst];
    const auto number = static_cast<std::uint32_t>(count);
    if (IMB_GET_NEXT_BURST(manager_, number, jobs) != number) give_up("ipsec-mb has no jobs left");
    for (std::size_t i = 0; i < count; ++i) fill(*jobs[i], buffers[i], direction);
    std::uint32_t done = IMB_SUBMIT_BURST_NOCHECK(manager_, number, jobs);
    while (done < number) done += IMB_FLUSH_BURST(manager_, number - done, jobs);
  }

  void fill(IMB_JOB& job, Buffer& one, IMB_CIPHER_DIRECTION direction) {
    Keys& keys = keys_[one.sa];
    job.cipher_direction = direction;
    job.chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job.src = one.data;
    job.dst = one.data;
    job.iv = one.iv;
    job.iv_len_in_bytes = 12;
    job.cipher_start_src_offset_in_bytes = 0;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = one.length;
    job.msg_len_to_hash_in_bytes = one.length;
    job.auth_tag_output = one.icv;
    job.auth_tag_output_len_in_bytes = kIcv;
    switch (algorithm_) {
      case Algorithm::kAes128Gcm:
      case Algorithm::kAes256Gcm:
        job.cipher_mode = IMB_CIPHER_GCM;
        job.hash_alg = IMB_AUTH_AES_GMAC;
        job.enc_keys = job.dec_keys = &keys.gcm;
        job.key_len_in_bytes = algorithm_ == Algorithm::kAes128Gcm ? 16 : 32;
        job.u.GCM.aad = one.aad;
        job.u.GCM.aad_len_in_bytes = kAad;
        break;
      case Algorithm::kChacha20Poly1305:
        job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
        job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
        job.enc_keys = job.dec_keys = keys.raw;
        job.key_len_in_bytes = 32;
        job.u.CHACHA20_POLY1305.aad = one.aad;
        job.u.CHACHA20_POLY1305.aad_len_in_bytes = kAad;
        break;
      case Algorithm::kAes128CbcSha256:
        job.cipher_mode = IMB_CIPHER_CBC;
        job.hash_alg = IMB_AUTH_HMAC_SHA_256;
        job.enc_keys = keys.expanded_encrypt;
        job.dec_keys = keys.expanded_decrypt;
        job.key_len_in_bytes = 16;
        job.iv_len_in_bytes = 16;
        job.u.HMAC._hashed_auth_key_xor_ipad = keys.ipad;
        job.u.HMAC._hashed_auth_key_xor_opad = keys.opad;
        break;
    }
  }

  IMB_MGR* manager_;
  Algorithm algorithm_ = Algorithm::kAes128Gcm;
  Way way_ = Way::kDirect;
  std::vector<Keys> keys_;
  std::vector<Buffer> buffers_;
  std::size_t kept_ = 0, opened_ = 0;
  std::uint64_t counter_ = 0;
  volatile std::uint8_t warm_ = 0;
};

}  // namespace
}  // namespace merlon::bench

int main() {
  merlon::bench::IpsecMbSubject subject;
  return merlon::bench::Rounds(subject).serve();
}
