#include "wire/ip/checksum.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <bit>
#include <cstring>

#include "base/check.h"
#include "wire/ip/byte_order.h"

namespace merlon::wire {
namespace {

std::uint16_t fold(std::uint64_t sum) {
  while (sum > 0xffffU) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

// The sum of words does not care in which order their bytes are taken, as long as the result is turned (RFC 1071
// 2, "byte order independence"): so everything is summed as the machine loads it, 32 bits at a time into sums of
// 64 bits, that cannot overflow for anything that fits a packet ("parallel summation"), and turned once.
std::uint16_t to_network(std::uint64_t native_sum) {
  const std::uint16_t folded = fold(native_sum);
  if constexpr (std::endian::native == std::endian::big) return folded;
  return static_cast<std::uint16_t>(folded << 8U | folded >> 8U);
}

template <class Word>
Word load(const std::uint8_t* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Copies where `kCopies`. Each step reads all it reads before it writes, so `to` may lie before `from` within
// it.
template <bool kCopies>
std::uint64_t add_tail(std::uint8_t* to, const std::uint8_t* from, std::size_t size, std::uint64_t sum) {
  for (; size >= 8; size -= 8, from += 8, to += kCopies ? 8 : 0) {
    const auto word = load<std::uint64_t>(from);
    if constexpr (kCopies) std::memcpy(to, &word, sizeof word);
    sum += (word & 0xffffffffU) + (word >> 32U);
  }
  const auto step = [&]<class Word>(Word) {
    const Word word = load<Word>(from);
    if constexpr (kCopies) {
      std::memcpy(to, &word, sizeof word);
      to += sizeof word;
    }
    from += sizeof word;
    sum += word;
  };
  if ((size & 4U) != 0) step(std::uint32_t{});
  if ((size & 2U) != 0) step(std::uint16_t{});
  if ((size & 1U) == 0) return sum;
  // RFC 1071 1: as if a zero stood behind it.
  if constexpr (kCopies) *to = *from;
  return sum + (std::endian::native == std::endian::big ? std::uint64_t{*from} << 8U : std::uint64_t{*from});
}

template <bool kCopies>
std::uint64_t run_plain(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  return add_tail<kCopies>(to, from, size, 0);
}

#ifdef __x86_64__
// Whole 32 bytes, 64 a round, four sums of 64 bits in each of two registers. It ends in a return: in front of one the
// compiler cleans the registers' upper halves, but not in front of a call in tail position, and then the next SSE
// instruction waits long.
template <bool kCopies>
__attribute__((target("avx2"))) std::uint64_t run_avx2(std::uint8_t* to, const std::uint8_t* from,
                                                       std::size_t size) {
  const __m256i low_halves = _mm256_set1_epi64x(0xffffffff);
  __m256i sum_a = _mm256_setzero_si256(), sum_b = _mm256_setzero_si256();
  for (; size >= 64; size -= 64, from += 64, to += kCopies ? 64 : 0) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
    if constexpr (kCopies) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), b);
    }
    sum_a = _mm256_add_epi64(sum_a, _mm256_and_si256(a, low_halves));
    sum_b = _mm256_add_epi64(sum_b, _mm256_and_si256(b, low_halves));
    sum_a = _mm256_add_epi64(sum_a, _mm256_srli_epi64(a, 32));
    sum_b = _mm256_add_epi64(sum_b, _mm256_srli_epi64(b, 32));
  }
  if (size >= 32) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    if constexpr (kCopies) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
    }
    sum_a = _mm256_add_epi64(sum_a, _mm256_and_si256(a, low_halves));
    sum_b = _mm256_add_epi64(sum_b, _mm256_srli_epi64(a, 32));
  }
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(sum_a, sum_b));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

template <bool kCopies>
std::uint16_t run(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
#ifdef __x86_64__
  if (size >= 32 && has_avx2()) {
    const std::size_t done = size / 32 * 32;
    const std::uint64_t sum = run_avx2<kCopies>(to, from, size);
    return to_network(add_tail<kCopies>(kCopies ? to + done : to, from + done, size - done, sum));
  }
#endif
  return to_network(run_plain<kCopies>(to, from, size));
}

std::uint16_t sum_of(const std::uint8_t* from, std::size_t size) {
  return run<false>(nullptr, from, size);
}
std::uint16_t copy_and_sum(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  return run<true>(to, from, size);
}

}  // namespace

ChecksumSum& ChecksumSum::add(ByteView bytes) {
  sum_ += sum_of(bytes.data(), bytes.size());
  return *this;
}

ChecksumSum& ChecksumSum::add_copying(MutableByteView to, ByteView from) {
  MERLON_ASSERT(to.size() >= from.size());
  sum_ += copy_and_sum(to.data(), from.data(), from.size());
  return *this;
}

std::uint16_t ChecksumSum::checksum() const {
  return static_cast<std::uint16_t>(~fold(sum_));
}

std::uint16_t internet_checksum(ByteView bytes) {
  return ChecksumSum().add(bytes).checksum();
}

std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
  // RFC 1624 3, equation 3: HC' = ~(~HC + ~m + m')
  const std::uint64_t sum = static_cast<std::uint64_t>(static_cast<std::uint16_t>(~checksum)) +
                            static_cast<std::uint16_t>(~old_word) + new_word;
  return static_cast<std::uint16_t>(~fold(sum));
}

ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                              std::uint32_t length) {
  return ChecksumSum()
      .add(source.bytes())
      .add(destination.bytes())
      .add_u32(length)
      .add_u16(static_cast<std::uint16_t>(protocol));
}

std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                                 ByteView segment) {
  return pseudo_header_sum(source, destination, protocol, static_cast<std::uint32_t>(segment.size()))
      .add(segment)
      .checksum();
}

}  // namespace merlon::wire
