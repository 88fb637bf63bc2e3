// AES-GCM (NIST SP 800-38D) for ESP (RFC 4106), four blocks a register. A packet is read from its header on:
//
//   register 0                                   register 1                 ...   the last one
//   | header, IV | data 0 | data 1 | data 2 |    | data 3 | data 4 | ...          | ... | lengths | nothing |
//
// Header and IV are just one block, and so stand where GHASH wants the additional data (which are the header, for the most part) and
// where the counter block stands that encrypts the tag: so the first block of each register's key stream, E(K, J0), is the tag's,
// and the others are the data's. GHASH is a sum of products with the powers of H, reduced once a packet, or once in 16 blocks.
//
// Bits: GHASH's are reflected. Blocks are turned round by bytes, and what is multiplied is POLYVAL's field with a converted H
// (RFC 8452 appendix A), whose product is reduced by two folds.
//
// Nothing here branches on a secret or makes an address of one; no byte outside of a packet is read or written.
#pragma once

#include <immintrin.h>

#include "crypto/backends/gcm_vaes.h"

// From here to the end of the file; nothing of the above makes machine code.
#ifdef __clang__
#pragma clang attribute push(                                                                          \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes,pclmul,vpclmulqdq,bmi,bmi2"))), \
    apply_to = function)
#define MERLON_UNROLL _Pragma("clang loop unroll(full)")
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in immintrin.h of g++ 12, its bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,aes,vaes,pclmul,vpclmulqdq,bmi,bmi2")
#define MERLON_UNROLL _Pragma("GCC unroll 16")
#endif
#define MERLON_INLINE [[gnu::always_inline]] inline

