// Long packets (gcm_vaes_parts.h says how): groups of four registers, then a stretch of two to five that ends the packet. Two packets
// of one number of registers go side by side, since the last stretch of one alone leaves the CPU waiting.
#ifdef __x86_64__

#include "crypto/backends/gcm_vaes_parts.h"

// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): registers are written before they are read
namespace merlon::crypto::vaes {
namespace {

constexpr std::size_t kRounds = 10;  // of AES-128

// One or two packets, and how far they are.
template <std::size_t kPackets>
struct Run {
  const Packet* packets;
  Register nonce[kPackets];
  Register x[kPackets][kGroup];  // what GHASH takes of a group
  Register hash[kPackets];  // of the groups before, lane by lane: the lanes add up in the last stretch only
  Register first_stream[kPackets];  // E(K, J0) in front
  std::size_t chunks, first = 0;    // registers of a packet, and those that are done

  MERLON_INLINE explicit Run(const Packet* of) : packets(of), chunks(chunks_of(of->length)) {
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) {
      nonce[i] = whitened_nonce(of[i]);
      hash[i] = _mm512_setzero_si512();
    }
  }
  // Two registers are left at least, so that each lane of the hash has a block that it is added to.
  [[nodiscard]] MERLON_INLINE bool is_group_next() const { return chunks - first > kGroup + 1; }
};

template <std::size_t kPackets>
using Group = Stream<kPackets, kGroup, kPackets == 1>;

template <std::size_t kPackets>
MERLON_INLINE void hash_register(Run<kPackets>& run, Products& sum, std::size_t i, std::size_t c) {
  const Register power = four_times(run.packets[i].key->powers + (Key::kPowers - (kGroup - c) * 4) * kBlock);
  if (c == 0) {
    sum = product(_mm512_xor_si512(run.x[i][0], run.hash[i]), power);
  } else {
    add(sum, run.x[i][c], power);
  }
  if (c + 1 == kGroup) run.hash[i] = reduce(sum);
}
// The rounds but the last; kHashes: beside the hash of run.x.
template <bool kHashes, std::size_t kPackets, std::size_t kChunks, bool kSame>
MERLON_INLINE void run_rounds(Stream<kPackets, kChunks, kSame>& stream, Run<kPackets>& run) {
  Products sum;
  MERLON_UNROLL
  for (std::size_t round = 1; round < kRounds; ++round) {
    stream.run_round(run.packets, round);
    const std::size_t step = kPackets == 1 ? round / 2 : round;  // from 1 on, one register a step
    if (!kHashes || (kPackets == 1 && round % 2 != 0) || step > kPackets * kGroup) continue;
    hash_register(run, sum, (step - 1) / kGroup, (step - 1) % kGroup);
  }
  stream.run_rounds_of_longer_keys(run.packets);
}

// What GHASH takes of a register that is header, IV and data, or data.
template <bool kFromHeader>
MERLON_INLINE Register hash_input(const Packet& packet, Register data) {
  if constexpr (!kFromHeader) return _mm512_shuffle_epi8(data, load(kTurn));
  const Register x = _mm512_shuffle_epi8(data, load(kTurnHeader[packet.key->esn ? 1 : 0]));
  return _mm512_mask_xor_epi32(x, 0x0004, x, _mm512_set1_epi32(static_cast<int>(packet.high)));
}

// Before decryption: the group as it came.
template <bool kFromHeader, std::size_t kPackets>
MERLON_INLINE void take(Run<kPackets>& run) {
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    const Packet& packet = run.packets[i];
    run.x[i][0] = hash_input<kFromHeader>(packet, load(at(packet, run.first)));
    MERLON_UNROLL
    for (std::size_t c = 1; c < kGroup; ++c)
      run.x[i][c] = hash_input<false>(packet, load(at(packet, run.first + c)));
  }
}

// The last round, and the group's data XORed with the stream; kSeals: what comes out is to be hashed.
template <bool kSeals, bool kFromHeader, std::size_t kPackets>
MERLON_INLINE void apply(Run<kPackets>& run, const Group<kPackets>& stream) {
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    const Packet& packet = run.packets[i];
    const Register key = last_round_key(packet);
    MERLON_UNROLL
    for (std::size_t c = 0; c < kGroup; ++c) {
      std::uint8_t* const place = at(packet, run.first + c);
      const bool is_header = kFromHeader && c == 0;
      const Register in = is_header ? _mm512_maskz_loadu_epi8(kAll & ~kFirstBlock, place) : load(place);
      Register out = _mm512_aesenclast_epi128(stream.state[i][c], _mm512_xor_si512(in, key));
      if (is_header) {
        run.first_stream[i] = out;
        _mm512_mask_storeu_epi8(place, kAll & ~kFirstBlock, out);
        if (!kSeals) continue;
        out = _mm512_mask_broadcast_i32x4(out, 0x000f, load_block(packet.header));
        run.x[i][c] = hash_input<true>(packet, out);
      } else {
        _mm512_storeu_si512(place, out);
        if (kSeals) run.x[i][c] = hash_input<false>(packet, out);
      }
    }
  }
  run.first += kGroup;
}

