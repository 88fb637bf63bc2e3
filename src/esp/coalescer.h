// Puts inner packets of one flow that stand in sequence together again to super-packets, before they go to TUN.
// One a worker; works on one burst at a time and keeps nothing between two.
#pragma once

#include <array>

#include "esp/config.h"
#include "esp/reporter.h"
#include "packet/burst.h"
#include "packet/pool.h"
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
  // Does it put anything together?
  [[nodiscard]] bool is_on() const { return config_.coalesce_tcp || config_.coalesce_udp; }
  // As add(), where it is off.
  void pass(MutableByteView inner, packet::PacketPtr& owner, packet::PacketList& out) {
    if (owner == nullptr) {
      emit(inner, owner, out);
      return;
    }
    owner->narrow_to(inner);
    owner->meta.segment_size = owner->meta.checksum_start = 0;
    out.push_back(std::move(owner));
  }
  // Writes the headers of super-packets; only then is what was appended to `out` whole.
  void finish();

 private:
  // A packet in `out` that may grow: the first segment, and those behind it.
  struct Flow {
    packet::Packet* packet = nullptr;
    wire::PacketView view;                  // of the first segment
    std::size_t header_size = 0;            // to the payload
    std::size_t segment_size = 0;           // payload of the first segment
    std::size_t count = 0;                  // segments
    std::size_t last_size = 0;              // payload of the newest
    std::uint32_t next_sequence = 0;        // TCP
    std::uint16_t next_identification = 0;  // IPv4
    bool ends_with_push = false;
    bool is_open = false;
  };
  struct Candidate;  // a packet that could be a segment

  [[nodiscard]] Flow* find(const wire::PacketView& view);
  [[nodiscard]] bool follows(const Flow& flow, const Candidate& candidate) const;
  static void append(Flow& flow, const Candidate& candidate);
  void open(packet::Packet& packet, const Candidate& candidate);
  static void close(Flow& flow);
  packet::Packet* emit(MutableByteView inner, packet::PacketPtr& owner, packet::PacketList& out);

  const EngineConfig& config_;
  packet::PacketPool& pool_;
  Reporter& reporter_;
  std::array<Flow, 8> flows_;
  std::size_t next_flow_ = 0;  // whose place the next new flow takes
};

}  // namespace merlon::esp
