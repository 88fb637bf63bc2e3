// The load that the simulator's speed is stated for.
#include <fmt/format.h>

#include <algorithm>

#include "policy/proposal.h"
#include "sim/scenario_draw.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds kRekeyInterval = 10min;
constexpr Duration kHour = 1h;

// A star: the first gateway has a tunnel with each of the others.
void add_spoke(Scenario& scenario, std::size_t spoke,
               std::vector<std::vector<policy::ConnectionPtr>>& connections,
               std::vector<std::shared_ptr<ike::Credentials>>& credentials, Rng& rng) {
  TunnelPlan tunnel;
  tunnel.connection = fmt::format("hub-{}", spoke);
  tunnel.hosts = {0, spoke};
  for (LinkFaults& link : tunnel.links) link.delay = std::chrono::milliseconds(between(rng, 5, 60));
  TunnelDraw draw;
  draw.rng = &rng;
  draw.number = scenario.tunnels.size();
  draw.ike_proposals = {"aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-x25519"};
  TunnelEnds ends = draw_tunnel(draw, tunnel, scenario.hosts);
  ends.auth = policy::AuthKind::kPsk;
  tunnel.children.resize(1);
  tunnel.children[0].interval = 2s;  // in each direction: a packet a second in all
  for (const std::size_t end : {0U, 1U}) {
    policy::Connection& connection = ends.connections[end];
    connection.local_auth[0].kind = connection.remote_auth[0].kind = policy::AuthKind::kPsk;
    connection.start = end == 1 ? policy::StartMode::kAlways : policy::StartMode::kWait;
    connection.ike_lifetime.soft = kRekeyInterval;
    connection.ike_lifetime.jitter = kRekeyInterval / 10;
    connection.ike_lifetime.hard = kRekeyInterval * 2;
    connection.children.resize(1);
    policy::ChildConfig& child = connection.children[0];
    child.proposals = {need(policy::parse_esp_proposal("aes256gcm16-x25519"))};
    child.start = connection.start;
    child.lifetime = connection.ike_lifetime;
    connections[tunnel.hosts[end]].push_back(std::make_shared<const policy::Connection>(connection));
    credentials[tunnel.hosts[end]]->by_connection[tunnel.connection] =
        credentials_for(draw, ends, tunnel, end);
  }
  scenario.tunnels.push_back(std::move(tunnel));
}

// Every minute one of them, somewhere: a path cut, a host cut off, a crash, a pause.
void add_faults(Scenario& scenario, Rng& rng) {
  constexpr HappeningKind kKinds[] = {HappeningKind::kCut, HappeningKind::kIsolate, HappeningKind::kCrash,
                                      HappeningKind::kPause};
  for (Duration at = 1min; at < scenario.faults_end - 1min; at += 1min) {
    Happening one;
    one.at = at + std::chrono::milliseconds(between(rng, 0, 50000));
    one.kind = kKinds[rng.below(std::size(kKinds))];
    one.tunnel = static_cast<std::size_t>(rng.below(scenario.tunnels.size()));
    one.host = scenario.tunnels[one.tunnel].hosts[rng.below(2)];
    one.lasts = std::chrono::milliseconds(between(rng, 500, 20000));
    scenario.happenings.push_back(one);
  }
  std::stable_sort(scenario.happenings.begin(), scenario.happenings.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
}

}  // namespace

Scenario pace_scenario(std::uint64_t seed, unsigned gateways) {
  SeededRng rng(stream_seed(seed, "pace scenario"));
  Scenario made;
  made.seed = seed;
  made.faults_end = kHour;
  made.summary = fmt::format(
      "a hub and {} gateways for an hour: a rekey of each SA every ten minutes, a packet a second a "
      "tunnel, a fault a minute",
      gateways - 1);
  std::vector<std::vector<policy::ConnectionPtr>> connections(gateways);
  std::vector<std::shared_ptr<ike::Credentials>> credentials;
  for (std::uint32_t i = 0; i < gateways; ++i) {
    HostPlan host;
    host.name = i == 0 ? "hub" : fmt::format("gw{}", i);
    host.address = IpAddress::v4(0xc6120001U + i);
    made.hosts.push_back(std::move(host));
    credentials.push_back(std::make_shared<ike::Credentials>());
  }
  for (std::size_t i = 1; i < gateways; ++i) add_spoke(made, i, connections, credentials, rng);
  for (std::size_t i = 0; i < gateways; ++i) {
    made.hosts[i].connections = std::move(connections[i]);
    made.hosts[i].credentials = std::move(credentials[i]);
  }
  add_faults(made, rng);
  return made;
}

}  // namespace merlon::sim
