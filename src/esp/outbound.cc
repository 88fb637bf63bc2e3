// outbound: classify (flow cache, then SPD) -> segment -> sequence number, IV, padding, trailer -> AEAD burst -> outer headers
//           `---- add(), classify() -'        fit_all()  `---- Encapsulator -------------------------------------------'
//                                             fit_segments()
//
// A super-packet is classified once; its segments become packets where they will be sent from. What belongs to another
// worker's SA leaves in take() and begins there anew (crossing.h).
// A packet's TTL or hop limit is decremented by the kernel when it forwards the packet to the TUN device (RFC
// 4301 5.1.2.1), so not here.
#include "esp/outbound.h"

#include <utility>

#include "wire/esp.h"
#include "wire/ip/fragment.h"
#include "wire/ip/icmp.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/segment.h"
#include "wire/ip/tcp_mss.h"

namespace merlon::esp {
namespace {

constexpr std::size_t kMaxIpPacket = 65535;

// RFC 4301 8.1: does the outer header let routers fragment? It says for IPv6 inside what DF = 1 says, since a
// router may not fragment such a packet either. Over IPv6 no router fragments at all.
bool clears_outer_df(const OutboundSa& sa, bool dont_fragment) {
  if (sa.sizes.over_ipv6) return false;
  switch (sa.df()) {
    case policy::DfBit::kCopy:
      return !dont_fragment;
    case policy::DfBit::kSet:
      return false;
    case policy::DfBit::kClear:
      break;
  }
  return true;
}

// RFC 4301 7: an SA for certain ports does not hold what is behind the first fragment, since no ports are seen there; the
// receiver would drop it (5.2). So such a packet is encrypted whole.
bool holds_fragments(const OutboundSa& sa, wire::PacketView view) {
  if (view.upper == wire::UpperFields::kNone) return true;
  view.upper = wire::UpperFields::kOpaque;
  view.is_fragment = true;
  return policy::matches(sa.rules().local_ts, sa.rules().remote_ts, view, policy::Direction::kOutbound);
}

// IPv6 link-local addresses, and multicast to what is on the same link (RFC 4291 2.5.6, 2.7; RFC 5771 4). Not 169.254.0.0/16:
// tunnels to clouds have such addresses inside, and who forgot them in a policy should be told.
bool stays_on_the_link(const wire::PacketView& view) {
  const ByteView to = view.destination.bytes();
  if (view.family == IpFamily::kIpv4) return to[0] == 224 && to[1] == 0 && to[2] == 0;
  return view.source.is_link_local() || view.destination.is_link_local() ||
         (to[0] == 0xff && (to[1] & 0x0fU) <= 2);
}

// Of a packet that was read before, and so can be parsed.
wire::PacketView view_of(const packet::Packet& packet) {
  return wire::parse_packet(packet.bytes()).value_or(wire::PacketView{});
}

}  // namespace

Outbound::Outbound(const EngineConfig& config, Published& published, WorkerIndex self,
                   packet::PacketPool& pool, Rng& rng, Reporter& reporter)
    : config_(config),
      published_(published),
      pool_(pool),
      reporter_(reporter),
      held_(config),
      icmp_(config.icmp_per_second),
      encapsulator_(config, pool, rng, reporter),
      reader_(published.grace.reader(self.value)),
      self_(self) {}

void Outbound::process(Instant now, packet::Burst& in, OutboundResult& out) {
  const Grace::Section section(published_.grace, reader_);
  Round round{now, section.generation(), out};
  release_held(round);
  for (packet::PacketPtr& packet : in)
    if (packet) add(std::move(packet));
  in.clear();
  take_all(round);
  encapsulator_.finish();
}

void Outbound::poll(Instant now, OutboundResult& out) {
  const Grace::Section section(published_.grace, reader_);
  Round round{now, section.generation(), out};
  release_held(round);
  encapsulator_.finish();
}

// --- classify

// To the flow that it belongs to: mostly that of the packet before.
inline void Outbound::add(packet::PacketPtr packet) {
  FlowKey key;
  InnerPacket& place = packets_[packet_count_];
  if (!read(*packet, key, place.traits)) return reporter_.drop(DropReason::kMalformedInner);
  place.packet = std::move(packet);
  ++packet_count_;
  if (flow_count_ != 0 && flows_[flow_count_ - 1].key == key) {
    ++flows_[flow_count_ - 1].end;
    return;
  }
  Flow& flow = flows_[flow_count_++];
  flow.key = key;
  flow.hash = key.hash();
  flow.end = packet_count_;
  flow_cache_.prefetch(flow.key, flow.hash);
}

// What the packet says of itself; false where it makes no sense.
inline bool Outbound::read(packet::Packet& packet, FlowKey& key, InnerTraits& traits) {
  packet::PacketMeta& meta = packet.meta;
  std::size_t total_length = 0;
  if (PlainV4 plain; plain.read(packet.bytes())) {
    key = FlowKey(plain);
    traits = {IpFamily::kIpv4, plain.tos, plain.dont_fragment, plain.is_syn};
    total_length = plain.total_length;
  } else {
    const auto view = wire::parse_packet(packet.bytes());
    if (!view) return false;
    key = FlowKey(*view);
    traits = {view->family, view->tos, view->dont_fragment, view->protocol == IpProtocol::kTcp};
    total_length = view->total_length;
  }
  packet.trim_back(packet.size() - total_length);
  if (meta.segment_size == 0 && meta.checksum_start != 0) {
    if (!wire::finish_checksum(packet.bytes(), meta.checksum_start, meta.checksum_offset)) return false;
    meta.checksum_start = 0;
  }
  return true;
}

void Outbound::take_all(Round& round) {
  const std::span<Flow> flows = std::span(flows_).first(std::exchange(flow_count_, 0));
  const OutboundSa* sa = nullptr;
  std::size_t first = 0;
  for (Flow& flow : flows) {
    classify(round, flow, *packets_[first].packet);
    if (flow.decision.sa != nullptr && flow.decision.sa != std::exchange(sa, flow.decision.sa))
      sa->prefetch();
    first = flow.end;
  }
  first = 0;
  for (const Flow& flow : flows) {
    const packet::Packet& packet = *packets_[std::exchange(first, flow.end)].packet;
    if (flow.decision.sa == nullptr || flow.decision.sa->owner != self_) continue;
    flow.decision.sa->prefetch_behind(packet.size() + wire::kEspTrailerSize);
  }
  first = packet_count_ = 0;
  for (const Flow& flow : flows) {
    take(round, flow, std::span(packets_).subspan(first, flow.end - first), nullptr);
    first = flow.end;
  }
}

// `deadline`: of a packet that was held back before, else null. Not an optional, which would be read in one piece behind being
// written in two.
void Outbound::take(Round& round, const Flow& flow, std::span<InnerPacket> packets, const Instant* deadline) {
  // Without a look at the policy, which would be one more cache line: what has an SA is to be protected.
  const OutboundSa* const sa = flow.decision.sa;
  if (sa != nullptr && sa->owner == self_) [[likely]]
    return fit_all(round, packets, *sa);
  for (InnerPacket& one : packets) {
    if (sa == nullptr) {
      take_without_sa(round, std::move(one.packet), flow, deadline);
    } else {
      cross(sa->owner, std::move(one.packet));
    }
  }
}

void Outbound::take_without_sa(Round& round, packet::PacketPtr packet, const Flow& flow,
                               const Instant* deadline) {
  const wire::PacketView view = view_of(*packet);
  const OutboundDecision& decision = flow.decision;
  if (decision.entry == nullptr) {  // RFC 4301 5.1: what no entry names is discarded
    if (stays_on_the_link(view)) return reporter_.drop(DropReason::kLinkLocal);
    return reporter_.drop(round.now, {DropReason::kNoPolicy,
                                      {},
                                      {},
                                      0,
                                      {view.source, view.source_port},
                                      {view.destination, view.destination_port}});
  }
  switch (decision.entry->action) {
    case policy::ChildAction::kDiscard:
      return reporter_.drop(DropReason::kPolicyDiscard);
    case policy::ChildAction::kBypass:
      return reporter_.drop(DropReason::kPolicyBypass);
    case policy::ChildAction::kProtect:
      hold(round, std::move(packet), view, flow, deadline);
  }
}

void Outbound::classify(const Round& round, Flow& flow, const packet::Packet& first) {
  if (const auto known = flow_cache_.find(flow.key, flow.hash, round.generation)) {
    // Field by field: both copied at once would wait for their own stores.
    flow.decision.entry = known->entry;
    flow.decision.sa = known->sa;
    return;
  }
  flow.decision = {};
  flow.child = nullptr;
  const SpdSnapshot* snapshot = published_.spd.load(std::memory_order_seq_cst);
  if (snapshot == nullptr) return;
  const wire::PacketView view = view_of(first);
  if (const auto index = snapshot->spd->find_index(view, policy::Direction::kOutbound)) {
    flow.decision.entry = &snapshot->spd->entries()[*index];
    flow.child = snapshot->children[*index];
  }
  if (flow.child != nullptr) {
    flow.decision.sa = flow.child->outbound.select(view, self_);
    if (flow.decision.sa == nullptr) return;  // rare, and hold() wants the child
  }
  flow_cache_.put(flow.key, flow.hash, round.generation, flow.decision);
}

// Apart, so that one worker pays no more than the comparison.
[[gnu::noinline, gnu::cold]] void Outbound::cross(WorkerIndex owner, packet::PacketPtr packet) {
  crossing_->send(owner, Crossing::kOutbound, std::move(packet));
}

// --- packets without an SA

// RFC 4301 4.4.1: an SA is to be made, and the packet waits for it.
void Outbound::hold(Round& round, packet::PacketPtr packet, const wire::PacketView& view, const Flow& flow,
                    const Instant* deadline) {
  const policy::SpdEntry& entry = *flow.decision.entry;
  const std::uint64_t child = flow.child->number;
  if (entry.connection->children[entry.child_index].start == policy::StartMode::kWait) {
    return reporter_.drop(DropReason::kNoSa);
  }
  if (deadline == nullptr && held_.may_acquire(child, round.now) &&
      reporter_.tell(Acquire{entry.connection, entry.child_index, view})) {
    held_.acquire_raised(child, round.now);
  }
  if (!held_.hold(child, packet, deadline != nullptr ? *deadline : round.now + config_.hold_timeout)) {
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
      release(round, std::move(held.packet), held.deadline);
    }
  }
  released_.clear();
}

