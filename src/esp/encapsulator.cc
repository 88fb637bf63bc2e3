//            a train: one buffer of the pool, one send
//   | ESP | IV | inner packet | trailer | ICV || ESP | IV | inner packet | trailer | ICV || ESP | ...
//   `-------------- segment_size ------------'`-------------- segment_size ------------'`-- may be shorter
//
// add(), add_segments(): place (train_for) -> sequence number -> copy or cut -> header, IV, trailer (wrap)
// open_train(): outer addresses               seal(): AEAD over bursts, in place
//
// An SA's packets go to its newest train or open a newer one, and trains leave in the order in which they were
// opened: so an SA's sequence numbers leave in order, and so do a flow's packets.
#include "esp/encapsulator.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "esp/ecn.h"
#include "wire/esp.h"
#include "wire/ip/byte_order.h"

namespace merlon::esp {
namespace {

// How far back an SA's newest train is looked for. Where it is not found, a new one is opened.
constexpr std::size_t kLookBack = 8;

// In network order.
void store_u64(std::uint8_t* out, std::uint64_t value) {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  std::memcpy(out, &value, sizeof value);
}

// RFC 4303 2.4, in front of an ICV. Where padding only aligns to four bytes, no more than that are written in one piece, of
// which what is too much is where the ICV comes.
void write_trailer(std::uint8_t* out, std::size_t pad_length, std::size_t icv_size, IpProtocol next_header) {
  constexpr std::uint8_t kPadded[4][4] = {{0}, {1, 1}, {1, 2, 2}, {1, 2, 3, 3}};
  if (pad_length >= 4 || icv_size < 2) {
    wire::write_esp_trailer({out, pad_length + wire::kEspTrailerSize}, pad_length, next_header);
    return;
  }
  std::memcpy(out, kPadded[pad_length], 4);
  out[pad_length + 1] = static_cast<std::uint8_t>(next_header);
}

}  // namespace

Encapsulator::Encapsulator(const EngineConfig& config, packet::PacketPool& pool, Rng& rng, Reporter& reporter)
    : config_(config), pool_(pool), rng_(rng), reporter_(reporter) {}

// --- trains

// The train that takes one more ESP packet of this size; null where there is none.
Encapsulator::Train* Encapsulator::train_for(Frame frame, std::size_t esp_size) {
  const std::size_t depth = std::min(trains_.size(), kLookBack);
  for (std::size_t back = 1; back <= depth; ++back) {
    Train& train = trains_[trains_.size() - back];
    if (train.frame.sa != frame.sa) continue;
    // One send has one TOS, one size (its last segment may be shorter), and one way to treat DF.
    const bool fits =
        !train.is_closed && esp_size <= train.segment_size && train.count < config_.max_joined &&
        train.packet->size() + esp_size <= config_.max_joined_bytes && train.packet->tailroom() >= esp_size;
    const bool is_alike = train.frame.tos == frame.tos && train.frame.mark == frame.mark &&
                          train.frame.may_fragment_outer == frame.may_fragment_outer &&
                          train.frame.fits_path && frame.fits_path;
    return fits && is_alike ? &train : nullptr;
  }
  return nullptr;
}

inline void Encapsulator::open_train(packet::PacketPtr packet, Frame frame, std::size_t esp_size,
                                     packet::PacketList& transmit) {
  address(packet->meta, frame);
  if (joins(*frame.sa)) {
    // Field by field: a Train made elsewhere and copied here would wait for its own stores.
    Train& train = trains_.emplace_back();
    train.packet = packet.get();
    train.frame = frame;
    train.segment_size = esp_size;
    train.count = 1;
  }
  transmit.push_back(std::move(packet));
}

MutableByteView Encapsulator::append_to(Train& train, std::size_t esp_size) {
  ++train.count;
  train.is_closed = esp_size < train.segment_size;
  train.packet->meta.segment_size = static_cast<std::uint16_t>(train.segment_size);
  return train.packet->extend(esp_size);
}

// --- packets and segments

// The next sequence number of the SA, and what using it means for its limits; false, and a drop, where there
// is none.
inline bool Encapsulator::take_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                        SequenceNumber& sequence) {
  OutboundState& state = sa.state();
  if (state.counters.packets() + 1 >= state.quiet_packets)
    return take_watched_sequence(now, sa, size, sequence);
  sequence.value = ++state.last_sequence;
  state.counters.add(now, size);
  return true;
}

