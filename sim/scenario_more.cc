#include "sim/scenario_more.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSmallest = 2, kLargest = 200;
constexpr std::size_t kLargestMesh = 8;

IpAddress numbered(bool ipv6, std::uint32_t v4, std::string_view v6, std::size_t number) {
  return ipv6 ? need(IpAddress::parse(fmt::format("2001:db8:{}::{:x}", v6, number)))
              : IpAddress::v4(v4 + static_cast<std::uint32_t>(number));
}

}  // namespace

MoreFaults::MoreFaults(std::uint64_t seed)
    : rng_(stream_seed(seed, "more faults")),
      inner_rng_(stream_seed(seed, "inner packets")),
      bursts_(chance_of(300)),
      damage_(chance_of(300)),
      replays_(chance_of(350)),
      isolation_(chance_of(200)),
      nat_restarts_(chance_of(500)),
      moves_(chance_of(250)),
      pauses_(chance_of(250)),
      steps_(chance_of(250)),
      drift_(chance_of(300)),
      reboots_(chance_of(200)),
      impostors_(chance_of(200)),
      limits_(chance_of(250)),
      few_numbers_(chance_of(100)),
      high_numbers_(!few_numbers_ && chance_of(100)),
      message_ids_(chance_of(150)),
      slow_signatures_(chance_of(200)),
      no_initial_contact_(chance_of(200)),
      keep_(chance_of(80)),
      probes_(chance_of(250)),
      clients_(chance_of(120)),
      exceptions_(chance(inner_rng_, 300)),
      ipv6_inside_(chance(inner_rng_, 250)) {}

std::string MoreFaults::text(bool nat) const {
  std::string out;
  const auto add = [&](bool on, std::string_view what) {
    if (on) out += ", " + std::string(what);
  };
  add(bursts_, "bursts of loss"), add(damage_, "damage"), add(replays_, "replays"),
      add(isolation_, "isolation"), add(nat_restarts_ && nat, "NAT restarts");
  add(moves_, "moves"), add(pauses_, "pauses"), add(steps_, "clock steps"), add(drift_, "drift");
  add(reboots_, "machines that start again"), add(impostors_, "impostors"), add(limits_, "small limits");
  add(few_numbers_, "few sequence numbers"), add(high_numbers_, "sequence numbers beyond 2^32");
  add(message_ids_, "few Message IDs"), add(slow_signatures_, "slow signers");
  add(no_initial_contact_, "no INITIAL_CONTACT"), add(keep_, "unique = keep"), add(probes_, "path probes");
  add(clients_, "clients"), add(exceptions_, "exceptions from policies"), add(ipv6_inside_, "IPv6 inside");
  return out;
}

bool MoreFaults::chance_of(unsigned permille) {
  return chance(rng_, permille);
}
Duration MoreFaults::milliseconds(std::uint64_t low, std::uint64_t high) {
  return std::chrono::milliseconds(between(rng_, low, high));
}

std::size_t MoreFaults::host_count(std::size_t few) {
  const std::uint64_t kind = rng_.below(1000);
  const auto drawn = [&](std::size_t low, std::size_t high) {
    return static_cast<std::size_t>(between(rng_, low, high));
  };
  if (kind < 4) return drawn(50, kLargest);
  if (kind < 30) return drawn(13, 40);
  if (kind < 130) return drawn(5, 12);
  return std::max(few, kSmallest);
}

Edges MoreFaults::shape(std::size_t hosts, bool nat) {
  Edges edges;
  const std::uint64_t kind = nat ? 0 : rng_.below(100);
  const bool mesh = kind >= 80 && hosts <= kLargestMesh;
  for (std::size_t i = 1; i < hosts; ++i) {
    if (mesh)
      for (std::size_t j = 0; j < i; ++j) edges.emplace_back(j, i);
    else
      edges.emplace_back(kind < 50 ? 0 : i - 1, i);
  }
  if (!mesh && kind >= 65 && hosts > 2) edges.emplace_back(hosts - 1, 0);  // the chain is a ring
  return edges;
}