// As process() does, but for one packet that has a deadline.
void Outbound::release(Round& round, packet::PacketPtr packet, Instant deadline) {
  add(std::move(packet));
  flow_count_ = 0;
  if (std::exchange(packet_count_, 0) == 0) return;
  Flow& flow = flows_[0];
  classify(round, flow, *packets_[0].packet);
  take(round, flow, std::span(packets_).first(1), &deadline);
}

// --- segment: every packet that leaves here fits into one ESP packet, or may be fragmented outside

Outbound::Room Outbound::room_for(std::size_t size, const wire::PacketView& view, const OutboundSa& sa) {
  const std::uint32_t path_mtu = sa.state().path_mtu.load(std::memory_order_relaxed);
  Room room;
  room.inner_mtu = sa.sizes.inner_mtu(path_mtu);
  // A path narrower than any should be: then outer fragments are what is left.
  room.may_fragment_outer = clears_outer_df(sa, view.dont_fragment) || path_mtu < sa.sizes.mtu_floor();
  if (size <= room.inner_mtu) return room;
  // RFC 8200 5: every IPv6 link carries 1,280 bytes, this tunnel too.
  const bool is_least_ipv6 = view.family == IpFamily::kIpv6 && size <= wire::kIpv6MinimumMtu;
  const bool fits_an_outer_packet =
      size + sa.sizes.overhead + sa.sizes.alignment + wire::kEspTrailerSize <= kMaxIpPacket;
  const bool must_stay_whole = !view.dont_fragment && !holds_fragments(sa, view);
  if (is_least_ipv6 || ((sa.clears_df || must_stay_whole) && fits_an_outer_packet)) {
    room.fit = Fit::kOuterFragments;
    room.may_fragment_outer = true;
  } else {
    room.fit = view.dont_fragment || must_stay_whole ? Fit::kTooBig : Fit::kInnerFragments;  // RFC 4301 8.2.1
  }
  return room;
}

