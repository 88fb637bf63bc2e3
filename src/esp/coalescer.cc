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
//
// Most packets will never be part of one. So of each no more is remembered than a number that tells what could follow it
// (trace_of()); only where such a packet comes next of its flow, both are read field by field.
#include "esp/coalescer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "esp/ecn.h"
#include "wire/ip/plain_packet.h"
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

using Octets = std::array<std::uint8_t, 8>;

// Of eight bytes of each packet those that `mask` names.
std::uint64_t difference(ByteView a, ByteView b, std::size_t at,
                         Octets mask = {255, 255, 255, 255, 255, 255, 255, 255}) {
  std::uint64_t first = 0, second = 0;
  std::memcpy(&first, &a[at], sizeof first);
  std::memcpy(&second, &b[at], sizeof second);
  return (first ^ second) & std::bit_cast<std::uint64_t>(mask);
}

// Whether the headers of two packets with ports, the first of which can be a segment, are the same as far as those of segments
// are: then the second can be one, too. All but lengths, IPv4's identification and checksum: flow, TOS, TTL, fragmenting.
bool are_ip_headers_alike(ByteView first, ByteView second) {
  constexpr Octets kVersionToTos{255, 255, 0, 0, 0, 0, 255, 255},
      kTtlToSource{255, 255, 0, 0, 255, 255, 255, 255};
  constexpr Octets kFlowLabelToHopLimit{255, 255, 255, 255, 0, 0, 255, 255},
      kPorts{255, 255, 255, 255, 0, 0, 0, 0};
  if (second.size() < wire::kIpv4HeaderSize + wire::kUdpHeaderSize) return false;
  if (first[0] == 0x45)
    return (difference(first, second, 0, kVersionToTos) | difference(first, second, 8, kTtlToSource) |
            difference(first, second, 16)) == 0;
  if (second.size() < wire::kIpv6HeaderSize + wire::kUdpHeaderSize) return false;
  std::uint64_t sum =
      difference(first, second, 0, kFlowLabelToHopLimit) | difference(first, second, 40, kPorts);
  for (std::size_t at = 8; at < wire::kIpv6HeaderSize; at += 8) sum |= difference(first, second, at);
  return sum == 0;
}

bool are_checksums_right(ByteView packet) {
  wire::PacketView view;
  return wire::read_plain_packet(packet, view) && wire::are_checksums_right(packet, view);
}

}  // namespace

Coalescer::Coalescer(const EngineConfig& config, packet::PacketPool& pool, Reporter& reporter)
    : pool_(pool), reporter_(reporter) {
  joins_[static_cast<std::uint8_t>(IpProtocol::kTcp)] = config.coalesce_tcp;
  joins_[static_cast<std::uint8_t>(IpProtocol::kUdp)] = config.coalesce_udp;
}

void Coalescer::add(MutableByteView inner, const wire::PacketView& view, packet::PacketPtr& owner,
                    packet::PacketList& out) {
  if (view.upper == wire::UpperFields::kOpaque) finish();  // it may belong to any flow
  if (view.upper != wire::UpperFields::kPorts || !joins_[static_cast<std::uint8_t>(view.protocol)] ||
      inner.size() < view.upper_offset + wire::kUdpHeaderSize) {
    emit(inner, owner, out);
    return;
  }
  const auto source = view.source.words(), destination = view.destination.words();
  const auto ports = std::uint32_t{view.source_port} << 16U | view.destination_port;
  std::uint64_t addresses = source[0] | destination[0] >> 32U;
  std::optional<std::uint16_t> identification;
  if (view.family == IpFamily::kIpv6) {
    constexpr std::uint64_t kOdd = 0xff51afd7ed558ccd;
    addresses = ((source[0] * kOdd + source[1]) * kOdd + destination[0]) * kOdd + destination[1];
  } else if (!view.dont_fragment) {
    identification = wire::load_u16(inner, kIdentification);
  }
  const std::uint64_t flow = hash(addresses, ports);
  place(flow, trace_of(flow, view.protocol, inner.subspan(view.upper_offset), identification), inner, owner,
        out);
}

// Behind the newest packet of the place, if it continues that one; else nothing will be put behind that any more.
bool Coalescer::append(std::size_t place, Trace trace, MutableByteView inner) {
  if (!is_taken_[place]) return false;
  Place& newest = places_[place];
  const bool may_follow = newest.next == trace.self;
  Flow* flow = find(newest.packet);
  if (flow == nullptr) {
    if (!may_follow) return false;
    const auto opened = flow_of(*newest.packet, place);
    if (!opened || !follows(*opened, inner)) return false;
    if (flow_count_ == flows_.size()) end(flows_[0]);
    flow = &flows_[flow_count_++];
    *flow = *opened;
  } else if (!may_follow || !follows(*flow, inner)) {
    end(*flow);
    return false;
  }
  append_payload(*flow, inner);
  newest.next = trace.next;
  return true;
}

void Coalescer::finish() {
  for (Flow& flow : std::span(flows_).first(flow_count_)) close(flow);
  flow_count_ = 0;
  is_taken_.fill(false);
}

packet::Packet* Coalescer::emit_copy(ByteView inner, packet::PacketList& out) {
  packet::PacketPtr packet = pool_.copy_of(inner);
  if (packet == nullptr) {
    reporter_.drop(DropReason::kNoBuffer);
    return nullptr;
  }
  out.push_back(std::move(packet));
  return out.back().get();
}

