// outbound: classify (flow cache, then SPD) -> segment -> sequence number, IV, padding, trailer -> AEAD burst -> outer headers
//           `---- take() ------------'         fit()      `---- encapsulate() ---------------'    flush()       address()
//
// A packet's TTL or hop limit is decremented by the kernel when it forwards the packet to the TUN device (RFC
// 4301 5.1.2.1), so not here.
#include "esp/outbound.h"

#include "esp/ecn.h"
#include "wire/esp.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/fragment.h"
#include "wire/ip/icmp.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/tcp_mss.h"

namespace merlon::esp {
namespace {

constexpr std::size_t kMaxIpPacket = 65535;

// RFC 4301 8.1: does the outer header let routers fragment? It says for IPv6 inside what DF = 1 says, since a
// router may not fragment such a packet either. Over IPv6 no router fragments at all.
bool clears_outer_df(const OutboundSa& sa, const wire::PacketView& view) {
  if (sa.remote.address.is_v6()) return false;
  switch (sa.df) {
    case policy::DfBit::kCopy:
      return !view.dont_fragment;
    case policy::DfBit::kSet:
      return false;
    case policy::DfBit::kClear:
      break;
  }
  return true;
}

// IPv6 link-local addresses, and multicast to what is on the same link (RFC 4291 2.5.6, 2.7; RFC 5771 4). Not 169.254.0.0/16:
// tunnels to clouds have such addresses inside, and who forgot them in a policy should be told.
bool stays_on_the_link(const wire::PacketView& view) {
  const ByteView to = view.destination.bytes();
  if (view.family == IpFamily::kIpv4) return to[0] == 224 && to[1] == 0 && to[2] == 0;
  return view.source.is_link_local() || view.destination.is_link_local() ||
         (to[0] == 0xff && (to[1] & 0x0fU) <= 2);
}

}  // namespace

Outbound::Outbound(const EngineConfig& config, Published& published, packet::PacketPool& pool, Rng& rng,
                   Reporter& reporter)
    : config_(config),
      published_(published),
      pool_(pool),
      rng_(rng),
      reporter_(reporter),
      held_(config),
      icmp_(config.icmp_per_second) {}

void Outbound::process(Instant now, packet::Burst& in, OutboundResult& out) {
  const Grace::Section section(published_.grace);
  Round round{now, section.generation(), out};
  release_held(round);
  for (packet::PacketPtr& packet : in)
    if (packet) take(round, std::move(packet), std::nullopt);
  in.clear();
  flush(round);
}

void Outbound::poll(Instant now, OutboundResult& out) {
  const Grace::Section section(published_.grace);
  Round round{now, section.generation(), out};
  release_held(round);
  flush(round);
}

// --- classify

// `deadline`: of a packet that was held back before.
void Outbound::take(Round& round, packet::PacketPtr packet, std::optional<Instant> deadline) {
  if (packet->meta.segment_size != 0) return reporter_.drop(DropReason::kUnsupportedSegments);
  const auto view = wire::parse_packet(packet->bytes());
  if (!view) return reporter_.drop(DropReason::kMalformedInner);
  packet->trim_back(packet->size() - view->total_length);

  const OutboundDecision decision = classify(round, *view);
  if (decision.entry == nullptr) {  // RFC 4301 5.1: what no entry names is discarded
    if (stays_on_the_link(*view)) return reporter_.drop(DropReason::kLinkLocal);
    return reporter_.drop(round.now, {DropReason::kNoPolicy,
                                      {},
                                      {},
                                      0,
                                      {view->source, view->source_port},
                                      {view->destination, view->destination_port}});
  }
  switch (decision.entry->action) {
    case policy::ChildAction::kDiscard:
      return reporter_.drop(DropReason::kPolicyDiscard);
    case policy::ChildAction::kBypass:
      return reporter_.drop(DropReason::kPolicyBypass);
    case policy::ChildAction::kProtect:
      break;
  }
  if (decision.sa == nullptr) return hold(round, std::move(packet), decision, *view, deadline);
  fit(round, std::move(packet), *view, *decision.sa);
}

OutboundDecision Outbound::classify(const Round& round, const wire::PacketView& view) {
  const FlowKey key(view);
  if (const OutboundDecision* known = flows_.find(key, round.generation)) return *known;

  OutboundDecision decision;
  const SpdSnapshot* snapshot = published_.spd.load(std::memory_order_seq_cst);
  const auto index =
      snapshot == nullptr ? std::nullopt : snapshot->spd->find_index(view, policy::Direction::kOutbound);
  if (index) {
    decision.entry = &snapshot->spd->entries()[*index];
    decision.child = snapshot->children[*index].get();
  }
  if (decision.child != nullptr) {
    const OutboundSet* set = decision.child->outbound.load(std::memory_order_seq_cst);
    if (set != nullptr) decision.sa = set->select(view);
  }
  flows_.put(key, round.generation, decision);
  return decision;
}

// --- packets without an SA

// RFC 4301 4.4.1: an SA is to be made, and the packet waits for it.
void Outbound::hold(Round& round, packet::PacketPtr packet, const OutboundDecision& decision,
                    const wire::PacketView& view, std::optional<Instant> deadline) {
  const policy::SpdEntry& entry = *decision.entry;
  const std::uint64_t child = decision.child->number;
  if (entry.connection->children[entry.child_index].start == policy::StartMode::kWait) {
    return reporter_.drop(DropReason::kNoSa);
  }
  if (!deadline && held_.may_acquire(child, round.now) &&
      reporter_.tell(Acquire{entry.connection, entry.child_index, view})) {
    held_.acquire_raised(child, round.now);
  }
  if (!held_.hold(child, packet, deadline.value_or(round.now + config_.hold_timeout))) {
    reporter_.drop(DropReason::kHoldFull);
  }
}

void Outbound::release_held(Round& round) {
  if (held_.empty()) return;
  if (held_generation_ == round.generation && round.now < held_.earliest_deadline()) return;
  held_generation_ = round.generation;
  held_.take_all(round.now, released_);
  for (HoldQueue::Held& held : released_) {
    if (round.now >= held.deadline) {
      reporter_.drop(DropReason::kHoldTimeout);
    } else {
      take(round, std::move(held.packet), held.deadline);
    }
  }
  released_.clear();
}

// --- segment: every packet that leaves here fits into one ESP packet, or may be fragmented outside

void Outbound::fit(Round& round, packet::PacketPtr packet, const wire::PacketView& view,
                   const OutboundSa& sa) {
  const std::uint32_t path_mtu = sa.rules->path_mtu.load(std::memory_order_relaxed);
  const std::size_t inner_mtu = sa.sizes.inner_mtu(path_mtu);
  if (sa.tcp_mss_clamp && view.protocol == IpProtocol::kTcp) {
    wire::clamp_tcp_mss(packet->bytes(), view, wire::mss_for_mtu(view.family, inner_mtu));
  }
  // A path narrower than any should be: then outer fragments are what is left.
  const bool may_fragment = clears_outer_df(sa, view) || path_mtu < sa.sizes.mtu_floor;
  if (packet->size() <= inner_mtu) {
    return add(round, {std::move(packet), &sa, view.family, view.tos, may_fragment});
  }
  // RFC 8200 5: every IPv6 link carries 1,280 bytes, this tunnel too.
  const bool is_least_ipv6 = view.family == IpFamily::kIpv6 && packet->size() <= wire::kIpv6MinimumMtu;
  const bool fits_an_outer_packet =
      packet->size() + sa.sizes.overhead + sa.sizes.alignment + wire::kEspTrailerSize <= kMaxIpPacket;
  if (is_least_ipv6 || (sa.df == policy::DfBit::kClear && fits_an_outer_packet)) {
    return add(round, {std::move(packet), &sa, view.family, view.tos, true});
  }
  // RFC 4301 8.2.1
  if (view.dont_fragment) return refuse_too_big(round, *packet, view, inner_mtu);
  fragment(round, *packet, view, sa, inner_mtu);
}

// Before encryption, so that the receiver need not put ESP packets together before it can authenticate them
// (RFC 4301 7).
void Outbound::fragment(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                        const OutboundSa& sa, std::size_t inner_mtu) {
  const auto fragments = wire::fragment_ipv4(packet.bytes(), inner_mtu);
  if (!fragments) return reporter_.drop(DropReason::kTooBig);
  for (const Bytes& bytes : *fragments) {
    packet::PacketPtr piece = pool_.copy_of(bytes);
    if (!piece) return reporter_.drop(DropReason::kNoBuffer);
    piece->meta.mark = packet.meta.mark;
    add(round, {std::move(piece), &sa, view.family, view.tos, clears_outer_df(sa, view)});
  }
}

void Outbound::refuse_too_big(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                              std::size_t inner_mtu) {
  reporter_.drop(DropReason::kTooBig);
  const bool v4 = view.family == IpFamily::kIpv4;
  if (!icmp_.take(round.now)) return;
  const std::size_t mtu = v4 ? inner_mtu : std::max(inner_mtu, wire::kIpv6MinimumMtu);
  const IpAddress from = (v4 ? config_.icmp_source_v4 : config_.icmp_source_v6).value_or(view.destination);
  const auto error = wire::build_packet_too_big(packet.bytes(), from, static_cast<std::uint32_t>(mtu));
  if (!error) return;
  if (packet::PacketPtr answer = pool_.copy_of(*error)) round.out.to_tun.push_back(std::move(answer));
}

// --- encapsulation

void Outbound::add(Round& round, Pending pending) {
  if (count_ == pending_.size()) flush(round);
  pending_[count_++] = std::move(pending);
}

// AEAD burst: one call a run of packets of one SA.
void Outbound::flush(Round& round) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (!encapsulate(round.now, pending_[i], jobs_[kept])) {
      pending_[i] = Pending{};
      continue;
    }
    if (kept != i) pending_[kept] = std::move(pending_[i]);
    ++kept;
  }
  for (std::size_t first = 0; first < kept;) {
    std::size_t last = first + 1;
    while (last < kept && pending_[last].sa == pending_[first].sa) ++last;
    pending_[first].sa->cipher->seal(std::span(jobs_).subspan(first, last - first));
    first = last;
  }
  for (std::size_t i = 0; i < kept; ++i) {
    address(pending_[i]);
    round.out.transmit.push_back(std::move(pending_[i].packet));
    pending_[i] = Pending{};
  }
  count_ = 0;
}

