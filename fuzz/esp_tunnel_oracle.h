// The tunnel of esp_tunnel_fuzzer: two packet engines with Child SAs between them, and what is checked whenever one of
// them is given a burst. Every require() is a promise of the packet engine.
#pragma once

#include "fuzz/esp_tunnel_parts.h"

namespace merlon::fuzz {

using namespace std::chrono_literals;

class Tunnel {
 protected:
  static constexpr std::size_t kMaxQueue = 96, kMaxSas = 12, kMostFragments = 64;

  struct Datagram {
    unsigned to = 0;
    Bytes bytes;
    packet::PacketMeta meta;
  };

  explicit Tunnel(const TunnelSetting& setting)
      : setting_(setting), gateways_{Gateway(1, config()), Gateway(2, config())} {
    for (unsigned side = 0; side < 2; ++side) {
      connections_[side] = connection(side, 0);
      set_spd(side, 0);
    }
    if (!setting.wait) return;
    for (const std::size_t child : {0U, 1U}) rekey(child, 3, true);
  }

  // ---- the setting

  esp::EngineConfig config() const {
    esp::EngineConfig made;
    made.sa_capacity = 64;
    made.event_capacity = 64;
    if (setting_.joined) made.max_joined = 8, made.max_joined_bytes = 9000;
    made.coalesce_tcp = made.coalesce_udp = setting_.coalesce;
    if (setting_.sequence == 1) made.first_sequence = setting_.esn ? 0xfffffff0 : 1;
    if (setting_.sequence == 2) made.first_sequence = setting_.esn ? 0x1fffffff8 : 0xffffff80;
    if (setting_.limits == 3) made.sequence_limit = made.first_sequence + 20;
    return made;
  }

  policy::ConnectionPtr connection(unsigned side, std::uint8_t variant) const {
    const auto selectors = [](std::initializer_list<const char*> texts) {
      policy::TrafficSelectors made;
      for (const char* text : texts) made.push_back(value(policy::parse_traffic_selector(text)));
      return made;
    };
    auto made = std::make_shared<policy::Connection>();
    made->name = "tunnel";
    const auto add = [&](const char* name, std::uint32_t priority, policy::TrafficSelectors a,
                         policy::TrafficSelectors b) -> policy::ChildConfig& {
      policy::ChildConfig child;
      child.name = name;
      child.priority = priority;
      child.local_ts = side == 0 ? a : b;
      child.remote_ts = side == 0 ? b : a;
      child.start = setting_.wait ? policy::StartMode::kWait : policy::StartMode::kOnTraffic;
      child.replay_window = setting_.window;
      child.df = setting_.df;
      child.tcp_mss_clamp = setting_.clamp;
      child.copy_dscp = !setting_.clamp;
      made->children.push_back(std::move(child));
      return made->children.back();
    };
    add("net", 2, selectors({"10.1.0.0/16", "2001:db8:1::/48"}),
        selectors({"10.2.0.0/16", "2001:db8:2::/48"}));
    add("web", 1, selectors({"10.1.5.0/24[tcp]"}), selectors({"10.2.0.0/16[tcp/80]"}));
    if (variant % 4 >= 1)
      add("local", 0, selectors({"10.1.0.0/16"}), selectors({"10.2.9.0/24"})).action =
          variant % 4 == 2 ? policy::ChildAction::kDiscard : policy::ChildAction::kBypass;
    return made;
  }
  void set_spd(unsigned side, std::uint8_t variant) {
    auto& gateway = gateways_[side];
    if (variant % 8 == 7)
      gateway.spd = std::make_shared<const policy::Spd>();
    else
      gateway.spd = std::make_shared<const policy::Spd>(
          policy::build_spd(std::vector<policy::ConnectionPtr>{connection(side, variant)}));
    gateway.engine.set_spd(gateway.spd);
  }

  // ---- SAs

  [[nodiscard]] Direction& flow(std::size_t sa, unsigned from) { return sas_[sa][from]; }

