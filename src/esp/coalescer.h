// Puts inner packets of one flow that stand in sequence together again to super-packets, before they go to TUN.
// One a worker; works on one burst at a time and keeps nothing between two.
#pragma once

#include <array>
#include <optional>

#include "esp/config.h"
#include "esp/plain_v4.h"
#include "esp/reporter.h"
#include "packet/burst.h"
#include "packet/pool.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/packet_view.h"

namespace merlon::esp {

class Coalescer {
 public:
  // All outlive it. The pool gives buffers to packets that cannot stay where they are.
  Coalescer(const EngineConfig& config, packet::PacketPool& pool, Reporter& reporter);

  // The next inner packet in order. `inner` are its bytes, which lie within a buffer of the pool; `view` is
  // parse_packet's. `owner` owns the buffer, or is empty where an earlier packet of the same buffer took it;
  // it is taken here, and what lies behind `inner` in the buffer must still be added after it (or be dropped).
  // The result is appended to `out`: at once, or as a part of a packet that is there already.
  void add(MutableByteView inner, const wire::PacketView& view, packet::PacketPtr& owner,
           packet::PacketList& out);
  // The same of a packet that PlainV4 read.
  void add(MutableByteView inner, const PlainV4& plain, packet::PacketPtr& owner, packet::PacketList& out);
  // Writes the headers of super-packets; only then is what was appended to `out` whole.
  void finish();

 private:
  // The newest packet of a flow. What continues it has its `next` as its own `self`; other packets hardly ever have.
  struct Place {
    std::uint64_t next = 0;
    packet::Packet* packet = nullptr;  // in `out`; means something where is_taken_ says so
  };
  struct Trace {
    std::uint64_t self = 0, next = 0;
  };
  // A super-packet in `out`: the first segment, and those behind it.
  struct Flow {
    packet::Packet* packet = nullptr;
    std::uint32_t place = 0;
    std::uint32_t upper_offset = 0, header_size = 0;  // to the TCP or UDP header; to the payload
    std::uint32_t segment_size = 0, last_size = 0;    // payload of the first segment, and of the newest
    std::uint32_t count = 0;                          // segments
    std::uint32_t next_sequence = 0;                  // TCP
    std::uint16_t next_identification = 0;            // IPv4
    bool is_tcp = false;
    bool ends_with_push = false;
  };
  static constexpr std::size_t kPlaces = 256, kMostFlows = 16;

  [[nodiscard]] static std::uint64_t hash(std::uint64_t addresses, std::uint32_t ports) {
    constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15, kOther = 0xc2b2ae3d27d4eb4f;
    return addresses * kOdd + ports * kOther;
  }
  // Flows with one place take it from each other: then less is put together, and nothing else happens.
  [[nodiscard]] static std::size_t place_of(std::uint64_t hash) {
    static_assert(kPlaces == 256);
    return hash >> 56U;
  }
  [[nodiscard]] static Trace trace_of(std::uint64_t hash, IpProtocol protocol, ByteView upper,
                                      std::optional<std::uint16_t> identification);
  void place(std::uint64_t hash, Trace trace, MutableByteView inner, packet::PacketPtr& owner,
             packet::PacketList& out);
  [[nodiscard, gnu::noinline]] bool append(std::size_t place, Trace trace, MutableByteView inner);
  [[nodiscard]] Flow* find(const packet::Packet* packet);
  [[nodiscard]] static std::optional<Flow> flow_of(packet::Packet& packet, std::size_t place);
  [[nodiscard]] static bool follows(const Flow& flow, ByteView inner);
  static void append_payload(Flow& flow, ByteView inner);
  static void close(Flow& flow);
  void end(Flow& flow);
  packet::Packet* emit(MutableByteView inner, packet::PacketPtr& owner, packet::PacketList& out);
  [[gnu::noinline]] packet::Packet* emit_copy(ByteView inner, packet::PacketList& out);

  packet::PacketPool& pool_;
  Reporter& reporter_;
  std::array<bool, 256> joins_{};  // packets of which protocol
  std::array<bool, kPlaces> is_taken_{};
  std::array<Place, kPlaces> places_;
  std::array<Flow, kMostFlows> flows_;  // the first flow_count_ of them, in no order
  std::size_t flow_count_ = 0;
};

// By what stands in registers anyway. `identification`: where it counts, IPv4 without DF (RFC 6864 4.1).
[[gnu::always_inline]] inline Coalescer::Trace Coalescer::trace_of(
    std::uint64_t hash, IpProtocol protocol, ByteView upper, std::optional<std::uint16_t> identification) {
  constexpr std::size_t kUdpChecksum = 6, kTcpHeader = 20, kSequence = 4, kDataOffset = 12, kFlags = 13;
  constexpr std::uint8_t kAck = 0x10;
  if (protocol == IpProtocol::kUdp) {
    const std::uint64_t self = hash + identification.value_or(0);
    // RFC 768: without a checksum, it is none that the kernel makes.
    if (wire::load_u16(upper, kUdpChecksum) == 0) return {self, ~self};
    return {self, identification ? hash + static_cast<std::uint16_t>(*identification + 1) : hash};
  }
  if (upper.size() <= kTcpHeader) return {hash, ~hash};
  const std::uint32_t sequence = wire::load_u32(upper, kSequence);
  const std::size_t header = (upper[kDataOffset] >> 4U) * std::size_t{4};
  const std::uint64_t self = hash + sequence;
  // No payload, or a flag that must stand on the last: nothing continues it.
  if (header >= upper.size() || upper[kFlags] != kAck) return {self, ~self};
  return {self, hash + static_cast<std::uint32_t>(sequence + (upper.size() - header))};
}

// The packet by itself: in the buffer where it stands if that is to be had, else in one of its own.
[[gnu::always_inline]] inline packet::Packet* Coalescer::emit(MutableByteView inner, packet::PacketPtr& owner,
                                                              packet::PacketList& out) {
  packet::Packet* const packet = owner.get();
  if (packet == nullptr) return emit_copy(inner, out);
  packet->narrow_to(inner);
  packet->meta.segment_size = packet->meta.checksum_start = 0;
  out.push_back(std::move(owner));
  return packet;
}

[[gnu::always_inline]] inline void Coalescer::place(std::uint64_t hash, Trace trace, MutableByteView inner,
                                                    packet::PacketPtr& owner, packet::PacketList& out) {
  const std::size_t index = place_of(hash);
  Place& place = places_[index];
  if ((place.next == trace.self || flow_count_ != 0) && append(index, trace, inner)) return;
  packet::Packet* const packet = emit(inner, owner, out);
  if (packet == nullptr) return;
  place.next = trace.next;
  place.packet = packet;
  is_taken_[index] = true;
}

[[gnu::always_inline]] inline void Coalescer::add(MutableByteView inner, const PlainV4& plain,
                                                  packet::PacketPtr& owner, packet::PacketList& out) {
  if (!joins_[static_cast<std::uint8_t>(plain.protocol)]) {
    emit(inner, owner, out);
    return;
  }
  const std::uint64_t flow = hash(plain.addresses, plain.upper_selector);
  const std::optional<std::uint16_t> identification =
      plain.dont_fragment ? std::nullopt : std::optional(wire::load_u16(inner, 4));
  place(flow, trace_of(flow, plain.protocol, inner.subspan(wire::kIpv4HeaderSize), identification), inner,
        owner, out);
}

}  // namespace merlon::esp
