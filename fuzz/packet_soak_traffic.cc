#include "fuzz/packet_soak_traffic.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace merlon::soak {

using wire::test::FlowPacket;

Counters counters;

std::string Counters::to_string() const {
  return fmt::format(
      "{} worlds, {} rounds: in {} packets ({} super-packets, {} fragments, {} garbage), {} rekeys, {} "
      "moves; wire {} ESP "
      "packets, {} corrupted, {} lost, {} replayed, {} delayed, {} marked; out {} packets ({} super-packets, "
      "{} "
      "fragments), {} too old, {} too big",
      worlds, rounds, put_in, super_packets, fragments_in, garbage, rekeys, moves, esp_packets, corrupted,
      lost, replayed, delayed, marked, came_out, joined, fragments_out, too_old, too_big);
}

// Zero can be written in two ways (RFC 1071), and whoever finishes a checksum for a network card writes the other one, as
// UDP wants it.
void make_tcp_checksum_plain(MutableByteView segment) {
  if (segment.size() >= 18 && wire::load_u16(segment, 16) == 0xffff) wire::store_u16(segment, 16, 0);
}

// The packet's payload, where it begins; for a fragment behind the first, what it has of it.
Bytes plain_payload(ByteView packet) {
  const std::size_t header = packet[0] >> 4U == 4 ? (packet[0] & 15U) * 4U : 40U;
  Bytes payload = to_bytes(packet.subspan(std::min(header, packet.size())));
  const bool is_first = packet[0] >> 4U != 4 || (wire::load_u16(packet, 6) & 0x1fffU) == 0;
  if (is_first && packet[packet[0] >> 4U == 4 ? 9 : 6] == 6) make_tcp_checksum_plain(payload);
  return payload;
}

std::string identity(ByteView packet) {
  Bytes bytes = to_bytes(packet);
  const Bytes payload = plain_payload(packet);
  std::copy(payload.begin(), payload.end(), bytes.end() - static_cast<std::ptrdiff_t>(payload.size()));
  const bool v4 = bytes[0] >> 4U == 4;
  if (v4) {
    bytes[1] &= 0xfcU;
    if ((bytes[6] & 0x40U) != 0) wire::store_u16(bytes, 4, 0);
    wire::store_u16(bytes, 10, 0);
    const std::size_t header = std::min<std::size_t>((bytes[0] & 15U) * 4U, bytes.size());
    wire::store_u16(bytes, 10, wire::internet_checksum(ByteView(bytes).first(header)));
  } else {
    bytes[1] &= 0xcfU;
  }
  return std::string(as_text(bytes));
}

std::vector<Bytes> cut_by_kernel(const packet::Packet& packet) {
  const Bytes bytes = to_bytes(packet.bytes());
  if (packet.meta.segment_size == 0) {
    require(packet.meta.checksum_start == 0, "a single packet's checksum is finished");
    return {bytes};
  }
  ++counters.joined;
  const bool v4 = bytes[0] >> 4U == 4;
  const std::size_t upper = v4 ? 20 : 40;
  const auto view = wire::parse_packet(bytes);
  require(view.has_value() && view->total_length == bytes.size(), "a super-packet is a packet");
  FlowPacket flow;
  flow.source = view->source;
  flow.destination = view->destination;
  flow.protocol = view->protocol;
  flow.source_port = view->source_port;
  flow.destination_port = view->destination_port;
  flow.tos = view->tos;
  flow.ttl = view->ttl;
  flow.dont_fragment = view->dont_fragment;
  if (v4) flow.identification = wire::load_u16(bytes, 4);
  std::size_t header = upper + 8;
  const bool tcp = flow.protocol == IpProtocol::kTcp;
  if (tcp) {
    header = upper + static_cast<std::size_t>(bytes[upper + 12] >> 4U) * 4;
    flow.sequence = wire::load_u32(bytes, upper + 4);
    flow.acknowledgment = wire::load_u32(bytes, upper + 8);
    flow.flags = bytes[upper + 13];
    flow.window = wire::load_u16(bytes, upper + 14);
    flow.options.assign(bytes.begin() + static_cast<std::ptrdiff_t>(upper) + 20,
                        bytes.begin() + static_cast<std::ptrdiff_t>(header));
  }
  flow.payload.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  require(packet.meta.checksum_start == upper && packet.meta.checksum_offset == (tcp ? 16 : 6),
          "a super-packet's checksum stands where the kernel looks for it");
  require(bytes == wire::test::super_packet_of(flow), "a super-packet's lengths and pseudo header sum");
  require(flow.payload.size() > packet.meta.segment_size, "a super-packet has more than one segment");
  return wire::test::segments_of(flow, packet.meta.segment_size);
}

