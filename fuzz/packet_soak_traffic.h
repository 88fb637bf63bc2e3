// What the packet soak sends, and how it knows what comes out: flows that are written field by field, and the packets that
// the kernel would make of what is written to TUN, without the code that is tested.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "packet/pool.h"
#include "wire/ip/packet_view.h"
#include "wire/test_segments.h"

namespace merlon::soak {

[[noreturn]] void broken(const char* rule, const std::string& detail = {});
inline void require(bool holds, const char* rule, const std::string& detail = {}) {
  if (!holds) broken(rule, detail);
}

struct Counters {
  std::uint64_t worlds = 0, rounds = 0, put_in = 0, super_packets = 0, fragments_in = 0, garbage = 0;
  std::uint64_t esp_packets = 0, corrupted = 0, lost = 0, replayed = 0, delayed = 0, too_old = 0, marked = 0;
  std::uint64_t came_out = 0, joined = 0, fragments_out = 0, too_big = 0, rekeys = 0, moves = 0;
  [[nodiscard]] std::string to_string() const;
};
extern Counters counters;

// What identifies a packet although the tunnel may change it: without ECN (RFC 6040) and, where it means nothing (RFC 6864
// 4.1), without identification.
std::string identity(ByteView packet);

// The packets that something written to TUN stands for.
std::vector<Bytes> cut_by_kernel(const packet::Packet& packet);

// Packets that were put in and have not come out yet.
class Expected {
 public:
  void whole(ByteView packet, std::size_t flow);
  // An IPv4 packet that may come out in fragments.
  void in_fragments(ByteView packet);
  // Throws what came out at whoever started this unless it was put in, and not yet out. `in_order`: the wire was kind, so
  // that no packet of a flow may have overtaken another.
  void take(ByteView packet, bool in_order);

 private:
  struct Place {
    std::size_t flow;
    std::uint64_t order;
  };
  struct Original {
    Bytes payload;
    std::map<std::size_t, std::size_t> out;  // offset, size
  };
  static std::string fragment_key(ByteView packet);
  std::unordered_map<std::string, std::deque<Place>> whole_;
  std::unordered_map<std::string, Original> fragmented_;
  std::map<std::size_t, std::uint64_t> last_order_;
  std::uint64_t next_order_ = 0;
};

// A row of packets with the same addresses and ports, the next one following on the one before.
struct Flow {
  wire::test::FlowPacket next;
  std::size_t child = 0;
  std::size_t number = 0;

  // Of this size, and goes on behind it. `segment`: what the packet will be cut into.
  wire::test::FlowPacket take(Rng& rng, std::size_t payload, std::size_t segment = 65536);
};

}  // namespace merlon::soak
