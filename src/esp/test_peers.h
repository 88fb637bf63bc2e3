// For tests only: two packet engines in memory that share a Child SA, and inner packets to send through them.
#pragma once

#include <gmock/gmock.h>

#include "base/rng.h"
#include "crypto/packet_cipher.h"
#include "esp/engine.h"
#include "policy/spd.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/packet_view.h"
#include "wire/ip/udp.h"

namespace merlon::esp::test {

inline IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
inline Endpoint at(std::string_view address, std::uint16_t port = 4500) {
  return {ip(address), port};
}
inline policy::TrafficSelectors ts(std::string_view text) {
  return policy::parse_traffic_selectors(text).value();
}
inline Instant seconds(std::int64_t count) {
  return Instant(std::chrono::seconds(count));
}

// A UDP packet of exactly `size` bytes between the protected networks.
inline Bytes inner_packet(IpFamily family, std::size_t size, std::string_view from = {},
                          std::string_view to = {}) {
  const bool v4 = family == IpFamily::kIpv4;
  const Endpoint source{ip(from.empty() ? (v4 ? "10.1.0.7" : "2001:db8:1::7") : from), 1111};
  const Endpoint destination{ip(to.empty() ? (v4 ? "10.2.0.9" : "2001:db8:2::9") : to), 2222};
  Bytes payload(size - (v4 ? 28 : 48));
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i * 7 + size);
  return wire::build_udp_packet(source, destination, payload);
}

inline Bytes with_tos(Bytes packet, std::uint8_t tos) {
  if (packet[0] >> 4U == 4) {
    wire::set_ipv4_tos(packet, tos);
  } else {
    wire::set_ipv6_traffic_class(packet, tos);
  }
  return packet;
}

inline Bytes with_df(Bytes packet) {
  wire::Ipv4Header header = wire::parse_ipv4(packet).value();
  header.dont_fragment = true;
  wire::write_ipv4(packet, header);
  return packet;
}

// A TCP SYN with an MSS option.
inline Bytes tcp_syn(IpFamily family, std::uint16_t mss) {
  Bytes packet = inner_packet(family, (family == IpFamily::kIpv4 ? 20 : 40) + 24);
  const std::size_t at_tcp = family == IpFamily::kIpv4 ? 20 : 40;
  packet[family == IpFamily::kIpv4 ? 9 : 6] = 6;
  std::fill(packet.begin() + static_cast<std::ptrdiff_t>(at_tcp), packet.end(), std::uint8_t{0});
  wire::store_u16(packet, at_tcp, 1111);
  wire::store_u16(packet, at_tcp + 2, 2222);
  packet[at_tcp + 12] = 6U << 4U;  // six words
  packet[at_tcp + 13] = 2;         // SYN
  packet[at_tcp + 20] = 2;         // MSS, four bytes
  packet[at_tcp + 21] = 4;
  wire::store_u16(packet, at_tcp + 22, mss);
  if (family == IpFamily::kIpv4) wire::write_ipv4(packet, wire::parse_ipv4(packet).value());
  const auto view = wire::parse_packet(packet).value();
  wire::store_u16(packet, at_tcp + 16,
                  wire::transport_checksum(view.source, view.destination, IpProtocol::kTcp,
                                           ByteView(packet).subspan(at_tcp)));
  return packet;
}
inline std::uint16_t mss_of(const Bytes& syn) {
  return wire::load_u16(syn, syn[0] >> 4U == 4 ? 42 : 62);
}

struct SaSpec {
  policy::EspAlgorithms algorithms{EncrId::kAesGcm16, 256, IntegId::kNone, true};
  IpFamily outer = IpFamily::kIpv4;
  bool udp = true;
  policy::ChildConfig child;
  policy::TrafficSelectors local_ts = ts("10.1.0.0/16"), remote_ts = ts("10.2.0.0/16");
  std::uint64_t soft_bytes = 0, hard_bytes = 0, soft_packets = 0, hard_packets = 0;
  SaSpec() {
    for (const auto& more : ts("2001:db8:1::/48")) local_ts.push_back(more);
    for (const auto& more : ts("2001:db8:2::/48")) remote_ts.push_back(more);
    child.name = "net";
    child.start = policy::StartMode::kOnTraffic;
  }
};

inline policy::ConnectionPtr connection_of(const SaSpec& spec, std::string_view name, bool mirrored) {
  auto connection = std::make_shared<policy::Connection>();
  connection->name = name;
  policy::ChildConfig child = spec.child;
  child.local_ts = mirrored ? spec.remote_ts : spec.local_ts;
  child.remote_ts = mirrored ? spec.local_ts : spec.remote_ts;
  connection->children.push_back(child);
  return connection;
}

// One gateway: a pool, an engine, its policies.
class Gateway {
 public:
  explicit Gateway(std::uint64_t seed, const EngineConfig& config = small(), std::size_t packet_size = 9000)
      : rng(seed), pool(600, packet_size), engine(config, pool, rng) {}

  static EngineConfig small() {
    EngineConfig config;
    config.sa_capacity = 1024;
    return config;
  }

  void set_policies(std::vector<policy::ConnectionPtr> connections) {
    engine.set_spd(std::make_shared<policy::Spd>(policy::build_spd(connections)));
  }

  // What leaves for `packets` from TUN: ESP packets, as packets, to look at their metadata.
  packet::PacketList protect(const std::vector<Bytes>& packets, Instant now = seconds(1)) {
    OutboundResult result;
    packet::Burst burst;
    for (const Bytes& bytes : packets) {
      burst.push(pool.copy_of(bytes));
      if (burst.full()) engine.worker().outbound(now, burst, result);
    }
    engine.worker().outbound(now, burst, result);
    for (const packet::PacketPtr& answer : result.to_tun) answers.push_back(to_bytes(answer->bytes()));
    return std::move(result.transmit);
  }

