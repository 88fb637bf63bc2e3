//            a train: one buffer of the pool, one send
//   | ESP | IV | inner packet | trailer | ICV || ESP | IV | inner packet | trailer | ICV || ESP | ...
//   `-------------- segment_size ------------'`-------------- segment_size ------------'`-- may be shorter
//
// add(), add_segments(): place (train_for) -> sequence number -> copy or cut -> header, IV, trailer (wrap)
// seal(): AEAD over bursts, in place          finish(): outer addresses
//
// An SA's packets go to its newest train or open a newer one, and trains leave in the order in which they were
// opened: so an SA's sequence numbers leave in order, and so do a flow's packets.
#include "esp/encapsulator.h"

#include <algorithm>

#include "esp/ecn.h"
#include "wire/esp.h"
#include "wire/ip/byte_order.h"

namespace merlon::esp {
namespace {

// How far back an SA's newest train is looked for. Where it is not found, a new one is opened.
constexpr std::size_t kLookBack = 8;

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

Encapsulator::Train& Encapsulator::open_train(packet::PacketPtr packet, Frame frame, std::size_t esp_size) {
  // Field by field: a Train made elsewhere and copied here would wait for its own stores.
  Train& train = trains_.emplace_back();
  train.packet = std::move(packet);
  train.frame = frame;
  train.segment_size = esp_size;
  train.count = 1;
  return train;
}

MutableByteView Encapsulator::append_to(Train& train, std::size_t esp_size) {
  ++train.count;
  train.is_closed = esp_size < train.segment_size;
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

// Header, IV, padding and trailer around the inner packet, which stands in its place in `esp` (RFC 4303 3.3.2);
// the rest is the cipher's.
inline void Encapsulator::wrap(MutableByteView esp, std::size_t inner_size, Frame frame,
                               SequenceNumber sequence) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t iv_size = sa.sizes.iv, icv_size = sa.sizes.icv;
  const std::size_t data_offset = wire::kEspHeaderSize + iv_size;
  const std::size_t length = esp.size() - data_offset - icv_size;
  wire::write_esp_trailer(esp.subspan(data_offset + inner_size), length - inner_size - wire::kEspTrailerSize,
                          frame.family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6);
  wire::write_esp_header(esp, {sa.spi, static_cast<std::uint32_t>(sequence.value)});
  const MutableByteView iv = esp.subspan(wire::kEspHeaderSize, iv_size);
  if (sa.has_random_iv()) {
    rng_.fill(iv);  // RFC 3602 3: an attacker must not foresee it
  } else if (iv_size == 8) {
    // RFC 4106 3.1, RFC 4309 3.1, RFC 3686 2.1, RFC 7634 2: it must only never return, and the sequence
    // number never does.
    wire::store_u32(iv, 0, static_cast<std::uint32_t>(sequence.value >> 32U));
    wire::store_u32(iv, 4, static_cast<std::uint32_t>(sequence.value));
  }
  jobs_[job_count_] = {.header = esp.data(),
                       .sequence_high = static_cast<std::uint32_t>(sequence.value >> 32U),
                       .iv = iv.data(),
                       .data = esp.subspan(data_offset).data(),
                       .length = static_cast<std::uint32_t>(length),
                       .icv = esp.subspan(data_offset + length).data(),
                       .ok = false};
  ciphers_[job_count_] = sa.cipher;
  ++job_count_;
  job_bytes_ += esp.size();
  if (job_count_ == jobs_.size() || job_bytes_ >= kCipherBytes) seal();
}

void Encapsulator::add(Instant now, packet::PacketPtr packet, Frame frame) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t inner_size = packet->size();
  const std::size_t esp_size = sa.sizes.esp_size(inner_size);
  const std::size_t before = wire::kEspHeaderSize + sa.sizes.iv;
  SequenceNumber sequence;
  // Without UDP every ESP packet is a send of its own, and joining them would only copy.
  if (Train* train = sa.udp_encapsulation ? train_for(frame, esp_size) : nullptr) {
    if (!take_sequence(now, sa, inner_size, sequence)) return;
    const MutableByteView esp = append_to(*train, esp_size);
    const ByteView inner = packet->bytes();
    std::copy(inner.begin(), inner.end(), esp.subspan(before).begin());
    return wrap(esp, inner_size, frame, sequence);
  }
  const std::size_t behind = esp_size - before - inner_size;
  if (packet->headroom() < before || packet->tailroom() < behind)
    return reporter_.drop(DropReason::kNoBuffer);
  if (!take_sequence(now, sa, inner_size, sequence)) return;
  packet->prepend(before);
  packet->extend(behind);
  const MutableByteView esp = packet->bytes();
  open_train(std::move(packet), frame, esp_size);
  wrap(esp, inner_size, frame, sequence);
}

void Encapsulator::add_segments(Instant now, const wire::SegmentCutter& cutter, Frame frame) {
  const OutboundSa& sa = *frame.sa;
  const std::size_t before = wire::kEspHeaderSize + sa.sizes.iv;
  for (std::size_t i = 0; i < cutter.count(); ++i) {
    const std::size_t inner_size = cutter.size_of(i);
    const std::size_t esp_size = sa.sizes.esp_size(inner_size);
    Train* train = train_for(frame, esp_size);
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
      open_train(std::move(fresh), frame, esp_size);
    }
    cutter.cut(i, esp.subspan(before, inner_size));
    wrap(esp, inner_size, frame, sequence);
  }
}

// AEAD burst.
void Encapsulator::seal() {
  crypto::PacketCipher::seal_all(std::span(jobs_).first(job_count_), std::span(ciphers_).first(job_count_));
  job_count_ = job_bytes_ = 0;
}

// --- outer headers

void Encapsulator::finish(packet::PacketList& transmit) {
  seal();
  for (Train& train : trains_) {
    address(train);
    transmit.push_back(std::move(train.packet));
  }
  trains_.clear();
}

// The kernel's sockets write the outer headers, from what stands in the metadata.
void Encapsulator::address(Train& train) {
  const OutboundSa& sa = *train.frame.sa;
  packet::PacketMeta& meta = train.packet->meta;
  sa.local.put_in(meta.source);
  sa.remote.put_in(meta.destination);
  meta.sa_id = sa.id.value;
  meta.mark = train.frame.mark;
  meta.segment_size = train.count > 1 ? static_cast<std::uint16_t>(train.segment_size) : std::uint16_t{0};
  meta.checksum_start = meta.checksum_offset = 0;
  meta.tos = outer_tos(train.frame.tos, sa.copy_dscp);
  meta.udp_encapsulated = sa.udp_encapsulation;
  meta.may_fragment_outer = train.frame.may_fragment_outer;
  meta.outer_mtu = train.frame.may_fragment_outer ? sa.state().path_mtu.load(std::memory_order_relaxed) : 0;
}

}  // namespace merlon::esp
