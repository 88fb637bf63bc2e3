// AES-GCM by our own kernel (gcm_vaes.h): the packets of a burst, of one key or of many, are sorted by size, and those of a size
// are worked on side by side.
#include "crypto/backends/gcm_vaes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/secret.h"
#include "crypto/backends/packet_backends.h"
#include "crypto/cipher.h"

#ifdef __x86_64__

#include <cpuid.h>

namespace merlon::crypto {
namespace vaes {
namespace {

// Intel's manual, volume 1, 15.2: what the system must save and restore at least: SSE, AVX, and AVX-512's masks and registers.
bool system_keeps_registers() {
  constexpr std::uint32_t kNeeded = 0xe6;
  std::uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kNeeded) == kNeeded;
}

bool cpu_has_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kOsxsave = 1U << 27U, kAes = 1U << 25U, kPclmul = 1U << 1U;
  if ((c & kOsxsave) == 0 || (c & kAes) == 0 || (c & kPclmul) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kBmi = 1U << 3U, kBmi2 = 1U << 8U,
                     kAvx512 = 1U << 16U | 1U << 17U | 1U << 30U | 1U << 31U;
  constexpr unsigned kVaes = 1U << 9U, kVpclmul = 1U << 10U;
  constexpr unsigned kNeededB = kBmi | kBmi2 | kAvx512, kNeededC = kVaes | kVpclmul;
  return (b & kNeededB) == kNeededB && (c & kNeededC) == kNeededC && system_keeps_registers();
}

}  // namespace

bool is_available() {
  static const bool is = cpu_has_instructions();
  return is;
}

}  // namespace vaes

namespace {

class VaesGcmCipher final : public PacketCipher {
 public:
  VaesGcmCipher(const EspSizes& sizes, bool esn, std::size_t key_size, ByteView keymat)
      : PacketCipher(sizes, esn, Kind::kVaesGcm) {
    vaes::expand(key_, keymat.data(), key_size, keymat.last(4).data());
    key_.icv_size = sizes.icv;
    key_.esn = esn;
  }
  ~VaesGcmCipher() override { wipe({reinterpret_cast<std::uint8_t*>(&key_), sizeof key_}); }
  VaesGcmCipher(const VaesGcmCipher&) = delete;
  VaesGcmCipher& operator=(const VaesGcmCipher&) = delete;

  PacketBackend backend() const override { return PacketBackend::kVaes; }
  Footprint footprint() const override {
    static_assert(kSmallData == vaes::kMostLaneBlocks * 16);
    return {.head = head_lines(key_.rounds),
            .tail = kTail,
            .tail_count = kTailCount,
            .small_reads_one = key_.rounds != 12};
  }
  void seal(std::span<PacketJob> jobs) override { run<true>(jobs, {}); }
  void open(std::span<PacketJob> jobs) override { run<false>(jobs, {}); }