  // A new pair of SAs of a child, installed where `where` says (bit 0: A, bit 1: B).
  void rekey(std::size_t child, unsigned where, bool use_outbound) {
    if (sas_.size() >= kMaxSas) return;
    const auto algorithms = algorithms_of(setting_.algorithms[child], setting_.esn);
    const auto transform = crypto::EspTransform{algorithms.encr, algorithms.key_bits, algorithms.integ};
    const auto sizes = value(crypto::esp_key_sizes(transform));
    std::array<std::shared_ptr<policy::ChildSa>, 2> pair;
    for (unsigned side = 0; side < 2; ++side) {
      auto& sa = pair[side] = std::make_shared<policy::ChildSa>();
      sa->id = {sas_.size() + 1};
      sa->connection = connections_[side];
      sa->child_index = child;
      sa->algorithms = algorithms;
      sa->use_outbound = use_outbound;
      sa->local_ts = sa->child().local_ts;
      sa->remote_ts = sa->child().remote_ts;
      if (setting_.limits == 1) sa->soft_packets = 10, sa->hard_packets = 25;
      if (setting_.limits == 2) sa->soft_bytes = 5'000, sa->hard_bytes = 12'000;
      sa->path.local = outer(side), sa->path.remote = outer(1 - side);
      sa->path.udp_encapsulation = setting_.udp;
    }
    for (unsigned side = 0; side < 2; ++side)
      pair[side]->inbound_spi = pair[1 - side]->outbound_spi =
          value(gateways_[side].engine.allocate_spi(rng_));
    auto& made = sas_.emplace_back();
    for (unsigned from = 0; from < 2; ++from) {
      const Bytes encr = rng_.bytes(sizes.encr), integ = rng_.bytes(sizes.integ);
      for (auto* keys : {&pair[from]->outbound, &pair[1 - from]->inbound}) {
        keys->encryption = Secret::copy_of(encr);
        keys->integrity = Secret::copy_of(integ);
      }
      made[from].cipher = value(crypto::PacketCipher::create(transform, algorithms.esn, encr, integ));
      made[from].last_sequence = config().first_sequence - 1;
    }
    for (unsigned side = 0; side < 2; ++side) made[side].sender = made[1 - side].receiver = pair[side];
    for (unsigned side = 0; side < 2; ++side)
      if ((where >> side & 1U) != 0) install(sas_.size() - 1, side);
  }
  void install(std::size_t sa, unsigned side) {
    auto &out = flow(sa, side), &in = flow(sa, 1 - side);
    if (out.at_sender || removed_.contains({sa, side})) return;
    require(gateways_[side].engine.install(out.sender).has_value(), "a new Child SA can be installed");
    out.at_sender = in.at_receiver = true;
  }
  void remove(std::size_t sa, unsigned side) {
    auto &out = flow(sa, side), &in = flow(sa, 1 - side);
    if (!removed_.insert({sa, side}).second) return;
    auto& engine = gateways_[side].engine;
    if (out.at_sender)
      require(engine.remove(out.sender->id).has_value(), "what is installed can be removed");
    else
      engine.release_spi(out.sender->inbound_spi);
    require(!engine.stats(out.sender->id), "what is removed has no figures");
    out.at_sender = in.at_receiver = false;
  }
  // Another path, or the outbound half in use or not.
  void update(std::size_t sa, unsigned side, std::uint8_t how) {
    auto& out = flow(sa, side);
    auto changed = std::make_shared<policy::ChildSa>(policy::without_keys(*out.sender));
    if ((how & 1U) != 0) changed->use_outbound = !changed->use_outbound;
    if ((how & 2U) != 0) changed->path.remote.port = static_cast<std::uint16_t>(4500 + how);
    const auto updated = gateways_[side].engine.update(changed);
    require(updated.has_value() == out.at_sender, "what is installed can be updated, and nothing else");
    if (updated) out.sender = changed;
  }
  [[nodiscard]] Endpoint outer(unsigned side) const {
    static constexpr const char* kOuter[] = {"192.0.2.1", "198.51.100.2", "2001:db8:a::1", "2001:db8:b::2"};
    return {value(IpAddress::parse(kOuter[side + (setting_.outer_v6 ? 2 : 0)])), 4500};
  }

