// The protection of ESP packets (RFC 4303), in bursts. Nothing is allocated in seal() and open() by this
// room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/iana.h"
#include "base/large_memory.h"

namespace merlon::crypto {

struct EspTransform {
  EncrId encr = EncrId::kAesGcm16;
  unsigned key_bits = 256;  // of the cipher key, without salt; 256 or 0 for CHACHA20_POLY1305, 0 for NULL
  IntegId integ = IntegId::kNone;  // kNone with an AEAD (GMAC among them), and only then
  friend bool operator==(const EspTransform&, const EspTransform&) = default;
};

// AES_GCM (RFC 4106), AES_CCM (RFC 4309), each 16, 12, 8; CHACHA20_POLY1305 (RFC 7634); NULL_AUTH_AES_GMAC
// (RFC 4543); AES_CBC (RFC 3602), AES_CTR (RFC 3686) and NULL (RFC 2410) with any integrity algorithm of
// crypto/integrity.h.
[[nodiscard]] bool is_supported(const EspTransform& transform);

// How KEYMAT is cut for one direction: the encryption key (salt behind it), then the integrity key (RFC
// 7296 2.17).
struct EspKeySizes {
  std::size_t encr = 0;
  std::size_t integ = 0;
};
[[nodiscard]] Result<EspKeySizes> esp_key_sizes(const EspTransform& transform);  // errors: kUnsupported

// What a packet costs on the wire.
struct EspSizes {
  std::uint8_t iv = 0;     // bytes between the ESP header and the ciphertext
  std::uint8_t icv = 0;    // bytes behind the ciphertext
  std::uint8_t block = 4;  // payload, padding and the two trailer bytes are a multiple of this
};
[[nodiscard]] Result<EspSizes> esp_sizes(const EspTransform& transform);  // errors: kUnsupported

// One packet, in place, as it stands on the wire:
//   header (8 bytes) | iv (sizes.iv) | data (length) | icv (sizes.icv)
struct PacketJob {
  std::uint8_t* header = nullptr;   // SPI | low half of the sequence number, network order; authenticated
  std::uint32_t length = 0;         // of data, padding and trailer included: 1 to kMaxPacketData
  std::uint32_t sequence_high = 0;  // high half, host order; used with ESN only
  bool ok = false;                  // written by open(); seal() sets it to true

  [[nodiscard]] std::uint8_t* iv() const { return header + 8; }
  [[nodiscard]] std::uint8_t* data(const EspSizes& sizes) const { return iv() + sizes.iv; }
  [[nodiscard]] std::uint8_t* icv(const EspSizes& sizes) const { return data(sizes) + length; }
};

inline constexpr std::uint32_t kMaxPacketData = 65500;
inline constexpr std::size_t kMaxBurst = 64;  // what one call is made for; more are done in several rounds

// From the fastest to the slowest. kVaes: our own kernel for AES-GCM, for CPUs with VAES, VPCLMULQDQ and AVX-512.
enum class PacketBackend : std::uint8_t { kVaes, kIpsecMb, kOpenssl };
[[nodiscard]] std::string name(PacketBackend backend);

// One key. Owned and used by one thread at a time; it may be made on another.
class PacketCipher {
 public:
  // Takes the fastest back end that this machine and the transform allow, `fastest` or a slower one. `keymat_encr` and `keymat_integ` are as long as
  // esp_key_sizes says. Errors: kUnsupported, kInvalidArgument (a key of the wrong size).
  [[nodiscard]] static Result<std::unique_ptr<PacketCipher>> create(
      const EspTransform& transform, bool esn, ByteView keymat_encr, ByteView keymat_integ,
      PacketBackend fastest = PacketBackend::kVaes);
  // For tests: this back end or kUnsupported.
  [[nodiscard]] static Result<std::unique_ptr<PacketCipher>> create_with_backend(
      PacketBackend backend, const EspTransform& transform, bool esn, ByteView keymat_encr,
      ByteView keymat_integ);
  PacketCipher(const PacketCipher&) = delete;
  PacketCipher& operator=(const PacketCipher&) = delete;
  virtual ~PacketCipher() = default;