namespace merlon::crypto::vaes {

using Block = __m128i;
using Register = __m512i;  // four blocks

constexpr std::size_t kBlock = 16, kChunk = 64, kGroup = 4;
constexpr std::uint64_t kAll = ~std::uint64_t{0};
constexpr std::uint64_t kFirstBlock = 0xffff;  // as a mask of bytes

// ---- memory

struct alignas(kChunk) Constant {
  std::uint8_t bytes[kChunk];
};

// The index of each byte in a block turned round; in the first block `first` instead.
constexpr Constant turning(const std::uint8_t (&first)[kBlock]) {
  Constant out{};
  for (std::size_t i = 0; i < kChunk; ++i)
    out.bytes[i] = i < kBlock ? first[i] : static_cast<std::uint8_t>(kBlock - 1 - i % kBlock);
  return out;
}
constexpr std::uint8_t kNone = 0x80;  // a zero
constexpr Constant kTurn = turning({15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
// RFC 4106 5: of header | IV the header is additional data; with ESN the high half of the sequence number stands in its middle.
constexpr Constant kTurnHeader[2] = {
    turning({kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone, 7, 6, 5, 4, 3, 2, 1, 0}),
    turning({kNone, kNone, kNone, kNone, 7, 6, 5, 4, kNone, kNone, kNone, kNone, 3, 2, 1, 0})};

// The same for four packets' header | IV in a register.
constexpr Constant four_times(const Constant& block) {
  Constant out{};
  for (std::size_t i = 0; i < kChunk; ++i) out.bytes[i] = block.bytes[i % kBlock];
  return out;
}
constexpr Constant kTurnHeaders[2] = {four_times(kTurnHeader[0]), four_times(kTurnHeader[1])};

constexpr Constant counters(std::uint8_t first) {
  Constant out{};
  for (std::size_t i = 0; i < kGroup; ++i) out.bytes[i * kBlock + 15] = static_cast<std::uint8_t>(first + i);
  return out;
}
// Numbers of a packet's first registers' blocks, where the counter stands in a block. J0's is 1.
constexpr Constant kCounters[kShortChunks] = {counters(1), counters(5), counters(9), counters(13),
                                              counters(17)};

// The bits of additional data (SP 800-38D 7.1 step 5), in each block, turned round; without and with ESN. There is room for the bits of the
// data.
constexpr Constant additional_bits(std::uint8_t bits) {
  Constant out{};
  for (std::size_t i = 8; i < kChunk; i += kBlock) out.bytes[i] = bits;
  return out;
}
constexpr Constant kAdditionalBits[2] = {additional_bits(64), additional_bits(96)};

MERLON_INLINE Register load(const void* from) {
  return _mm512_loadu_si512(from);
}
MERLON_INLINE Register load(const Constant& from) {
  return _mm512_load_si512(from.bytes);
}
MERLON_INLINE Block load_block(const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const Block*>(from));
}
MERLON_INLINE Register four_times(const std::uint8_t* block) {
  return _mm512_broadcast_i32x4(load_block(block));
}
// The first `count` bytes, `count` being less than 256.
MERLON_INLINE __mmask64 first_bytes(std::size_t count) {
  return _bzhi_u64(kAll, static_cast<unsigned>(count));
}

// ---- GHASH

MERLON_INLINE Register xor3(Register a, Register b, Register c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

// Products that are not yet reduced: lo + mid x^64 + hi x^128, in each of the four lanes.
struct Products {
  Register lo, mid, hi;
};
MERLON_INLINE void add(Products& to, Register x, Register power) {
  to.lo = _mm512_xor_si512(to.lo, _mm512_clmulepi64_epi128(x, power, 0x00));
  to.hi = _mm512_xor_si512(to.hi, _mm512_clmulepi64_epi128(x, power, 0x11));
  to.mid = xor3(to.mid, _mm512_clmulepi64_epi128(x, power, 0x01), _mm512_clmulepi64_epi128(x, power, 0x10));
}
MERLON_INLINE Products product(Register x, Register power) {
  return {
      _mm512_clmulepi64_epi128(x, power, 0x00),
      _mm512_xor_si512(_mm512_clmulepi64_epi128(x, power, 0x01), _mm512_clmulepi64_epi128(x, power, 0x10)),
      _mm512_clmulepi64_epi128(x, power, 0x11)};
}
// Times x^-128, modulo x^128 + x^127 + x^126 + x^121 + 1: each fold makes the 64 lowest bits zero.
MERLON_INLINE Register reduce(const Products& of) {
  const Register poly = _mm512_set1_epi64(static_cast<long long>(0xc200000000000000U));
  const Register mid =
      xor3(of.mid, _mm512_shuffle_epi32(of.lo, _MM_PERM_BADC), _mm512_clmulepi64_epi128(of.lo, poly, 0x00));
  return xor3(of.hi, _mm512_shuffle_epi32(mid, _MM_PERM_BADC), _mm512_clmulepi64_epi128(mid, poly, 0x00));
}
MERLON_INLINE Block sum_of_lanes(Register x) {
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
// In lane i the sum of the lanes of x[i].
MERLON_INLINE Register sums_of_lanes(const Register (&x)[4]) {
  const Register ab =
      _mm512_xor_si512(_mm512_shuffle_i64x2(x[0], x[1], 0x44), _mm512_shuffle_i64x2(x[0], x[1], 0xee));
  const Register cd =
      _mm512_xor_si512(_mm512_shuffle_i64x2(x[2], x[3], 0x44), _mm512_shuffle_i64x2(x[2], x[3], 0xee));
  return _mm512_xor_si512(_mm512_shuffle_i64x2(ab, cd, 0x88), _mm512_shuffle_i64x2(ab, cd, 0xdd));
}

// ---- AES

MERLON_INLINE const std::uint8_t* round_key(const Key& key, std::size_t round) {
  return key.round_keys + round * kBlock;
}

// Counter blocks of several packets on their way to key stream; with kSame all of one key.
template <std::size_t kPackets, std::size_t kChunks, bool kSame>
struct Stream {
  Register state[kPackets][kChunks];

  MERLON_INLINE void run_round(const Packet* packets, std::size_t round) {
    Register key = four_times(round_key(*packets[0].key, round));
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) {
      if (!kSame && i != 0) key = four_times(round_key(*packets[i].key, round));
      MERLON_UNROLL
      for (std::size_t c = 0; c < kChunks; ++c) state[i][c] = _mm512_aesenc_epi128(state[i][c], key);
    }
  }
  // Rounds 10 to the last but one. All packets have as many.
  MERLON_INLINE void run_rounds_of_longer_keys(const Packet* packets) {
    if (packets->key->rounds == 10) return;
    run_round(packets, 10);
    run_round(packets, 11);
    if (packets->key->rounds == 12) return;
    run_round(packets, 12);
    run_round(packets, 13);
  }
};
MERLON_INLINE Register last_round_key(const Packet& packet) {
  return four_times(round_key(*packet.key, packet.key->rounds));
}

// salt | IV | 0, XORed with the first round key.
MERLON_INLINE Register whitened_nonce(const Packet& packet) {
  // Four bytes into the header, so that the IV comes to where it belongs. No packet is shorter than what is read.
  return _mm512_ternarylogic_epi64(four_times(packet.header + 4), _mm512_set4_epi32(0, -1, -1, 0),
                                   four_times(round_key(*packet.key, 0)), 0x6a);  // (a & b) ^ c
}
template <std::size_t kChunks>
MERLON_INLINE void start_from_header(Register (&state)[kChunks], Register nonce) {
  MERLON_UNROLL
  for (std::size_t c = 0; c < kChunks; ++c) state[c] = _mm512_xor_si512(nonce, load(kCounters[c]));
}
// The counter blocks of register `index`, which begins with block 4 * index.
MERLON_INLINE Register counter_blocks(Register nonce, std::size_t index) {
  const Register first = _mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
  const Register count = _mm512_add_epi32(first, _mm512_set1_epi32(static_cast<int>(index * kGroup)));
  return _mm512_xor_si512(nonce, _mm512_shuffle_epi8(count, _mm512_set4_epi32(0x0c0d0e0f, -1, -1, -1)));
}
// The same for several, `first` being a multiple of four.
template <std::size_t kChunks>
MERLON_INLINE void start(Register (&state)[kChunks], Register nonce, std::size_t first) {
  const auto number = static_cast<std::uint32_t>(first * kGroup);
  const Register base = _mm512_maskz_set1_epi32(0x8888, static_cast<int>(__builtin_bswap32(number)));
  MERLON_UNROLL
  for (std::size_t c = 0; c < kChunks; ++c)
    state[c] = _mm512_xor_si512(nonce, _mm512_add_epi32(base, load(kCounters[c])));
  // That sum has no carry out of the last byte.
  if (kChunks < kGroup || (number & 0xffU) != 0xf0U) return;
  MERLON_UNROLL
  for (std::size_t c = kGroup - 1; c < kChunks; ++c) state[c] = counter_blocks(nonce, first + c);
}

// ---- a packet's registers

MERLON_INLINE std::size_t blocks_of(const Packet& packet) {
  return (std::size_t{packet.length} + kBlock - 1) / kBlock + 2;
}
MERLON_INLINE std::uint8_t* at(const Packet& packet, std::size_t index) {
  return packet.header + index * kChunk;
}

// The stretch of registers that ends packets of one length and key: kChunks of them from `first` on, which is 0 where that is the
// whole packet.
template <std::size_t kChunks, bool kWhole>
struct Stretch {
  Stretch() = default;
  MERLON_INLINE Stretch(const Packet& packet, std::size_t first) {
    const std::size_t whole_blocks = (std::size_t{packet.length} + kBlock - 1) & ~(kBlock - 1);
    powers_ = packet.key->powers + (Key::kPowers - 2) * kBlock + first * kChunk - whole_blocks;
    // The data and, once, header and IV, in the last two registers. (The lengths may stand alone in the last one.)
    const std::size_t in_two =
        kBlock + packet.length - first * kChunk - (kChunks == 1 ? 0 : kChunks - 2) * kChunk;
    const std::size_t in_last = kChunks == 1 ? in_two : in_two > kChunk ? in_two - kChunk : 0;
    last_but_one_ = first_bytes(in_two);
    last_ = first_bytes(in_last);
    last_blocks_ = first_bytes((in_last + kBlock - 1) & ~(kBlock - 1));
    if (kWhole) (kChunks == 1 ? last_ : last_but_one_) &= kChunks <= 2 ? ~kFirstBlock : kAll;
    const std::size_t esn = packet.key->esn ? 1 : 0;
    lengths_ =
        _mm512_mask_set1_epi64(load(kAdditionalBits[esn]), 0x55, static_cast<long long>(packet.length) * 8);
    turn_header_ = &kTurnHeader[esn];
  }

  // Of the data in register c.
  MERLON_INLINE __mmask64 mask(std::size_t c) const {
    if (c + 1 == kChunks) return last_;
    if (c + 2 == kChunks) return last_but_one_;
    return kWhole && c == 0 ? kAll & ~kFirstBlock : kAll;
  }
  // The data and, in the first block, header and IV.
  MERLON_INLINE static Register with_header(const Packet& packet, std::size_t c, Register data) {
    return kWhole && c == 0 ? _mm512_mask_broadcast_i32x4(data, 0x000f, load_block(packet.header)) : data;
  }

  // Adds what GHASH takes of register c: of header and IV the additional data; behind the last data the lengths. What comes
  // behind those is multiplied by zeros. `carried`: the hash so far, where the packet began before.
  MERLON_INLINE void hash(Products& sum, const Packet& packet, std::size_t c, Register data,
                          Register carried) const {
    const bool is_first = kWhole && c == 0, is_last = c + 1 == kChunks;
    const Register turn = load(is_first ? *turn_header_ : kTurn);
    Register x = is_last ? _mm512_mask_shuffle_epi8(lengths_, last_blocks_, data, turn)
                         : _mm512_shuffle_epi8(data, turn);
    if (is_first) x = _mm512_mask_xor_epi32(x, 0x0004, x, _mm512_set1_epi32(static_cast<int>(packet.high)));
    const Register powers = load(powers_ + c * kChunk);
    if (c == 0) {
      sum = product(kWhole ? x : _mm512_xor_si512(x, carried), powers);
    } else {
      add(sum, x, powers);
    }
  }

 private:
  const std::uint8_t* powers_;
  const Constant* turn_header_;
  __mmask64 last_but_one_, last_;  // data
  __mmask64 last_blocks_;          // data in whole blocks
  Register lengths_;               // in every block
};

// ---- ICVs

MERLON_INLINE std::uint8_t* icv_of(const Packet& packet) {
  return packet.header + kBlock + packet.length;
}
MERLON_INLINE __mmask16 icv_mask(const Packet& packet) {
  return static_cast<__mmask16>(_bzhi_u32(0xffff, packet.key->icv_size));
}
MERLON_INLINE void store_icv(const Packet& packet, Block tag) {
  if (packet.key->icv_size == kBlock) {
    _mm_storeu_si128(reinterpret_cast<Block*>(icv_of(packet)), tag);
  } else {
    _mm_mask_storeu_epi8(icv_of(packet), icv_mask(packet), tag);
  }
}
// All zeros where the ICV is right.
MERLON_INLINE Block difference(const Packet& packet, Block tag) {
  if (packet.key->icv_size == kBlock) return _mm_xor_si128(load_block(icv_of(packet)), tag);
  const __mmask16 mask = icv_mask(packet);
  return _mm_maskz_mov_epi8(mask, _mm_xor_si128(_mm_maskz_loadu_epi8(mask, icv_of(packet)), tag));
}

MERLON_INLINE Block turned(Block hash) {
  return _mm_shuffle_epi8(hash, _mm_load_si128(reinterpret_cast<const Block*>(kTurn.bytes)));
}
// The tag of each packet, of the lanes of its hash and its E(K, J0), which begins `stream`.
template <std::size_t kPackets>
MERLON_INLINE void make_tags(Block (&tags)[kPackets], const Register (&hashes)[kPackets],
                             const Register (&streams)[kPackets]) {
  if constexpr (kPackets == 4) {
    const Register sums = _mm512_shuffle_epi8(sums_of_lanes(hashes), load(kTurn));
    tags[0] = _mm512_castsi512_si128(sums);
    tags[1] = _mm512_extracti32x4_epi32(sums, 1);
    tags[2] = _mm512_extracti32x4_epi32(sums, 2);
    tags[3] = _mm512_extracti32x4_epi32(sums, 3);
  } else {
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) tags[i] = turned(sum_of_lanes(hashes[i]));
  }
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i)
    tags[i] = _mm_xor_si128(tags[i], _mm512_castsi512_si128(streams[i]));
}

}  // namespace merlon::crypto::vaes
