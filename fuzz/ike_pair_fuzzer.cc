// Two live engines, with the fuzzer as the network between them (it loses, doubles, reorders, alters, holds back, cuts one
// way, moves a NAT's port), as both operators (up, down, rekey, other configurations), as both packet engines, as the clock,
// and as what kills a daemon. ike_sa_fuzzer_host.h says what must hold at every step. Then everything heals, and within
// a minute both ends must agree, with a Child SA for each child; in the end everybody leaves, and nothing may be left.
//
// An input: three bytes of setting (ike_setting.h), then steps: a byte of what, a byte of length, so many bytes that say
// how.
#include "fuzz/ike_setting.h"
#include "fuzz/step_mutator.h"

namespace merlon::fuzz {

const std::size_t kSettingSize = 3;

Step usual_step(SeededRng& rng) {
  constexpr std::uint8_t kOften[] = {0, 1, 6, 7, 7, 7, 8, 13};
  const auto byte = [&](std::uint64_t bound) { return static_cast<std::uint8_t>(rng.below(bound)); };
  Step made{rng.below(2) == 0 ? kOften[rng.below(std::size(kOften))] : byte(16), {byte(2), byte(8), byte(4)}};
  append(made.how, rng.bytes(rng.below(4)));
  return made;
}

namespace {

constexpr std::size_t kMaxSteps = 100, kMaxQueue = 64, kMaxHistory = 64;
const IpAddress kAddresses[] = {IpAddress::v4(0xc0000201), IpAddress::v4(0xc6336401)};
const IpAddress kNatAddress = IpAddress::v4(0xcb007107);

class Pair {
 public:
  explicit Pair(const IkeSetting& setting) : setting_(setting) {
    now_.monotonic = Instant(1h);
    now_.wall = kToday;
    for (unsigned side = 0; side < 2; ++side) {
      usual_[side] = usual_connection(side);
      start(side);
    }
    initiate(setting.initiator && !setting.nat ? 0 : 1);
    const unsigned deliveries[] = {0, 1, 2, 40};
    for (unsigned left = deliveries[setting.stage]; left > 0 && deliver(0); --left) continue;
    for (auto& host : hosts_) host->slow = setting.slow;
  }

  void run(Input& input) {
    for (std::size_t steps = 0; !input.empty() && steps < kMaxSteps; ++steps) {
      const auto what = input.u8();
      const Bytes how = input.string();
      Input detail{how};
      step(what, detail);
    }
    heal();
    agree();
    be_up();
    leave();
  }

 private:
  struct Datagram {
    unsigned to = 0;
    Bytes payload;
    bool natt = false;
  };

  // ---- gateways

  [[nodiscard]] policy::ConnectionPtr usual_connection(unsigned side) const {
    auto made = connection_of(setting_, side == 0);
    made->liveness_interval = 5s;
    return made;
  }
  void start(unsigned side) {
    hosts_[side].emplace(++started_ * 2U + side, options_of(setting_, side), now_,
                         [this, side](ike::Transmit&& transmit) { send(side, std::move(transmit)); });
    auto& host = *hosts_[side];
    host.shard = side;
    // With keys of one's own, who proves nothing may still be proved to.
    host.may_authenticate = !setting_.wrong_secret || (side == 1 && setting_.auth != policy::AuthKind::kPsk);
    host.connection = usual_[side];
    host.engine.trace(kOffice, setting_.trace, true);
    configure(side, {usual_[side]});
  }
  void configure(unsigned side, std::vector<policy::ConnectionPtr> connections) {
    auto& host = *hosts_[side];
    host.engine.configure(now_, std::move(connections), credentials_of(setting_, side == 0));
    settle(side);
  }
  void settle(unsigned side) {
    hosts_[side]->drain();
    hosts_[side]->advance();
  }
  [[nodiscard]] Endpoint local(unsigned side) const { return {kAddresses[side], 500}; }
  void initiate(unsigned side) {
    static_cast<void>(hosts_[side]->engine.initiate(now_, kOffice, local(side), local(1 - side), {}));
    settle(side);
  }

  // ---- the network

  void send(unsigned from, ike::Transmit&& transmit) {
    // Nobody gets in to where no NAT points.
    const bool lost = setting_.nat && from == 0 && transmit.remote.address != kNatAddress;
    if (queue_.size() < kMaxQueue && !cut_[from] && !lost)
      queue_.push_back({1 - from, std::move(transmit.payload), transmit.natt});
  }
  bool deliver(std::size_t which) {
    if (queue_.empty()) return false;
    const auto at = queue_.begin() + static_cast<std::ptrdiff_t>(which % queue_.size());
    const Datagram datagram = std::move(*at);
    queue_.erase(at);
    arrive(datagram);
    if (history_.size() < kMaxHistory) history_.push_back(datagram);
    return true;
  }
  void arrive(const Datagram& datagram) {
    auto& host = *hosts_[datagram.to];
    const std::uint16_t port = datagram.natt ? 4500 : 500;
    Endpoint remote{kAddresses[1 - datagram.to], port};
    // The second gateway is behind a NAT, where there is one.
    if (setting_.nat && datagram.to == 0)
      remote = {kNatAddress, static_cast<std::uint16_t>(nat_port_ + (datagram.natt ? 1 : 0))};
    host.engine.receive(now_, {{kAddresses[datagram.to], port}, remote, datagram.natt, datagram.payload});
    settle(datagram.to);
  }

