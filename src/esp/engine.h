// The packet engine as the daemon and the simulator use it: the control side installs policies and SAs, a
// worker carries packets. No I/O, no clock, no randomness of its own.
//
//   control thread(s)                                 worker threads, one or more
//   install, update, remove, set_spd, ...   ----->    outbound(now, burst), inbound(now, burst), poll(now), crossed(now)
//   next_event                              <-----    (a bounded ring each)
//
// An SA belongs to one worker, which its inbound SPI names (steering.h). What arrives at another crosses to it
// (crossing.h).
//
// What goes right is published: immutable objects behind atomic pointers, freed when no worker can still look
// at them. What changes with packets stays where it is and belongs to one worker.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/rng.h"
#include "esp/config.h"
#include "esp/counters.h"
#include "esp/drop_reason.h"
#include "esp/events.h"
#include "esp/sa.h"
#include "packet/burst.h"
#include "packet/pool.h"
#include "policy/sad.h"

namespace merlon::policy {
class Spd;
}

namespace merlon::esp {

// What outbound() and poll() hand on; both lists are appended to.
struct OutboundResult {
  // ESP packets from the SPI on, without outer headers. meta: source, destination, udp_encapsulated, tos,
  // may_fragment_outer, sa_id and mark are set. EMSGSIZE for one of them: set_path_mtu(meta.sa_id, ...).
  // Where meta.segment_size is set, several stand back to back (EngineConfig::max_joined), to be sent in this
  // order.
  packet::PacketList transmit;
  packet::PacketList to_tun;  // ICMP errors for the inner network
  void clear() {
    transmit.clear();
    to_tun.clear();
  }
};

struct InboundResult {
  // Inner IP packets. Where meta.segment_size is set, super-packets (EngineConfig::coalesce_*), with the
  // checksum unfinished as packet.h says.
  packet::PacketList to_tun;
  void clear() { to_tun.clear(); }
};

class WorkerCore;

// One worker's side. All calls from that worker's thread. Packets are taken out of `in`, which is empty
// afterwards.
class Worker {
 public:
  explicit Worker(WorkerCore& core) : core_(core) {}

  // `in`: whole IP packets, as read from TUN; super-packets and unfinished checksums as packet.h says.
  void outbound(Instant now, packet::Burst& in, OutboundResult& out);
  // `in`: ESP packets from the SPI on. meta.source, destination, udp_encapsulated and tos say how they came;
  // where meta.segment_size is set, several stand back to back.
  void inbound(Instant now, packet::Burst& in, InboundResult& out);
  // Sends the packets that waited for an SA, drops those that waited too long. Cheap; call it when install()
  // was called, and every second or so. outbound() does the same first.
  void poll(Instant now, OutboundResult& out);

  // --- With several workers. Every call may have handed packets to others, and they to this one.

  // Works on what others handed over, at most a burst of each direction.
  void crossed(Instant now, OutboundResult& outbound, InboundResult& inbound);
  // Does anything of that kind wait? A worker that goes to sleep says so first (in a sequentially consistent way), then asks
  // this; others look whether it sleeps after their calls.
  [[nodiscard]] bool has_crossed() const;
  // The workers that were handed something since the last call of this, a bit for each.
  [[nodiscard]] std::uint64_t take_sent_to();

 private:
  WorkerCore& core_;
};

// What a worker's thread owns and the engine uses.
struct WorkerResources {
  packet::PacketPool* pool =
      nullptr;  // of several workers: with packets of one size, and room to adopt all others' buffers
  Rng* rng = nullptr;
};

struct WorkerStats {
  std::size_t sas = 0;  // that the worker owns, those included for which an SPI is reserved
  std::uint64_t crossed_out = 0, crossed_in = 0;  // packets handed to other workers, and taken from them
  std::uint64_t crossing_refused = 0;             // DropReason::kCrossingFull
};

struct SaStats {
  TrafficTotals inbound, outbound;
  SequenceNumber next_outbound_sequence;  // approximate while packets flow
  unsigned path_mtu = 0;                  // outer, bytes
  unsigned inner_mtu = 0;                 // what fits in one packet; bytes
  WorkerIndex owner;
};

class DataPlane {
 public:
  // With one worker. Both outlive the data plane and belong to its worker's thread.
  DataPlane(const EngineConfig& config, packet::PacketPool& pool, Rng& worker_rng);
  // With as many workers as there are resources, 1 to kMaxWorkers.
  DataPlane(const EngineConfig& config, std::span<const WorkerResources> workers);
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;
  ~DataPlane();  // the workers have stopped

  [[nodiscard]] Worker& worker(WorkerIndex index = {});
  [[nodiscard]] std::size_t worker_count() const;

  // --- The control side: from any thread, one at a time (a lock orders them; workers never take it).

  // An SPI for a new inbound SA, not in use nor used lately, never below 256 (RFC 4303 2.1). It is reserved
  // until install() takes it or release_spi() gives it back. It says which worker the SA will belong to: `owner`, or where
  // that is empty (or no worker) the one that has the fewest. Errors: kExhausted.
  [[nodiscard]] Result<Spi> allocate_spi(Rng& rng, std::optional<WorkerIndex> owner = std::nullopt);
  // Whose an SA with this inbound SPI is. An SA that replaces another one should have the same owner: then a flow's packets
  // stay in order when it moves.
  [[nodiscard]] WorkerIndex owner(Spi inbound_spi) const;
  void release_spi(Spi spi);

  // A new Child SA. Inbound at once; outbound too where use_outbound is set, and then it is preferred to
  // older ones of its child. One with ChildSa::resource (RFC 9611) is the first choice of
  // worker `resource % worker_count()` and the others' last. An inbound SPI that allocate_spi() did not make is accepted as well. The keys
  // are expanded and not kept otherwise. Errors: kInvalidArgument (an id or SPI in use, keys of the wrong
  // size, an SPI that names another worker than ChildSa::resource), kUnsupported (algorithms), kExhausted.
  [[nodiscard]] Result<> install(const policy::ChildSaPtr& sa);
  // The same id with another path or use_outbound; whatever else differs is ignored. Sequence numbers, window
  // and counters stay. Errors: kNotFound.
  [[nodiscard]] Result<> update(const policy::ChildSaPtr& sa);
  // Both directions. The keys are wiped when every worker has finished the burst it may be in: at once where they
  // are idle. Errors: kNotFound.
  [[nodiscard]] Result<> remove(policy::ChildSaId id);

  void set_spd(std::shared_ptr<const policy::Spd> spd);

  // The path MTU of an SA as learnt, in bytes of the outer IP packet; 0 = back to the default. Values below
  // 576 (IPv4) or 1,280 (IPv6) count as those, and then outer packets may be fragmented. Unknown ids are
  // ignored: the SA is gone.
  void set_path_mtu(policy::ChildSaId id, unsigned mtu);

  [[nodiscard]] std::optional<SaStats> stats(policy::ChildSaId id) const;
  [[nodiscard]] std::vector<policy::ChildSaId> installed() const;
  [[nodiscard]] std::uint64_t drops(DropReason reason) const;  // of all workers
  [[nodiscard]] WorkerStats worker_stats(WorkerIndex index) const;

  // The workers' next event, if any.
  [[nodiscard]] std::optional<Event> next_event();

  // Frees (and wipes) what was removed or replaced and no worker looks at any more; every call above does it
  // too. Returns how many objects still wait.
  std::size_t reclaim();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace merlon::esp