// The same where a limit may be near.
bool Encapsulator::take_watched_sequence(Instant now, const OutboundSa& sa, std::size_t size,
                                         SequenceNumber& sequence) {
  OutboundState& state = sa.state();
  const SaLimits& limits = sa.rules().limits;
  const SequenceLimits sequences = SequenceLimits::of(sa.esn, config_.sequence_limit);
  const auto raise_once = [&](std::uint8_t flag, const Event& event) {
    if ((state.flags & flag) == 0 && reporter_.tell(event)) state.flags |= flag;
  };
  if (is_expired(state.counters, limits)) {
    raise_limits(reporter_, sa.id, Direction::kOutbound, state.counters, limits, state.flags);
    reporter_.drop(DropReason::kSaExpired);
    return false;
  }
  // RFC 4303 3.3.3: the sender must not let the sequence number cycle.
  if (state.last_sequence >= sequences.hard) {
    raise_once(kHardRaised, HardExpired{sa.id, Direction::kOutbound, LimitKind::kSequenceNumbers});
    reporter_.drop(now, {DropReason::kSequenceExhausted, sa.id, sa.spi,
                         static_cast<std::uint32_t>(state.last_sequence), sa.local.get(), sa.remote.get()});
    return false;
  }
  sequence.value = ++state.last_sequence;
  state.counters.add(now, size);
  if (sequence.value >= sequences.soft) {
    raise_once(kSoftSequenceRaised, SoftExpired{sa.id, Direction::kOutbound, LimitKind::kSequenceNumbers});
  }
  raise_limits(reporter_, sa.id, Direction::kOutbound, state.counters, limits, state.flags);
  // Each packet takes one number, so what is left of them is a number of packets.
  const std::uint64_t left = sequences.soft > sequence.value ? sequences.soft - sequence.value : 0;
  state.quiet_packets =
      std::min(quiet_packets(state.counters, limits, state.flags), state.counters.packets() + left);
  return true;
}

// Header, IV, padding and trailer around the inner packet, which stands in its place behind `esp` (RFC 4303 3.3.2);
// the rest is the cipher's.
[[gnu::always_inline]] inline void Encapsulator::wrap(std::uint8_t* esp, std::size_t inner_size,
                                                      const OutboundSa& sa, TunnelSizes sizes,
                                                      IpFamily family, SequenceNumber sequence) {
  const std::size_t iv_size = sizes.iv, icv_size = sizes.icv;
  const std::size_t pad_length = wire::esp_pad_length(inner_size, sizes.alignment);
  const std::size_t length = inner_size + pad_length + wire::kEspTrailerSize;
  std::uint8_t* const iv = esp + wire::kEspHeaderSize;
  std::uint8_t* const data = iv + iv_size;
  write_trailer(data + inner_size, pad_length, icv_size,
                family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6);
  store_u64(esp, std::uint64_t{sa.spi.value} << 32U | static_cast<std::uint32_t>(sequence.value));
  if (iv_size > 8) {
    rng_.fill({iv, iv_size});  // RFC 3602 3: an attacker must not foresee it
  } else if (iv_size == 8) {
    // RFC 4106 3.1, RFC 4309 3.1, RFC 3686 2.1, RFC 7634 2: it must only never return, and the sequence
    // number never does.
    store_u64(iv, sequence.value);
  }
  crypto::PacketJob& job = jobs_[job_count_];
  job.header = esp;
  job.length = static_cast<std::uint32_t>(length);
  job.sequence_high = static_cast<std::uint32_t>(sequence.value >> 32U);
  ciphers_[job_count_] = sa.cipher;
  ++job_count_;
  if (!sa.sizes.in_lanes) job_bytes_ += wire::kEspHeaderSize + iv_size + length + icv_size;
  if (job_count_ == jobs_.size() || job_bytes_ >= kCipherBytes) seal();
}

