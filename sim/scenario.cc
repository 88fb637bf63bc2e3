// Draws scenarios. Swarm testing: each run turns whole classes of faults and of configuration off, so that what one of them hides
// another run shows.
#include "sim/scenario.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "policy/proposal.h"
#include "sim/key_store.h"
#include "sim/scenario_draw.h"
#include "sim/scenario_more.h"
#include "sim/stream.h"

namespace merlon::sim {

using namespace std::chrono_literals;

std::string_view name(HappeningKind kind) {
  switch (kind) {
    case HappeningKind::kCrash:
      return "crash";
    case HappeningKind::kStop:
      return "stop";
    case HappeningKind::kCut:
      return "cut";
    case HappeningKind::kRebind:
      return "rebind";
    case HappeningKind::kTerminate:
      return "terminate";
    case HappeningKind::kTakeDown:
      return "take down";
    case HappeningKind::kRekeyIke:
      return "rekey IKE SA";
    case HappeningKind::kRekeyChild:
      return "rekey child";
    case HappeningKind::kReconfigure:
      return "reconfigure";
    case HappeningKind::kCheckPaths:
      return "check paths";
    case HappeningKind::kIsolate:
      return "isolate";
    case HappeningKind::kNatRestart:
      return "NAT restart";
    case HappeningKind::kMove:
      return "move";
    case HappeningKind::kPause:
      return "pause";
    case HappeningKind::kClockStep:
      return "clock step";
  }
  return "?";
}

namespace {

Duration milliseconds_between(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return std::chrono::milliseconds(between(rng, low, high));
}

std::string host_name(std::size_t host) {
  return host < 26 ? std::string(1, static_cast<char>('A' + host)) : fmt::format("H{}", host);
}

// What a run has; everything else is off.
struct Swarm {
  bool loss, jitter, duplicates, late, cuts, crashes, stops, commands, rekeys, lifetimes, volume, cookies,
      invalid_ke, slow, nat, small_path, ipv6, narrowing, wrong_secret;
  explicit Swarm(Rng& rng)
      : loss(chance(rng, 600)),
        jitter(chance(rng, 500)),
        duplicates(chance(rng, 500)),
        late(chance(rng, 400)),
        cuts(chance(rng, 350)),
        crashes(chance(rng, 400)),
        stops(chance(rng, 200)),
        commands(chance(rng, 400)),
        rekeys(chance(rng, 400)),
        lifetimes(chance(rng, 500)),
        volume(chance(rng, 250)),
        cookies(chance(rng, 250)),
        invalid_ke(chance(rng, 300)),
        slow(chance(rng, 300)),
        nat(chance(rng, 250)),
        small_path(chance(rng, 200)),
        ipv6(chance(rng, 200)),
        narrowing(chance(rng, 300)),
        wrong_secret(chance(rng, 60)) {}

  [[nodiscard]] std::string text() const {
    std::string out;
    const auto add = [&](bool on, std::string_view what) {
      if (on) out += (out.empty() ? "" : ", ") + std::string(what);
    };
    add(loss, "loss"), add(jitter, "jitter"), add(duplicates, "duplicates"), add(late, "late datagrams"),
        add(cuts, "cuts");
    add(crashes, "crashes"), add(stops, "stops"), add(commands, "commands"), add(rekeys, "rekey commands");
    add(lifetimes, "short lifetimes"), add(volume, "volume limits"), add(cookies, "cookies"),
        add(invalid_ke, "INVALID_KE"), add(slow, "slow crypto");
    add(nat, "NAT"), add(small_path, "small path"), add(ipv6, "IPv6 outside"), add(narrowing, "narrowing"),
        add(wrong_secret, "a wrong secret");
    return out.empty() ? "no faults" : out;
  }
};

class Drawer {
 public:
  Drawer(std::uint64_t seed, unsigned gateways, Repertoire repertoire)
      : rng_(stream_seed(seed, "scenario")), swarm_(rng_) {
    made_.seed = seed;
    if (repertoire == Repertoire::kAll) more_.emplace(seed);
    host_count_ = gateways != 0 ? gateways : std::array<unsigned, 8>{2, 2, 2, 2, 3, 3, 4, 4}[rng_.below(8)];
    made_.faults_end = milliseconds_between(rng_, 20000, 50000);
    if (!more_) return;
    if (gateways == 0) host_count_ = more_->host_count(host_count_);
    if (more_->clients()) swarm_.nat = true;
  }

