// The benchmark "esp": our packet ciphers alone, as the engine calls them: a burst a call. Beside ipsec-mb alone it tells what
// the cipher is of our engine's cycles. Its one argument, where there is one, names the back end.
#include <algorithm>
#include <memory>
#include <optional>

#include "base/rng.h"
#include "bench/esp/subject.h"
#include "crypto/packet_cipher.h"

namespace merlon::bench {
namespace {

crypto::EspTransform transform_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kAes128Gcm:
      return {EncrId::kAesGcm16, 128, IntegId::kNone};
    case Algorithm::kAes256Gcm:
      return {EncrId::kAesGcm16, 256, IntegId::kNone};
    case Algorithm::kChacha20Poly1305:
      return {EncrId::kChacha20Poly1305, 256, IntegId::kNone};
    case Algorithm::kAes128CbcSha256:
      break;
  }
  return {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128};
}

class CipherSubject final : public Subject {
 public:
  explicit CipherSubject(std::optional<crypto::PacketBackend> backend)
      : backend_(backend), buffers_(kMaxBurst * kBurstsInChunk) {}

  std::string set_up(Algorithm algorithm, std::uint32_t sas, Kind /*kind*/) override {
    const crypto::EspTransform transform = transform_of(algorithm);
    const auto keys = crypto::esp_key_sizes(transform).value();
    ciphers_.clear();
    SeededRng rng(7);
    for (std::uint32_t i = 0; i < sas; ++i) {
      const Bytes encr = rng.bytes(keys.encr), integ = rng.bytes(keys.integ);
      auto made = backend_
                      ? crypto::PacketCipher::create_with_backend(*backend_, transform, true, encr, integ)
                      : crypto::PacketCipher::create(transform, true, encr, integ);
      if (!made) return made.error().message;
      ciphers_.push_back(std::move(*made));
    }
    return {};
  }
  std::string note() const override { return name(ciphers_.front()->backend()); }

  std::uint64_t encapsulate(BurstPlan plan, bool keep) override {
    Buffer* const first = &buffers_[keep ? kept_ : 0];
    for (std::size_t i = 0; i < plan.size(); ++i) write(first[i], plan[i]);
    if (keep) kept_ += plan.size();
    return run(first, plan.size(), &crypto::PacketCipher::seal_all);
  }
  std::uint64_t decapsulate(BurstPlan plan) override {
    Buffer* const first = &buffers_[opened_];
    opened_ += plan.size();
    // What other programs copy into their buffers is warm there, so here as well.
    for (std::size_t i = 0; i < plan.size(); ++i)
      for (std::size_t at = 0; at < sizeof(Buffer); at += 64)
        warm_ = warm_ + reinterpret_cast<std::uint8_t*>(first + i)[at];
    return run(first, plan.size(), &crypto::PacketCipher::open_all);
  }
  void forget() override { kept_ = opened_ = 0; }

 private:
  struct alignas(64) Buffer {
    std::uint8_t bytes[kInnerMaximum + 112];
    std::uint32_t length, sa;
  };

  void write(Buffer& buffer, const PacketPlan& plan) {
    const crypto::PacketCipher& cipher = *ciphers_[plan.sa];
    const auto block = static_cast<std::uint32_t>(cipher.block_size());
    buffer.length = (plan.size + 2 + block - 1) / block * block;
    buffer.sa = plan.sa;
    ++counter_;
    for (std::size_t i = 0; i < 8 + cipher.iv_size(); ++i)
      buffer.bytes[i] = static_cast<std::uint8_t>(counter_ >> 8 * (i % 8));
    write_inner_packet(buffer.bytes + 8 + cipher.iv_size(), plan);
  }

  std::uint64_t run(Buffer* buffers, std::size_t count,
                    void (*function)(std::span<crypto::PacketJob>, std::span<crypto::PacketCipher* const>)) {
    crypto::PacketJob jobs[kMaxBurst];
    crypto::PacketCipher* ciphers[kMaxBurst];
    for (std::size_t i = 0; i < count; ++i) {
      Buffer& one = buffers[i];
      ciphers[i] = ciphers_[one.sa].get();
      jobs[i] = {.header = one.bytes, .length = one.length};
    }
    const std::uint64_t begin = cycles_begin();
    function({jobs, count}, {ciphers, count});
    const std::uint64_t cycles = cycles_end() - begin;
    for (std::size_t i = 0; i < count; ++i)
      if (!jobs[i].ok) give_up("cipher: a packet is not authentic");
    return cycles;
  }

  std::optional<crypto::PacketBackend> backend_;
  std::vector<std::unique_ptr<crypto::PacketCipher>> ciphers_;
  std::vector<Buffer> buffers_;
  std::size_t kept_ = 0, opened_ = 0;
  std::uint64_t counter_ = 0;
  volatile std::uint8_t warm_ = 0;
};

std::optional<crypto::PacketBackend> backend_named(const char* wanted) {
  for (const auto backend :
       {crypto::PacketBackend::kVaes, crypto::PacketBackend::kIpsecMb, crypto::PacketBackend::kOpenssl})
    if (name(backend) == wanted) return backend;
  give_up(std::string("no back end is called ") + wanted);
}

}  // namespace
}  // namespace merlon::bench

int main(int count, char** words) {
  using namespace merlon::bench;
  CipherSubject subject(count > 1 ? backend_named(words[1]) : std::nullopt);
  return Rounds(subject).serve();
}