  struct Received {  // an ESP packet on the wire
    Bytes bytes;
    packet::PacketMeta meta;
  };
  static Received on_wire(const packet::Packet& packet) { return {to_bytes(packet.bytes()), packet.meta}; }

  // The inner packets that come out of `received`, bursts of up to 64.
  std::vector<Bytes> unprotect(const std::vector<Received>& received, Instant now = seconds(1)) {
    InboundResult result;
    packet::Burst burst;
    for (const Received& one : received) {
      packet::PacketPtr packet = pool.copy_of(one.bytes);
      packet->meta = one.meta;
      burst.push(std::move(packet));
      if (burst.full()) engine.worker().inbound(now, burst, result);
    }
    engine.worker().inbound(now, burst, result);
    std::vector<Bytes> out;
    for (const packet::PacketPtr& packet : result.to_tun) out.push_back(to_bytes(packet->bytes()));
    return out;
  }
  std::vector<Bytes> unprotect(const packet::PacketList& packets, Instant now = seconds(1)) {
    std::vector<Received> received;
    for (const packet::PacketPtr& packet : packets) received.push_back(on_wire(*packet));
    return unprotect(received, now);
  }

  std::vector<Event> events() {
    std::vector<Event> all;
    while (auto event = engine.next_event()) all.push_back(std::move(*event));
    return all;
  }
  template <class T>
  std::vector<T> events_of() {
    std::vector<T> some;
    for (const Event& event : events())
      if (const T* one = std::get_if<T>(&event)) some.push_back(*one);
    return some;
  }

  SeededRng rng;
  packet::PacketPool pool;
  DataPlane engine;
  std::vector<Bytes> answers;  // ICMP errors so far
};

// Two gateways, A at 192.0.2.1 and B at 198.51.100.2 (or their IPv6 likes), with policies for one child.
class Peers {
 public:
  explicit Peers(SaSpec sa_spec = {}, const EngineConfig& config = Gateway::small(),
                 std::size_t packet_size = 9000)
      : spec(std::move(sa_spec)), a(1, config, packet_size), b(2, config, packet_size) {
    connection_a = connection_of(spec, "a-to-b", false);
    connection_b = connection_of(spec, "b-to-a", true);
    a.set_policies({connection_a});
    b.set_policies({connection_b});
  }

  // A Child SA in both, with fresh keys and SPIs; its id is the same on both sides.
  policy::ChildSaId install(bool use_outbound = true) {
    auto [sa_a, sa_b] = make(use_outbound);
    EXPECT_TRUE(a.engine.install(sa_a));
    EXPECT_TRUE(b.engine.install(sa_b));
    return sa_a->id;
  }

  std::pair<std::shared_ptr<policy::ChildSa>, std::shared_ptr<policy::ChildSa>> make(
      bool use_outbound = true) {
    const auto sizes =
        crypto::esp_key_sizes({spec.algorithms.encr, spec.algorithms.key_bits, spec.algorithms.integ})
            .value();
    auto sa_a = std::make_shared<policy::ChildSa>(), sa_b = std::make_shared<policy::ChildSa>();
    for (auto& sa : {sa_a, sa_b}) {
      sa->id = {next_id_};
      sa->algorithms = spec.algorithms;
      sa->use_outbound = use_outbound;
      sa->soft_bytes = spec.soft_bytes;
      sa->hard_bytes = spec.hard_bytes;
      sa->soft_packets = spec.soft_packets;
      sa->hard_packets = spec.hard_packets;
    }
    ++next_id_;
    sa_a->connection = connection_a;
    sa_b->connection = connection_b;
    sa_a->inbound_spi = sa_b->outbound_spi = a.engine.allocate_spi(rng_).value();
    sa_b->inbound_spi = sa_a->outbound_spi = b.engine.allocate_spi(rng_).value();
    const auto key = [&](policy::DirectionKeys& sender, policy::DirectionKeys& receiver) {
      const Bytes encr = rng_.bytes(sizes.encr), integ = rng_.bytes(sizes.integ);
      for (policy::DirectionKeys* keys : {&sender, &receiver}) {
        keys->encryption = Secret::copy_of(encr);
        keys->integrity = Secret::copy_of(integ);
      }
    };
    key(sa_a->outbound, sa_b->inbound);
    key(sa_b->outbound, sa_a->inbound);
    sa_a->local_ts = sa_b->remote_ts = spec.local_ts;
    sa_a->remote_ts = sa_b->local_ts = spec.remote_ts;
    sa_a->path.local = sa_b->path.remote = end_a();
    sa_a->path.remote = sa_b->path.local = end_b();
    sa_a->path.udp_encapsulation = sa_b->path.udp_encapsulation = spec.udp;
    return {sa_a, sa_b};
  }

  [[nodiscard]] Endpoint end_a() const {
    return at(spec.outer == IpFamily::kIpv4 ? "192.0.2.1" : "2001:db8:a::1");
  }
  [[nodiscard]] Endpoint end_b() const {
    return at(spec.outer == IpFamily::kIpv4 ? "198.51.100.2" : "2001:db8:b::2");
  }

  SaSpec spec;
  Gateway a, b;
  policy::ConnectionPtr connection_a, connection_b;

 private:
  SeededRng rng_{3};
  std::uint64_t next_id_ = 1;
};

}  // namespace merlon::esp::test
