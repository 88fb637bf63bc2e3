// Two or more engines in virtual time, for tests: a network with latency, loss by choice and a NAT, and a
// stand-in for the packet engine that checks what it is told. Slow actions are carried out at once, or after
// a delay.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "base/rng.h"
#include "ikev2/engine.h"
#include "wire/ike/message.h"

namespace merlon::ikev2::test {

using namespace std::chrono_literals;

inline constexpr UnixTime kToday = std::chrono::sys_days{std::chrono::year{2026} / 10 / 4};

template <class T>
T value(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
inline IpAddress address(std::string_view text) {
  return value(IpAddress::parse(text));
}
inline Endpoint endpoint(std::string_view text, std::uint16_t port) {
  return {address(text), port};
}

// Each SPI has a place, as a packet engine with several workers would have it: the resource it is for, that of the one it
// replaces, or one of its own.
class TestSpis final : public ike::SpiAllocator {
 public:
  static constexpr unsigned kFirstOwnPlace = 1000;

  explicit TestSpis(std::uint32_t first) : next_(first) {}
  Result<Spi> allocate() override { return allocate_at(++last_own_place_); }
  Result<Spi> allocate_for(unsigned resource) override { return allocate_at(resource); }
  Result<Spi> allocate_like(Spi replaced) override { return allocate_at(place_of(replaced)); }
  void release(Spi spi) override { EXPECT_EQ(held_.erase(spi.value), 1U) << "an SPI was released twice"; }
  void used_up(Spi spi) { EXPECT_EQ(held_.erase(spi.value), 1U) << "removed with an SPI that nobody holds"; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  std::size_t room = SIZE_MAX;  // so many at once
  [[nodiscard]] unsigned place_of(Spi spi) const {
    const auto at = places_.find(spi.value);
    EXPECT_NE(at, places_.end()) << "an SPI that was never given out";
    return at == places_.end() ? 0 : at->second;
  }

 private:
  Result<Spi> allocate_at(unsigned place) {
    if (held_.size() >= room) return fail(ErrorCode::kExhausted, "no SPI is left");
    held_.insert(++next_);
    places_[next_] = place;
    return Spi{next_};
  }

  std::uint32_t next_;
  unsigned last_own_place_ = kFirstOwnPlace;
  std::set<std::uint32_t> held_;
  std::map<std::uint32_t, unsigned> places_;
};

struct InstalledChild {
  policy::ChildSaPtr sa;
  bool use_outbound = true;
  policy::OuterPath path;
};

class Network;

// A gateway: an engine and its surroundings.
class Host {
 public:
  Host(Network& network, std::string name, std::string_view ip, EngineOptions options = {});

  void configure(std::vector<policy::ConnectionPtr> connections,
                 std::shared_ptr<const ike::Credentials> credentials);
  void drain();
  void print(const ike::Event& event) const;
  [[nodiscard]] Result<Begun> initiate(const std::string& connection, Host& remote,
                                       std::vector<std::string> children = {});

  template <class T>
  [[nodiscard]] std::vector<const T*> events_of() const {
    std::vector<const T*> found;
    for (const auto& event : events)
      if (const auto* one = std::get_if<T>(&event)) found.push_back(one);
    return found;
  }
  template <class T>
  [[nodiscard]] std::size_t count() const {
    return events_of<T>().size();
  }
  // Children by (connection, child name): the one that outbound packets take.
  [[nodiscard]] const InstalledChild* outbound(const std::string& child) const {
    const InstalledChild* newest = nullptr;
    for (const auto& [id, one] : installed)
      if (one.sa->child().name == child && one.use_outbound) newest = &one;
    return newest;
  }
  [[nodiscard]] const InstalledChild* by_inbound(Spi spi) const {
    for (const auto& [id, one] : installed)
      if (one.sa->inbound_spi == spi) return &one;
    return nullptr;
  }
  void report(const ike::DataPlaneReport& report);
  // What a packet engine would say of a packet that came in by this SA.
  void packet_arrived(const InstalledChild& child);
  [[nodiscard]] std::vector<ike::IkeSaStatus> established() const {
    auto all = engine.status();
    std::erase_if(all, [](const auto& one) { return one.phase != "established"; });
    return all;
  }

  Network& network;
  std::string name;
  IpAddress ip;
  SeededRng rng;
  TestSpis spis;
  Engine engine;
  std::map<std::uint64_t, InstalledChild> installed;
  std::vector<ike::Event> events;
  bool alive = true;
  std::size_t keepalives = 0;
  std::optional<Duration> slow_actions;  // instead of the network's
  // Changes what key exchanges and signatures come to; false: they never end.
  std::function<bool(ike::Answer&)> spoil;
};

struct Packet {
  Endpoint source, destination;
  bool natt = false;
  Bytes payload;
  [[nodiscard]] wire::IkeHeader header() const { return value(wire::IkeHeader::parse(payload)); }
};

class Network {
 public:
  Instant now{1h};
  Duration latency = 10ms;
  Duration slow_actions{0};                           // 0: at once
  std::function<bool(const Packet&)> drop;            // true: the packet is lost
  std::function<std::vector<Packet>(Packet)> tamper;  // what arrives in its place
  std::vector<Packet> sent;                           // everything that was sent, in order
  std::map<IpAddress, Host*> hosts;

  // Hosts behind it appear with its address and other ports.
  struct Nat {
    IpAddress inside, outside;
    std::uint16_t port_shift = 10000;
  };
  std::optional<Nat> nat;

  [[nodiscard]] Now time() const {
    return {now, kToday + std::chrono::floor<std::chrono::seconds>(now.time_since_epoch() - 1h)};
  }

  void send(Packet packet) {
    if (nat && packet.source.address == nat->inside) {
      packet.source.address = nat->outside;
      packet.source.port = static_cast<std::uint16_t>(packet.source.port + nat->port_shift);
    }
    sent.push_back(packet);
    if (drop && drop(packet)) return;
    if (tamper) {
      for (auto& one : tamper(std::move(packet))) inject(std::move(one));
    } else {
      inject(std::move(packet));
    }
  }
  void inject(Packet packet) { queue_.emplace(now + latency, std::move(packet)); }
  void later(Duration delay, std::function<void()> what) { calls_.emplace(now + delay, std::move(what)); }

  // One event: a packet, an answer or a timer. False when nothing is left before `end`.
  bool step(Instant end) {
    Instant next = kNever;
    if (!queue_.empty()) next = std::min(next, queue_.begin()->first);
    if (!calls_.empty()) next = std::min(next, calls_.begin()->first);
    for (auto& [ip, host] : hosts)
      if (host->alive) next = std::min(next, host->engine.next_deadline());
    if (next > end) {
      now = std::max(now, end);
      return false;
    }
    now = std::max(now, next);
    if (!calls_.empty() && calls_.begin()->first <= now) {
      auto what = std::move(calls_.begin()->second);
      calls_.erase(calls_.begin());
      what();
    } else if (!queue_.empty() && queue_.begin()->first <= now) {
      auto packet = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      deliver(packet);
    } else {
      for (auto& [ip, host] : hosts)
        if (host->alive && host->engine.next_deadline() <= now) {
          host->engine.advance(time());
          host->drain();
        }
    }
    return true;
  }
  void run_for(Duration duration) {
    const auto end = now + duration;
    std::size_t steps = 0;
    while (step(end)) ASSERT_LT(++steps, 200000U) << "the engines never come to rest";
  }

 private:
  void deliver(Packet& packet) {
    if (nat && packet.destination.address == nat->outside) {
      packet.destination.address = nat->inside;
      packet.destination.port = static_cast<std::uint16_t>(packet.destination.port - nat->port_shift);
    }
    const auto at = hosts.find(packet.destination.address);
    if (at == hosts.end() || !at->second->alive) return;
    at->second->engine.receive(time(), {packet.destination, packet.source, packet.natt, packet.payload});
    at->second->drain();
  }

  std::multimap<Instant, Packet> queue_;
  std::multimap<Instant, std::function<void()>> calls_;
};

inline Host::Host(Network& net, std::string host_name, std::string_view ip_text, EngineOptions options)
    : network(net),
      name(std::move(host_name)),
      ip(address(ip_text)),
      rng(std::hash<std::string>{}(name)),
      spis(static_cast<std::uint32_t>(std::hash<std::string>{}(name)) | 0x1000),
      engine(options, rng, spis) {
  network.hosts[ip] = this;
}

inline void Host::configure(std::vector<policy::ConnectionPtr> connections,
                            std::shared_ptr<const ike::Credentials> credentials) {
  engine.configure(network.time(), std::move(connections), std::move(credentials));
  drain();
}

inline Result<Begun> Host::initiate(const std::string& connection, Host& remote,
                                    std::vector<std::string> children) {
  auto result = engine.initiate(network.time(), connection, {ip, 0}, {remote.ip, 500}, children);
  drain();
  return result;
}

inline void Host::report(const ike::DataPlaneReport& what) {
  engine.report(network.time(), what);
  drain();
}
inline void Host::packet_arrived(const InstalledChild& child) {
  report(ike::ChildSaInbound{child.sa->id, network.now});
}

inline void Host::drain() {
  for (;;) {
    auto actions = engine.drain();
    if (actions.empty()) return;
    for (auto& action : actions) {
      if (auto* transmit = std::get_if<ike::Transmit>(&action)) {
        network.send({transmit->local, transmit->remote, transmit->natt, std::move(transmit->payload)});
      } else if (std::holds_alternative<ike::TransmitKeepalive>(action)) {
        ++keepalives;
      } else if (auto* install = std::get_if<ike::InstallChildSa>(&action)) {
        const auto& sa = install->child_sa;
        EXPECT_TRUE(installed.emplace(sa->id.value, InstalledChild{sa, sa->use_outbound, sa->path}).second);
      } else if (auto* update = std::get_if<ike::UpdateChildSa>(&action)) {
        const auto at = installed.find(update->id.value);
        ASSERT_NE(at, installed.end());
        at->second.use_outbound = update->use_outbound;
        at->second.path = update->path;
      } else if (auto* removed = std::get_if<ike::RemoveChildSa>(&action)) {
        const auto at = installed.find(removed->id.value);
        ASSERT_NE(at, installed.end()) << "removed twice";
        spis.used_up(at->second.sa->inbound_spi);
        installed.erase(at);
      } else if (auto* event = std::get_if<ike::Event>(&action)) {
        print(*event);
        events.push_back(std::move(*event));
      } else {
        // The slow ones.
        auto shared = std::make_shared<ike::Action>(std::move(action));
        auto carry_out = [this, shared] {
          ike::Answer answer;
          if (const auto* exchange = std::get_if<ike::RunKeyExchange>(shared.get()))
            answer = ike::run(*exchange, rng);
          else
            answer = ike::run(std::get<ike::SignRequest>(*shared));
          if (spoil && !spoil(answer)) return;
          engine.complete(network.time(), std::move(answer));
          drain();
        };
        if (const auto delay = slow_actions.value_or(network.slow_actions); delay.count() > 0)
          network.later(delay, carry_out);
        else
          carry_out();
      }
    }
  }
}

// With MERLON_TEST_TRACE in the environment (and EngineOptions::trace_all), what happens is printed as it
// happens.
inline void Host::print(const ike::Event& event) const {
  if (std::getenv("MERLON_TEST_TRACE") == nullptr) return;
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(network.now.time_since_epoch() - 1h).count();
  if (const auto* message = std::get_if<ike::MessageTraced>(&event)) {
    fmt::print("{:>8} {} {}", ms, name, message->sent ? "->" : "<-");
    for (const auto& line : message->lines) fmt::print("  {}", line);
    fmt::print("\n");
  } else if (const auto* up = std::get_if<ike::ChildSaEstablished>(&event)) {
    fmt::print("{:>8} {} Child SA {} in {} out {}{}\n", ms, name, up->id.value, up->inbound_spi,
               up->outbound_spi, up->rekeyed ? " rekeyed" : "");
  } else if (const auto* down = std::get_if<ike::ChildSaClosed>(&event)) {
    fmt::print("{:>8} {} Child SA {} closed: {}\n", ms, name, down->id.value, down->reason);
  } else if (const auto* ike_up = std::get_if<ike::IkeSaEstablished>(&event)) {
    fmt::print("{:>8} {} IKE SA {}\n", ms, name, ike_up->id.initiator);
  } else if (const auto* ike_down = std::get_if<ike::IkeSaClosed>(&event)) {
    fmt::print("{:>8} {} IKE SA {} closed: {}\n", ms, name, ike_down->id.initiator,
               ike_down->reason.sentence);
  } else if (const auto* failed = std::get_if<ike::NegotiationFailed>(&event)) {
    fmt::print("{:>8} {} failed: {}\n", ms, name, failed->failure.sentence);
  }
}

// Both ends hold the two halves of the same thing.
inline void expect_mirrored(const policy::ChildSa& a, const policy::ChildSa& b) {
  EXPECT_EQ(a.inbound_spi, b.outbound_spi);
  EXPECT_EQ(a.outbound_spi, b.inbound_spi);
  EXPECT_TRUE(a.inbound.encryption == b.outbound.encryption);
  EXPECT_TRUE(a.outbound.encryption == b.inbound.encryption);
  EXPECT_TRUE(a.inbound.integrity == b.outbound.integrity);
  EXPECT_TRUE(a.outbound.integrity == b.inbound.integrity);
  EXPECT_FALSE(a.inbound.encryption == a.outbound.encryption);
  EXPECT_EQ(a.local_ts, b.remote_ts);
  EXPECT_EQ(a.remote_ts, b.local_ts);
  EXPECT_EQ(a.algorithms.encr, b.algorithms.encr);
  EXPECT_EQ(a.algorithms.esn, b.algorithms.esn);
}

// Every packet that one side would send, the other can open; and both use one SA for each child.
inline void expect_in_step(const Host& a, const Host& b, const std::string& child) {
  for (const auto& [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
    const auto* out = from->outbound(child);
    ASSERT_NE(out, nullptr) << from->name << " has no way to send";
    const auto* in = to->by_inbound(out->sa->outbound_spi);
    ASSERT_NE(in, nullptr) << to->name << " cannot receive what " << from->name << " sends";
    expect_mirrored(*out->sa, *in->sa);
  }
}

// ---- configurations

struct Office {
  std::shared_ptr<policy::Connection> connection = std::make_shared<policy::Connection>();
  std::string psk = "a shared secret of good length";
};

inline Office office(const std::string& local_id, const std::string& remote_id, const std::string& local_net,
                     const std::string& remote_net, const std::string& remote_address,
                     const std::string& name = "office") {
  Office made;
  auto& connection = *made.connection;
  connection.name = name;
  connection.source = "merlon.toml:12";
  if (!remote_address.empty()) connection.remote_addresses = {remote_address};
  connection.ike_proposals = {value(policy::parse_ike_proposal("aes256gcm16-prfsha256-x25519"))};
  policy::LocalAuth local;
  local.kind = policy::AuthKind::kPsk;
  local.id_text = local_id;
  local.id = value(Identity::parse(local_id));
  connection.local_auth = {local};
  policy::RemoteAuth remote;
  remote.kind = policy::AuthKind::kPsk;
  remote.id_text = remote_id;
  remote.id = value(Identity::parse(remote_id));
  connection.remote_auth = {remote};
  policy::ChildConfig child;
  child.name = "net";
  child.local_ts = value(policy::parse_traffic_selectors(local_net));
  child.remote_ts = value(policy::parse_traffic_selectors(remote_net));
  child.proposals = {value(policy::parse_esp_proposal("aes256gcm16-noesn"))};
  connection.children = {child};
  connection.liveness_interval = 0s;
  return made;
}

inline std::shared_ptr<ike::Credentials> credentials_of(const std::vector<Office>& offices) {
  auto made = std::make_shared<ike::Credentials>();
  for (const auto& one : offices) {
    auto& entry = made->by_connection[one.connection->name];
    entry.local_psk = Secret::copy_of(as_bytes(one.psk));
    entry.remote_psk = Secret::copy_of(as_bytes(one.psk));
  }
  return made;
}

// Two offices, "a" at 192.0.2.1 and "b" at 198.51.100.1.
struct Pair {
  Network network;
  Host a, b;
  Office office_a = office("a.example.com", "b.example.com", "10.1.0.0/16", "10.2.0.0/16", "198.51.100.1");
  Office office_b = office("b.example.com", "a.example.com", "10.2.0.0/16", "10.1.0.0/16", "192.0.2.1");

  explicit Pair(EngineOptions a_options = {}, EngineOptions b_options = {})
      : a(network, "a", "192.0.2.1", a_options), b(network, "b", "198.51.100.1", b_options) {}

  policy::Connection& at_a() { return *office_a.connection; }
  policy::Connection& at_b() { return *office_b.connection; }
  void configure() {
    a.configure({office_a.connection}, credentials_of({office_a}));
    b.configure({office_b.connection}, credentials_of({office_b}));
  }
  void up() {
    configure();
    ASSERT_TRUE(a.initiate("office", b));
    network.run_for(2s);
    ASSERT_EQ(a.established().size(), 1U);
    ASSERT_EQ(b.established().size(), 1U);
    expect_in_step(a, b, "net");
  }
  // Nothing is left anywhere.
  void expect_clean() {
    for (auto* host : {&a, &b}) {
      EXPECT_TRUE(host->installed.empty()) << host->name;
      EXPECT_EQ(host->spis.held(), 0U) << host->name;
      EXPECT_TRUE(host->engine.status().empty()) << host->name;
      EXPECT_EQ(host->engine.half_open_count(), 0U) << host->name;
    }
  }
};

}  // namespace merlon::ikev2::test
