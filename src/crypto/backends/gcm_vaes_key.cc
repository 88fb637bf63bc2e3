// Keys of gcm_vaes.h, and what is left of them in registers.
#ifdef __x86_64__

#include "crypto/backends/gcm_vaes_parts.h"

namespace merlon::crypto::vaes {
namespace {

MERLON_INLINE std::uint32_t substituted(std::uint32_t word) {  // FIPS 197 5.2, SubWord
  return static_cast<std::uint32_t>(
      _mm_cvtsi128_si32(_mm_aeskeygenassist_si128(_mm_set1_epi32(static_cast<int>(word)), 0)));
}

// FIPS 197 5.2; words as they stand in memory.
void expand_rounds(std::uint32_t* words, std::size_t key_words, std::size_t rounds) {
  std::uint32_t rcon = 1;
  for (std::size_t i = key_words; i < 4 * (rounds + 1); ++i) {
    std::uint32_t word = words[i - 1];
    if (i % key_words == 0) {
      word = substituted(word >> 8U | word << 24U) ^ rcon;
      rcon = (rcon << 1U ^ (rcon >> 7U) * 0x11bU) & 0xffU;
    } else if (key_words > 6 && i % key_words == 4) {
      word = substituted(word);
    }
    words[i] = words[i - key_words] ^ word;
  }
}

// RFC 8452 appendix A: times x in POLYVAL's field.
MERLON_INLINE Block times_x(Block a) {
  const std::uint64_t low = static_cast<std::uint64_t>(_mm_extract_epi64(a, 0));
  const std::uint64_t high = static_cast<std::uint64_t>(_mm_extract_epi64(a, 1));
  const std::uint64_t carry = high >> 63U;
  const std::uint64_t new_high = (high << 1U | low >> 63U) ^ (carry * 0xc200000000000000U);
  return _mm_set_epi64x(static_cast<long long>(new_high), static_cast<long long>(low << 1U ^ carry));
}

// What the functions of this kernel put on the stack when they ran short of registers stands below their caller's frame, where this
// function's is now. Their frames take some 700 bytes in an optimised build, those of the lanes some 1,700.
template <std::size_t kBytes>
[[gnu::noinline]] void clear_stack() {
  std::uint8_t frames[kBytes];
  __builtin_memset(frames, 0, sizeof frames);
  asm volatile("" : : "r"(frames) : "memory");  // it is not for nothing
}

}  // namespace

void expand(Key& out, const std::uint8_t* key, std::size_t key_size, const std::uint8_t salt[4]) {
  std::uint32_t words[60] = {};
  __builtin_memcpy(words, key, key_size);
  const std::size_t rounds = key_size / 4 + 6;
  expand_rounds(words, key_size / 4, rounds);
  __builtin_memcpy(out.round_keys, words, sizeof words);
  out.rounds = static_cast<std::uint8_t>(rounds);

  Block hash_key = load_block(out.round_keys);  // E(K, 0)
  for (std::size_t round = 1; round < rounds; ++round)
    hash_key = _mm_aesenc_si128(hash_key, load_block(round_key(out, round)));
  hash_key = times_x(turned(_mm_aesenclast_si128(hash_key, load_block(round_key(out, rounds)))));
  const Register first_power = _mm512_broadcast_i32x4(hash_key);
  Register power = first_power;
  for (std::size_t i = Key::kPowers; i > 0; --i) {
    _mm_storeu_si128(reinterpret_cast<Block*>(out.powers + (i - 1) * kBlock), _mm512_castsi512_si128(power));
    power = reduce(product(power, first_power));
  }
  __builtin_memset(out.zeros, 0, sizeof out.zeros);
  for (std::size_t i = 0; i < 4; ++i)
    out.round_keys[i] = static_cast<std::uint8_t>(out.round_keys[i] ^ salt[i]);
  __builtin_memset(words, 0, sizeof words);
  asm volatile("" : : "r"(words) : "memory");  // it is not for nothing
  clear_traces(false);
}

void clear_traces(bool of_lanes) {
  of_lanes ? clear_stack<2560>() : clear_stack<1024>();
  asm volatile(
      "vzeroall\n"
      "vpxord %%zmm16, %%zmm16, %%zmm16\nvpxord %%zmm17, %%zmm17, %%zmm17\nvpxord %%zmm18, %%zmm18, %%zmm18\n"
      "vpxord %%zmm19, %%zmm19, %%zmm19\nvpxord %%zmm20, %%zmm20, %%zmm20\nvpxord %%zmm21, %%zmm21, %%zmm21\n"
      "vpxord %%zmm22, %%zmm22, %%zmm22\nvpxord %%zmm23, %%zmm23, %%zmm23\nvpxord %%zmm24, %%zmm24, %%zmm24\n"
      "vpxord %%zmm25, %%zmm25, %%zmm25\nvpxord %%zmm26, %%zmm26, %%zmm26\nvpxord %%zmm27, %%zmm27, %%zmm27\n"
      "vpxord %%zmm28, %%zmm28, %%zmm28\nvpxord %%zmm29, %%zmm29, %%zmm29\nvpxord %%zmm30, %%zmm30, %%zmm30\n"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n"
      :
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
        "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

}  // namespace merlon::crypto::vaes

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