// --- Expected

void Expected::whole(ByteView packet, std::size_t flow) {
  whole_[identity(packet)].push_back({flow, ++next_order_});
}

std::string Expected::fragment_key(ByteView packet) {
  Bytes key = to_bytes(packet.subspan(12, 8));
  append(key, packet.subspan(4, 2));
  key.push_back(packet[9]);
  return std::string(as_text(key));
}

void Expected::in_fragments(ByteView packet) {
  fragmented_[fragment_key(packet)] = {plain_payload(packet), {}};
}

void Expected::take(ByteView packet, bool in_order) {
  require(packet.size() >= 20, "what comes out is an IP packet");
  if (const auto at = whole_.find(identity(packet)); at != whole_.end()) {
    // Of packets that are alike, as empty UDP datagrams may be, those before the newest that came out were lost.
    auto& places = at->second;
    std::uint64_t& last = last_order_[places.front().flow];
    while (in_order && places.size() > 1 && places.front().order <= last) places.pop_front();
    const Place place = places.front();
    places.pop_front();
    if (places.empty()) whole_.erase(at);
    require(!in_order || place.order > last, "packets of a flow stay in order",
            fmt::format("flow {}: {} after {}", place.flow, place.order, last));
    last = std::max(last, place.order);
    return;
  }
  const std::uint16_t flags = wire::load_u16(packet, 6);
  require(packet[0] >> 4U == 4 && (flags & 0x3fffU) != 0, "what comes out was put in, and once",
          to_hex(packet));
  ++counters.fragments_out;
  const auto original = fragmented_.find(fragment_key(packet));
  require(original != fragmented_.end(), "a fragment is one of something that was put in", to_hex(packet));
  const Bytes part = plain_payload(packet);
  const std::size_t offset = (flags & 0x1fffU) * 8U;
  const Bytes& payload = original->second.payload;
  require(offset + part.size() <= payload.size() &&
              std::equal(part.begin(), part.end(), payload.begin() + static_cast<std::ptrdiff_t>(offset)),
          "a fragment is a part of its packet, unchanged", to_hex(packet) + " of " + to_hex(payload));
  require(original->second.out.emplace(offset, part.size()).second, "a fragment comes out once");
}

// --- Flow

FlowPacket Flow::take(Rng& rng, std::size_t payload, std::size_t segment) {
  FlowPacket taken = next;
  taken.payload = rng.bytes(payload);
  if (taken.protocol == IpProtocol::kTcp && rng.below(20) == 0) {  // what ends a super-packet, or forbids it
    constexpr std::uint8_t kFlags[] = {0x18, 0x11, 0x14, 0x30, 0x90, 0x50};
    taken.flags = kFlags[rng.below(6)];
  }
  if (rng.below(40) == 0) next.tos = static_cast<std::uint8_t>(rng.below(256));
  if (rng.below(40) == 0) next.ttl = static_cast<std::uint8_t>(2 + rng.below(250));
  if (rng.below(40) == 0) next.acknowledgment += 1000;
  next.sequence += static_cast<std::uint32_t>(payload);
  // Each segment has an identification of its own, or fragments of two packets could not be told apart.
  next.identification = static_cast<std::uint16_t>(next.identification + 1 + payload / segment);
  return taken;
}

}  // namespace merlon::soak
