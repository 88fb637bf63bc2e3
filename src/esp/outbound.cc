// outbound: classify (flow cache, then SPD) -> segment -> sequence number, IV, padding, trailer -> AEAD burst -> outer headers
//           `---- take() ------------'        fit()      `---- Encapsulator -------------------------------------------'
//                                             fit_segments()
//
// A super-packet is classified once; its segments become packets where they will be sent from. What belongs to another
// worker's SA leaves after take() and begins there anew (crossing.h).
// A packet's TTL or hop limit is decremented by the kernel when it forwards the packet to the TUN device (RFC
// 4301 5.1.2.1), so not here.
#include "esp/outbound.h"

#include <utility>

#include "wire/esp.h"
#include "wire/ip/fragment.h"
#include "wire/ip/icmp.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/plain_packet.h"
#include "wire/ip/segment.h"
#include "wire/ip/tcp_mss.h"

namespace merlon::esp {
namespace {

constexpr std::size_t kMaxIpPacket = 65535;

// RFC 4301 8.1: does the outer header let routers fragment? It says for IPv6 inside what DF = 1 says, since a
// router may not fragment such a packet either. Over IPv6 no router fragments at all.
bool clears_outer_df(const OutboundSa& sa, const wire::PacketView& view) {
  if (sa.sizes.over_ipv6) return false;
  switch (sa.df()) {
    case policy::DfBit::kCopy:
      return !view.dont_fragment;
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
  for (packet::PacketPtr& packet : in) {
    if (!packet) continue;
    Item& item = items_[count_];
    item.packet = std::move(packet);
    if (read(item)) ++count_;
  }
  in.clear();
  take_all(round);
  encapsulator_.finish(out.transmit);
}

void Outbound::poll(Instant now, OutboundResult& out) {
  const Grace::Section section(published_.grace, reader_);
  Round round{now, section.generation(), out};
  release_held(round);
  encapsulator_.finish(out.transmit);
}

// --- classify

void Outbound::take_all(Round& round) {
  const OutboundSa* sa = nullptr;
  for (Item& item : std::span(items_).first(count_)) {
    classify(round, item);
    if (item.decision.sa != nullptr && item.decision.sa != std::exchange(sa, item.decision.sa))
      sa->prefetch();
  }
  for (const Item& item : std::span(items_).first(count_)) {
    if (item.decision.sa == nullptr || item.decision.sa->owner != self_) continue;
    item.decision.sa->prefetch_behind();
  }
  for (Item& item : std::span(items_).first(std::exchange(count_, 0))) take(round, item, std::nullopt);
}

// What the packet says of itself; false, and the packet is gone, where it makes no sense.
bool Outbound::read(Item& item) {
  packet::Packet& packet = *item.packet;
  packet::PacketMeta& meta = packet.meta;
  const auto refuse = [&] {
    reporter_.drop(DropReason::kMalformedInner);
    item.packet.reset();
    return false;
  };
  item.view = {};
  if (!wire::read_plain_packet(packet.bytes(), item.view)) {
    const auto view = wire::parse_any_packet(packet.bytes());
    if (!view) return refuse();
    item.view = *view;
  }
  packet.trim_back(packet.size() - item.view.total_length);
  if (meta.segment_size == 0 && meta.checksum_start != 0) {
    if (!wire::finish_checksum(packet.bytes(), meta.checksum_start, meta.checksum_offset)) return refuse();
    meta.checksum_start = 0;
  }
  item.key = FlowKey(item.view);
  item.hash = item.key.hash();
  flows_.prefetch(item.key, item.hash);
  return true;
}

// `deadline`: of a packet that was held back before.
void Outbound::take(Round& round, Item& item, std::optional<Instant> deadline) {
  // Without a look at the policy, which would be one more cache line: what has an SA is to be protected.
  const OutboundSa* const sa = item.decision.sa;
  if (sa == nullptr) return take_without_sa(round, item, deadline);
  packet::PacketPtr packet = std::move(item.packet);
  if (sa->owner != self_) [[unlikely]]
    return cross(sa->owner, std::move(packet));
  if (packet->meta.segment_size != 0) return fit_segments(round, std::move(packet), item.view, *sa);
  fit(round, std::move(packet), item.view, *sa);
}

void Outbound::take_without_sa(Round& round, Item& item, std::optional<Instant> deadline) {
  packet::PacketPtr packet = std::move(item.packet);
  const wire::PacketView& view = item.view;
  const OutboundDecision& decision = item.decision;
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
      hold(round, std::move(packet), item, deadline);
  }
}

void Outbound::classify(const Round& round, Item& item) {
  // Packets of one flow often stand behind each other.
  if (&item != items_.data() && (&item - 1)->key == item.key) {
    item.decision = (&item - 1)->decision;
    item.child = (&item - 1)->child;
    return;
  }
  if (const auto known = flows_.find(item.key, item.hash, round.generation)) {
    item.decision = *known;
    return;
  }
  item.decision = {};
  item.child = nullptr;
  const SpdSnapshot* snapshot = published_.spd.load(std::memory_order_seq_cst);
  const auto index =
      snapshot == nullptr ? std::nullopt : snapshot->spd->find_index(item.view, policy::Direction::kOutbound);
  if (index) {
    item.decision.entry = &snapshot->spd->entries()[*index];
    item.child = snapshot->children[*index];
  }
  if (item.child != nullptr) {
    item.decision.sa = item.child->outbound.select(item.view, self_);
    if (item.decision.sa == nullptr) return;  // rare, and hold() wants the child
  }
  flows_.put(item.key, item.hash, round.generation, item.decision);
}

// Apart, so that one worker pays no more than the comparison.
[[gnu::noinline, gnu::cold]] void Outbound::cross(WorkerIndex owner, packet::PacketPtr packet) {
  crossing_->send(owner, Crossing::kOutbound, std::move(packet));
}

// --- packets without an SA

// RFC 4301 4.4.1: an SA is to be made, and the packet waits for it.
void Outbound::hold(Round& round, packet::PacketPtr packet, const Item& item,
                    std::optional<Instant> deadline) {
  const policy::SpdEntry& entry = *item.decision.entry;
  const std::uint64_t child = item.child->number;
  if (entry.connection->children[entry.child_index].start == policy::StartMode::kWait) {
    return reporter_.drop(DropReason::kNoSa);
  }
  if (!deadline && held_.may_acquire(child, round.now) &&
      reporter_.tell(Acquire{entry.connection, entry.child_index, item.view})) {
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
      Item& item = items_[0];
      item.packet = std::move(held.packet);
      if (!read(item)) continue;
      classify(round, item);
      take(round, item, held.deadline);
    }
  }
  released_.clear();
}

// --- segment: every packet that leaves here fits into one ESP packet, or may be fragmented outside

Outbound::Room Outbound::room_for(std::size_t size, const wire::PacketView& view, const OutboundSa& sa) {
  const std::uint32_t path_mtu = sa.state().path_mtu.load(std::memory_order_relaxed);
  Room room;
  room.inner_mtu = sa.sizes.inner_mtu(path_mtu);
  // A path narrower than any should be: then outer fragments are what is left.
  room.may_fragment_outer = clears_outer_df(sa, view) || path_mtu < sa.sizes.mtu_floor();
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
      return fragment(round, *packet, view, sa, room.inner_mtu);
    case Fit::kOuterFragments:
    case Fit::kWhole:
      break;
  }
  const std::uint32_t mark = packet->meta.mark;
  encapsulator_.add(round.now, std::move(packet),
                    {&sa, view.family, view.tos, room.may_fragment_outer, room.fit == Fit::kWhole, mark});
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
        round.now, *cutter, {&sa, view.family, view.tos, room.may_fragment_outer, true, packet->meta.mark});
  }
  for (std::size_t i = 0; i < cutter->count(); ++i) {
    if (i != 0 && room_for(cutter->size_of(i), view, sa).fit == Fit::kTooBig) {
      reporter_.drop(DropReason::kTooBig);  // one ICMP error for them all, about the first
      continue;
    }
    packet::PacketPtr segment = pool_.allocate();
    if (!segment || segment->receive_area().size() < cutter->size_of(i))
      return reporter_.drop(DropReason::kNoBuffer);
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
                        const OutboundSa& sa, std::size_t inner_mtu) {
  const auto fragments = wire::fragment_ipv4(packet.bytes(), inner_mtu);
  if (!fragments) return reporter_.drop(DropReason::kTooBig);
  for (const Bytes& bytes : *fragments) {
    packet::PacketPtr piece = pool_.copy_of(bytes);
    if (!piece) return reporter_.drop(DropReason::kNoBuffer);
    encapsulator_.add(round.now, std::move(piece),
                      {&sa, view.family, view.tos, clears_outer_df(sa, view), true, packet.meta.mark});
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
