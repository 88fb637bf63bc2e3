// For tests only: two packet engines with several workers each, that share Child SAs. Every worker has a pool and randomness of
// its own, as a thread would.
#pragma once

#include "esp/test_peers.h"

namespace merlon::esp::test {

class WorkerGateway {
 public:
  WorkerGateway(std::uint64_t seed, std::size_t workers, const EngineConfig& config = Gateway::small(),
                std::size_t buffers = 512)
      : parts_(make_parts(seed, workers, buffers)), engine(config, resources()) {}

  [[nodiscard]] packet::PacketPool& pool(std::size_t worker) { return *parts_[worker].pool; }
  [[nodiscard]] Worker& worker(std::size_t index) {
    return engine.worker({static_cast<std::uint8_t>(index)});
  }
  [[nodiscard]] std::size_t buffers() const {
    std::size_t sum = 0;
    for (const Part& part : parts_) sum += part.pool->size();
    return sum;
  }
  [[nodiscard]] std::size_t buffers_in_use() const {
    std::size_t sum = 0;
    for (const Part& part : parts_) sum += part.pool->in_use();
    return sum;
  }

 private:
  struct Part {
    std::unique_ptr<packet::PacketPool> pool;
    std::unique_ptr<SeededRng> rng;
  };
  static std::vector<Part> make_parts(std::uint64_t seed, std::size_t workers, std::size_t buffers) {
    std::vector<Part> parts;
    for (std::size_t i = 0; i < workers; ++i)
      parts.push_back({std::make_unique<packet::PacketPool>(buffers, 9000, (workers - 1) * buffers),
                       std::make_unique<SeededRng>(seed + i)});
    return parts;
  }
  std::vector<WorkerResources> resources() {
    std::vector<WorkerResources> out;
    for (Part& part : parts_) out.push_back({part.pool.get(), part.rng.get()});
    return out;
  }
  std::vector<Part> parts_;

 public:
  DataPlane engine;
};

// A calls, B answers; each child "net<n>" protects 10.1.n.0/24 === 10.2.n.0/24.
class WorkerPeers {
 public:
  WorkerPeers(std::size_t workers_a, std::size_t workers_b, std::size_t children,
              const EngineConfig& config = Gateway::small(), std::size_t buffers = 512,
              unsigned replay_window = policy::ChildConfig{}.replay_window)
      : a(1, workers_a, config, buffers), b(101, workers_b, config, buffers) {
    auto connection_a = std::make_shared<policy::Connection>();
    auto connection_b = std::make_shared<policy::Connection>();
    connection_a->name = "a-to-b";
    connection_b->name = "b-to-a";
    for (std::size_t n = 0; n < children; ++n) {
      policy::ChildConfig child;
      child.name = fmt::format("net{}", n);
      child.start = policy::StartMode::kOnTraffic;
      child.replay_window = replay_window;
      child.local_ts = ts(fmt::format("10.1.{}.0/24", n));
      child.remote_ts = ts(fmt::format("10.2.{}.0/24", n));
      connection_a->children.push_back(child);
      std::swap(child.local_ts, child.remote_ts);
      connection_b->children.push_back(child);
    }
    connection_a_ = std::move(connection_a);
    connection_b_ = std::move(connection_b);
    set_policies();
  }

  void set_policies() {
    const std::vector<policy::ConnectionPtr> of_a{connection_a_}, of_b{connection_b_};
    a.engine.set_spd(std::make_shared<policy::Spd>(policy::build_spd(of_a)));
    b.engine.set_spd(std::make_shared<policy::Spd>(policy::build_spd(of_b)));
  }

  struct Sa {
    policy::ChildSaId id;
    Spi to_a, to_b;
  };
  // Installs an SA of the child in both, for these owners where they are given.
  Sa install(std::size_t child, std::optional<WorkerIndex> owner_a = {},
             std::optional<WorkerIndex> owner_b = {}, std::optional<unsigned> bound_in_a = {}) {
    policy::ChildSa in_a, in_b;
    in_a.id = in_b.id = {next_id_++};
    in_a.connection = connection_a_;
    in_b.connection = connection_b_;
    in_a.resource = bound_in_a;
    in_a.inbound_spi = in_b.outbound_spi = a.engine.allocate_spi(rng_, owner_a).value();
    in_b.inbound_spi = in_a.outbound_spi = b.engine.allocate_spi(rng_, owner_b).value();
    const Bytes key_to_b = rng_.bytes(20), key_to_a = rng_.bytes(20);
    for (policy::ChildSa* sa : {&in_a, &in_b}) {
      sa->child_index = child;
      sa->algorithms = {EncrId::kAesGcm16, 128, IntegId::kNone, true};
      sa->local_ts = sa->child().local_ts;
      sa->remote_ts = sa->child().remote_ts;
      sa->path.udp_encapsulation = true;
    }
    in_a.path.local = in_b.path.remote = at("192.0.2.1");
    in_a.path.remote = in_b.path.local = at("198.51.100.2");
    in_a.outbound.encryption = Secret::copy_of(key_to_b);
    in_b.inbound.encryption = Secret::copy_of(key_to_b);
    in_b.outbound.encryption = Secret::copy_of(key_to_a);
    in_a.inbound.encryption = Secret::copy_of(key_to_a);
    const Sa sa{in_a.id, in_a.inbound_spi, in_b.inbound_spi};
    EXPECT_TRUE(b.engine.install(std::make_shared<policy::ChildSa>(std::move(in_b))));
    EXPECT_TRUE(a.engine.install(std::make_shared<policy::ChildSa>(std::move(in_a))));
    return sa;
  }

  WorkerGateway a, b;

 private:
  policy::ConnectionPtr connection_a_, connection_b_;
  SeededRng rng_{7};
  std::uint64_t next_id_ = 1;
};

// A numbered UDP packet of a flow of a child, from A to B.
inline Bytes numbered_packet(std::size_t child, std::uint16_t flow, std::uint32_t number) {
  Bytes payload(64);
  wire::store_u32(payload, 0, number);
  return wire::build_udp_packet({ip(fmt::format("10.1.{}.7", child)), flow},
                                {ip(fmt::format("10.2.{}.9", child)), flow}, payload);
}
struct Numbered {
  std::size_t child = 0;
  std::uint16_t flow = 0;
  std::uint32_t number = 0;
};
inline Numbered number_of(ByteView inner) {
  return {inner[14], wire::load_u16(inner, 20), wire::load_u32(inner, 28)};
}

}  // namespace merlon::esp::test
