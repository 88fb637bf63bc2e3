// The inside of a running host: what a crash loses. Only host*.cc include this.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "sim/host.h"
#include "sim/stream.h"

namespace merlon::sim {

// Inbound SPIs come from the packet engine's table, as in the daemon; this one also knows which are out.
class Spis final : public ike::SpiAllocator {
 public:
  Spis(esp::DataPlane& data_plane, Rng& rng, Checker& checker, Sabotage sabotage)
      : data_plane_(data_plane), rng_(rng), checker_(checker), sabotage_(sabotage) {}
  Result<Spi> allocate() override { return remembered(data_plane_.allocate_spi(rng_)); }
  Result<Spi> allocate_for(unsigned resource) override {
    const auto worker = static_cast<std::uint8_t>(resource % data_plane_.worker_count());
    return remembered(data_plane_.allocate_spi(rng_, esp::WorkerIndex{worker}));
  }
  Result<Spi> allocate_like(Spi replaced) override {
    if (!held_.contains(replaced.value))
      checker_.fail("what is replaced is there", fmt::format("{} was not held", replaced));
    return remembered(data_plane_.allocate_spi(rng_, data_plane_.owner(replaced)));
  }
  void release(Spi spi) override {
    if (held_.erase(spi.value) == 0)
      checker_.fail("an SPI is given back once", fmt::format("{} was not held", spi));
    data_plane_.release_spi(spi);
  }
  void removed_with_its_sa(Spi spi) {
    if (sabotage_ == Sabotage::kKeepSpis && !std::exchange(has_kept_one_, true)) return;
    if (held_.erase(spi.value) == 0)
      checker_.fail("an SPI is given back once", fmt::format("{} was not held", spi));
  }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  Result<Spi> remembered(Result<Spi> spi) {
    if (spi) held_.insert(spi->value);
    return spi;
  }

  esp::DataPlane& data_plane_;
  Rng& rng_;
  Checker& checker_;
  Sabotage sabotage_;
  bool has_kept_one_ = false;
  std::set<std::uint32_t> held_;
};

inline constexpr std::uint64_t kSpin = 20000;  // events at one instant: something never comes to rest

struct Host::Life {
  static constexpr std::size_t kPacketSize = 2048;

  Life(Host& host, const HostPlan& plan, std::uint64_t seed, std::size_t number, std::uint64_t life)
      : rng(stream_seed(seed, "host", number, life)),
        worker_rng(stream_seed(seed, "worker", number, life)),
        pool(plan.packets, kPacketSize),
        data_plane(plan.esp, pool, worker_rng),
        spis(data_plane, rng, host.in_.checker, host.in_.sabotage),
        engine(options(host, plan), rng, spis),
        supervisor(rng) {}
  static ikev2::EngineOptions options(const Host& host, const HostPlan& plan) {
    ikev2::EngineOptions made = plan.options;
    if (host.in_.sabotage == Sabotage::kForgetLimits) {
      const ikev2::EngineOptions usual;
      made.half_open_limit = usual.half_open_limit;
      made.half_open_limit_per_source = usual.half_open_limit_per_source;
      made.ike_sa_limit = usual.ike_sa_limit;
      made.lingering_limit = usual.lingering_limit;
      made.memory_limit = usual.memory_limit;
    }
    made.trace_all = host.in_.trace.on();
    return made;
  }

  SeededRng rng, worker_rng;
  packet::PacketPool pool;
  esp::DataPlane data_plane;
  Spis spis;
  ikev2::Engine engine;
  ike::Supervisor supervisor;

  std::map<policy::ChildSaId, policy::ChildSaPtr> child_sas;
  std::map<policy::ChildSaId, Instant> unknown_since;  // installed, but not in the engine's status
  packet::Burst burst;
  esp::OutboundResult outbound;
  esp::InboundResult inbound;
  Instant armed = kNever;
  std::uint64_t timer = 0, ticks = 0, inner_count = 0;
  bool pumping = false, stopping = false, stays = false;
  // For sabotage: the first IV of each IKE SA, and buffers that are kept.
  std::map<IkeSaId, std::array<std::uint8_t, 8>> first_ivs;
  std::vector<packet::PacketPtr> kept;
};

}  // namespace merlon::sim