void MoreFaults::add_to(HostPlan& host, std::size_t number, bool ipv6) {
  if (moves_ && chance_of(600))
    for (std::uint64_t i = between(rng_, 1, 2); i > 0; --i)
      host.other_addresses.push_back(
          host.nat ? numbered(ipv6, 0xac1e0000U + (256U << i), "ffff", number + (256U << i))
                   : numbered(ipv6, 0xc6120000U + (256U << i), "0", number + 1 + (256U << i)));
  if (drift_) host.clock.drift_ppm = static_cast<std::int64_t>(between(rng_, 0, 80000)) - 40000;
  host.clock.starts_anew = reboots_ && chance_of(600);
  if (slow_signatures_ && chance_of(600)) host.slow_signatures = milliseconds(100, 1500);
  if (message_ids_) host.options.last_message_id = static_cast<std::uint32_t>(between(rng_, 64, 100));
  host.probes_paths = probes_ && chance_of(700);
  if (few_numbers_) host.esp.sequence_limit = between(rng_, 120, 800);
}

void MoreFaults::add_to(LinkFaults& link) {
  if (bursts_ && chance_of(800)) {
    link.burst_begins = static_cast<unsigned>(between(rng_, 1, 30));
    link.burst_ends = static_cast<unsigned>(between(rng_, 20, 300));
    link.burst_loss = static_cast<unsigned>(between(rng_, 500, 1000));
  }
  if (damage_ && chance_of(800)) {
    link.corrupt = static_cast<unsigned>(between(rng_, 0, 120));
    link.truncate = static_cast<unsigned>(between(rng_, 0, 60));
  }
}

void MoreFaults::add_to(TunnelDraw& draw) {
  draw.client = clients_ && draw.behind_nat;
  draw.only_esn = high_numbers_;
  draw.short_lived_certificates = steps_ && chance_of(700);
}

void MoreFaults::add_to(TunnelEnds& ends, const std::vector<HostPlan>& hosts, TunnelPlan& tunnel) {
  for (const std::size_t end : {0U, 1U}) {
    policy::Connection& connection = ends.connections[end];
    if (no_initial_contact_ && chance_of(700)) connection.initial_contact = false;
    if (keep_ && chance_of(500)) connection.unique = policy::Connection::Uniqueness::kKeep;
    const HostPlan& remote = hosts[tunnel.hosts[1 - end]];
    if (!remote.nat)
      for (const IpAddress& address : remote.other_addresses)
        connection.remote_addresses.push_back(address.to_string());
    if (ipv6_inside_) add_ipv6(connection);
    if (exceptions_ && chance(inner_rng_, 700)) add_exceptions(connection, tunnel, end);
    if (high_numbers_)
      for (policy::ChildConfig& child : connection.children) child.replay_window = 64;
  }
  for (ChildPlan& child : tunnel.children) child.ipv6_too = ipv6_inside_;
}

// Enough for what is configured, and little more.
void MoreFaults::limit(HostPlan& host, std::size_t peers, std::size_t children) {
  ikev2::EngineOptions& options = host.options;
  options.half_open_limit = peers + between(rng_, 2, 8);
  options.half_open_limit_per_source = host.nat ? 4 : peers + between(rng_, 1, 3);
  options.half_open_timeout = std::chrono::seconds(between(rng_, 8, 30));
  options.cookie_threshold = between(rng_, 0, 4);
  options.ike_sa_limit = peers * 2 + between(rng_, 2, 6);
  options.lingering_limit = between(rng_, 1, 6);
  options.memory_limit = between(rng_, 24, 96) << 10U;
  host.esp.sa_capacity = children * 8 + between(rng_, 8, 32);
  host.esp.held_packets = static_cast<unsigned>(between(rng_, 4, 32));
  host.esp.held_packets_per_child = static_cast<unsigned>(between(rng_, 1, 4));
  host.esp.event_capacity = std::size_t{4} << rng_.below(5);
  host.packets = 2 * host.esp.held_packets + 64;
}

void MoreFaults::add_happenings(Scenario& scenario, HappeningKind kind, std::uint64_t most, Duration shortest,
                                Duration longest) {
  for (std::uint64_t left = between(rng_, 1, most); left > 0; --left) {
    Happening one;
    one.at = milliseconds(500, static_cast<std::uint64_t>(scenario.faults_end / 1ms));
    one.kind = kind;
    one.tunnel = static_cast<std::size_t>(rng_.below(scenario.tunnels.size()));
    const auto hosts = may_befall(scenario, kind, scenario.tunnels[one.tunnel]);
    const auto which = rng_.below(std::max<std::size_t>(hosts.size(), 1));
    one.host = hosts.empty() ? 0 : hosts[which];
    one.lasts =
        milliseconds(static_cast<std::uint64_t>(shortest / 1ms), static_cast<std::uint64_t>(longest / 1ms));
    if (kind == HappeningKind::kClockStep) {
      const Duration step = std::chrono::seconds(between(rng_, 1, 12 * 3600));
      one.step = chance_of(500) ? step : -step;
    }
    if (!hosts.empty()) scenario.happenings.push_back(one);
  }
}