  // What came from TUN as one, in these packets; in none, where it is none.
  void want(unsigned from, std::span<const Bytes> packets) {
    auto& gateway = gateways_[from];
    const std::size_t number = gateway.from_tun.size();
    gateway.from_tun.push_back({std::max<std::size_t>(packets.size(), 1)});
    for (const Bytes& packet : packets) {
      gateway.wanted[essence_of(packet, setting_.clamp)].push_back(number);
      gateway.read_from_tun.emplace_back(packet, number);
    }
  }

  void outbound(unsigned from, packet::Burst& burst) {
    auto& gateway = gateways_[from];
    const auto before = gateway.totals();
    const auto drops = gateway.drops();
    esp::OutboundResult result;
    gateway.engine.worker().outbound(now_, burst, result);
    gateway.outbound_drops += gateway.drops() - drops;
    take(from, result, before);
  }
  void poll(unsigned from) {
    packet::Burst nothing;
    outbound(from, nothing);
  }

  // ---- what leaves

  void take(unsigned from, const esp::OutboundResult& result, const esp::SaStats& before) {
    auto& gateway = gateways_[from];
    std::uint64_t packets = 0, bytes = 0;
    for (const auto& train : result.transmit) {
      const auto cars = cars_of(train->meta, train->bytes());
      require(cars.size() <= (setting_.joined ? 8U : 1U), "no more packets are joined than may be");
      require(cars.size() == 1 || train->size() <= 9000, "no more bytes are joined than may be");
      for (const ByteView car : cars) {
        ++packets;
        bytes += sealed(from, train->meta, car);
      }
      if (queue_.size() < kMaxQueue) queue_.push_back({1 - from, to_bytes(train->bytes()), train->meta});
    }
    const auto after = gateway.totals();
    require(after.outbound.packets - before.outbound.packets == packets, "outbound packets are counted");
    require(after.outbound.bytes - before.outbound.bytes == bytes, "outbound bytes are counted");
    for (const auto& answer : result.to_tun) {
      const auto view = wire::parse_packet(answer->bytes());
      require(view && view->total_length == answer->size() && view->upper == wire::UpperFields::kIcmp,
              "the inner network is answered with ICMP");
    }
  }

