// Short packets (gcm_vaes_parts.h says how): several side by side, since the rounds of one would wait for each other.
#ifdef __x86_64__

#include "crypto/backends/gcm_vaes_parts.h"

// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): registers are written before they are read
namespace merlon::crypto::vaes {
namespace {

// The hashes of kPackets packets, register by register. With kSame they are of one key and one length.
template <std::size_t kPackets, std::size_t kChunks, bool kSame>
struct Hashes {
  Stretch<kChunks, true> stretches[kSame ? 1 : kPackets];
  Products sum;
  Register done[kPackets];

  MERLON_INLINE const Stretch<kChunks, true>& stretch(std::size_t i) const {
    return stretches[kSame ? 0 : i];
  }

  // One register; with kPackets * kChunks steps all is done. There may be more.
  MERLON_INLINE void step(std::size_t number, const Packet* packets,
                          const Register (&data)[kPackets][kChunks]) {
    const std::size_t i = number / kChunks, c = number % kChunks;
    if (i >= kPackets) return;
    stretch(i).hash(sum, packets[i], c, data[i][c], data[i][c]);
    if (c + 1 == kChunks) done[i] = reduce(sum);
  }
};
constexpr std::size_t kSteps = 10;  // the rounds of AES-128, beside which registers are hashed

// ---- sealing: the packets before are hashed beside the rounds of the next

template <std::size_t kPackets, std::size_t kChunks, bool kSame>
struct Sealing {
  const Packet* packets;
  Hashes<kPackets, kChunks, kSame> hashes;
  Register data[kPackets][kChunks];  // encrypted, with the header
  Register first[kPackets];          // E(K, J0) in front

  MERLON_INLINE void store_icvs() const {
    Block tags[kPackets];
    make_tags(tags, hashes.done, first);
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) store_icv(packets[i], tags[i]);
  }

  // Encrypts `next`, and finishes what was encrypted before; kIsFirst: nothing was.
  template <bool kIsFirst>
  MERLON_INLINE void encrypt(const Packet* next) {
    Stream<kPackets, kChunks, kSame> stream;
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) start_from_header(stream.state[i], whitened_nonce(next[i]));
    MERLON_UNROLL
    for (std::size_t step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) stream.run_round(next, step + 1);
      if (!kIsFirst) hashes.step(step, packets, data);
    }
    stream.run_rounds_of_longer_keys(next);
    if (!kIsFirst) store_icvs();

    packets = next;
    if (kIsFirst || !kSame) {
      MERLON_UNROLL
      for (std::size_t i = 0; i < (kSame ? 1 : kPackets); ++i)
        hashes.stretches[i] = Stretch<kChunks, true>(next[i], 0);
    }
    Register key = last_round_key(next[0]);
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) {
      if (!kSame && i != 0) key = last_round_key(next[i]);
      MERLON_UNROLL
      for (std::size_t c = 0; c < kChunks; ++c) {
        const __mmask64 mask = hashes.stretch(i).mask(c);
        std::uint8_t* const place = at(next[i], c);
        const Register plain = _mm512_maskz_loadu_epi8(mask, place);
        const Register sealed = _mm512_aesenclast_epi128(stream.state[i][c], _mm512_xor_si512(plain, key));
        if (c == 0) first[i] = sealed;
        _mm512_mask_storeu_epi8(place, mask, sealed);
        data[i][c] = Stretch<kChunks, true>::with_header(next[i], c, _mm512_maskz_mov_epi8(mask, sealed));
      }
    }
  }

  MERLON_INLINE void finish() {
    MERLON_UNROLL
    for (std::size_t step = 0; step < kSteps; ++step) hashes.step(step, packets, data);
    store_icvs();
  }
};

template <std::size_t kSide, std::size_t kChunks, bool kSame>
std::size_t seal_in_sides(const Packet* packets, std::size_t count) {
  if (count < kSide) return 0;
  Sealing<kSide, kChunks, kSame> sealing;
  sealing.template encrypt<true>(packets);
  std::size_t i = kSide;
  for (; i + kSide <= count; i += kSide) sealing.template encrypt<false>(packets + i);
  sealing.finish();
  return i;
}

// ---- opening: what is hashed stands there from the start