// The next sequence number of the SA, and what using it means for its limits; false, and a drop, where there
// is none.
bool Outbound::take_sequence(Instant now, const OutboundSa& sa, std::size_t size, SequenceNumber& sequence) {
  OutboundState& state = *sa.mutable_part;
  const SaLimits& limits = sa.rules->limits;
  const auto raise_once = [&](std::uint8_t flag, const Event& event) {
    if ((state.flags & flag) == 0 && reporter_.tell(event)) state.flags |= flag;
  };
  if (is_expired(state.counters, limits)) {
    raise_limits(reporter_, sa.id, Direction::kOutbound, state.counters, limits, state.flags);
    reporter_.drop(DropReason::kSaExpired);
    return false;
  }
  // RFC 4303 3.3.3: the sender must not let the sequence number cycle.
  if (state.last_sequence >= sa.sequence_limit) {
    raise_once(kHardRaised, HardExpired{sa.id, Direction::kOutbound, LimitKind::kSequenceNumbers});
    reporter_.drop(now, {DropReason::kSequenceExhausted, sa.id, sa.spi,
                         static_cast<std::uint32_t>(state.last_sequence), sa.local, sa.remote});
    return false;
  }
  sequence.value = ++state.last_sequence;
  state.counters.add(now, size);
  if (sequence.value >= sa.soft_sequence_limit) {
    raise_once(kSoftSequenceRaised, SoftExpired{sa.id, Direction::kOutbound, LimitKind::kSequenceNumbers});
  }
  raise_limits(reporter_, sa.id, Direction::kOutbound, state.counters, limits, state.flags);
  return true;
}