  Scenario draw() {
    encr_ = std::array{"aes256gcm16-prfsha256", "aes128gcm16-prfsha384", "chacha20poly1305-prfsha256",
                       "aes256-sha256"}[rng_.below(4)];
    for (std::size_t i = 0; i < host_count_; ++i) add_host(i);
    const Edges edges = draw_edges();
    for (const auto& [first, second] : edges) add_tunnel(first, second);
    for (std::size_t i = 0; i < host_count_; ++i) {
      made_.hosts[i].connections = {connections_[i].begin(), connections_[i].end()};
      made_.hosts[i].credentials = std::move(credentials_[i]);
    }
    for (HostPlan& impostor : impostors_) made_.hosts.push_back(std::move(impostor));
    draw_happenings();
    made_.summary = fmt::format("{} gateways, {} tunnels, {}: {}{}", host_count_, made_.tunnels.size(), encr_,
                                swarm_.text(), more_ ? more_->text(has_nat()) : "");
    if (more_) more_->finish(made_);
    std::stable_sort(made_.happenings.begin(), made_.happenings.end(),
                     [](const auto& a, const auto& b) { return a.at < b.at; });
    return std::move(made_);
  }

 private:
  [[nodiscard]] Edges draw_edges();
  void add_host(std::size_t number);
  void add_tunnel(std::size_t first, std::size_t second);
  void add_impostor(const TunnelDraw& draw, TunnelEnds& ends, const TunnelPlan& tunnel);
  LinkFaults draw_link();
  void draw_happenings();
  [[nodiscard]] bool has_nat() const {
    return std::any_of(made_.hosts.begin(), made_.hosts.end(),
                       [](const auto& host) { return host.nat.has_value(); });
  }
  void add_happenings(HappeningKind kind, std::uint64_t most, Duration shortest, Duration longest);
  void add_simultaneous(HappeningKind kind, std::uint64_t most);

