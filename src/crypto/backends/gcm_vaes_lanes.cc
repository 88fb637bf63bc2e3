// Short packets of different keys, which are as good as never in a near cache: so that one line of the cipher is all that is read of it,
// round keys and the power of H are made anew for each packet. Four packets stand in a register's four lanes:
//
//   register 0             register 1       ...   register n        and one more
//   | J0 of packet 0 |     | its data 0 |         | its data n-1 |  | E(K, 0), its H |
//   | J0 of packet 1 |     | its data 0 |
//   | ...            |     | ...        |
//
// so a round key of four packets is one register too, and one way through the key schedule makes it for all of them (FIPS 197 5.2). Two such
// groups go side by side, since what is made of one key is one long chain.
#ifdef __x86_64__

#include "crypto/backends/gcm_vaes_parts.h"

// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): registers are written before they are read
namespace merlon::crypto::vaes {
namespace {

constexpr std::size_t kGroups = 2, kLanes = 4, kSide = kGroups * kLanes;

// In each lane, what stands in the packet's own piece of memory.
MERLON_INLINE Register gather(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c,
                              const std::uint8_t* d) {
  Register out = four_times(a);
  out = _mm512_mask_broadcast_i32x4(out, 0x00f0, load_block(b));
  out = _mm512_mask_broadcast_i32x4(out, 0x0f00, load_block(c));
  return _mm512_mask_broadcast_i32x4(out, 0xf000, load_block(d));
}

// ---- FIPS 197 5.2

constexpr Constant four_words(std::uint32_t (&&words)[4]) {
  Constant out{};
  for (std::size_t i = 0; i < kChunk; ++i)
    out.bytes[i] = static_cast<std::uint8_t>(words[i / 4 % 4] >> 8 * (i % 4));
  return out;
}
// The last word of a round key in each column, rotated (RotWord) and as it is: what AES' last round makes of equal columns is SubWord.
constexpr Constant kRotated = four_words({0x0c0f0e0d, 0x0c0f0e0d, 0x0c0f0e0d, 0x0c0f0e0d});
constexpr Constant kLastWord = four_words({0x0f0e0d0c, 0x0f0e0d0c, 0x0f0e0d0c, 0x0f0e0d0c});
constexpr Constant kSecondToUpper = four_words({0x80808080, 0x80808080, 0x07060504, 0x07060504});

MERLON_INLINE Register changed(Register key, const Constant& order, std::uint32_t rcon) {
  return _mm512_aesenclast_epi128(_mm512_shuffle_epi8(key, load(order)),
                                  _mm512_set1_epi32(static_cast<int>(rcon)));
}
// Each word of the new round key is the sum of those up to it of the one before, and of `change`.
MERLON_INLINE Register following(Register before, Register change) {
  const Register pairs = _mm512_xor_si512(before, _mm512_slli_epi64(before, 32));
  return xor3(pairs, _mm512_shuffle_epi8(pairs, load(kSecondToUpper)), change);
}

constexpr std::uint32_t kRcon[11] = {0, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36};

// The round keys of four packets, one after the other. Nothing but the first three is read.
template <std::size_t kRounds>
struct RoundKeys {
  static_assert(kRounds == 10 || kRounds == 14);
  Register before, now;  // of the rounds before the next one