Coalescer::Flow* Coalescer::find(const packet::Packet* packet) {
  for (Flow& flow : std::span(flows_).first(flow_count_))
    if (flow.packet == packet) return &flow;
  return nullptr;
}

// What it would be with a packet as its first segment; nothing where it cannot be that.
std::optional<Coalescer::Flow> Coalescer::flow_of(packet::Packet& packet, std::size_t place) {
  const ByteView bytes = packet.bytes();
  // No fragments, no IPv4 options, no IPv6 extension headers.
  wire::PacketView view;
  if (!wire::read_plain_packet(bytes, view) || ecn_of(view.tos) == Ecn::kCe) return std::nullopt;
  Flow flow{.packet = &packet, .place = static_cast<std::uint32_t>(place), .count = 1};
  flow.is_tcp = view.protocol == IpProtocol::kTcp;
  flow.upper_offset = static_cast<std::uint32_t>(view.upper_offset);
  if (view.family == IpFamily::kIpv4)
    flow.next_identification = static_cast<std::uint16_t>(wire::load_u16(bytes, kIdentification) + 1);
  const ByteView upper = bytes.subspan(view.upper_offset);
  std::size_t upper_header = wire::kUdpHeaderSize;
  if (flow.is_tcp) {
    if (upper.size() < kTcpHeaderSize) return std::nullopt;
    upper_header = (upper[kDataOffset] >> 4U) * std::size_t{4};
    if (upper_header < kTcpHeaderSize || (upper[kDataOffset] & 0x0fU) != 0 || upper[kFlags] != kAck)
      return std::nullopt;
  } else if (view.protocol != IpProtocol::kUdp) {
    return std::nullopt;
  }
  if (upper.size() <= upper_header) return std::nullopt;  // nothing to put together
  flow.header_size = static_cast<std::uint32_t>(view.upper_offset + upper_header);
  flow.segment_size = flow.last_size = static_cast<std::uint32_t>(upper.size() - upper_header);
  if (flow.is_tcp) flow.next_sequence = wire::load_u32(upper, kSequence) + flow.segment_size;
  return flow;
}

// Would the kernel's cutting of the flow's packet make this one of its next segment?
bool Coalescer::follows(const Flow& flow, ByteView inner) {
  const ByteView packet = flow.packet->bytes();
  if (!are_ip_headers_alike(packet, inner) || inner.size() <= flow.header_size) return false;
  const std::size_t payload_size = inner.size() - flow.header_size;
  // A shorter segment, or one with PSH, is the last.
  if (flow.ends_with_push || flow.last_size != flow.segment_size || payload_size > flow.segment_size)
    return false;
  if (packet.size() + payload_size > kMaxIpPacket || flow.packet->tailroom() < payload_size) return false;
  // RFC 6864 4.1: with DF set the identification means nothing.
  if (packet[0] == 0x45 && (packet[6] & 0x40U) == 0 &&
      wire::load_u16(inner, kIdentification) != flow.next_identification)
    return false;
  if (flow.is_tcp) {
    const auto one = packet.subspan(flow.upper_offset, flow.header_size - flow.upper_offset);
    const auto next = inner.subspan(flow.upper_offset, one.size());
    const auto differ = [&](std::size_t at, std::size_t size) {
      return std::memcmp(&one[at], &next[at], size) != 0;
    };
    if (wire::load_u32(next, kSequence) != flow.next_sequence || (next[kFlags] & ~kPsh) != kAck ||
        differ(kAcknowledgment, kFlags - kAcknowledgment) || differ(kWindow, 2) ||
        differ(kUrgentPointer, one.size() - kUrgentPointer))  // and the options
      return false;
  } else if (flow.count == kMaxUdpSegments) {
    return false;
  }
  // The first one's checksums are looked at when there is a second.
  if (flow.count == 1 && !are_checksums_right(packet)) return false;
  return are_checksums_right(inner);
}

void Coalescer::append_payload(Flow& flow, ByteView inner) {
  const ByteView from = inner.subspan(flow.header_size);
  // First: where both are in one buffer, the payload moves down over its own header.
  flow.ends_with_push = flow.is_tcp && (inner[flow.upper_offset + kFlags] & kPsh) != 0;
  const MutableByteView to = flow.packet->extend(from.size());
  std::copy(from.begin(), from.end(), to.begin());
  ++flow.count;
  flow.last_size = static_cast<std::uint32_t>(from.size());
  flow.next_sequence += flow.last_size;
  ++flow.next_identification;
}

// The flow's packet is as it shall be; what comes stands behind it.
void Coalescer::end(Flow& flow) {
  close(flow);
  is_taken_[flow.place] = false;
  flow = flows_[--flow_count_];
}

void Coalescer::close(Flow& flow) {
  packet::Packet& packet = *flow.packet;
  const MutableByteView bytes = packet.bytes();
  wire::PacketView first;
  const bool is_plain = wire::read_plain_packet(bytes, first);
  MERLON_ASSERT(is_plain);  // else it had not become a flow
  if (flow.ends_with_push) bytes[flow.upper_offset + kFlags] |= kPsh;
  wire::write_super_headers(bytes, first);
  packet.meta.segment_size = static_cast<std::uint16_t>(flow.segment_size);
  packet.meta.checksum_start = static_cast<std::uint16_t>(flow.upper_offset);
  packet.meta.checksum_offset = flow.is_tcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset;
}

}  // namespace merlon::esp