  // Looks at an ESP packet that a gateway made; the bytes inside.
  std::size_t sealed(unsigned from, const packet::PacketMeta& meta, ByteView car) {
    const auto header = wire::parse_esp_header(car);
    require(header && meta.sa_id >= 1 && meta.sa_id <= sas_.size(), "an ESP packet is one of an SA");
    auto& flow = this->flow(meta.sa_id - 1, from);
    const policy::ChildSa& sa = *flow.sender;
    require(flow.at_sender && sa.use_outbound && header->spi == sa.outbound_spi, "the SA is in use");
    const std::uint64_t sequence =
        flow.last_sequence + 1 +
        static_cast<std::uint32_t>(header->sequence - static_cast<std::uint32_t>(flow.last_sequence + 1));
    require(sequence - flow.last_sequence < 1000, "sequence numbers go on");
    require(sa.algorithms.esn || sequence <= UINT32_MAX, "RFC 4303 3.3.3: no sequence number comes again");
    require(sequence <= config().sequence_limit, "the last sequence number is the last");
    flow.last_sequence = sequence;
    require(flow.ivs.insert(to_bytes(car.subspan(8, flow.cipher->iv_size()))).second ||
                flow.cipher->iv_size() == 0,
            "no IV is used twice");
    const auto plaintext = flow.open(car, sequence);
    require(plaintext.has_value(), "what is sealed opens with the SA's key");
    const auto trailer = wire::parse_esp_trailer(*plaintext);
    require(trailer.has_value(), "RFC 4303 2.4: the padding is 1, 2, 3");
    const Bytes inner(plaintext->begin(),
                      plaintext->begin() + static_cast<std::ptrdiff_t>(trailer->payload_size));
    const auto view = wire::parse_packet(inner);
    require(view && view->total_length == inner.size(), "a whole packet is inside");
    require(trailer->next_header == (view->family == IpFamily::kIpv4 ? IpProtocol::kIpv4 : IpProtocol::kIpv6),
            "the next header is the packet's");
    check_policy(from, sa, *view);
    check_outside(from, meta, sa, car.size(), *view);
    check_origin(from, inner, *view);
    remember(1 - from, car, inner);
    return inner.size();
  }
  void check_policy(unsigned from, const policy::ChildSa& sa, const wire::PacketView& view) {
    require(policy::matches(sa.local_ts, sa.remote_ts, view, policy::Direction::kOutbound),
            "the SA's selectors hold the packet");
    // Fragments that we made show less than what they were made of.
    if (view.is_non_first_fragment()) return;
    const auto* entry = gateways_[from].spd->find_by_scan(view, policy::Direction::kOutbound);
    require(entry != nullptr && entry->action == policy::ChildAction::kProtect,
            "the policies protect the packet");
    require(entry->connection->children[entry->child_index].name == sa.child().name,
            "the packet's child carries it");
  }
  void check_outside(unsigned from, const packet::PacketMeta& meta, const policy::ChildSa& sa,
                     std::size_t size, const wire::PacketView& view) {
    require(meta.source == sa.path.local && meta.destination == sa.path.remote, "the path is the SA's");
    require(meta.udp_encapsulated == sa.path.udp_encapsulation, "ESP is in UDP where the SA says");
    // RFC 6040 4.1: ECN is copied; RFC 4301 5.1.2.1: DSCP where the configuration says.
    require(meta.tos == (sa.child().copy_dscp ? view.tos : view.tos & 3U), "the outer TOS is right");
    const auto mtu = gateways_[from].mtu.find(sa.id.value);
    const unsigned floor = setting_.outer_v6 ? 1280 : 576;
    // A new SA takes over what is known of its path at that moment, which here may be what was said of any other.
    const unsigned path =
        mtu == gateways_[from].mtu.end() ? gateways_[from].largest_mtu : std::max(floor, mtu->second);
    const std::size_t whole = size + (setting_.outer_v6 ? 40U : 20U) + (setting_.udp ? 8U : 0U);
    require(whole <= path || meta.may_fragment_outer, "what must not be fragmented fits the path");
  }
  // It came from TUN, and once; or it is a part of what did.
  void check_origin(unsigned from, const Bytes& inner, const wire::PacketView& view) {
    auto& gateway = gateways_[from];
    if (gateway.read_anything) return;
    const auto at = gateway.wanted.find(essence_of(inner, setting_.clamp));
    if (at != gateway.wanted.end() && !at->second.empty()) {
      ++gateway.from_tun[at->second.back()].carried;
      at->second.pop_back();
      return;
    }
    require(view.is_fragment, "what is sealed came from TUN, once");
    const ByteView part = ByteView(inner).subspan(view.upper_offset);
    bool found = setting_.clamp;
    // Of several that hold it, it may be a part of any.
    for (const auto& [whole, number] : gateway.read_from_tun) {
      if (gateway.from_tun[number].carried == gateway.from_tun[number].parts) continue;
      if (std::search(whole.begin(), whole.end(), part.begin(), part.end()) == whole.end()) continue;
      found = gateway.from_tun[number].cut = true;
    }
    require(found, "a fragment is a part of what came from TUN");
  }
  // Nothing is held back any more: what was not carried was dropped, and counted. A super-packet goes as one or piece by piece, and what is
  // cut fragment by fragment.
  void settle(const Gateway& gateway) const {
    if (gateway.read_anything) return;
    std::uint64_t least = 0, most = 0;
    for (const FromTun& one : gateway.from_tun) {
      const std::size_t missing = one.parts - one.carried;
      if (!one.cut) least += one.carried == 0 ? 1 : missing;
      most += missing * kMostFragments;
    }
    // Where the MSS is clamped a fragment may be of a packet that was changed, and so be a part of none.
    require(setting_.clamp || gateway.outbound_drops >= least,
            "what came from TUN is carried or counted as dropped");
    require(setting_.clamp || gateway.outbound_drops <= most, "what is counted as dropped is not carried");
  }
  // What may come out at `to`, once these bytes are handed over whole.
  void remember(unsigned to, ByteView car, const Bytes& inner) {
    authentic_[to].emplace(to_bytes(car), essence_of(inner, setting_.clamp));
  }