  // Of the rounds 1 and 2, then of `round`.
  MERLON_INLINE Register next(std::size_t round) {
    Register made;
    if (kRounds == 10) {
      made = following(now, changed(now, kRotated, kRcon[round]));
    } else if (round % 2 == 0) {
      made = following(before, changed(now, kRotated, kRcon[round / 2]));
    } else {
      made = following(before, changed(now, kLastWord, 0));
    }
    before = now;
    return now = made;
  }
};

// The first round key without the salt: only its first word has it, and is what the key that was made of it tells.
template <std::size_t kRounds>
MERLON_INLINE Register without_salt(Register first, Register second, Register third) {
  const Register made = kRounds == 10 ? second : third;
  const Register change = changed(kRounds == 10 ? first : second, kRotated, 1);
  return _mm512_mask_xor_epi32(first, 0x1111, made, change);
}

// RFC 8452 appendix A: times x in POLYVAL's field, in each lane.
MERLON_INLINE Register times_x(Register a) {
  const Register poly = _mm512_set4_epi32(static_cast<int>(0xc2000000U), 0, 0, 0);
  const Register carries = _mm512_shuffle_epi32(_mm512_srli_epi64(a, 63), _MM_PERM_BADC);
  const Register signs = _mm512_shuffle_epi32(_mm512_srai_epi32(a, 31), _MM_PERM_DDDD);
  const Register doubled = _mm512_or_si512(_mm512_add_epi64(a, a), carries);
  return _mm512_ternarylogic_epi64(doubled, signs, poly, 0x78);  // a ^ (b & c)
}

// ---- four packets

template <bool kSeals, std::size_t kBlocks, std::size_t kRounds>
struct Group {
  const Packet* packets;
  RoundKeys<kRounds> keys;
  Register counter;              // J0, on its way to what encrypts the tag
  Register hash_key;             // 0, on its way to H
  Register data[kBlocks];        // counter blocks, then what goes into the packets
  Register hashed[kBlocks + 2];  // what GHASH takes: additional data, encrypted data, lengths
  Register squared, hash;

  MERLON_INLINE Register at_each(std::size_t offset) const {
    return gather(packets[0].header + offset, packets[1].header + offset, packets[2].header + offset,
                  packets[3].header + offset);
  }
  MERLON_INLINE Register round_key_of_each(std::size_t round) const {
    return gather(round_key(*packets[0].key, round), round_key(*packets[1].key, round),
                  round_key(*packets[2].key, round), round_key(*packets[3].key, round));
  }

  MERLON_INLINE void start(const Packet* four) {
    packets = four;
    const Register first = round_key_of_each(0);
    keys.before = round_key_of_each(1);
    keys.now = round_key_of_each(2);
    hash_key = without_salt<kRounds>(first, keys.before, keys.now);
    // salt | IV | 0: four bytes into the header, so that the IV comes to where it belongs. No packet is shorter than what is read.
    const Register nonce =
        _mm512_ternarylogic_epi64(at_each(4), _mm512_set4_epi32(0, -1, -1, 0), first, 0x6a);  // (a & b) ^ c
    counter = _mm512_xor_si512(nonce, _mm512_set4_epi32(1 << 24, 0, 0, 0));
    MERLON_UNROLL
    for (std::size_t i = 0; i < kBlocks; ++i)
      data[i] = _mm512_xor_si512(nonce, _mm512_set4_epi32(static_cast<int>(i + 2) << 24, 0, 0, 0));
  }

  MERLON_INLINE void run_round(std::size_t round) {
    const Register key = round == 1 ? keys.before : round == 2 ? keys.now : keys.next(round);
    hash_key = _mm512_aesenc_epi128(hash_key, key);
    counter = _mm512_aesenc_epi128(counter, key);
    MERLON_UNROLL
    for (std::size_t i = 0; i < kBlocks; ++i) data[i] = _mm512_aesenc_epi128(data[i], key);
  }

  // Of the last block, which may be not whole.
  MERLON_INLINE static __mmask16 last_mask(const Packet& packet) {
    return static_cast<__mmask16>(
        _bzhi_u32(0xffff, packet.length - static_cast<std::uint32_t>((kBlocks - 1) * kBlock)));
  }
  MERLON_INLINE static std::uint8_t* last_block(const Packet& packet) {
    return packet.header + kBlocks * kBlock;
  }
  MERLON_INLINE Register last_data() const {
    Block of[kLanes];
    MERLON_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i)
      of[i] = _mm_maskz_loadu_epi8(last_mask(packets[i]), last_block(packets[i]));
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(of[0]), of[1], 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(of[2]), of[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }

