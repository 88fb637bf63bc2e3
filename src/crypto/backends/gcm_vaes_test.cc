// The kernel against OpenSSL: every length, place and mixture that its registers and masks could trip over.
#include "crypto/backends/gcm_vaes.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/mman.h>

#include <memory>

#include "crypto/packet_cipher.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr EncrId kGcms[] = {EncrId::kAesGcm8, EncrId::kAesGcm12, EncrId::kAesGcm16};

// A key by two back ends.
struct Pair {
  std::unique_ptr<PacketCipher> kernel, openssl;

  static Pair random(Rng& rng) {
    const EspTransform transform{kGcms[rng.below(3)], 128 + 64 * static_cast<unsigned>(rng.below(3)),
                                 IntegId::kNone};
    return of(transform, rng.below(2) == 0, rng.bytes(esp_key_sizes(transform)->encr));
  }
  static Pair of(const EspTransform& transform, bool esn, ByteView key) {
    return {PacketCipher::create_with_backend(PacketBackend::kVaes, transform, esn, key, {}).value(),
            PacketCipher::create_with_backend(PacketBackend::kOpenssl, transform, esn, key, {}).value()};
  }
};

// A packet in memory of its own size, so that AddressSanitizer sees what is touched beside it, at any alignment: what stands before
// it is checked here.
class Placed {
 public:
  Placed(const PacketCipher& cipher, Rng& rng, std::size_t length)
      : before_(rng.below(64)),
        length_(static_cast<std::uint32_t>(length)),
        size_(before_ + 16 + length + cipher.icv_size()),
        bytes_(new std::uint8_t[size_]),
        high_(rng.uniform<std::uint32_t>()) {
    rng.fill({bytes_.get(), size_});
    was_.assign(bytes_.get(), bytes_.get() + size_);
  }
  PacketJob job() {
    std::uint8_t* const header = bytes_.get() + before_;
    return {.header = header, .length = length_, .sequence_high = high_, .ok = false};
  }
  // As it was made, in one piece.
  [[nodiscard]] Bytes clear() const { return to_bytes(ByteView(was_).subspan(before_)); }
  [[nodiscard]] Bytes now() const { return to_bytes(ByteView(bytes_.get(), size_).subspan(before_)); }
  [[nodiscard]] bool front_is_untouched() const {
    return equal(ByteView(was_).first(before_), ByteView(bytes_.get(), before_));
  }
  std::uint8_t& at(std::size_t offset) { return bytes_[before_ + offset]; }
  [[nodiscard]] std::size_t size() const { return size_ - before_; }
  [[nodiscard]] std::size_t length() const { return length_; }

 private:
  std::size_t before_;
  std::uint32_t length_;
  std::size_t size_;
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::uint32_t high_;
  Bytes was_;
};

// What OpenSSL makes of it.
Bytes sealed_by_openssl(PacketCipher& openssl, Placed& packet) {
  Bytes copy = packet.clear();
  PacketJob job = packet.job();
  job.header = copy.data();
  openssl.seal({&job, 1});
  return copy;
}

class VaesKernel : public testing::Test {
 protected:
  void SetUp() override {
    if (!vaes::is_available()) GTEST_SKIP() << "this CPU (or valgrind) has no VAES with AVX-512";
  }
};

TEST_F(VaesKernel, EveryLengthAlone) {
  SeededRng rng(1);
  for (const unsigned bits : {128U, 192U, 256U})
    for (const EncrId id : kGcms)
      for (const bool esn : {false, true}) {
        const EspTransform transform{id, bits, IntegId::kNone};
        const Pair pair = Pair::of(transform, esn, rng.bytes(bits / 8 + 4));
        for (std::size_t length = 1; length <= (id == EncrId::kAesGcm16 ? 1500 : 420); ++length) {
          Placed packet(*pair.kernel, rng, length);
          const Bytes expected = sealed_by_openssl(*pair.openssl, packet);
          PacketJob job = packet.job();
          pair.kernel->seal({&job, 1});
          ASSERT_TRUE(job.ok && packet.now() == expected && packet.front_is_untouched()) << length;
          job.ok = false;
          pair.kernel->open({&job, 1});
          ASSERT_TRUE(job.ok && packet.front_is_untouched()) << length;
          ASSERT_TRUE(
              equal(ByteView(packet.now()).first(16 + length), ByteView(packet.clear()).first(16 + length)));
        }
      }
}