// Header, IV, padding and trailer around the packet where it stands (RFC 4303 3.3.2).
bool Outbound::encapsulate(Instant now, Pending& pending, crypto::PacketJob& job) {
  const OutboundSa& sa = *pending.sa;
  packet::Packet& packet = *pending.packet;
  const std::size_t iv_size = sa.cipher->iv_size(), icv_size = sa.cipher->icv_size();
  const std::size_t pad = wire::esp_pad_length(packet.size(), sa.cipher->block_size());
  const std::size_t trailer = pad + wire::kEspTrailerSize;
  if (packet.headroom() < wire::kEspHeaderSize + iv_size || packet.tailroom() < trailer + icv_size) {
    reporter_.drop(DropReason::kNoBuffer);
    return false;
  }
  SequenceNumber sequence;
  if (!take_sequence(now, sa, packet.size(), sequence)) return false;

  const MutableByteView tail = packet.extend(trailer + icv_size);
  wire::write_esp_trailer(tail, pad,
                          pending.family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6);
  const std::size_t length = packet.size() - icv_size;
  packet.prepend(wire::kEspHeaderSize + iv_size);
  const MutableByteView bytes = packet.bytes();
  wire::write_esp_header(bytes, {sa.spi, static_cast<std::uint32_t>(sequence.value)});
  const MutableByteView iv = bytes.subspan(wire::kEspHeaderSize, iv_size);
  if (sa.random_iv) {
    rng_.fill(iv);  // RFC 3602 3: an attacker must not foresee it
  } else if (iv_size == 8) {
    // RFC 4106 3.1, RFC 4309 3.1, RFC 3686 2.1, RFC 7634 2: it must only never return, and the sequence
    // number never does.
    wire::store_u32(iv, 0, static_cast<std::uint32_t>(sequence.value >> 32U));
    wire::store_u32(iv, 4, static_cast<std::uint32_t>(sequence.value));
  }
  const std::size_t data_offset = wire::kEspHeaderSize + iv_size;
  job = {.header = bytes.data(),
         .sequence_high = static_cast<std::uint32_t>(sequence.value >> 32U),
         .iv = iv.data(),
         .data = bytes.subspan(data_offset).data(),
         .length = static_cast<std::uint32_t>(length),
         .icv = bytes.subspan(data_offset + length).data(),
         .ok = false};
  return true;
}

// Outer headers: the kernel's sockets write them, from what stands in the metadata.
void Outbound::address(Pending& pending) {
  const OutboundSa& sa = *pending.sa;
  packet::PacketMeta& meta = pending.packet->meta;
  meta.source = sa.local;
  meta.destination = sa.remote;
  meta.sa_id = sa.id.value;
  meta.tos = outer_tos(pending.tos, sa.copy_dscp);
  meta.udp_encapsulated = sa.udp_encapsulation;
  meta.may_fragment_outer = pending.may_fragment_outer;
  meta.outer_mtu = pending.may_fragment_outer ? sa.rules->path_mtu.load(std::memory_order_relaxed) : 0;
}

}  // namespace merlon::esp