  // The last round; the data are encrypted or decrypted then. What was sealed is written.
  MERLON_INLINE void run_last_round() {
    const Register key = keys.next(kRounds);
    hash_key = times_x(_mm512_shuffle_epi8(_mm512_aesenclast_epi128(hash_key, key), load(kTurn)));
    counter = _mm512_aesenclast_epi128(counter, key);
    MERLON_UNROLL
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const bool is_last = i + 1 == kBlocks;
      const Register before = is_last ? last_data() : at_each((i + 1) * kBlock);
      data[i] = _mm512_aesenclast_epi128(data[i], _mm512_xor_si512(before, key));
      if (kSeals) store(i);
      Register sealed = kSeals ? data[i] : before;
      if (kSeals && is_last) sealed = _mm512_maskz_mov_epi8(last_masks(), sealed);
      hashed[i + 1] = _mm512_shuffle_epi8(sealed, load(kTurn));
    }
  }
  MERLON_INLINE __mmask64 last_masks() const {
    __mmask64 out = 0;
    MERLON_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) out |= __mmask64{last_mask(packets[i])} << kBlock * i;
    return out;
  }

  MERLON_INLINE void store(std::size_t block) const {
    MERLON_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) store(block, i);
  }
  MERLON_INLINE void store(std::size_t block, std::size_t i) const {
    const Block lane = lane_of(data[block], i);
    if (block + 1 == kBlocks) {
      _mm_mask_storeu_epi8(last_block(packets[i]), last_mask(packets[i]), lane);
    } else {
      _mm_storeu_si128(reinterpret_cast<Block*>(packets[i].header + (block + 1) * kBlock), lane);
    }
  }
  MERLON_INLINE static Block lane_of(Register of, std::size_t i) {
    switch (i) {
      case 0:
        return _mm512_castsi512_si128(of);
      case 1:
        return _mm512_extracti32x4_epi32(of, 1);
      case 2:
        return _mm512_extracti32x4_epi32(of, 2);
      default:
        return _mm512_extracti32x4_epi32(of, 3);
    }
  }

  // What GHASH takes beside the data.
  MERLON_INLINE void take_header_and_lengths() {
    __mmask8 esn = 0;
    MERLON_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i)
      esn = static_cast<__mmask8>(esn | (packets[i].key->esn ? 3U : 0U) << 2 * i);
    const Register turn = _mm512_mask_blend_epi64(esn, load(kTurnHeaders[0]), load(kTurnHeaders[1]));
    // Length, high half of the sequence number: twice in each lane.
    Register numbers = _mm512_set1_epi64(length_and_high(packets[0]));
    numbers = _mm512_mask_set1_epi64(numbers, 0x0c, length_and_high(packets[1]));
    numbers = _mm512_mask_set1_epi64(numbers, 0x30, length_and_high(packets[2]));
    numbers = _mm512_mask_set1_epi64(numbers, 0xc0, length_and_high(packets[3]));
    const Register header = _mm512_shuffle_epi8(at_each(0), turn);
    hashed[0] = _mm512_mask_xor_epi64(header, 0xaa, header, _mm512_srli_epi64(numbers, 32));
    const Register additional =
        _mm512_mask_blend_epi64(esn, load(kAdditionalBits[0]), load(kAdditionalBits[1]));
    hashed[kBlocks + 1] = _mm512_mask_srli_epi64(additional, 0x55, _mm512_slli_epi64(numbers, 32), 29);
  }
  MERLON_INLINE static long long length_and_high(const Packet& packet) {
    long long both = 0;
    static_assert(offsetof(Packet, high) == offsetof(Packet, length) + 4);
    __builtin_memcpy(&both, &packet.length, sizeof both);
    return both;
  }

  // GHASH two blocks at a time: (hash + x) H^2 + y H. Where the number of blocks is odd, the first is alone.
  static constexpr std::size_t kHashSteps = (kBlocks + 3) / 2;
  MERLON_INLINE void hash_step(std::size_t step) {
    constexpr bool kOdd = kBlocks % 2 != 0;
    if (step == 0) squared = reduce(product(hash_key, hash_key));
    Products sum;
    if (kOdd && step == 0) {
      sum = product(hashed[0], hash_key);
    } else {
      const std::size_t i = 2 * step - (kOdd ? 1 : 0);
      sum = product(step == 0 ? hashed[i] : _mm512_xor_si512(hash, hashed[i]), squared);
      add(sum, hashed[i + 1], hash_key);
    }
    hash = reduce(sum);
  }

  MERLON_INLINE void finish() const {
    const Register tags = _mm512_xor_si512(_mm512_shuffle_epi8(hash, load(kTurn)), counter);
    MERLON_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) {
      const Block tag = lane_of(tags, i);
      if (kSeals) {
        store_icv(packets[i], tag);
        continue;
      }
      const Block wrong = difference(packets[i], tag);
      const bool is_right = _mm_testz_si128(wrong, wrong) != 0;
      *packets[i].ok = is_right;
      if (!is_right) continue;  // nothing of the packet is released
      MERLON_UNROLL
      for (std::size_t block = 0; block < kBlocks; ++block) store(block, i);
    }
  }
};