// A packet in its own buffer.
inline void Encapsulator::add_alone(Instant now, packet::PacketPtr packet, Frame frame,
                                    packet::PacketList& transmit) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t inner_size = packet->size();
  const std::size_t esp_size = sa.sizes.esp_size(inner_size);
  const std::size_t before = wire::kEspHeaderSize + sa.sizes.iv;
  const std::size_t behind = esp_size - before - inner_size;
  if (packet->headroom() < before || packet->tailroom() < behind)
    return reporter_.drop(DropReason::kNoBuffer);
  SequenceNumber sequence;
  if (!take_sequence(now, sa, inner_size, sequence)) return;
  std::uint8_t* const esp = packet->surround(before, behind).data();
  open_train(std::move(packet), frame, esp_size, transmit);
  wrap(esp, inner_size, sa, sa.sizes, frame.family, sequence);
}

void Encapsulator::add(Instant now, packet::PacketPtr packet, Frame frame, packet::PacketList& transmit) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t inner_size = packet->size();
  const std::size_t esp_size = sa.sizes.esp_size(inner_size);
  Train* const train = joins(sa) ? train_for(frame, esp_size) : nullptr;
  if (train == nullptr) return add_alone(now, std::move(packet), frame, transmit);
  SequenceNumber sequence;
  if (!take_sequence(now, sa, inner_size, sequence)) return;
  const MutableByteView esp = append_to(*train, esp_size);
  const ByteView inner = packet->bytes();
  std::copy(inner.begin(), inner.end(), esp.subspan(wire::kEspHeaderSize + sa.sizes.iv).begin());
  wrap(esp.data(), inner_size, sa, sa.sizes, frame.family, sequence);
}

// As many numbers and counts at once, where no limit can have anything to say to any of them.
bool Encapsulator::claim(Instant now, const OutboundSa& sa, std::size_t count, std::size_t bytes,
                         SequenceNumber& first) {
  OutboundState& state = sa.state();
  if (state.counters.packets() + count >= state.quiet_packets) return false;
  first.value = state.last_sequence + 1;
  state.last_sequence += count;
  state.counters.add(now, bytes, count);
  return true;
}

// Packets in their own buffers. What is the same for all of them stands outside of the loop.
void Encapsulator::add_claimed(const OutboundSa& sa, std::span<InnerPacket> packets, SequenceNumber first,
                               OuterFragments may_fragment, packet::PacketList& transmit) {
  const TunnelSizes sizes = sa.sizes;
  const std::size_t before = wire::kEspHeaderSize + sizes.iv;
  packet::PacketMeta meta[2];
  address(meta[0], {.sa = &sa, .may_fragment_outer = may_fragment.without_df});
  address(meta[1], {.sa = &sa, .may_fragment_outer = may_fragment.with_df});
  for (InnerPacket& one : packets) {
    packet::Packet& packet = *one.packet;
    const InnerTraits traits = one.traits;
    const std::size_t inner_size = packet.size();
    const std::size_t behind = sizes.esp_size(inner_size) - before - inner_size;
    const SequenceNumber sequence{first.value++};
    if (packet.headroom() < before || packet.tailroom() < behind) {
      one.packet.reset();
      reporter_.drop(DropReason::kNoBuffer);
      continue;
    }
    std::uint8_t* const esp = packet.surround(before, behind).data();
    const std::uint32_t mark = packet.meta.mark;
    packet.meta = meta[traits.dont_fragment ? 1 : 0];
    packet.meta.mark = mark;
    packet.meta.tos = outer_tos(traits.tos, sa.copy_dscp);
    transmit.push_back(std::move(one.packet));
    wrap(esp, inner_size, sa, sizes, traits.family, sequence);
  }
}

