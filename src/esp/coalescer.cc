//   in one buffer, as UDP_GRO filled it:
//   | ESP IV [ IP TCP payload 1 ] ICV | ESP IV [ IP TCP payload 2 ] ICV | ESP IV [ IP TCP payload 3 ] ICV |
//              `---- stays ---'                         |                                     |
//            [ IP TCP payload 1 | payload 2 | payload 3 ]  <- moved down, over what was read already
//
// The first inner packet of a buffer takes it. Each further one is moved behind the packet that it continues (which
// may stand in another buffer), or else gets a buffer of its own: so whatever is overwritten was read before.
//
// What may be put together is what the kernel, cutting it again, would make the very same packets of: one flow, the
// next sequence number, equal headers but for length, identification, checksums and a PSH on the last; equal
// payloads, of which the last may be shorter. Everything else ends its flow's super-packet and goes by itself behind
// it, so a flow stays in order. Checksums are verified before, since the kernel trusts a super-packet.
#include "esp/coalescer.h"

#include <algorithm>

#include "esp/ecn.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/segment.h"
#include "wire/ip/udp.h"

namespace merlon::esp {
namespace {

constexpr std::size_t kMaxIpPacket = 65535;
constexpr std::size_t kMaxUdpSegments = 64;  // the kernel's UDP_MAX_SEGMENTS
// RFC 791 3.1
constexpr std::size_t kIdentification = 4;
// RFC 9293 3.1
constexpr std::size_t kTcpHeaderSize = 20, kSequence = 4, kAcknowledgment = 8, kDataOffset = 12, kFlags = 13,
                      kWindow = 14, kUrgentPointer = 18;
constexpr std::uint8_t kPsh = 0x08, kAck = 0x10;

bool is_same(ByteView a, ByteView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

bool is_same_flow(const wire::PacketView& a, const wire::PacketView& b) {
  return a.source_port == b.source_port && a.destination_port == b.destination_port &&
         a.protocol == b.protocol && a.source == b.source && a.destination == b.destination;
}

}  // namespace

struct Coalescer::Candidate {
  MutableByteView bytes;
  const wire::PacketView& view;
  std::size_t header_size = 0;
  std::size_t payload_size = 0;
  std::uint32_t sequence = 0;        // TCP
  std::uint16_t identification = 0;  // IPv4
  bool is_tcp = false, has_push = false;