 protected:
  void seal_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) override {
    run<true>(jobs, ciphers);
  }
  void open_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) override {
    run<false>(jobs, ciphers);
  }

 private:
  // Long packets are sorted too, if coarsely: neighbours of one size are done two at a time, and without surprises for the CPU's branch
  // predictor. That is why the size comes out of a table as well.
  static constexpr std::size_t kLaneSizes = vaes::chunks_of(vaes::kMostLaneBlocks * 16);
  static_assert(kLaneSizes == 2 && vaes::chunks_of(vaes::kMostLaneBlocks * 16 + 1) == kLaneSizes + 1);
  static constexpr std::size_t kLongSizes = 4, kSizes = vaes::kShortChunks + kLongSizes;
  static constexpr std::size_t kWidth = 6, kMostChunks = vaes::kShortChunks + (kLongSizes - 1) * kWidth + 1;
  static constexpr auto kSizeOfChunks = [] {
    std::array<std::uint8_t, kMostChunks + 1> sizes{};
    for (std::size_t chunks = 1; chunks < sizes.size(); ++chunks) {
      const std::size_t size = chunks <= vaes::kShortChunks
                                   ? chunks - 1
                                   : vaes::kShortChunks + (chunks - vaes::kShortChunks - 1) / kWidth;
      sizes[chunks] = static_cast<std::uint8_t>(size);
    }
    return sizes;
  }();
  // The packets of a burst by their size. Left uninitialised: what is read was written.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  struct Sorted {
    std::array<std::array<vaes::Packet, kMaxBurst>, kSizes> packets;
    std::array<std::size_t, kSizes> counts{};
    std::array<vaes::Packet, kMaxBurst>
        alike;  // run_lanes()'s, here so that the kernel's frames begin where clear_traces() looks
    bool are_of_many_keys = false;
  };

  static VaesGcmCipher& of(PacketCipher* cipher) { return static_cast<VaesGcmCipher&>(*cipher); }

  // What a short packet reads: the round keys with what stands before them; the powers and the zeros behind them.
  static constexpr std::size_t kTail = 7, kTailCount = 3;
  static constexpr std::uint8_t head_lines(std::size_t rounds) {
    return static_cast<std::uint8_t>((16 + (rounds + 1) * 16 + kCacheLine - 1) / kCacheLine);
  }

  template <bool kSeals>
  void run(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) {
    Sorted sorted;
    sorted.are_of_many_keys = !ciphers.empty();
    for (std::size_t first = 0; first < jobs.size(); first += kMaxBurst) {
      const std::size_t count = std::min(kMaxBurst, jobs.size() - first);
      if (ciphers.empty()) {
        for (PacketJob& job : jobs.subspan(first, count)) add<kSeals>(job, key_, sorted);
      } else {
        run_mixed<kSeals>(jobs.subspan(first, count), ciphers.subspan(first, count), sorted);
      }
      finish<kSeals>(sorted);
    }
    vaes::clear_traces(sorted.are_of_many_keys);
  }

  template <bool kSeals>
  void run_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers, Sorted& sorted) {
    std::uint8_t rounds = key_.rounds;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const VaesGcmCipher& cipher = of(ciphers[i]);
      // Side by side are only keys of one size.
      if (cipher.key_.rounds != std::exchange(rounds, cipher.key_.rounds)) finish<kSeals>(sorted);
      cipher.add<kSeals>(jobs[i], cipher.key_, sorted);
    }
  }

  template <bool kSeals>
  void add(PacketJob& job, const vaes::Key& key, Sorted& sorted) const {
    job.ok = kSeals;
    if (!is_possible_length(job)) {
      MERLON_ASSERT(!kSeals);
      return;
    }
    const std::size_t size = kSizeOfChunks[std::min(vaes::chunks_of(job.length), kMostChunks)];
    vaes::Packet& packet = sorted.packets[size][sorted.counts[size]++];
    packet = {job.header, &key, &job.ok, job.length, key.esn ? job.sequence_high : 0};
  }

  template <bool kSeals>
  static void finish(Sorted& sorted) {
    for (std::size_t size = 0; size < kSizes; ++size) {
      const std::size_t count = std::exchange(sorted.counts[size], 0);
      const vaes::Packet* const packets = sorted.packets[size].data();
      if (count == 0) continue;
      if (size >= vaes::kShortChunks) {
        run_long<kSeals>({packets, count});
      } else if (sorted.are_of_many_keys && size < kLaneSizes && are_for_lanes({packets, count})) {
        run_lanes<kSeals>({packets, count}, size, sorted.alike);
      } else {
        (kSeals ? vaes::seal_short : vaes::open_short)(packets, count, size + 1);
      }
    }
  }

  // Of different keys, or alone among others. Those of 192 bits cannot be made anew of few round keys.
  static bool are_for_lanes(std::span<const vaes::Packet> packets) {
    const vaes::Key* const key = packets.front().key;
    if (key->rounds == 12) return false;
    return packets.size() == 1 ||
           std::any_of(packets.begin(), packets.end(), [&](const auto& one) { return one.key != key; });
  }

  static std::size_t blocks_of(const vaes::Packet& packet) { return (packet.length + 15) / 16; }

  // Apart by their number of blocks; mostly all have as many.
  template <bool kSeals>
  static void run_lanes(std::span<const vaes::Packet> packets, std::size_t size,
                        std::array<vaes::Packet, kMaxBurst>& alike) {
    const std::size_t blocks = blocks_of(packets.front());
    if (std::all_of(packets.begin(), packets.end(),
                    [&](const auto& one) { return blocks_of(one) == blocks; }))
      return run_alike<kSeals>(packets, blocks);
    constexpr std::size_t kFirst[kLaneSizes + 1] = {1, 3, 7};
    for (std::size_t wanted = kFirst[size]; wanted < kFirst[size + 1]; ++wanted) {
      std::size_t count = 0;
      for (const vaes::Packet& one : packets)
        if (blocks_of(one) == wanted) alike[count++] = one;
      if (count != 0) run_alike<kSeals>({alike.data(), count}, wanted);
    }
  }

  template <bool kSeals>
  static void run_alike(std::span<const vaes::Packet> packets, std::size_t blocks) {
    if (blocks >= vaes::kLeastLaneBlocks) {
      (kSeals ? vaes::seal_lanes : vaes::open_lanes)(packets.data(), packets.size(), blocks);
    } else {
      (kSeals ? vaes::seal_short : vaes::open_short)(packets.data(), packets.size(), 1);
    }
  }

  template <bool kSeals>
  static void run_long(std::span<const vaes::Packet> packets) {
    for (std::size_t i = 0; i < packets.size();) {
      const bool two = i + 1 < packets.size() &&
                       vaes::chunks_of(packets[i].length) == vaes::chunks_of(packets[i + 1].length);
      (kSeals ? vaes::seal_long : vaes::open_long)(&packets[i], two ? 2 : 1);
      i += two ? 2 : 1;
    }
  }

  vaes::Key key_{};
};

static_assert(sizeof(VaesGcmCipher) <= 16 + sizeof(vaes::Key),
              "the key begins in the object's first line, 12 bytes into it");

}  // namespace

Result<std::unique_ptr<PacketCipher>> make_vaes_cipher(const EspTransform& transform, bool esn,
                                                       ByteView keymat_encr) {
  if (!is_gcm(transform.encr) || !vaes::is_available())
    return fail(ErrorCode::kUnsupported, "the kernel for VAES and AVX-512 does not do {} here",
                name(transform.encr, transform.key_bits));
  MERLON_TRY(const EspSizes sizes, esp_sizes(transform));
  return std::make_unique<VaesGcmCipher>(sizes, esn, transform.key_bits / 8, keymat_encr);
}

}  // namespace merlon::crypto

#else

namespace merlon::crypto {

bool vaes::is_available() {
  return false;
}

Result<std::unique_ptr<PacketCipher>> make_vaes_cipher(const EspTransform& /*transform*/, bool /*esn*/,
                                                       ByteView /*keymat_encr*/) {
  return fail(ErrorCode::kUnsupported, "this CPU has no VAES");
}

}  // namespace merlon::crypto

#endif