  // ---- what arrives

  // The number of ESP packets in it.
  std::uint64_t push(const Datagram& datagram, packet::Burst& burst) {
    auto& gateway = gateways_[datagram.to];
    auto packet = gateway.pool.copy_of(datagram.bytes);
    if (!packet) return 0;
    packet->meta = datagram.meta;
    packet->meta.sa_id = 0;
    const auto cars = cars_of(datagram.meta, datagram.bytes);
    for (const ByteView car : cars) {
      const auto at = authentic_[datagram.to].find(to_bytes(car));
      if (at != authentic_[datagram.to].end() && gateway.handed_over.insert(at->first).second)
        ++gateway.may_come_out[at->second];
    }
    burst.push(std::move(packet));
    return cars.size();
  }
  void inbound(unsigned to, packet::Burst& burst, std::uint64_t cars) {
    auto& gateway = gateways_[to];
    const auto drops = gateway.drops(), authentic_drops = gateway.drops(true);
    const auto before = gateway.totals();
    esp::InboundResult result;
    gateway.engine.worker().inbound(now_, burst, result);
    std::uint64_t out = 0;
    for (const auto& packet : result.to_tun)
      for (const Bytes& one : packets_of(*packet)) {
        ++out;
        came_out(to, one);
      }
    const auto dropped = gateway.drops() - drops;
    require(out + dropped == cars, "each ESP packet comes out or is counted as dropped");
    require(gateway.totals().inbound.packets - before.inbound.packets ==
                out + (gateway.drops(true) - authentic_drops),
            "authentic packets are counted");
  }
  void came_out(unsigned to, const Bytes& packet) {
    auto& gateway = gateways_[to];
    const auto at = gateway.may_come_out.find(essence_of(packet, setting_.clamp));
    require(at != gateway.may_come_out.end() && at->second > 0,
            "what comes out was sealed, is unchanged, and comes out once");
    --at->second;
    const auto view = wire::parse_packet(packet);
    const bool held = std::ranges::any_of(sas_, [&](const auto& sa) {
      const auto& mine = *sa[to].sender;
      return sa[to].at_sender &&
             policy::matches(mine.local_ts, mine.remote_ts, *view, policy::Direction::kInbound);
    });
    require(held, "what comes out lies within the selectors of an SA");
  }

  // Everything goes, and every buffer is back.
  void leave() {
    for (std::size_t sa = 0; sa < sas_.size(); ++sa) remove(sa, 0), remove(sa, 1);
    now_ += 1h;
    for (unsigned side = 0; side < 2; ++side) {
      poll(side);
      auto& gateway = gateways_[side];
      require(gateway.engine.installed().empty(), "nothing is installed any more");
      require(gateway.engine.reclaim() == 0, "nothing waits to be freed");
      require(gateway.pool.in_use() == 0, "every buffer is given back");
      settle(gateway);
    }
  }

  const TunnelSetting setting_;
  SeededRng rng_{3};
  Instant now_{1s};
  std::array<policy::ConnectionPtr, 2> connections_;
  std::array<Gateway, 2> gateways_;
  std::vector<std::array<Direction, 2>> sas_;           // by the side that seals
  std::set<std::pair<std::size_t, unsigned>> removed_;  // SA, side
  std::array<std::map<Bytes, Bytes>, 2> authentic_;  // ESP packets for a side, and what may come out of them
  std::deque<Datagram> queue_;                       // on their way
};

}  // namespace merlon::fuzz