  // Nothing where the packet could not be a segment of a super-packet.
  static std::optional<Candidate> of(MutableByteView bytes, const wire::PacketView& view);
  [[nodiscard]] ByteView payload() const { return bytes.subspan(header_size); }
};

std::optional<Coalescer::Candidate> Coalescer::Candidate::of(MutableByteView bytes,
                                                             const wire::PacketView& view) {
  const std::size_t plain_header =
      view.family == IpFamily::kIpv4 ? wire::kIpv4HeaderSize : wire::kIpv6HeaderSize;
  // No IPv4 options, no IPv6 extension headers.
  if (view.is_fragment || view.upper != wire::UpperFields::kPorts || view.upper_offset != plain_header ||
      ecn_of(view.tos) == Ecn::kCe)
    return std::nullopt;
  Candidate candidate{.bytes = bytes, .view = view, .is_tcp = view.protocol == IpProtocol::kTcp};
  if (view.family == IpFamily::kIpv4) candidate.identification = wire::load_u16(bytes, kIdentification);
  const ByteView upper = bytes.subspan(plain_header);
  std::size_t upper_header = wire::kUdpHeaderSize;
  if (candidate.is_tcp) {
    if (upper.size() < kTcpHeaderSize) return std::nullopt;
    upper_header = (upper[kDataOffset] >> 4U) * std::size_t{4};
    if (upper_header < kTcpHeaderSize || (upper[kDataOffset] & 0x0fU) != 0 || (upper[kFlags] & ~kPsh) != kAck)
      return std::nullopt;
    candidate.sequence = wire::load_u32(upper, kSequence);
    candidate.has_push = (upper[kFlags] & kPsh) != 0;
  } else if (view.protocol != IpProtocol::kUdp) {
    return std::nullopt;
  }
  if (upper.size() <= upper_header) return std::nullopt;  // nothing to put together
  candidate.header_size = plain_header + upper_header;
  candidate.payload_size = upper.size() - upper_header;
  return candidate;
}

Coalescer::Coalescer(const EngineConfig& config, packet::PacketPool& pool, Reporter& reporter)
    : config_(config), pool_(pool), reporter_(reporter) {}

void Coalescer::add(MutableByteView inner, const wire::PacketView& view, packet::PacketPtr& owner,
                    packet::PacketList& out) {
  if (!is_on()) return pass(inner, owner, out);
  const auto candidate = Candidate::of(inner, view);
  const bool may_join =
      candidate.has_value() && (candidate->is_tcp ? config_.coalesce_tcp : config_.coalesce_udp);
  if (view.upper == wire::UpperFields::kOpaque) {  // it may belong to any flow
    finish();
  } else if (Flow* flow = find(view)) {
    if (may_join && follows(*flow, *candidate)) return append(*flow, *candidate);
    close(*flow);
  }
  packet::Packet* const packet = emit(inner, owner, out);
  if (packet == nullptr || !may_join || candidate->has_push) return;
  if (packet->bytes().data() == inner.data()) {
    open(*packet, *candidate);
  } else if (const auto moved = Candidate::of(packet->bytes(), view)) {
    open(*packet, *moved);
  }
}

void Coalescer::finish() {
  for (Flow& flow : flows_)
    if (flow.is_open) close(flow);
}

// The packet by itself: in the buffer where it stands if that is to be had, else in one of its own.
packet::Packet* Coalescer::emit(MutableByteView inner, packet::PacketPtr& owner, packet::PacketList& out) {
  packet::PacketPtr packet = std::move(owner);
  if (packet != nullptr) {
    packet->narrow_to(inner);
    packet->meta.segment_size = packet->meta.checksum_start = 0;
  } else {
    packet = pool_.copy_of(inner);
    if (packet == nullptr) {
      reporter_.drop(DropReason::kNoBuffer);
      return nullptr;
    }
  }
  out.push_back(std::move(packet));
  return out.back().get();
}

Coalescer::Flow* Coalescer::find(const wire::PacketView& view) {
  for (Flow& flow : flows_)
    if (flow.is_open && is_same_flow(flow.view, view)) return &flow;
  return nullptr;
}

void Coalescer::open(packet::Packet& packet, const Candidate& candidate) {
  Flow& flow = flows_[next_flow_];
  next_flow_ = (next_flow_ + 1) % flows_.size();
  if (flow.is_open) close(flow);
  flow = {.packet = &packet,
          .view = candidate.view,
          .header_size = candidate.header_size,
          .segment_size = candidate.payload_size,
          .count = 1,
          .last_size = candidate.payload_size,
          .next_sequence = candidate.sequence + static_cast<std::uint32_t>(candidate.payload_size),
          .next_identification = static_cast<std::uint16_t>(candidate.identification + 1),
          .ends_with_push = false,
          .is_open = true};
}

// Would the kernel's cutting of the flow's packet make this one of its next segment?
bool Coalescer::follows(const Flow& flow, const Candidate& candidate) const {
  const wire::PacketView& first = flow.view;
  const wire::PacketView& view = candidate.view;
  // A shorter segment, or one with PSH, is the last.
  if (flow.ends_with_push || flow.last_size != flow.segment_size ||
      candidate.payload_size > flow.segment_size || candidate.header_size != flow.header_size)
    return false;
  if (flow.packet->size() + candidate.payload_size > kMaxIpPacket ||
      flow.packet->tailroom() < candidate.payload_size)
    return false;
  if (first.tos != view.tos || first.ttl != view.ttl || first.dont_fragment != view.dont_fragment)
    return false;
  const ByteView packet = flow.packet->bytes();
  if (first.family == IpFamily::kIpv4) {
    // RFC 6864 4.1: with DF set the identification means nothing.
    if (!view.dont_fragment && candidate.identification != flow.next_identification) return false;
    constexpr std::size_t kFragmentWord = 6;  // and the bit that has no meaning
    if (!is_same(packet.subspan(kFragmentWord, 2), candidate.bytes.subspan(kFragmentWord, 2))) return false;
  } else if (!is_same(packet.first(4), candidate.bytes.first(4))) {  // the flow label
    return false;
  }
  if (candidate.is_tcp) {
    if (candidate.sequence != flow.next_sequence) return false;
    const ByteView one = packet.subspan(view.upper_offset, flow.header_size - view.upper_offset);
    const ByteView next = candidate.bytes.subspan(view.upper_offset, one.size());
    if (!is_same(one.subspan(kAcknowledgment, 5), next.subspan(kAcknowledgment, 5)) ||
        !is_same(one.subspan(kWindow, 2), next.subspan(kWindow, 2)) ||
        !is_same(one.subspan(kUrgentPointer), next.subspan(kUrgentPointer)))  // and the options
      return false;
  } else if (flow.count == kMaxUdpSegments) {
    return false;
  }
  // The first one's checksums are looked at when there is a second.
  if (flow.count == 1 && !wire::are_checksums_right(packet, first)) return false;
  return wire::are_checksums_right(candidate.bytes, view);
}

void Coalescer::append(Flow& flow, const Candidate& candidate) {
  const ByteView from = candidate.payload();
  const MutableByteView to = flow.packet->extend(from.size());
  std::copy(from.begin(), from.end(), to.begin());  // downwards, where both are in one buffer
  ++flow.count;
  flow.last_size = from.size();
  flow.next_sequence += static_cast<std::uint32_t>(from.size());
  ++flow.next_identification;
  flow.ends_with_push = candidate.has_push;
}

// The flow's packet is as it shall be; what comes opens another.
void Coalescer::close(Flow& flow) {
  flow.is_open = false;
  if (flow.count == 1) return;
  packet::Packet& packet = *flow.packet;
  const MutableByteView bytes = packet.bytes();
  if (flow.ends_with_push) bytes[flow.view.upper_offset + kFlags] |= kPsh;
  wire::write_super_headers(bytes, flow.view);
  packet.meta.segment_size = static_cast<std::uint16_t>(flow.segment_size);
  packet.meta.checksum_start = static_cast<std::uint16_t>(flow.view.upper_offset);
  packet.meta.checksum_offset =
      flow.view.protocol == IpProtocol::kTcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset;
}

}  // namespace merlon::esp