template <bool kSeals, std::size_t kBlocks, std::size_t kRounds>
MERLON_INLINE void run_side(const Packet* packets) {
  Group<kSeals, kBlocks, kRounds> groups[kGroups];
  MERLON_UNROLL
  for (std::size_t g = 0; g < kGroups; ++g) groups[g].start(packets + g * kLanes);
  MERLON_UNROLL
  for (std::size_t round = 1; round < kRounds; ++round) {
    MERLON_UNROLL
    for (std::size_t g = 0; g < kGroups; ++g) groups[g].run_round(round);
  }
  MERLON_UNROLL
  for (std::size_t g = 0; g < kGroups; ++g) {
    groups[g].take_header_and_lengths();
    groups[g].run_last_round();
  }
  MERLON_UNROLL
  for (std::size_t step = 0; step < Group<kSeals, kBlocks, kRounds>::kHashSteps; ++step) {
    MERLON_UNROLL
    for (std::size_t g = 0; g < kGroups; ++g) groups[g].hash_step(step);
  }
  MERLON_UNROLL
  for (std::size_t g = 0; g < kGroups; ++g) groups[g].finish();
}

// Lanes without a packet work on one that nobody asked for.
template <bool kSeals, std::size_t kBlocks, std::size_t kRounds>
void run(const Packet* packets, std::size_t count) {
  for (; count >= kSide; packets += kSide, count -= kSide) run_side<kSeals, kBlocks, kRounds>(packets);
  if (count == 0) return;
  static constexpr Key kNoKey{.rounds = kRounds,
                              .icv_size = kBlock,
                              .esn = false,
                              .unused = 0,
                              .round_keys = {},
                              .powers = {},
                              .zeros = {}};
  std::uint8_t room[(kBlocks + 2) * kBlock] = {};
  bool ok = false;
  Packet side[kSide];
  for (std::size_t i = 0; i < kSide; ++i)
    side[i] = i < count ? packets[i] : Packet{room, &kNoKey, &ok, kBlocks * kBlock, 0};
  run_side<kSeals, kBlocks, kRounds>(side);
}

template <bool kSeals, std::size_t kRounds>
void run(const Packet* packets, std::size_t count, std::size_t blocks) {
  switch (blocks) {
    case 2:
      return run<kSeals, 2, kRounds>(packets, count);
    case 3:
      return run<kSeals, 3, kRounds>(packets, count);
    case 4:
      return run<kSeals, 4, kRounds>(packets, count);
    case 5:
      return run<kSeals, 5, kRounds>(packets, count);
    default:
      return run<kSeals, 6, kRounds>(packets, count);
  }
}

template <bool kSeals>
void run(const Packet* packets, std::size_t count, std::size_t blocks) {
  (packets->key->rounds == 10 ? run<kSeals, 10> : run<kSeals, 14>)(packets, count, blocks);
}

}  // namespace

void seal_lanes(const Packet* packets, std::size_t count, std::size_t blocks) {
  run<true>(packets, count, blocks);
}
void open_lanes(const Packet* packets, std::size_t count, std::size_t blocks) {
  run<false>(packets, count, blocks);
}

}  // namespace merlon::crypto::vaes
// NOLINTEND(cppcoreguidelines-pro-type-member-init)

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