// The counter's bytes carry at 4 KB, and again at 1 MB, which no packet reaches.
TEST_F(VaesKernel, LongPackets) {
  SeededRng rng(2);
  const Pair pair = Pair::random(rng);
  for (const std::size_t around : {4096U, 8192U, 9000U, 12288U, 32768U, 61440U, 65436U})
    for (std::size_t length = around - 90; length <= std::min<std::size_t>(around + 90, kMaxPacketData);
         length += 3) {
      Placed packet(*pair.kernel, rng, length);
      const Bytes expected = sealed_by_openssl(*pair.openssl, packet);
      PacketJob job = packet.job();
      pair.kernel->seal({&job, 1});
      ASSERT_TRUE(packet.now() == expected) << length;
      pair.kernel->open({&job, 1});
      ASSERT_TRUE(job.ok) << length;
    }
}

// Pages that nobody may touch stand right behind a packet, and right before it.
TEST_F(VaesKernel, NothingOutsideOfAPacketIsTouched) {
  constexpr std::size_t kPage = 4096, kRoom = 2 * kPage;
  void* const mapped = mmap(nullptr, kRoom + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* const room = static_cast<std::uint8_t*>(mapped) + kPage;
  ASSERT_EQ(mprotect(room, kRoom, PROT_READ | PROT_WRITE), 0);
  SeededRng rng(3);
  const Pair pair = Pair::of({EncrId::kAesGcm8, 128, IntegId::kNone}, true, rng.bytes(20));
  for (std::size_t length = 1; length <= 1500; ++length)
    for (const bool at_end : {false, true}) {
      Placed made(*pair.kernel, rng, length);
      const Bytes clear = made.clear();
      std::uint8_t* const header = at_end ? room + kRoom - clear.size() : room;
      std::copy(clear.begin(), clear.end(), header);
      PacketJob job = made.job();
      job.header = header;
      pair.kernel->seal({&job, 1});
      pair.kernel->open({&job, 1});
      ASSERT_TRUE(job.ok && equal({header, 16 + length}, ByteView(clear).first(16 + length))) << length;
    }
  munmap(mapped, kRoom + 2 * kPage);
}

// A packet for each length, each by the key beside it, in one burst; some are altered on their way, anywhere. Says what is wrong.
std::string trouble_with_burst(Rng& rng, const std::vector<const Pair*>& keys,
                               const std::vector<std::size_t>& lengths) {
  const std::size_t count = lengths.size();
  std::vector<Placed> packets;
  std::vector<Bytes> expected, received;
  std::vector<PacketJob> jobs;
  std::vector<PacketCipher*> ciphers;
  for (std::size_t i = 0; i < count; ++i) {
    packets.emplace_back(*keys[i]->kernel, rng, lengths[i]);
    expected.push_back(sealed_by_openssl(*keys[i]->openssl, packets.back()));
    ciphers.push_back(keys[i]->kernel.get());
  }
  for (Placed& packet : packets) jobs.push_back(packet.job());
  PacketCipher::seal_all(jobs, ciphers);
  for (std::size_t i = 0; i < count; ++i) {
    if (!jobs[i].ok || packets[i].now() != expected[i]) return "not as OpenSSL seals it";
    if (!packets[i].front_is_untouched()) return "sealing wrote before the packet";
  }
  for (Placed& packet : packets) {
    if (rng.below(3) == 0) {
      std::uint8_t& byte = packet.at(rng.below(packet.size()));
      byte = static_cast<std::uint8_t>(byte ^ (1U << rng.below(8)));
    }
    received.push_back(packet.now());
  }
  PacketCipher::open_all(jobs, ciphers);
  for (std::size_t i = 0; i < count; ++i) {
    const Bytes now = packets[i].now();
    const bool altered = received[i] != expected[i];
    if (jobs[i].ok == altered) return altered ? "a forgery passed" : "the ICV was right";
    if (!packets[i].front_is_untouched()) return "opening wrote before the packet";
    const std::size_t data_end = 16 + packets[i].length();
    if (!equal(ByteView(now).first(16), ByteView(received[i]).first(16)) ||
        !equal(ByteView(now).subspan(data_end), ByteView(received[i]).subspan(data_end)))
      return "opening wrote beside the data";
    if (!altered) {
      if (!equal(ByteView(now).first(data_end), ByteView(packets[i].clear()).first(data_end)))
        return "opened, but to something else";
      continue;
    }
    // Of a forgery's plaintext nothing is to be seen: it stands as it came, or there are zeros.
    const Bytes zeros(data_end - 16);
    if (now != received[i] && !equal(ByteView(now).subspan(16, zeros.size()), zeros))
      return "a forgery's plaintext was released";
  }
  return {};
}

// Bursts of all lengths and of several keys.
void check_bursts(bool of_one_length) {
  EXPECT_TRUE(rc::check([&](std::uint64_t seed) {
    SeededRng rng(seed);
    std::vector<Pair> keys;
    for (std::size_t i = 0; i < 1 + rng.below(5); ++i) keys.push_back(Pair::random(rng));
    const std::size_t count = 1 + rng.below(rng.below(5) == 0 ? 150 : 24);
    const std::size_t longest = rng.below(3) == 0 ? 9000 : rng.below(2) == 0 ? 400 : 100;
    const std::size_t one_length = 1 + rng.below(longest);
    std::vector<const Pair*> keys_of;
    std::vector<std::size_t> lengths;
    for (std::size_t i = 0; i < count; ++i) {
      keys_of.push_back(&keys[of_one_length && rng.below(8) != 0 ? 0 : rng.below(keys.size())]);
      lengths.push_back(of_one_length ? one_length : 1 + rng.below(longest));
    }
    RC_ASSERT(trouble_with_burst(rng, keys_of, lengths) == "");
  }));
}
TEST_F(VaesKernel, BurstsOfAllLengths) {
  check_bursts(false);
}
TEST_F(VaesKernel, BurstsOfOneLength) {
  check_bursts(true);
}

// Short packets of as many keys, of each ICV's size, with and without ESN: every length, alone to more than two groups of eight.
// `bits`: the keys' size; 0: each has its own.
void check_lanes(unsigned bits) {
  SeededRng rng(bits);
  std::vector<Pair> keys;
  for (std::size_t i = 0; i < 36; ++i) {
    const EspTransform transform{
        kGcms[i % 3], bits != 0 ? bits : 128 + 64 * static_cast<unsigned>(rng.below(3)), IntegId::kNone};
    keys.push_back(Pair::of(transform, i / 3 % 2 != 0, rng.bytes(esp_key_sizes(transform)->encr)));
  }
  for (std::size_t length = 1; length <= 116; ++length)
    for (std::size_t count = 1; count <= 19; ++count) {
      std::vector<const Pair*> keys_of;
      const std::size_t first = rng.below(keys.size());
      for (std::size_t i = 0; i < count; ++i) keys_of.push_back(&keys[(first + i) % keys.size()]);
      std::vector<std::size_t> lengths(count, length);
      ASSERT_EQ(trouble_with_burst(rng, keys_of, lengths), "") << count << " of " << length;
      // Not all have as many blocks.
      for (std::size_t& one : lengths)
        if (rng.below(4) == 0) one = 1 + rng.below(116);
      ASSERT_EQ(trouble_with_burst(rng, keys_of, lengths), "") << count << " of about " << length;
    }
}
TEST_F(VaesKernel, LanesOf128Bits) {
  check_lanes(128);
}
TEST_F(VaesKernel, LanesOf256Bits) {
  check_lanes(256);
}
TEST_F(VaesKernel, LanesOfAllSizesOfKeys) {
  check_lanes(0);
}

// Each packet of a burst with pages that nobody may touch right behind it, or right before it.
TEST_F(VaesKernel, NothingOutsideOfTheLanesIsTouched) {
  constexpr std::size_t kPage = 4096, kCount = 9;
  constexpr std::size_t kAll = (2 * kCount + 1) * kPage;
  void* const mapped = mmap(nullptr, kAll, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  const auto room = [&](std::size_t i) { return static_cast<std::uint8_t*>(mapped) + (2 * i + 1) * kPage; };
  SeededRng rng(6);
  std::vector<Pair> keys;
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(mprotect(room(i), kPage, PROT_READ | PROT_WRITE), 0);
    const EspTransform transform{kGcms[i % 3], 128, IntegId::kNone};
    keys.push_back(Pair::of(transform, i % 2 != 0, rng.bytes(20)));
  }
  for (std::size_t length = 1; length <= 300; ++length)
    for (const bool at_end : {false, true}) {
      std::vector<Bytes> clear;
      std::vector<PacketJob> jobs;
      std::vector<PacketCipher*> ciphers;
      for (std::size_t i = 0; i < kCount; ++i) {
        Placed made(*keys[i].kernel, rng, length);
        clear.push_back(made.clear());
        ciphers.push_back(keys[i].kernel.get());
        jobs.push_back(made.job());
        jobs[i].header = at_end ? room(i) + kPage - clear[i].size() : room(i);
        std::copy(clear[i].begin(), clear[i].end(), jobs[i].header);
      }
      PacketCipher::seal_all(jobs, ciphers);
      PacketCipher::open_all(jobs, ciphers);
      for (std::size_t i = 0; i < kCount; ++i)
        ASSERT_TRUE(jobs[i].ok && equal({jobs[i].header, 16 + length}, ByteView(clear[i]).first(16 + length)))
            << length;
    }
  munmap(mapped, kAll);
}

}  // namespace
}  // namespace merlon::crypto
