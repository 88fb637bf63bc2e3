// Two gateways, several Child SAs between them, and a wire that does what wires do. Everything follows from one seed.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "esp/engine.h"
#include "fuzz/packet_soak_traffic.h"
#include "policy/spd.h"

namespace merlon::soak {

class World {
 public:
  explicit World(std::uint64_t seed);
  void run(unsigned rounds);

 private:
  struct Gateway {
    Gateway(std::uint64_t seed, const esp::EngineConfig& config)
        : rng(seed), pool(400, 66000), engine(config, pool, rng) {}
    SeededRng rng;
    packet::PacketPool pool;
    esp::DataPlane engine;
    std::vector<policy::ConnectionPtr> connections;  // one a child
  };
  struct Child {
    policy::EspAlgorithms algorithms;
    policy::ChildConfig config;
    bool udp = true, over_ipv6 = false;
    std::vector<std::pair<std::shared_ptr<policy::ChildSa>, std::shared_ptr<policy::ChildSa>>>
        sas;  // newest last
  };
  struct OnWire {  // an ESP packet
    Bytes bytes;
    packet::PacketMeta meta;
    std::uint64_t sequence = 0;
    bool is_intact = true;
  };
  struct Window {  // RFC 4303 3.4.3, in words
    std::uint64_t sent = 0, top = 0;
    unsigned size = 64;
    std::set<std::uint64_t> seen;
  };
  struct Way {  // one direction
    std::vector<Flow> flows;
    Expected expected;
    std::vector<OnWire> delayed;
    std::vector<OnWire> remembered;  // to be replayed
    bool is_disturbed = false;       // something that was delayed may still come
  };

  [[nodiscard]] esp::EngineConfig config();
  void make_children();
  void make_flows();
  void install(Child& child);
  void rekey_some();
  void change_paths();
  void round(unsigned number, bool from_a);
  void put_in(Gateway& from, Way& way, packet::Burst& burst, bool from_a);
  void put_single(Gateway& from, Way& way, Flow& flow, packet::Burst& burst, bool from_a);
  void put_super(Gateway& from, Way& way, Flow& flow, packet::Burst& burst, bool from_a);
  void put_fragment(Gateway& from, Way& way, const Flow& flow, packet::Burst& burst, bool from_a);
  void put_garbage(Gateway& from, packet::Burst& burst);
  void expect(Way& way, const Flow& flow, ByteView packet, bool from_a);
  std::vector<OnWire> cars_of(const packet::PacketList& trains, bool from_a);
  // What arrives, in order; how many of it must come out is told by arrive().
  std::vector<OnWire> carry(Way& way, std::vector<OnWire> cars);
  std::size_t arrive(const std::vector<OnWire>& cars);
  void deliver(Gateway& to, Way& way, const std::vector<OnWire>& cars);

  SeededRng rng_;
  std::uint64_t first_sequence_;
  Gateway a_, b_;
  std::vector<Child> children_;
  Way from_a_, from_b_;
  std::map<Spi, Window> windows_;
  std::uint64_t next_id_ = 1;
  Instant now_{std::chrono::seconds(1)};
};

}  // namespace merlon::soak
