// The outbound half of the packet engine (RFC 4301 5.1, RFC 4303 3.3). One a worker.
#pragma once

#include <array>

#include "base/rng.h"
#include "esp/crossing.h"
#include "esp/encapsulator.h"
#include "esp/engine.h"
#include "esp/flow_cache.h"
#include "esp/hold_queue.h"
#include "esp/published.h"
#include "esp/reporter.h"
#include "packet/pool.h"

namespace merlon::esp {

class Outbound {
 public:
  // All outlive it; `rng` gives the IVs of CBC.
  Outbound(const EngineConfig& config, Published& published, WorkerIndex self, packet::PacketPool& pool,
           Rng& rng, Reporter& reporter);
  // Where packets for the SAs of others go. Needed where there are others.
  void set_crossing(CrossingEnd* crossing) { crossing_ = crossing; }

  void process(Instant now, packet::Burst& in, OutboundResult& out);
  void poll(Instant now, OutboundResult& out);

 private:
  struct Round {  // what one call works with
    Instant now;
    std::uint64_t generation = 0;
    OutboundResult& out;
  };
  // A packet of the burst. The stages run over all of them one after the other, so that what one packet waits for is
  // on its way for the next ones as well.
  struct Item {
    packet::PacketPtr packet;
    wire::PacketView view;
    FlowKey key;
    std::uint64_t hash = 0;  // the key's
    OutboundDecision decision;
    const ChildEntry* child = nullptr;  // where the decision has no SA and the policy says protect
  };
  void take_all(Round& round);
  [[nodiscard]] bool read(Item& item);
  void take(Round& round, Item& item, std::optional<Instant> deadline);
  void take_without_sa(Round& round, Item& item, std::optional<Instant> deadline);
  void classify(const Round& round, Item& item);
  void cross(WorkerIndex owner, packet::PacketPtr packet);
  void hold(Round& round, packet::PacketPtr packet, const Item& item, std::optional<Instant> deadline);
  void release_held(Round& round);

  // Which of the ways through the tunnel a packet of some size takes.
  enum class Fit { kWhole, kOuterFragments, kInnerFragments, kTooBig };
  struct Room {
    std::size_t inner_mtu = 0;
    Fit fit = Fit::kWhole;
    bool may_fragment_outer = false;
  };
  [[nodiscard]] static Room room_for(std::size_t size, const wire::PacketView& view, const OutboundSa& sa);
  void fit(Round& round, packet::PacketPtr packet, const wire::PacketView& view, const OutboundSa& sa);
  void fit_segments(Round& round, packet::PacketPtr packet, const wire::PacketView& view,
                    const OutboundSa& sa);
  void fragment(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                const OutboundSa& sa, std::size_t inner_mtu);
  void refuse_too_big(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                      std::size_t inner_mtu);

  const EngineConfig& config_;
  Published& published_;
  packet::PacketPool& pool_;
  Reporter& reporter_;
  std::array<Item, packet::kBurstCapacity> items_;
  std::size_t count_ = 0;
  FlowCache flows_;
  HoldQueue held_;
  std::vector<HoldQueue::Held> released_;
  std::uint64_t held_generation_ = 0;  // when the held packets were looked at
  TokenBucket icmp_;
  Encapsulator encapsulator_;
  Grace::Reader& reader_;
  const WorkerIndex self_;
  CrossingEnd* crossing_ = nullptr;
};

}  // namespace merlon::esp
