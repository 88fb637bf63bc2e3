// inbound:  SPI -> SA -> replay check -> AEAD burst -> replay advance -> strip -> selector check -> coalesce
//           `---- admit() ----------'    open()        `---- deliver() -----------------'   Coalescer
//
// A packet of the burst may hold many ESP packets back to back, of several SAs; each is treated by itself, where
// it stands. Its buffer goes to the first inner packet that comes out of it.
#include "esp/inbound.h"

#include "esp/ecn.h"
#include "esp/plain_v4.h"
#include "wire/esp.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/plain_packet.h"
#include "wire/ip/tcp_mss.h"

namespace merlon::esp {
namespace {

DropReason drop_reason_of(ReplayWindow::Verdict verdict) {
  switch (verdict) {
    case ReplayWindow::Verdict::kTooOld:
      return DropReason::kTooOld;
    case ReplayWindow::Verdict::kInvalid:
      return DropReason::kInvalidSequence;
    default:
      return DropReason::kReplayed;
  }
}

// A peer's address that was told and is still not the tunnel's is told again.
constexpr Duration kSayAgainAfter = std::chrono::seconds(10);

// RFC 6040 4.2, and nothing else: the inner DSCP is the sender's (RFC 4301 5.1.2.1). False where the packet
// must be dropped.
bool decapsulate_ecn(MutableByteView packet, wire::PacketView& view, std::uint8_t outer_tos) {
  const Ecn inner = ecn_of(view.tos);
  const std::optional<Ecn> ecn = decapsulated_ecn(inner, ecn_of(outer_tos));
  if (!ecn) return false;
  if (*ecn == inner) return true;
  const auto tos = static_cast<std::uint8_t>((view.tos & ~kEcnMask) | static_cast<std::uint8_t>(*ecn));
  if (view.family == IpFamily::kIpv4) {
    wire::set_ipv4_tos(packet, tos);
  } else {
    wire::set_ipv6_traffic_class(packet, tos);
  }
  view.tos = tos;
  return true;
}

}  // namespace

void Inbound::process(Instant now, packet::Burst& in, InboundResult& out) {
  const Grace::Section section(published_.grace, reader_);
  last_found_ = nullptr;
  prefetch(in);
  for (packet::PacketPtr& packet : in) {
    if (!packet) continue;
    // Valid to the end also where the buffer is given away before: its packet is in `out` then.
    const packet::PacketMeta& meta = packet->meta;
    const std::size_t segment_size = meta.segment_size;
    MutableByteView rest = packet->bytes();
    if (segment_size == 0) {
      admit(now, packet, meta, rest, out);
      continue;
    }
    while (!rest.empty()) {
      const std::size_t size = std::min(segment_size, rest.size());
      admit(now, packet, meta, rest.first(size), out);
      rest = rest.subspan(size);
    }
  }
  run(now, out);
  coalescer_.finish();
  in.clear();
}

// What the packets' SAs will be asked for: slot, then SA, then what changes with packets and the key, then the window's bits.
// Of a buffer with several ESP packets the first counts; those behind it mostly are of the same SA.
void Inbound::prefetch(packet::Burst& in) const {
  // Bare numbers: what has a first value is written for the whole burst before.
  std::array<std::uint32_t, packet::kBurstCapacity> spis, sequences;
  std::array<std::size_t, packet::kBurstCapacity> sizes;  // of the ESP packets
  std::array<const InboundSa*, packet::kBurstCapacity> sas;
  std::size_t count = 0, found = 0;
  for (const packet::PacketPtr& packet : in) {
    const auto header = packet ? wire::parse_esp_header(packet->bytes()) : std::nullopt;
    if (!header || (count != 0 && spis[count - 1] == header->spi.value)) continue;
    spis[count] = header->spi.value;
    sequences[count] = header->sequence;
    sizes[count++] = packet->meta.segment_size != 0 ? packet->meta.segment_size : packet->size();
    published_.inbound.prefetch(header->spi);
  }
  if (count < 2) return;  // all of one SA: its lines come with the first packet
  for (std::size_t i = 0; i < count; ++i) {
    if (const InboundSa* sa = published_.inbound.peek({spis[i]})) {
      sa->prefetch();
      sequences[found] = sequences[i];
      sizes[found] = sizes[i];
      sas[found++] = sa;
    }
  }
  for (std::size_t i = 0; i < found; ++i) {
    const std::size_t around = wire::kEspHeaderSize + sas[i]->sizes.iv + sas[i]->sizes.icv;
    sas[i]->prefetch_behind(sizes[i] - around);  // of a runt: very many bytes
  }
  for (std::size_t i = 0; i < found; ++i) sas[i]->state().window.prefetch(sequences[i]);
}

void Inbound::run(Instant now, InboundResult& out) {
  crypto::PacketCipher::open_all(std::span(jobs_).first(count_), std::span(ciphers_).first(count_));
  Tally tally;
  for (std::size_t i = 0; i < count_; ++i) {
    const Item& item = items_[i];
    const crypto::PacketJob& job = jobs_[i];
    if (job.ok) {
      if (item.sa != tally.sa) {
        count(now, tally);
        tally = {item.sa};
      }
      deliver(now, item, job, tally, out);
    } else {  // RFC 4303 3.4.4.1
      drop(now, {job.header, wire::kEspHeaderSize}, *item.meta, item.sa, DropReason::kIntegrity);
    }
  }
  count(now, tally);
  count_ = bytes_ = 0;
}

void Inbound::count(Instant now, Tally& tally) {
  if (tally.packets == 0) return;
  const InboundSa& sa = *tally.sa;
  InboundState& state = sa.state();
  state.counters.add(now, tally.bytes, tally.packets);
  if (state.counters.packets() < state.quiet_packets) return;
  raise_limits(reporter_, sa.id, Direction::kInbound, state.counters, sa.rules().limits, state.flags);
  state.quiet_packets = quiet_packets(state.counters, sa.rules().limits, state.flags);
}

// Packets of one SA often stand behind each other.
inline const InboundSa* Inbound::find(Spi spi) {
  if (last_found_ == nullptr || last_found_->spi != spi) last_found_ = published_.inbound.find(spi);
  return last_found_;
}

// Everything that can be known before the cipher has run. Changes nothing but counters.
[[gnu::always_inline]] inline void Inbound::admit(Instant now, packet::PacketPtr& owner,
                                                  const packet::PacketMeta& meta, MutableByteView esp,
                                                  InboundResult& out) {
  const auto header = wire::parse_esp_header(esp);
  if (!header) return drop(now, esp, meta, nullptr, DropReason::kRunt);
  const InboundSa* sa = find(header->spi);
  if (sa == nullptr) {
    reporter_.unknown_spi(now, {header->spi, meta.source, meta.destination, meta.udp_encapsulated});
    return drop(now, esp, meta, nullptr, DropReason::kUnknownSpi);
  }
  const std::size_t around = wire::kEspHeaderSize + sa->sizes.iv + sa->sizes.icv;
  // RFC 4303 2.4: padding aligns the trailer to whole cipher blocks, four bytes at least.
  if (esp.size() < around + wire::kEspTrailerSize ||
      ((esp.size() - around) & (sa->sizes.alignment - 1U)) != 0) {
    return drop(now, esp, meta, sa, DropReason::kRunt);
  }
  const InboundState& state = sa->state();
  if (state.counters.packets() + 1 >= state.quiet_packets && is_expired(state.counters, sa->rules().limits))
    return drop(now, esp, meta, sa, DropReason::kSaExpired);

  // RFC 4303 3.4.3: the window is looked at before the ICV, and moved after it.
  const ReplayWindow& window = state.window;
  const auto sequence = window.infer(header->sequence, sa->esn);
  if (!sequence) return drop(now, esp, meta, sa, DropReason::kInvalidSequence);
  const ReplayWindow::Verdict verdict = window.check(*sequence);
  if (verdict != ReplayWindow::Verdict::kFresh) return drop(now, esp, meta, sa, drop_reason_of(verdict));

  crypto::PacketJob& job = jobs_[count_];
  job.header = esp.data();
  job.length = static_cast<std::uint32_t>(esp.size() - around);
  job.sequence_high = static_cast<std::uint32_t>(sequence->value >> 32U);
  Item& item = items_[count_];
  item.owner = &owner;
  item.meta = &meta;
  item.sa = sa;
  item.sequence = *sequence;
  ciphers_[count_] = sa->cipher;
  ++count_;
  if (!sa->sizes.in_lanes) bytes_ += esp.size();
  if (count_ == items_.size() || bytes_ >= kCipherBytes) run(now, out);
}

[[gnu::always_inline]] inline void Inbound::deliver(Instant now, const Item& item,
                                                    const crypto::PacketJob& job, Tally& tally,
                                                    InboundResult& out) {
  const InboundSa& sa = *item.sa;
  ReplayWindow& window = sa.state().window;
  const bool is_newest = item.sequence > window.highest();
  const ReplayWindow::Verdict verdict = window.advance(item.sequence);
  if (verdict != ReplayWindow::Verdict::kFresh)
    return drop(now, {job.header, wire::kEspHeaderSize}, *item.meta, &sa, drop_reason_of(verdict));

  const MutableByteView data(job.header + wire::kEspHeaderSize + sa.sizes.iv, job.length);
  const auto trailer = wire::parse_esp_trailer(data);
  ++tally.packets;
  tally.bytes += trailer ? trailer->payload_size : data.size();
  note_authentic(now, item, is_newest);
  if (!trailer) return refuse(now, item, DropReason::kPadding);
  MutableByteView inner = data.first(trailer->payload_size);
  PlainV4 plain;
  if (trailer->next_header == IpProtocol::kIpv4 && is_plainly_right(item, inner, plain)) {
    coalescer_.add(inner, plain, *item.owner, out.to_tun);
  } else {
    deliver_any(now, item, trailer->next_header, inner, out);
  }
}

// RFC 4303 2.6
void Inbound::deliver_any(Instant now, const Item& item, IpProtocol next_header, MutableByteView inner,
                          InboundResult& out) {
  if (next_header == IpProtocol::kNoNext) return refuse(now, item, DropReason::kDummy);
  if (next_header != IpProtocol::kIpv4 && next_header != IpProtocol::kIpv6)
    return refuse(now, item, DropReason::kNextHeader);
  const IpFamily family = next_header == IpProtocol::kIpv4 ? IpFamily::kIpv4 : IpFamily::kIpv6;
  wire::PacketView view;
  if (strip(now, item, family, inner, view)) coalescer_.add(inner, view, *item.owner, out.to_tun);
}

// The short way through what strip() asks, for most packets. False says nothing, but that strip() must be asked.
inline bool Inbound::is_plainly_right(const Item& item, MutableByteView& inner, PlainV4& plain) const {
  const InboundSa& sa = *item.sa;
  if (!plain.read(inner) || !sa.plain.hold(static_cast<std::uint32_t>(plain.addresses),
                                           static_cast<std::uint32_t>(plain.addresses >> 32U)))
    return false;
  // What stands in RFC 6040's figure 4 as unchanged whatever the inner field is.
  const Ecn outer = ecn_of(item.meta->tos);
  if (outer != Ecn::kNotEct && outer != ecn_of(plain.tos)) return false;
  if (sa.tcp_mss_clamp && plain.is_syn) return false;
  inner = inner.first(plain.total_length);  // RFC 4303 2.7: TFC padding
  return true;
}

// What an authentic packet tells, whatever is inside.
inline void Inbound::note_authentic(Instant now, const Item& item, bool is_newest) {
  const InboundSa& sa = *item.sa;
  InboundState& state = sa.state();
  if ((state.flags & kFirstInboundRaised) == 0) note_first(sa);
  if (is_newest && sa.udp_encapsulation && item.meta->udp_encapsulated) note_source(now, sa, *item.meta);
}

void Inbound::note_first(const InboundSa& sa) {
  if (reporter_.tell(FirstInbound{sa.id})) sa.state().flags |= kFirstInboundRaised;
}

// RFC 7296 2.23: the peer's address is taken from any authentic packet; only from the newest, since an old
// one that was held back or comes by another way would move the tunnel to where the peer no longer is.
void Inbound::note_source(Instant now, const InboundSa& sa, const packet::PacketMeta& meta) {
  if (sa.remote == meta.source) return;
  // Once for an address, but not for ever: the tunnel may have been moved there and away again since it was said.
  InboundState& state = sa.state();
  const auto period = static_cast<std::uint64_t>(now.time_since_epoch() / kSayAgainAfter);
  const auto said = static_cast<std::uint32_t>(std::hash<Endpoint>{}(meta.source) + period);
  if (said != state.reported_source && reporter_.tell(PeerMoved{sa.id, meta.destination, meta.source}))
    state.reported_source = said;
}

// Whether what ESP carried may come out (RFC 4303 2.7, RFC 4301 5.2). `view` tells of it then.
bool Inbound::strip(Instant now, const Item& item, IpFamily family, MutableByteView& inner,
                    wire::PacketView& view) {
  const InboundSa& sa = *item.sa;
  const auto refused = [&](DropReason reason) {
    refuse(now, item, reason);
    return false;
  };
  if (!wire::read_plain_packet(inner, view)) {
    const auto parsed = wire::parse_any_packet(inner);
    if (!parsed) return refused(DropReason::kMalformedDecrypted);
    view = *parsed;
  }
  if (view.family != family) return refused(DropReason::kMalformedDecrypted);
  inner = inner.first(view.total_length);  // RFC 4303 2.7: TFC padding

  // RFC 4301 5.2 step 4
  const bool is_plainly_ours = family == IpFamily::kIpv4 && sa.plain.hold(view.destination, view.source);
  if (!is_plainly_ours &&
      !policy::matches(sa.rules().local_ts, sa.rules().remote_ts, view, Direction::kInbound)) {
    refuse(now, item, DropReason::kSelectorMismatch, inner);
    return false;
  }
  if (!decapsulate_ecn(inner, view, item.meta->tos)) return refused(DropReason::kEcnInvalid);
  if (sa.tcp_mss_clamp && view.protocol == IpProtocol::kTcp) {
    const std::size_t mtu = sa.sizes.inner_mtu(sa.path_mtu());
    wire::clamp_tcp_mss(inner, view, wire::mss_for_mtu(view.family, mtu));
  }
  return true;
}

// Of a packet whose ESP header is gone already.
void Inbound::refuse(Instant now, const Item& item, DropReason reason, ByteView inner) {
  const packet::PacketMeta& meta = *item.meta;
  reporter_.drop(now, {reason, item.sa->id, item.sa->spi, static_cast<std::uint32_t>(item.sequence.value),
                       meta.source, meta.destination, PacketStart::of(inner)});
}

void Inbound::drop(Instant now, ByteView esp, const packet::PacketMeta& meta, const InboundSa* sa,
                   DropReason reason) {
  const auto header = wire::parse_esp_header(esp);
  reporter_.drop(now, {reason,
                       sa == nullptr ? policy::ChildSaId{} : sa->id,
                       header ? header->spi : Spi{},
                       header ? header->sequence : 0,
                       meta.source,
                       meta.destination,
                       {}});
}

}  // namespace merlon::esp