  // ---- the steps

  void step(std::uint8_t what, Input& input) {
    switch (what % 16) {
      case 0:
      case 1:
        return static_cast<void>(deliver(0));
      case 2:
        return static_cast<void>(deliver(input.u8()));
      case 3:
        if (!queue_.empty())
          queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(input.u8() % queue_.size()));
        return;
      case 4:
        return repeat(input);
      case 5:
        return alter(input);
      case 6:
        return time(input);
      case 7:
        return command(input);
      case 8:
        return report(input);
      case 9:
        return static_cast<void>(hosts_[input.u8() & 1U]->carry_out(input.u8()));
      case 10:
        return reload(input);
      case 11:
        return crash(input);
      case 12:
        nat_port_ = static_cast<std::uint16_t>(10500 + input.u8());
        return;
      case 13:
        for (unsigned left = 1 + input.u8() % 8; left > 0 && deliver(0); --left) continue;
        return;
      case 14:
        cut_[input.u8() & 1U] ^= true;
        return;
      default:
        return other(input);
    }
  }
  void repeat(Input& input) {
    const auto which = input.u8();
    if ((input.u8() & 1U) != 0 && !queue_.empty()) return arrive(Datagram(queue_[which % queue_.size()]));
    if (!history_.empty()) arrive(Datagram(history_[which % history_.size()]));
  }
  void alter(Input& input) {
    if (queue_.empty()) return;
    auto& payload = queue_[input.u8() % queue_.size()].payload;
    const auto how = input.u8();
    const auto where = input.u16() % payload.size();
    if (how % 4 == 0 && where > 0)
      payload.resize(where);
    else
      payload[where] ^= static_cast<std::uint8_t>(1U << (how & 7U));
  }
  void time(Input& input) {
    const auto how = input.u8();
    const auto next = std::min(hosts_[0]->engine.next_deadline(), hosts_[1]->engine.next_deadline());
    if (how < 0x80 && next != kNever)
      now_.monotonic = std::max(now_.monotonic, next);
    else
      now_.monotonic += std::chrono::milliseconds(1U << (how % 16U));
    for (unsigned side = 0; side < 2; ++side) settle(side);
  }
  void command(Input& input) {
    const auto side = input.u8() & 1U;
    const auto which = input.u8();
    const std::string child = (input.u8() & 1U) != 0 && setting_.two_children ? "dmz" : "net";
    auto& engine = hosts_[side]->engine;
    switch (which % 8) {
      case 0:
        return initiate(side);
      case 1:
        static_cast<void>(engine.terminate(now_, kOffice, ""));
        break;
      case 2:
        static_cast<void>(engine.terminate(now_, kOffice, child));
        break;
      case 3:
        static_cast<void>(engine.rekey_ike_sa(now_, kOffice));
        break;
      case 4:
      case 5:
        static_cast<void>(engine.rekey_child_sa(now_, kOffice, child));
        break;
      case 6: {
        const auto& config = usual_[side]->children.front();
        static_cast<void>(engine.acquire(
            now_, kOffice, child, local(side), local(1 - side),
            ikev2::Engine::TriggeringPacket{config.local_ts.front(), config.remote_ts.front()}));
        break;
      }
      default:
        engine.check_paths(now_);
        break;
    }
    settle(side);
  }
  [[nodiscard]] policy::ChildSaPtr installed(unsigned side, std::uint8_t which) const {
    const auto& all = hosts_[side]->installed;
    return all.empty() ? nullptr
                       : std::next(all.begin(), static_cast<std::ptrdiff_t>(which % all.size()))->second;
  }
  void report(Input& input) {
    const auto side = input.u8() & 1U;
    const auto how = input.u8();
    const auto sa = installed(side, input.u8());
    if (!sa) return;
    auto& engine = hosts_[side]->engine;
    if (how % 4 == 0)
      engine.report(now_, ike::ChildSaSoftExpired{sa->id});
    else if (how % 4 == 1)
      engine.report(now_, ike::ChildSaHardExpired{sa->id});
    else if (how % 4 == 2)
      engine.report(now_, ike::ChildSaInbound{sa->id, now_.monotonic});
    else
      engine.report(now_, ike::ChildSaPeerMoved{sa->id, {kNatAddress, nat_port_}});
    settle(side);
  }
  void reload(Input& input) {
    const auto side = input.u8() & 1U;
    auto changed = std::make_shared<policy::Connection>(*usual_[side]);
    switch (input.u8() % 6) {
      case 0:
        changed->liveness_interval = 3s;
        break;
      case 1:
        changed->children.front().local_ts = value(policy::parse_traffic_selectors("10.9.0.0/16"));
        break;
      case 2:
        if (changed->children.size() > 1) changed->children.erase(changed->children.begin());
        break;
      case 3:
        return configure(side, {});
      case 4:
        changed->unique = policy::Connection::Uniqueness::kNever;
        break;
      default:
        hosts_[side]->connection = usual_[side];
        return configure(side, {usual_[side]});
    }
    hosts_[side]->connection = changed;
    configure(side, {changed});
  }
  void crash(Input& input) {
    if (started_ > 8) return;
    const auto side = input.u8() & 1U;
    start(side);
    hosts_[side]->slow = setting_.slow;
  }
  void other(Input& input) {
    const auto side = input.u8() & 1U;
    auto& engine = hosts_[side]->engine;
    const auto how = input.u8();
    const Endpoint remote = setting_.nat && side == 0 ? Endpoint{kNatAddress, nat_port_} : local(1 - side);
    if (how % 3 == 0)
      static_cast<void>(engine.probe_path(now_, remote.address, 600U + input.u8() * 8U));
    else if (how % 3 == 1)
      engine.unknown_spi(now_, remote, setting_.nat, Spi{input.u32()});
    else if (const auto sa = installed(side, input.u8()))
      engine.selectors_violated(now_, sa->id, input.rest());
    settle(side);
    static_cast<void>(engine.drain_path_probes());
    static_cast<void>(engine.status());
  }