// Packets that fit as they are go on together, the others by themselves.
void Outbound::fit_all(Round& round, std::span<InnerPacket> packets, const OutboundSa& sa) {
  const std::uint32_t path_mtu = sa.state().path_mtu.load(std::memory_order_relaxed);
  const std::size_t inner_mtu = sa.sizes.inner_mtu(path_mtu);
  const bool is_narrow = path_mtu < sa.sizes.mtu_floor(), clamps = sa.tcp_mss_clamp;
  const Encapsulator::OuterFragments outer_fragments{is_narrow || clears_outer_df(sa, false),
                                                     is_narrow || clears_outer_df(sa, true)};
  while (!packets.empty()) {
    std::size_t count = 0, bytes = 0;
    for (; count < packets.size(); ++count) {
      const InnerPacket& one = packets[count];
      const std::size_t size = one.packet->size();
      if (size > inner_mtu || one.packet->meta.segment_size != 0 || (clamps && one.traits.may_say_mss)) break;
      bytes += size;
    }
    encapsulator_.add_all(round.now, sa, packets.first(count), bytes, outer_fragments, round.out.transmit);
    packets = packets.subspan(count);
    if (packets.empty()) return;
    packet::PacketPtr packet = std::move(packets.front().packet);
    packets = packets.subspan(1);
    const wire::PacketView view = view_of(*packet);
    if (packet->meta.segment_size != 0) {
      fit_segments(round, std::move(packet), view, sa);
    } else {
      fit(round, std::move(packet), view, sa);
    }
  }
}