// The same for one packet: where bursts are of many SAs, nothing is the same for several.
void Encapsulator::add_claimed(const OutboundSa& sa, InnerPacket& one, SequenceNumber sequence,
                               OuterFragments may_fragment, packet::PacketList& transmit) {
  packet::Packet& packet = *one.packet;
  const InnerTraits traits = one.traits;
  const std::size_t before = wire::kEspHeaderSize + sa.sizes.iv, inner_size = packet.size();
  const std::size_t behind = sa.sizes.esp_size(inner_size) - before - inner_size;
  if (packet.headroom() < before || packet.tailroom() < behind) {
    one.packet.reset();
    return reporter_.drop(DropReason::kNoBuffer);
  }
  std::uint8_t* const esp = packet.surround(before, behind).data();
  address(packet.meta,
          {.sa = &sa,
           .tos = traits.tos,
           .may_fragment_outer = traits.dont_fragment ? may_fragment.with_df : may_fragment.without_df,
           .mark = packet.meta.mark});
  transmit.push_back(std::move(one.packet));
  wrap(esp, inner_size, sa, sa.sizes, traits.family, sequence);
}

void Encapsulator::add_all(Instant now, const OutboundSa& sa, std::span<InnerPacket> packets,
                           std::size_t bytes, OuterFragments may_fragment, packet::PacketList& transmit) {
  SequenceNumber first;
  if (!packets.empty() && !joins(sa) && claim(now, sa, packets.size(), bytes, first))
    return packets.size() == 1 ? add_claimed(sa, packets[0], first, may_fragment, transmit)
                               : add_claimed(sa, packets, first, may_fragment, transmit);
  for (InnerPacket& one : packets) {
    const InnerTraits& traits = one.traits;
    const bool may = traits.dont_fragment ? may_fragment.with_df : may_fragment.without_df;
    const Frame frame{&sa, traits.family, traits.tos, may, true, one.packet->meta.mark};
    add(now, std::move(one.packet), frame, transmit);
  }
}

void Encapsulator::add_segments(Instant now, const wire::SegmentCutter& cutter, Frame frame,
                                packet::PacketList& transmit) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t before = wire::kEspHeaderSize + sa.sizes.iv;
  for (std::size_t i = 0; i < cutter.count(); ++i) {
    const std::size_t inner_size = cutter.size_of(i);
    const std::size_t esp_size = sa.sizes.esp_size(inner_size);
    Train* train = joins(sa) ? train_for(frame, esp_size) : nullptr;
    packet::PacketPtr fresh = train == nullptr ? pool_.allocate() : nullptr;
    if (train == nullptr && (fresh == nullptr || fresh->tailroom() < esp_size)) {
      reporter_.drop(DropReason::kNoBuffer);
      continue;
    }
    SequenceNumber sequence;
    if (!take_sequence(now, sa, inner_size, sequence)) continue;
    MutableByteView esp;
    if (train != nullptr) {
      esp = append_to(*train, esp_size);
    } else {
      esp = fresh->extend(esp_size);
      open_train(std::move(fresh), frame, esp_size, transmit);
    }
    cutter.cut(i, esp.subspan(before, inner_size));
    wrap(esp.data(), inner_size, sa, sa.sizes, frame.family, sequence);
  }
}

// AEAD burst.
void Encapsulator::seal() {
  crypto::PacketCipher::seal_all(std::span(jobs_).first(job_count_), std::span(ciphers_).first(job_count_));
  job_count_ = job_bytes_ = 0;
}

void Encapsulator::finish() {
  seal();
  trains_.clear();
}

// The kernel's sockets write the outer headers, from what stands in the metadata.
inline void Encapsulator::address(packet::PacketMeta& meta, Frame frame) {
  const OutboundSa& sa = *frame.sa;
  sa.local.put_in(meta.source);
  sa.remote.put_in(meta.destination);
  meta.sa_id = sa.id.value;
  meta.mark = frame.mark;
  meta.segment_size = meta.checksum_start = meta.checksum_offset = 0;
  meta.tos = outer_tos(frame.tos, sa.copy_dscp);
  meta.udp_encapsulated = sa.udp_encapsulation;
  meta.may_fragment_outer = frame.may_fragment_outer;
  meta.outer_mtu = frame.may_fragment_outer ? sa.state().path_mtu.load(std::memory_order_relaxed) : 0;
}

}  // namespace merlon::esp