  // ---- the end

  // Everything arrives at once from here on.
  void deliver_all() {
    for (unsigned messages = 0; deliver(0); ++messages) require(messages < 2000, "a conversation ends");
  }
  void pass(Duration duration) {
    const Instant end = now_.monotonic + duration;
    for (unsigned i = 0;; ++i) {
      require(i < 4000, "timers come to rest");
      deliver_all();
      const auto next = std::min(hosts_[0]->engine.next_deadline(), hosts_[1]->engine.next_deadline());
      if (next > end) break;
      now_.monotonic = std::max(now_.monotonic, next);
      for (unsigned side = 0; side < 2; ++side) settle(side);
    }
    now_.monotonic = std::max(now_.monotonic, end);
  }
  void heal() {
    cut_ = {};
    for (unsigned side = 0; side < 2; ++side) {
      auto& host = *hosts_[side];
      host.slow = false;
      while (host.carry_out(0)) continue;
      host.connection = usual_[side];
      configure(side, {usual_[side]});
    }
    pass(45s);
  }
  [[nodiscard]] static std::set<IkeSaId> established(const Host& host) {
    std::set<IkeSaId> made;
    for (const auto& sa : host.engine.status())
      if (sa.phase == "established") made.insert(sa.id);
    return made;
  }
  // Both ends have the same SAs.
  void agree() const {
    for (unsigned side = 0; side < 2; ++side) {
      const auto &here = *hosts_[side], &there = *hosts_[1 - side];
      for (const auto& entry : here.installed) {
        const auto& sa = entry.second;
        const auto at = std::ranges::find_if(there.installed, [&](const auto& other) {
          return other.second->inbound_spi == sa->outbound_spi;
        });
        require(at != there.installed.end(), "both ends have the same Child SAs");
        const auto& other = *at->second;
        require(other.outbound_spi == sa->inbound_spi && other.local_ts == sa->remote_ts &&
                    other.remote_ts == sa->local_ts && other.algorithms.esn == sa->algorithms.esn &&
                    other.algorithms.encr == sa->algorithms.encr,
                "a Child SA is the same at both ends");
        require(other.inbound.encryption == sa->outbound.encryption &&
                    other.outbound.encryption == sa->inbound.encryption,
                "a Child SA has the same keys at both ends");
      }
      require(established(here) == established(there), "both ends have the same IKE SAs");
    }
  }
  // A tunnel that is asked for comes up.
  void be_up() {
    initiate(setting_.nat ? 1 : 0);
    pass(5s);
    agree();
    if (setting_.wrong_secret) return require(hosts_[0]->installed.empty(), "no Child SA without proof");
    for (const auto& host : hosts_)
      for (const auto& child : usual_[0]->children)
        require(std::ranges::any_of(host->installed,
                                    [&](const auto& sa) { return sa.second->child().name == child.name; }),
                "a child that is asked for has a Child SA");
  }
  void leave() {
    hosts_[0]->engine.shut_down(now_);
    settle(0);
    deliver_all();
    require(hosts_[1]->installed.empty(), "a peer that says good-bye leaves nothing");
    for (auto& host : hosts_) host->require_clean();
  }

  const IkeSetting setting_;
  Now now_{};
  std::array<policy::ConnectionPtr, 2> usual_;
  std::array<std::optional<Host>, 2> hosts_;
  std::deque<Datagram> queue_, history_;
  std::array<bool, 2> cut_{};  // what this one sends is lost
  std::uint16_t nat_port_ = 10500;
  unsigned started_ = 0;
};

}  // namespace
}  // namespace merlon::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace merlon::fuzz;
  Input input{merlon::ByteView(data, size)};
  const IkeSetting setting{input};
  Pair pair{setting};
  pair.run(input);
  return 0;
}