void MoreFaults::finish(Scenario& scenario) {
  std::vector<std::size_t> peers(scenario.hosts.size()), children(scenario.hosts.size());
  for (const TunnelPlan& tunnel : scenario.tunnels)
    for (const std::size_t host : tunnel.hosts) {
      ++peers[host];
      children[host] += tunnel.children.size();
    }
  for (std::size_t i = 0; limits_ && i < scenario.hosts.size(); ++i)
    if (!scenario.hosts[i].impostor && chance_of(800)) limit(scenario.hosts[i], peers[i], children[i]);
  if (replays_) {
    scenario.replays.interval = milliseconds(20, 1500);
    scenario.replays.kept = static_cast<std::size_t>(between(rng_, 16, 512));
    scenario.replays.foreign_source = static_cast<unsigned>(between(rng_, 0, 700));
    scenario.replays.other_host = static_cast<unsigned>(between(rng_, 0, 300));
  }
  if (high_numbers_) {
    const std::uint64_t first = (std::uint64_t{1} << 32U) - between(rng_, 400, 800);
    for (HostPlan& host : scenario.hosts) host.esp.first_sequence = first;
  }
  scenario.may_lose = few_numbers_;
  scenario.odd_interval = 2s;
  const auto scale = std::max<std::uint64_t>(1, scenario.hosts.size() / 4);
  if (isolation_) add_happenings(scenario, HappeningKind::kIsolate, 2 * scale, 500ms, 20s);
  if (nat_restarts_) add_happenings(scenario, HappeningKind::kNatRestart, 2 * scale, 0s, 0s);
  if (moves_) add_happenings(scenario, HappeningKind::kMove, 4 * scale, 0s, 0s);
  if (pauses_) add_happenings(scenario, HappeningKind::kPause, 3 * scale, 200ms, 20s);
  if (steps_) add_happenings(scenario, HappeningKind::kClockStep, 4 * scale, 0s, 0s);
  if (impostors_made_ == 0) return;
  scenario.summary += fmt::format(", {} impostors", impostors_made_);
}

std::optional<MoreFaults::Impostor> MoreFaults::impostor(const TunnelDraw& draw, const TunnelEnds& ends,
                                                         const TunnelPlan& tunnel,
                                                         const std::vector<HostPlan>& hosts,
                                                         std::size_t number, bool ipv6) {
  if (!impostors_ || impostors_made_ >= 3 || !chance_of(500)) return std::nullopt;
  Impostor made;
  made.claimed = static_cast<std::size_t>(rng_.below(2));
  const HostPlan& victim = hosts[tunnel.hosts[1 - made.claimed]];
  if (victim.nat) return std::nullopt;
  const std::size_t index = ++impostors_made_;
  HostPlan& host = made.host;
  host.name = fmt::format("Impostor{}", index);
  host.impostor = true;
  host.address = numbered(ipv6, 0xc612ff00U, "0:ff", index);  // 198.18.255.n
  policy::Connection connection = ends.connections[made.claimed];
  connection.start = policy::StartMode::kAlways;
  for (auto& child : connection.children) child.start = policy::StartMode::kAlways;
  connection.remote_addresses = {victim.address.to_string()};
  host.connections = {std::make_shared<const policy::Connection>(connection)};
  // Everything of the one he claims to be that is no secret, and his own key.
  auto credentials = std::make_shared<ike::Credentials>();
  credentials->by_connection[tunnel.connection] = credentials_for(draw, ends, tunnel, made.claimed);
  ike::ConnectionCredentials& stolen = credentials->by_connection[tunnel.connection];
  if (ends.auth == policy::AuthKind::kPsk) {
    stolen.local_psk = Secret::copy_of(as_bytes("a guess"));
  } else {
    const HostKey own = host_key(ends.key, number);
    stolen.private_key = own.key;
    if (ends.auth == policy::AuthKind::kCertificate && chance_of(500))
      stolen.certificates = {own.certificate};
  }
  host.credentials = std::move(credentials);
  return made;
}

}  // namespace merlon::sim