// The last stretch: data, and the tags. Sealing, the hash of the last group goes beside its rounds; opening, the stretch's own.
template <bool kSeals, std::size_t kPackets, std::size_t kChunks>
MERLON_INLINE void end(Run<kPackets>& run, Block (&tags)[kPackets]) {
  Stretch<kChunks, false> stretches[kPackets];
  Stream<kPackets, kChunks, kPackets == 1> stream;
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    stretches[i] = Stretch<kChunks, false>(run.packets[i], run.first);
    start(stream.state[i], run.nonce[i], run.first);
  }
  Products sum;
  if constexpr (kSeals) {
    run_rounds<true>(stream, run);
  } else {
    MERLON_UNROLL
    for (std::size_t step = 0; step < kRounds; ++step) {
      if (step + 1 < kRounds) stream.run_round(run.packets, step + 1);
      const std::size_t i = step / kChunks, c = step % kChunks;
      if (i >= kPackets) continue;
      const Register data = _mm512_maskz_loadu_epi8(stretches[i].mask(c), at(run.packets[i], run.first + c));
      stretches[i].hash(sum, run.packets[i], c, data, run.hash[i]);
      if (c + 1 == kChunks) run.hash[i] = reduce(sum);
    }
    stream.run_rounds_of_longer_keys(run.packets);
  }
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    const Packet& packet = run.packets[i];
    const Register key = last_round_key(packet);
    MERLON_UNROLL
    for (std::size_t c = 0; c < kChunks; ++c) {
      const __mmask64 mask = stretches[i].mask(c);
      std::uint8_t* const place = at(packet, run.first + c);
      const Register in = _mm512_maskz_loadu_epi8(mask, place);
      const Register out = _mm512_aesenclast_epi128(stream.state[i][c], _mm512_xor_si512(in, key));
      _mm512_mask_storeu_epi8(place, mask, out);
      if (kSeals) stretches[i].hash(sum, packet, c, _mm512_maskz_mov_epi8(mask, out), run.hash[i]);
    }
    if (kSeals) run.hash[i] = reduce(sum);
    tags[i] = _mm_xor_si128(turned(sum_of_lanes(run.hash[i])), _mm512_castsi512_si128(run.first_stream[i]));
  }
}
template <bool kSeals, std::size_t kPackets>
MERLON_INLINE void end(Run<kPackets>& run, Block (&tags)[kPackets]) {
  switch (run.chunks - run.first) {
    case 2:
      return end<kSeals, kPackets, 2>(run, tags);
    case 3:
      return end<kSeals, kPackets, 3>(run, tags);
    case 4:
      return end<kSeals, kPackets, 4>(run, tags);
    default:
      return end<kSeals, kPackets, 5>(run, tags);
  }
}

template <std::size_t kPackets>
MERLON_INLINE void start_group(Run<kPackets>& run, Group<kPackets>& stream) {
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) start(stream.state[i], run.nonce[i], run.first);
}

template <std::size_t kPackets>
void seal_side(const Packet* packets) {
  Run<kPackets> run(packets);
  Group<kPackets> stream;
  start_group(run, stream);
  run_rounds<false>(stream, run);
  apply<true, true>(run, stream);
  while (run.is_group_next()) {
    start_group(run, stream);
    run_rounds<true>(stream, run);  // the hash is that of the group before
    apply<true, false>(run, stream);
  }
  Block tags[kPackets];
  end<true>(run, tags);
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) store_icv(packets[i], tags[i]);
}

template <std::size_t kPackets>
void open_side(const Packet* packets) {
  Run<kPackets> run(packets);
  Group<kPackets> stream;
  start_group(run, stream);
  take<true>(run);
  run_rounds<true>(stream, run);
  apply<false, true>(run, stream);
  while (run.is_group_next()) {
    start_group(run, stream);
    take<false>(run);
    run_rounds<true>(stream, run);
    apply<false, false>(run, stream);
  }
  Block tags[kPackets];
  end<false>(run, tags);
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    const Block wrong = difference(packets[i], tags[i]);
    const bool is_right = _mm_testz_si128(wrong, wrong) != 0;
    *packets[i].ok = is_right;
    if (!is_right) __builtin_memset(at(packets[i], 0) + kBlock, 0, packets[i].length);
  }
}

}  // namespace

void seal_long(const Packet* packets, std::size_t count) {
  count == 1 ? seal_side<1>(packets) : seal_side<2>(packets);
}
void open_long(const Packet* packets, std::size_t count) {
  count == 1 ? open_side<1>(packets) : open_side<2>(packets);
}

}  // namespace merlon::crypto::vaes
// NOLINTEND(cppcoreguidelines-pro-type-member-init)

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