  [[nodiscard]] const EspSizes& sizes() const { return sizes_; }
  [[nodiscard]] std::size_t iv_size() const { return sizes_.iv; }
  [[nodiscard]] std::size_t icv_size() const { return sizes_.icv; }
  [[nodiscard]] std::size_t block_size() const { return sizes_.block; }
  [[nodiscard]] virtual PacketBackend backend() const = 0;

  // Encrypts data and writes the ICV. The caller has written header, IV and plaintext; the IV must be one
  // that was never used with this key (counter modes) or one nobody can foresee (CBC). `length` must be a
  // multiple of the cipher's block (CBC: 16): that is the caller's promise, and asserted.
  virtual void seal(std::span<PacketJob> jobs) = 0;

  // Checks the ICV in constant time and decrypts data; `ok` says whether. Where it is false the data are
  // undefined. Any length may come: what cannot be a packet of this cipher is not ok.
  virtual void open(std::span<PacketJob> jobs) = 0;

  // The same for a burst of several keys: jobs[i] is ciphers[i]'s. Packets of different keys are worked on side by
  // side where the back end can, so this costs no more than as many packets of one key (but for the keys' cache misses).
  static void seal_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers);
  static void open_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers);

  // Which cache lines of a cipher a packet reads: `head` first ones, and `tail_count` from `tail` on; with `small_reads_one`
  // a packet of up to kSmallData bytes among packets of other keys only the first one. Told once, so that they can be asked
  // for without looking at the cipher, which would be waiting for the first of them.
  struct Footprint {
    std::uint8_t head = 1;
    std::uint8_t tail : 5 = 0, tail_count : 2 = 0;
    bool small_reads_one : 1 = false;
  };
  static constexpr std::size_t kSmallData = 96;
  [[nodiscard]] virtual Footprint footprint() const { return {}; }
  // `data`: bytes of it that the packet will have, about. Into the second cache where there are many lines: a burst's keys are
  // more than the first one holds beside the packets.
  void prefetch(Footprint lines, std::size_t data) const {
    const auto* const line = reinterpret_cast<const std::uint8_t*>(this);
    if (lines.small_reads_one && data <= kSmallData) return prefetch_line_to_second(line);
    for (std::size_t i = 0; i < lines.head; ++i) prefetch_line_to_second(line + i * kCacheLine);
    const auto* const tail = line + lines.tail * kCacheLine;
    for (std::size_t i = 0; i < lines.tail_count; ++i) prefetch_line_to_second(tail + i * kCacheLine);
  }

  // Side by side with others of its size, and aligned to a cache line.
  static void* operator new(std::size_t bytes) { return allocate_in_slab(bytes); }
  static void operator delete(void* object, std::size_t bytes) noexcept { release_in_slab(object, bytes); }

 protected:
  // Ciphers of one kind take each other's packets in one call.
  enum class Kind : std::uint8_t { kAlone, kVaesGcm, kGcm, kQueue };
  // `variant`: for the back end, 0 to 7.
  PacketCipher(const EspSizes& sizes, bool esn, Kind kind = Kind::kAlone, std::uint8_t variant = 0)
      : sizes_(sizes), kind_(kind), esn_(esn), variant_(variant & 7U) {}
  // Called on the first of `ciphers`, which are all of its kind; not for kAlone.
  virtual void seal_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers);
  virtual void open_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers);

  static void prefetch_lines(const void* first, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      prefetch_line(static_cast<const std::uint8_t*>(first) + i * kCacheLine);
  }

  // In twelve bytes together with what makes the class virtual, so that a key may stand in the first line as well.
  const EspSizes sizes_;

 private:
  const Kind kind_ : 4;

 protected:
  const bool esn_ : 1;
  const std::uint8_t variant_ : 3;

 private:
  using Mixed = void (PacketCipher::*)(std::span<PacketJob>, std::span<PacketCipher* const>);
  using Single = void (PacketCipher::*)(std::span<PacketJob>);
  static void run_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers, Mixed mixed,
                      Single single);
};

}  // namespace merlon::crypto