void Outbound::fit(Round& round, packet::PacketPtr packet, const wire::PacketView& view,
                   const OutboundSa& sa) {
  const Room room = room_for(packet->size(), view, sa);
  if (sa.tcp_mss_clamp && view.protocol == IpProtocol::kTcp) {
    wire::clamp_tcp_mss(packet->bytes(), view, wire::mss_for_mtu(view.family, room.inner_mtu));
  }
  switch (room.fit) {
    case Fit::kTooBig:
      return refuse_too_big(round, *packet, view, room.inner_mtu);
    case Fit::kInnerFragments:
      return fragment(round, *packet, view, sa, room);
    case Fit::kOuterFragments:
    case Fit::kWhole:
      break;
  }
  const std::uint32_t mark = packet->meta.mark;
  encapsulator_.add(round.now, std::move(packet),
                    {&sa, view.family, view.tos, room.may_fragment_outer, room.fit == Fit::kWhole, mark},
                    round.out.transmit);
}

// Cut at the size that the super-packet carries: its sender chose it for a path that it believes in. Where that
// does not fit, each segment is treated as the packet that it is.
void Outbound::fit_segments(Round& round, packet::PacketPtr packet, const wire::PacketView& view,
                            const OutboundSa& sa) {
  auto cutter = wire::SegmentCutter::make(packet->bytes(), view, packet->meta.segment_size);
  if (!cutter) return reporter_.drop(DropReason::kUnsupportedSegments);
  if (packet->meta.checksum_start == 0) cutter->keep_zero_udp_checksum();
  const Room room = room_for(cutter->largest(), view, sa);
  if (room.fit == Fit::kWhole) {
    return encapsulator_.add_segments(
        round.now, *cutter, {&sa, view.family, view.tos, room.may_fragment_outer, true, packet->meta.mark},
        round.out.transmit);
  }
  for (std::size_t i = 0; i < cutter->count(); ++i) {
    if (i != 0 && room_for(cutter->size_of(i), view, sa).fit == Fit::kTooBig) {
      reporter_.drop(DropReason::kTooBig);  // one ICMP error for them all, about the first
      continue;
    }
    packet::PacketPtr segment = pool_.allocate();
    if (!segment || segment->receive_area().size() < cutter->size_of(i)) {
      reporter_.drop(DropReason::kNoBuffer);
      continue;
    }
    segment->meta.mark = packet->meta.mark;
    segment->set_length(cutter->size_of(i));
    cutter->cut(i, segment->bytes());
    // It was parsed as a part of the whole; only its length differs.
    wire::PacketView segment_view = view;
    segment_view.total_length = segment->size();
    fit(round, std::move(segment), segment_view, sa);
  }
}

// Before encryption, so that the receiver need not put ESP packets together before it can authenticate them
// (RFC 4301 7).
void Outbound::fragment(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                        const OutboundSa& sa, const Room& room) {
  const auto fragments = wire::fragment_ipv4(packet.bytes(), room.inner_mtu);
  if (!fragments) return reporter_.drop(DropReason::kTooBig);
  for (const Bytes& bytes : *fragments) {
    packet::PacketPtr piece = pool_.copy_of(bytes);
    if (!piece) return reporter_.drop(DropReason::kNoBuffer);
    encapsulator_.add(round.now, std::move(piece),
                      {&sa, view.family, view.tos, room.may_fragment_outer, true, packet.meta.mark},
                      round.out.transmit);
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

}  // namespace merlon::esp