  SeededRng rng_;
  Swarm swarm_;
  std::optional<MoreFaults> more_;
  std::size_t host_count_ = 0;
  std::string encr_;
  std::vector<std::string> ike_proposals_;  // by host
  Scenario made_;
  std::vector<std::vector<policy::ConnectionPtr>> connections_;
  std::vector<std::shared_ptr<ike::Credentials>> credentials_;
  std::vector<HostPlan> impostors_;
};

// A star, or a ring of three or more; a host behind a NAT can only be at the tip of a star.
Edges Drawer::draw_edges() {
  if (more_) return more_->shape(host_count_, swarm_.nat);
  Edges edges;
  const bool ring = !swarm_.nat && host_count_ > 2 && chance(rng_, 500);
  for (std::size_t i = 1; i < host_count_; ++i) edges.emplace_back(ring ? i - 1 : 0, i);
  if (ring) edges.emplace_back(host_count_ - 1, 0);
  return edges;
}

void Drawer::add_host(std::size_t number) {
  HostPlan host;
  host.name = host_name(number);
  const auto last = static_cast<std::uint32_t>(number + 1);
  const auto outer = [&](std::uint32_t net, std::string_view v6) {
    return swarm_.ipv6 ? need(IpAddress::parse(fmt::format("2001:db8:{}::{:x}", v6, last)))
                       : IpAddress::v4(net + last);
  };
  host.address = outer(0xc6120000, "0");  // 198.18.0.n
  if (swarm_.nat && number > 0 && (chance(rng_, 600) || (more_ && more_->clients()))) {
    host.nat = host.address;
    if (more_ && made_.hosts.back().nat && more_->shares_nat()) host.nat = made_.hosts.back().nat;
    host.address = outer(0xac1e0000, "ffff");  // 172.30.0.n
  }
  host.starts_at = milliseconds_between(rng_, 0, chance(rng_, 500) ? 0 : 4000);
  if (swarm_.cookies && chance(rng_, 700)) host.options.cookie_threshold = 0;
  if (swarm_.slow) host.slow_actions = milliseconds_between(rng_, 1, 60);
  if (more_) more_->add_to(host, number, swarm_.ipv6);
  made_.hosts.push_back(std::move(host));
  // All share X25519, but some begin with another method and are told so.
  constexpr std::string_view kMethods[] = {"-x25519", "-ecp256-x25519", "-x25519-ecp256"};
  ike_proposals_.push_back(encr_ +
                           std::string(kMethods[swarm_.invalid_ke ? rng_.below(std::size(kMethods)) : 0]));
  connections_.emplace_back();
  credentials_.push_back(std::make_shared<ike::Credentials>());
}

LinkFaults Drawer::draw_link() {
  LinkFaults link;
  link.delay = milliseconds_between(rng_, 1, chance(rng_, 800) ? 60 : 300);
  if (swarm_.jitter) link.jitter = milliseconds_between(rng_, 0, 400);
  if (swarm_.loss) link.loss = static_cast<unsigned>(between(rng_, 0, chance(rng_, 700) ? 100 : 350));
  if (swarm_.duplicates) link.duplicate = static_cast<unsigned>(between(rng_, 0, 200));
  if (swarm_.late) link.late = static_cast<unsigned>(between(rng_, 0, 100));
  if (swarm_.late || swarm_.duplicates) link.lateness = milliseconds_between(rng_, 0, 15000);
  if (swarm_.small_path) link.largest_ike = 1320;
  if (more_) more_->add_to(link);
  return link;
}

void Drawer::add_tunnel(std::size_t first, std::size_t second) {
  const std::size_t number = made_.tunnels.size();
  TunnelPlan tunnel;
  tunnel.connection = made_.hosts[first].name + "-" + made_.hosts[second].name;
  tunnel.hosts = {first, second};
  tunnel.links = {draw_link(), draw_link()};
  TunnelDraw draw;
  draw.rng = &rng_;
  draw.number = number;
  draw.ike_proposals = {ike_proposals_[first], ike_proposals_[second]};
  draw.behind_nat = made_.hosts[second].nat.has_value();
  draw.lifetimes = swarm_.lifetimes && chance(rng_, 800);
  draw.volume = swarm_.volume;
  draw.small_path = swarm_.small_path;
  draw.narrowing = swarm_.narrowing;
  draw.wrong_secret = swarm_.wrong_secret && chance(rng_, 500);
  if (more_) more_->add_to(draw);
  TunnelEnds ends = draw_tunnel(draw, tunnel, made_.hosts);
  if (more_) more_->add_to(ends, made_.hosts, tunnel);
  if (more_) add_impostor(draw, ends, tunnel);
  for (const std::size_t end : {0U, 1U}) {
    const std::size_t host = tunnel.hosts[end];
    connections_[host].push_back(std::make_shared<const policy::Connection>(ends.connections[end]));
    credentials_[host]->by_connection[tunnel.connection] = credentials_for(draw, ends, tunnel, end);
  }
  made_.tunnels.push_back(std::move(tunnel));
}

// He calls, and sometimes the victim calls him too, before the one it means.
void Drawer::add_impostor(const TunnelDraw& draw, TunnelEnds& ends, const TunnelPlan& tunnel) {
  auto impostor =
      more_->impostor(draw, ends, tunnel, made_.hosts, host_count_ + impostors_.size(), swarm_.ipv6);
  if (!impostor) return;
  auto& addresses = ends.connections[1 - impostor->claimed].remote_addresses;
  if (!addresses.empty()) addresses.insert(addresses.begin(), impostor->host.address.to_string());
  impostors_.push_back(std::move(impostor->host));
}

void Drawer::add_happenings(HappeningKind kind, std::uint64_t most, Duration shortest, Duration longest) {
  const auto span = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(made_.faults_end).count());
  const auto low = static_cast<std::uint64_t>(shortest / 1ms),
             high = static_cast<std::uint64_t>(longest / 1ms);
  for (std::uint64_t left = between(rng_, 1, most); left > 0; --left) {
    Happening one;
    one.at = milliseconds_between(rng_, 500, span);
    one.kind = kind;
    one.tunnel = static_cast<std::size_t>(rng_.below(made_.tunnels.size()));
    const TunnelPlan& tunnel = made_.tunnels[one.tunnel];
    const auto hosts = may_befall(made_, kind, tunnel);
    one.host = hosts[rng_.below(hosts.size())];
    if (kind == HappeningKind::kRekeyChild || (kind == HappeningKind::kTerminate && chance(rng_, 500)))
      one.child = tunnel.children[rng_.below(tunnel.children.size())].name;
    one.lasts = milliseconds_between(rng_, low, high);
    made_.happenings.push_back(one);
  }
}

// Both ends do the same within a few milliseconds: their requests cross.
void Drawer::add_simultaneous(HappeningKind kind, std::uint64_t most) {
  const std::size_t before = made_.happenings.size();
  add_happenings(kind, most, 0s, 0s);
  const std::size_t count = made_.happenings.size() - before;
  for (std::size_t i = 0; i < count; ++i) {
    if (!chance(rng_, 700)) continue;
    Happening other = made_.happenings[before + i];
    const TunnelPlan& tunnel = made_.tunnels[other.tunnel];
    other.host = tunnel.hosts[0] == other.host ? tunnel.hosts[1] : tunnel.hosts[0];
    other.at += milliseconds_between(rng_, 0, 40);
    made_.happenings.push_back(other);
  }
}

void Drawer::draw_happenings() {
  const auto scale = std::max<std::uint64_t>(1, host_count_ / 4);
  if (swarm_.crashes) add_happenings(HappeningKind::kCrash, 3 * scale, 50ms, 12s);
  if (swarm_.stops) add_happenings(HappeningKind::kStop, 2 * scale, 1s, 12s);
  if (swarm_.cuts) add_happenings(HappeningKind::kCut, 4 * scale, 500ms, 25s);
  if (has_nat()) add_happenings(HappeningKind::kRebind, 3 * scale, 0s, 0s);
  if (swarm_.commands) {
    add_simultaneous(HappeningKind::kTerminate, 5 * scale);
    if (chance(rng_, 500)) add_happenings(HappeningKind::kTakeDown, 2 * scale, 2s, 15s);
    if (chance(rng_, 300)) add_happenings(HappeningKind::kReconfigure, 3 * scale, 0s, 0s);
    if (chance(rng_, 300)) add_happenings(HappeningKind::kCheckPaths, 3 * scale, 0s, 0s);
  }
  if (swarm_.rekeys) {
    add_simultaneous(HappeningKind::kRekeyChild, 12 * scale);
    add_simultaneous(HappeningKind::kRekeyIke, 8 * scale);
  }
}

}  // namespace

std::vector<std::size_t> may_befall(const Scenario& scenario, HappeningKind kind, const TunnelPlan& tunnel) {
  if (kind != HappeningKind::kRebind && kind != HappeningKind::kNatRestart)
    return {tunnel.hosts.begin(), tunnel.hosts.end()};
  std::vector<std::size_t> made;
  for (std::size_t i = 0; i < scenario.hosts.size(); ++i)
    if (scenario.hosts[i].nat) made.push_back(i);
  return made;
}

Scenario draw_scenario(std::uint64_t seed, unsigned gateways, Repertoire repertoire) {
  return Drawer(seed, gateways, repertoire).draw();
}

}  // namespace merlon::sim
