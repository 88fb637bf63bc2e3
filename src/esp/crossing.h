// How packets reach the worker that owns their SA. What arrives elsewhere, since the kernel chose another TUN queue or put
// datagrams of several SAs into one receive, crosses through a lane for each pair of workers, in bursts and without copies:
// the buffer becomes the owner's, and another one comes back.
//
//   worker A                                          worker B, the owner
//   send() ... flush()   == outbound, inbound =====>   take() -> its own Outbound or Inbound, as if just read
//   collect()            <================== home ==   as many free buffers as it took
//
// An SA has one owner and a lane keeps its order, so a flow's packets stay in order. A full lane drops at the edge
// (DropReason::kCrossingFull): nothing grows, and nobody waits.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "esp/lane.h"
#include "esp/reporter.h"
#include "esp/steering.h"
#include "packet/burst.h"
#include "packet/pool.h"

namespace merlon::esp {

enum class Crossing : std::uint8_t { kOutbound, kInbound };  // what the owner is to do with a packet
inline constexpr std::size_t kCrossings = 2;

struct CrossingCounters {  // of one worker; written by it alone, read by anyone
  std::atomic<std::uint64_t> sent{0}, taken{0}, refused{0};
};

class CrossingEnd;

// All lanes of an engine.
class CrossingField {
 public:
  // `pools`: the workers', in order, with all the buffers they are to have; all outlive the field. `lane_capacity`: packets; less
  // where that is too much of the pools.
  CrossingField(std::size_t lane_capacity, std::span<packet::PacketPool* const> pools);
  // The workers have stopped: what is on its way goes back to the pools.
  ~CrossingField();
  CrossingField(const CrossingField&) = delete;
  CrossingField& operator=(const CrossingField&) = delete;

 private:
  friend class CrossingEnd;
  using PacketLane = Lane<packet::Packet>;
  struct Pair {  // from one worker to another
    Pair(std::size_t lane_capacity, std::size_t home_capacity)
        : lanes{PacketLane(lane_capacity), PacketLane(lane_capacity)}, home(home_capacity) {}
    std::array<PacketLane, kCrossings> lanes;
    PacketLane home;  // the other way: free buffers
  };
  [[nodiscard]] Pair& pair(std::size_t from, std::size_t to) { return *pairs_[from * pools_.size() + to]; }

  std::vector<packet::PacketPool*> pools_;
  std::vector<std::unique_ptr<Pair>> pairs_;  // null on the diagonal
};

// One worker's ends of its lanes. All calls from its thread.
class CrossingEnd {
 public:
  // So much is worked on at once, as where it is read: what is made of super-packets has to fit into the pool, and the second cache.
  static constexpr std::size_t kMostBytes = 128U << 10U;

  CrossingEnd(CrossingField& field, WorkerIndex self, Reporter& reporter);

  [[nodiscard]] WorkerIndex owner(Spi spi) const { return owner_of(spi, peers_.size()); }

  // --- sender
  void send(WorkerIndex to, Crossing kind, packet::PacketPtr packet);
  // Publishes what was sent. To be called at the end of each call that may have sent.
  void flush();
  // Who was sent something since the last call: a bit for each worker. They may sleep.
  [[nodiscard]] std::uint64_t take_sent_to() { return std::exchange(sent_to_, 0); }
  // Leaves in `burst` only what is this worker's own, with gaps; the ESP packets of others cross. A buffer that holds packets
  // of several owners is taken apart.
  void keep_own(packet::Burst& burst);

  // --- receiver
  // The next packets that others sent, of one kind, at most a burst or about kMostBytes; false where there are none. Every
  // other worker has its turn.
  [[nodiscard]] bool take(Crossing kind, packet::Burst& burst);
  // Does anything wait? Sequentially consistent with flush().
  [[nodiscard]] bool has_any() const;
  // Takes buffers back that came home, and sends home what is owed.
  void collect();

  [[nodiscard]] const CrossingCounters& counters() const { return counters_; }

 private:
  struct Bundle {  // what is to be sent to one worker
    std::array<packet::Packet*, packet::kBurstCapacity> packets;
    std::size_t count = 0;
  };
  struct Peer {
    std::array<Bundle, kCrossings> bundles;
    std::size_t owed = 0;  // buffers that we took and for which none went back yet
  };
  void push(std::size_t to, std::size_t kind);
  void pay(std::size_t peer);
  void keep_own_parts(packet::PacketPtr& packet);
  [[nodiscard]] bool is_all_of(WorkerIndex owner, const packet::Packet& packet) const;
  [[nodiscard]] WorkerIndex owner_of_bytes(ByteView esp) const;

  CrossingField& field_;
  const WorkerIndex self_;
  packet::PacketPool& pool_;
  const std::size_t least_buffers_;  // are never given away
  Reporter& reporter_;
  std::vector<Peer> peers_;
  std::array<std::size_t, kCrossings> next_{};  // whose turn it is
  std::uint64_t sent_to_ = 0, dirty_ = 0;       // a bit for each worker; dirty: a bundle is not empty
  CrossingCounters counters_;
};

}  // namespace merlon::esp
