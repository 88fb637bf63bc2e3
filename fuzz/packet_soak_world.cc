#include "fuzz/packet_soak_world.h"

#include <fmt/format.h>

#include "crypto/packet_cipher.h"
#include "wire/esp.h"

namespace merlon::soak {
namespace {

using wire::test::FlowPacket;

constexpr std::size_t kChildren = 5;
constexpr std::size_t kMostInputs = 24;

template <class T>
T value(Result<T> result) {
  if (!result) broken("a call that must succeed", result.error().message);
  return *std::move(result);
}
void value(Result<> result) {
  if (!result) broken("a call that must succeed", result.error().message);
}

std::string drops_of(const esp::DataPlane& engine) {
  std::string out;
  for (std::size_t i = 0; i < esp::kDropReasons; ++i) {
    const auto reason = static_cast<esp::DropReason>(i);
    if (const auto count = engine.drops(reason); count != 0)
      out += fmt::format(" {} {}", esp::name(reason), count);
  }
  return out;
}

IpAddress ip(const std::string& text) {
  return value(IpAddress::parse(text));
}
std::string network(bool of_a, std::size_t child, bool v6) {
  return v6 ? fmt::format("2001:db8:{}{}::/48", of_a ? 1 : 2, child)
            : fmt::format("10.{}{}.0.0/16", of_a ? 1 : 2, child);
}
IpAddress host(bool of_a, std::size_t child, bool v6, std::uint64_t number) {
  return ip(v6 ? fmt::format("2001:db8:{}{}::{:x}", of_a ? 1 : 2, child, number)
               : fmt::format("10.{}{}.0.{}", of_a ? 1 : 2, child, number));
}
policy::TrafficSelectors networks(bool of_a, std::size_t child) {
  policy::TrafficSelectors out;
  for (const bool v6 : {false, true})
    for (const auto& one : value(policy::parse_traffic_selectors(network(of_a, child, v6))))
      out.push_back(one);
  return out;
}

}  // namespace

// Some worlds cross 2^32; they begin further from it than a window, so that a receiver that has seen nothing can tell where
// it is.
World::World(std::uint64_t seed)
    : rng_(seed),
      first_sequence_(rng_.below(2) == 0 ? 1 : UINT32_MAX - 5000U),
      a_(seed + 1, config()),
      b_(seed + 2, config()) {
  ++counters.worlds;
  make_children();
  make_flows();
}

esp::EngineConfig World::config() {
  esp::EngineConfig made;
  made.sa_capacity = 256;
  made.max_joined = rng_.below(4) == 0 ? 1U : 1 + static_cast<unsigned>(rng_.below(64));
  made.coalesce_tcp = rng_.below(4) != 0;
  made.coalesce_udp = rng_.below(4) != 0;
  made.first_sequence = first_sequence_;
  return made;
}

void World::make_children() {
  const policy::EspAlgorithms algorithms[] = {{EncrId::kAesGcm16, 128, IntegId::kNone, true},
                                              {EncrId::kAesGcm16, 256, IntegId::kNone, true},
                                              {EncrId::kChacha20Poly1305, 256, IntegId::kNone, true},
                                              {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, true},
                                              {EncrId::kAesGcm16, 128, IntegId::kNone, false}};
  constexpr unsigned kWindows[] = {64, 128, 1000, 1024, 4096};
  children_.resize(kChildren);
  for (std::size_t i = 0; i < kChildren; ++i) {
    Child& child = children_[i];
    child.algorithms =
        algorithms[rng_.below(first_sequence_ == 1 ? 5 : 4)];  // without ESN they would soon be used up
    child.udp = rng_.below(3) != 0;
    child.over_ipv6 = rng_.below(3) == 0;
    child.config.name = fmt::format("net{}", i);
    child.config.replay_window = kWindows[rng_.below(5)];
    child.config.copy_dscp = rng_.below(2) == 0;
    child.config.df = static_cast<policy::DfBit>(rng_.below(3));
    for (const bool at_a : {true, false}) {
      auto connection = std::make_shared<policy::Connection>();
      connection->name = fmt::format("peer{}", i);
      connection->children.push_back(child.config);
      connection->children[0].local_ts = networks(at_a, i);
      connection->children[0].remote_ts = networks(!at_a, i);
      (at_a ? a_ : b_).connections.push_back(std::move(connection));
    }
    install(child);
  }
  for (Gateway* gateway : {&a_, &b_})
    gateway->engine.set_spd(std::make_shared<policy::Spd>(policy::build_spd(gateway->connections)));
}

void World::make_flows() {
  for (const bool at_a : {true, false}) {
    Way& way = at_a ? from_a_ : from_b_;
    for (std::size_t i = 0; i < 4 * kChildren; ++i) {
      Flow flow;
      flow.child = i % kChildren;
      flow.number = i;
      const bool v6 = rng_.below(3) == 0;
      flow.next.source = host(at_a, flow.child, v6, 1 + i);
      flow.next.destination = host(!at_a, flow.child, v6, 1 + rng_.below(100));
      flow.next.protocol = rng_.below(2) == 0 ? IpProtocol::kTcp : IpProtocol::kUdp;
      flow.next.source_port = static_cast<std::uint16_t>(1024 + i);
      flow.next.dont_fragment = v6 || rng_.below(2) == 0;
      flow.next.sequence = rng_.uniform<std::uint32_t>();
      flow.next.tos = static_cast<std::uint8_t>(rng_.below(4) == 0 ? rng_.below(256) : 0);
      if (flow.next.protocol == IpProtocol::kTcp && rng_.below(2) == 0) flow.next.options = rng_.bytes(12);
      way.flows.push_back(std::move(flow));
    }
  }
}

// --- the control side

void World::install(Child& child) {
  const std::size_t number = static_cast<std::size_t>(&child - children_.data());
  const auto sizes = value(
      crypto::esp_key_sizes({child.algorithms.encr, child.algorithms.key_bits, child.algorithms.integ}));
  auto a = std::make_shared<policy::ChildSa>(), b = std::make_shared<policy::ChildSa>();
  a->id = b->id = {next_id_++};
  a->algorithms = b->algorithms = child.algorithms;
  a->connection = a_.connections[number];
  b->connection = b_.connections[number];
  a->inbound_spi = b->outbound_spi = value(a_.engine.allocate_spi(rng_));
  b->inbound_spi = a->outbound_spi = value(b_.engine.allocate_spi(rng_));
  for (const auto& [sender, receiver] :
       {std::pair(&a->outbound, &b->inbound), std::pair(&b->outbound, &a->inbound)}) {
    const Bytes encr = rng_.bytes(sizes.encr), integ = rng_.bytes(sizes.integ);
    for (policy::DirectionKeys* keys : {sender, receiver}) {
      keys->encryption = Secret::copy_of(encr);
      keys->integrity = Secret::copy_of(integ);
    }
  }
  a->local_ts = b->remote_ts = a->child().local_ts;
  a->remote_ts = b->local_ts = a->child().remote_ts;
  a->path.local = b->path.remote = {ip(child.over_ipv6 ? "2001:db8:a::1" : "192.0.2.1"), 4500};
  a->path.remote = b->path.local = {ip(child.over_ipv6 ? "2001:db8:b::2" : "198.51.100.2"), 4500};
  a->path.udp_encapsulation = b->path.udp_encapsulation = child.udp;
  if (rng_.below(3) == 0) a->soft_packets = b->soft_packets = 1 + rng_.below(200);
  for (const Spi spi : {a->inbound_spi, b->inbound_spi}) {
    windows_[spi].size = child.config.replay_window;
    windows_[spi].sent = first_sequence_ - 1;
  }
  value(b_.engine.install(b));
  value(a_.engine.install(a));
  child.sas.emplace_back(std::move(a), std::move(b));
}

void World::rekey_some() {
  for (Child& child : children_) {
    if (rng_.below(12) == 0) {
      install(child);
      ++counters.rekeys;
    }
    // What is still on the wire for it is lost with it.
    if (child.sas.size() > 1 && rng_.below(12) == 0) {
      const auto& [a, b] = child.sas.front();
      value(a_.engine.remove(a->id));
      value(b_.engine.remove(b->id));
      windows_.erase(a->inbound_spi);
      windows_.erase(b->inbound_spi);
      child.sas.erase(child.sas.begin());
    }
  }
}

void World::change_paths() {
  Child& child = children_[rng_.below(kChildren)];
  const auto& [a, b] = child.sas.back();
  if (rng_.below(2) == 0) {
    constexpr unsigned kMtus[] = {0, 500, 1280, 1400, 1492, 4000, 9000};
    const unsigned mtu = kMtus[rng_.below(7)];
    a_.engine.set_path_mtu(a->id, mtu);
    b_.engine.set_path_mtu(b->id, mtu);
  } else {  // a NAT gave another port
    ++counters.moves;
    const auto port = static_cast<std::uint16_t>(1024 + rng_.below(60000));
    a->path.local.port = b->path.remote.port = port;
    value(a_.engine.update(a));
    value(b_.engine.update(b));
  }
}

// --- a round

void World::run(unsigned rounds) {
  for (unsigned i = 0; i < rounds; ++i) {
    ++counters.rounds;
    now_ += std::chrono::milliseconds(rng_.below(100));
    rekey_some();
    if (rng_.below(8) == 0) change_paths();
    round(i, rng_.below(2) == 0);
    for (Gateway* gateway : {&a_, &b_}) {
      while (gateway->engine.next_event()) continue;
      gateway->engine.reclaim();
    }
  }
}

void World::round(unsigned number, bool from_a) {
  Gateway& from = from_a ? a_ : b_;
  Gateway& to = from_a ? b_ : a_;
  Way& way = from_a ? from_a_ : from_b_;
  packet::Burst burst;
  put_in(from, way, burst, from_a);
  esp::OutboundResult out;
  from.engine.worker().outbound(now_, burst, out);
  counters.too_big += out.to_tun.size();
  std::vector<OnWire> cars = cars_of(out.transmit, from_a);
  out.clear();
  // Mostly the wire is kind: then order is looked at as well.
  const bool is_rough = number % 4 == 3;
  way.is_disturbed = is_rough || !way.delayed.empty();
  if (way.is_disturbed) cars = carry(way, std::move(cars));
  deliver(to, way, cars);
}

void World::put_in(Gateway& from, Way& way, packet::Burst& burst, bool from_a) {
  const std::size_t inputs = 1 + rng_.below(kMostInputs);
  Flow* flow = &way.flows[rng_.below(way.flows.size())];
  while (burst.size() < inputs) {
    if (rng_.below(3) == 0) flow = &way.flows[rng_.below(way.flows.size())];
    ++counters.put_in;
    switch (rng_.below(12)) {
      case 0:
        put_garbage(from, burst);
        break;
      case 1:
        put_fragment(from, way, *flow, burst, from_a);
        break;
      case 2:
      case 3:
      case 4:
        put_super(from, way, *flow, burst, from_a);
        break;
      default:
        put_single(from, way, *flow, burst, from_a);
    }
  }
}

void World::put_single(Gateway& from, Way& way, Flow& flow, packet::Burst& burst, bool from_a) {
  const std::size_t most = rng_.below(5) == 0 ? 9000 : rng_.below(2) == 0 ? 1400 : 100;
  const FlowPacket taken = flow.take(rng_, rng_.below(most));
  const Bytes bytes = wire::test::packet_of(taken);
  expect(way, flow, bytes, from_a);
  // The checksum may still be unfinished, as the kernel leaves it to a network card.
  const bool is_finished = rng_.below(2) == 0;
  packet::PacketPtr packet = from.pool.copy_of(is_finished ? bytes : wire::test::super_packet_of(taken));
  if (!is_finished) {
    packet->meta.checksum_start = taken.source.is_v4() ? 20 : 40;
    packet->meta.checksum_offset = taken.protocol == IpProtocol::kTcp ? 16 : 6;
  }
  burst.push(std::move(packet));
}

void World::put_super(Gateway& from, Way& way, Flow& flow, packet::Burst& burst, bool from_a) {
  ++counters.super_packets;
  const std::size_t segment = 1 + rng_.below(rng_.below(3) == 0 ? 3000 : 1400);
  const std::size_t payload =
      std::min<std::size_t>(segment * (1 + rng_.below(19)) + 1 + rng_.below(segment), 64000);
  const FlowPacket taken = flow.take(rng_, payload, segment);
  for (const Bytes& one : wire::test::segments_of(taken, segment)) expect(way, flow, one, from_a);
  packet::PacketPtr packet = from.pool.copy_of(wire::test::super_packet_of(taken));
  packet->meta.segment_size = static_cast<std::uint16_t>(segment);
  packet->meta.checksum_start = taken.source.is_v4() ? 20 : 40;
  packet->meta.checksum_offset = taken.protocol == IpProtocol::kTcp ? 16 : 6;
  burst.push(std::move(packet));
}

// Somewhere out of the middle of an IPv4 packet, or its beginning.
void World::put_fragment(Gateway& from, Way& way, const Flow& flow, packet::Burst& burst, bool from_a) {
  if (flow.next.source.is_v6()) return put_garbage(from, burst);
  ++counters.fragments_in;
  wire::Ipv4Header header;
  header.source = flow.next.source;
  header.destination = flow.next.destination;
  header.protocol = flow.next.protocol;
  header.identification = rng_.uniform<std::uint16_t>();
  header.more_fragments = true;
  header.fragment_offset = static_cast<std::uint16_t>(8 * rng_.below(1000));
  const std::size_t payload = 8 * (5 + rng_.below(120));
  header.total_length = static_cast<std::uint16_t>(20 + payload);
  Bytes bytes(20);
  append(bytes, rng_.bytes(payload));
  bytes[32] = 5U << 4U;  // a TCP header's length, where one begins
  wire::write_ipv4(bytes, header);
  // Fragments have no flow: packets of one are not behind each other in any order that matters.
  Flow alone = flow;
  alone.number = 1000000 + static_cast<std::size_t>(counters.fragments_in);
  const auto& sa = children_[flow.child].sas.back();
  const unsigned mtu = (from_a ? a_ : b_).engine.stats(sa.first->id)->inner_mtu;
  if (bytes.size() > mtu && children_[flow.child].config.df != policy::DfBit::kClear)
    return put_garbage(from, burst);  // fragments of fragments are for another test
  expect(way, alone, bytes, from_a);
  burst.push(from.pool.copy_of(bytes));
}

void World::put_garbage(Gateway& from, packet::Burst& burst) {
  ++counters.garbage;
  Bytes bytes = rng_.bytes(1 + rng_.below(300));
  if (rng_.below(2) == 0) bytes[0] = rng_.below(2) == 0 ? 0x45 : 0x60;
  packet::PacketPtr packet = from.pool.copy_of(bytes);
  if (rng_.below(4) == 0) packet->meta.segment_size = static_cast<std::uint16_t>(rng_.below(2000));
  if (rng_.below(4) == 0) packet->meta.checksum_start = static_cast<std::uint16_t>(rng_.below(400));
  burst.push(std::move(packet));
}

// How the packet may come out, if the wire lets it.
void World::expect(Way& way, const Flow& flow, ByteView packet, bool from_a) {
  const Child& child = children_[flow.child];
  const unsigned mtu = (from_a ? a_ : b_).engine.stats(child.sas.back().first->id)->inner_mtu;
  const bool v4 = packet[0] >> 4U == 4;
  const bool may_be_cut = v4 && (packet[6] & 0x40U) == 0;
  const bool goes_whole =
      packet.size() <= mtu || child.config.df == policy::DfBit::kClear || (!v4 && packet.size() <= 1280);
  if (goes_whole) return way.expected.whole(packet, flow.number);
  if (may_be_cut) return way.expected.in_fragments(packet);
  ++counters.too_big;
}

// --- the wire

std::vector<World::OnWire> World::cars_of(const packet::PacketList& trains, bool /*from_a*/) {
  std::vector<OnWire> cars;
  for (const packet::PacketPtr& train : trains) {
    const std::size_t size = train->meta.segment_size == 0 ? train->size() : train->meta.segment_size;
    for (ByteView rest = train->bytes(); !rest.empty(); rest = rest.subspan(std::min(size, rest.size()))) {
      OnWire car;
      car.bytes = to_bytes(rest.first(std::min(size, rest.size())));
      car.meta = train->meta;
      car.meta.segment_size = 0;
      const auto header = wire::parse_esp_header(car.bytes);
      require(header.has_value(), "what is sent is ESP");
      const auto window = windows_.find(header->spi);
      require(window != windows_.end(), "what is sent has the SPI of an SA that is installed");
      car.sequence = ++window->second.sent;
      require(header->sequence == static_cast<std::uint32_t>(car.sequence), "sequence numbers go up by one");
      cars.push_back(std::move(car));
      ++counters.esp_packets;
    }
  }
  return cars;
}

std::vector<World::OnWire> World::carry(Way& way, std::vector<OnWire> cars) {
  std::vector<OnWire> arriving;
  std::vector<OnWire> delayed = std::exchange(way.delayed, {});
  for (OnWire& car : cars) {
    if (rng_.below(50) == 0) way.remembered.push_back(car);
    switch (rng_.below(24)) {
      case 0:
        ++counters.lost;
        continue;
      case 1:
        ++counters.corrupted;
        car.is_intact = false;
        if (rng_.below(4) == 0 && car.bytes.size() > 1) {
          car.bytes.resize(1 + rng_.below(car.bytes.size() - 1));
        } else {
          car.bytes[rng_.below(car.bytes.size())] ^= static_cast<std::uint8_t>(1U << rng_.below(8));
        }
        break;
      case 2:
        ++counters.delayed;
        (rng_.below(2) == 0 ? delayed : way.delayed).push_back(std::move(car));
        continue;
      case 3:
        if ((car.meta.tos & 3U) == 1 || (car.meta.tos & 3U) == 2) {
          ++counters.marked;
          car.meta.tos |= 3U;
        }
        break;
      default:
        break;
    }
    arriving.push_back(std::move(car));
    if (!way.remembered.empty() && rng_.below(20) == 0) {
      ++counters.replayed;
      arriving.push_back(way.remembered[rng_.below(way.remembered.size())]);
    }
    if (!delayed.empty() && rng_.below(4) == 0) {
      arriving.push_back(std::move(delayed.back()));
      delayed.pop_back();
    }
  }
  for (OnWire& car : delayed) arriving.push_back(std::move(car));
  if (way.remembered.size() > 200) way.remembered.erase(way.remembered.begin(), way.remembered.begin() + 100);
  return arriving;
}

// How many of them must come out.
std::size_t World::arrive(const std::vector<OnWire>& cars) {
  std::size_t count = 0;
  for (const OnWire& car : cars) {
    if (!car.is_intact) continue;
    const auto at = windows_.find(wire::parse_esp_header(car.bytes)->spi);
    if (at == windows_.end()) continue;  // its SA is gone
    Window& window = at->second;
    if (car.sequence <= window.top && window.top - car.sequence >= window.size) {
      ++counters.too_old;
      continue;
    }
    if (!window.seen.insert(car.sequence).second) continue;
    window.top = std::max(window.top, car.sequence);
    while (window.seen.size() > 5000) window.seen.erase(window.seen.begin());
    ++count;
  }
  return count;
}

void World::deliver(Gateway& to, Way& way, const std::vector<OnWire>& cars) {
  esp::InboundResult result;
  packet::Burst burst;
  std::vector<OnWire> in_burst;
  const auto run = [&] {
    const std::size_t wanted = arrive(in_burst);
    to.engine.worker().inbound(now_, burst, result);
    std::size_t came = 0;
    for (const packet::PacketPtr& packet : result.to_tun) {
      for (const Bytes& one : cut_by_kernel(*packet)) {
        ++came;
        way.expected.take(one, !way.is_disturbed);
      }
    }
    counters.came_out += came;
    require(came == wanted, "what arrives whole and for the first time comes out",
            fmt::format("{} came, {} wanted; drops so far:{}", came, wanted, drops_of(to.engine)));
    result.clear();
    in_burst.clear();
  };
  for (std::size_t at = 0; at < cars.size();) {
    // As UDP_GRO would give it: several datagrams of one size from one peer with one TOS in one buffer, the last shorter.
    const OnWire& first = cars[at];
    const std::size_t most = first.meta.udp_encapsulated ? 1 + rng_.below(20) : 1;
    Bytes bytes = first.bytes;
    std::size_t count = 1;
    in_burst.push_back(first);
    while (count < most && at + count < cars.size()) {
      const OnWire& next = cars[at + count];
      if (next.bytes.size() > first.bytes.size() || next.meta.source != first.meta.source ||
          next.meta.tos != first.meta.tos || !next.meta.udp_encapsulated ||
          bytes.size() + next.bytes.size() > 60000)
        break;
      append(bytes, next.bytes);
      in_burst.push_back(next);
      ++count;
      if (next.bytes.size() < first.bytes.size()) break;
    }
    packet::PacketPtr packet = to.pool.copy_of(bytes);
    require(packet != nullptr, "there is a buffer");
    packet->meta = first.meta;
    packet->meta.segment_size = count > 1 ? static_cast<std::uint16_t>(first.bytes.size()) : std::uint16_t{0};
    burst.push(std::move(packet));
    at += count;
    if (burst.full()) run();
  }
  run();
}

}  // namespace merlon::soak
