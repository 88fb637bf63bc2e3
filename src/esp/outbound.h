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
  // Packets of one flow that stand behind each other in the burst. The stages run over all flows one after the other, so
  // that what one of them waits for is on its way for the next ones as well.
  struct Flow {
    FlowKey key;
    std::uint64_t hash = 0;  // the key's
    OutboundDecision decision;
    const ChildEntry* child = nullptr;  // where the decision has no SA and the policy says protect
    std::size_t end = 0;                // behind its last packet; its first is where the flow before ends
  };
  void add(packet::PacketPtr packet);
  [[nodiscard]] bool read(packet::Packet& packet, FlowKey& key, InnerTraits& traits);
  void take_all(Round& round);
  void take(Round& round, const Flow& flow, std::span<InnerPacket> packets, const Instant* deadline);
  void take_without_sa(Round& round, packet::PacketPtr packet, const Flow& flow, const Instant* deadline);
  void classify(const Round& round, Flow& flow, const packet::Packet& first);
  void cross(WorkerIndex owner, packet::PacketPtr packet);
  void hold(Round& round, packet::PacketPtr packet, const wire::PacketView& view, const Flow& flow,
            const Instant* deadline);
  void release_held(Round& round);
  void release(Round& round, packet::PacketPtr packet, Instant deadline);

  // Which of the ways through the tunnel a packet of some size takes.
  enum class Fit { kWhole, kOuterFragments, kInnerFragments, kTooBig };
  struct Room {
    std::size_t inner_mtu = 0;
    Fit fit = Fit::kWhole;
    bool may_fragment_outer = false;
  };
  [[nodiscard]] static Room room_for(std::size_t size, const wire::PacketView& view, const OutboundSa& sa);
  void fit_all(Round& round, std::span<InnerPacket> packets, const OutboundSa& sa);
  void fit(Round& round, packet::PacketPtr packet, const wire::PacketView& view, const OutboundSa& sa);
  void fit_segments(Round& round, packet::PacketPtr packet, const wire::PacketView& view,
                    const OutboundSa& sa);
  void fragment(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                const OutboundSa& sa, const Room& room);
  void refuse_too_big(Round& round, const packet::Packet& packet, const wire::PacketView& view,
                      std::size_t inner_mtu);

  const EngineConfig& config_;
  Published& published_;
  packet::PacketPool& pool_;
  Reporter& reporter_;
  std::array<InnerPacket, packet::kBurstCapacity> packets_;
  std::array<Flow, packet::kBurstCapacity> flows_;
  std::size_t packet_count_ = 0, flow_count_ = 0;
  FlowCache flow_cache_;
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