template <std::size_t kPackets, std::size_t kChunks, bool kSame>
MERLON_INLINE void open_side(const Packet* packets, Hashes<kPackets, kChunks, kSame>& hashes) {
  using Whole = Stretch<kChunks, true>;
  if (!kSame) {
    MERLON_UNROLL
    for (std::size_t i = 0; i < kPackets; ++i) hashes.stretches[i] = Whole(packets[i], 0);
  }
  Stream<kPackets, kChunks, kSame> stream;
  Register data[kPackets][kChunks];
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) start_from_header(stream.state[i], whitened_nonce(packets[i]));
  MERLON_UNROLL
  for (std::size_t step = 0; step < kSteps; ++step) {
    if (step + 1 < kSteps) stream.run_round(packets, step + 1);
    const std::size_t i = step / kChunks, c = step % kChunks;
    if (i >= kPackets) continue;
    data[i][c] = Whole::with_header(packets[i], c,
                                    _mm512_maskz_loadu_epi8(hashes.stretch(i).mask(c), at(packets[i], c)));
    hashes.step(step, packets, data);
  }
  stream.run_rounds_of_longer_keys(packets);

  Register first[kPackets];
  Register key = last_round_key(packets[0]);
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    if (!kSame && i != 0) key = last_round_key(packets[i]);
    MERLON_UNROLL
    for (std::size_t c = 0; c < kChunks; ++c) {
      const Register sealed = _mm512_maskz_loadu_epi8(hashes.stretch(i).mask(c), at(packets[i], c));
      stream.state[i][c] = _mm512_aesenclast_epi128(stream.state[i][c], _mm512_xor_si512(sealed, key));
    }
    first[i] = stream.state[i][0];
  }
  Block tags[kPackets];
  make_tags(tags, hashes.done, first);

  // Nothing of a packet is released whose ICV is wrong.
  MERLON_UNROLL
  for (std::size_t i = 0; i < kPackets; ++i) {
    const Block wrong = difference(packets[i], tags[i]);
    const bool is_right = _mm_testz_si128(wrong, wrong) != 0;
    *packets[i].ok = is_right;
    if (!is_right) continue;
    MERLON_UNROLL
    for (std::size_t c = 0; c < kChunks; ++c)
      _mm512_mask_storeu_epi8(at(packets[i], c), hashes.stretch(i).mask(c), stream.state[i][c]);
  }
}

template <std::size_t kSide, std::size_t kChunks, bool kSame>
std::size_t open_in_sides(const Packet* packets, std::size_t count) {
  if (count < kSide) return 0;
  Hashes<kSide, kChunks, kSame> hashes;
  if (kSame) hashes.stretches[0] = Stretch<kChunks, true>(packets[0], 0);
  std::size_t i = 0;
  for (; i + kSide <= count; i += kSide) open_side(packets + i, hashes);
  return i;
}

// ---- which of them

bool are_same(const Packet* packets, std::size_t count) {
  bool same = true;
  for (std::size_t i = 1; i < count; ++i)
    same &= packets[i].key == packets[0].key && packets[i].length == packets[0].length;
  return same;
}

template <bool kSeals, std::size_t kSide, std::size_t kChunks>
void run(const Packet* packets, std::size_t count) {
  std::size_t done = 0;
  if (are_same(packets, count)) {
    done = kSeals ? seal_in_sides<kSide, kChunks, true>(packets, count)
                  : open_in_sides<kSide, kChunks, true>(packets, count);
  } else {
    done = kSeals ? seal_in_sides<kSide, kChunks, false>(packets, count)
                  : open_in_sides<kSide, kChunks, false>(packets, count);
  }
  for (; done < count; ++done) {
    if (kSeals) {
      seal_in_sides<1, kChunks, true>(packets + done, 1);
    } else {
      open_in_sides<1, kChunks, true>(packets + done, 1);
    }
  }
}

template <bool kSeals>
void run(const Packet* packets, std::size_t count, std::size_t chunks) {
  switch (chunks) {
    case 1:
      return run<kSeals, 4, 1>(packets, count);
    case 2:
      return run<kSeals, 4, 2>(packets, count);
    case 3:
      return run<kSeals, 2, 3>(packets, count);
    case 4:
      return run<kSeals, 2, 4>(packets, count);
    default:
      return run<kSeals, 2, 5>(packets, count);
  }
}

}  // namespace

void seal_short(const Packet* packets, std::size_t count, std::size_t chunks) {
  run<true>(packets, count, chunks);
}
void open_short(const Packet* packets, std::size_t count, std::size_t chunks) {
  run<false>(packets, count, chunks);
}

}  // namespace merlon::crypto::vaes
// NOLINTEND(cppcoreguidelines-pro-type-member-init)

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
