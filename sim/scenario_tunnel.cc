#include <fmt/format.h>

#include <algorithm>

#include "policy/proposal.h"
#include "sim/scenario_draw.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;
using policy::StartMode;

constexpr std::array<StartMode, 2> kStartModes[] = {
    {StartMode::kAlways, StartMode::kAlways},       {StartMode::kAlways, StartMode::kAlways},
    {StartMode::kAlways, StartMode::kWait},         {StartMode::kWait, StartMode::kAlways},
    {StartMode::kOnTraffic, StartMode::kOnTraffic}, {StartMode::kOnTraffic, StartMode::kWait},
    {StartMode::kAlways, StartMode::kOnTraffic},
};

constexpr std::string_view kEspProposals[] = {
    "aes256gcm16-noesn",
    "aes256gcm16-esn",
    "aes128gcm16-x25519",
    "chacha20poly1305-esn",
    "chacha20poly1305-x25519-noesn",
    "aes256-sha256-noesn",
    "aes128-sha256-x25519-esn",
    "aes256ctr-sha256-noesn",
};

constexpr std::string_view kEsnProposals[] = {"aes256gcm16-esn", "chacha20poly1305-esn",
                                              "aes128-sha256-x25519-esn"};

std::chrono::seconds seconds_between(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return std::chrono::seconds(between(rng, low, high));
}

// Long enough between soft and hard that a rekey which is refused for a while (RFC 7296 2.25) still comes in time.
constexpr std::chrono::seconds kMargin{60};

void draw_lifetimes(const TunnelDraw& draw, TunnelEnds& ends, Duration interval, std::size_t child) {
  Rng& rng = *draw.rng;
  const bool together = chance(rng, 500);  // both ends rekey at the same time
  const auto soft = seconds_between(rng, 3, 20);
  const std::uint64_t packets = between(rng, 20, 200);
  for (policy::Connection& connection : ends.connections) {
    policy::SaLifetime& lifetime = connection.children[child].lifetime;
    if (draw.lifetimes) {
      lifetime.soft = together ? soft : seconds_between(rng, 3, 40);
      lifetime.jitter = together ? 0s : seconds_between(rng, 0, 2);
      lifetime.hard = lifetime.soft + kMargin;
    }
    if (!draw.volume) continue;
    const auto margin =
        static_cast<std::uint64_t>(std::chrono::seconds(kMargin) / std::max<Duration>(interval, 1ms)) + 50;
    if (chance(rng, 500)) {
      lifetime.soft_packets = packets;
      lifetime.hard_packets = packets + 2 * margin;
    } else {
      constexpr std::uint64_t kLargestInner = 300;
      lifetime.soft_bytes = packets * 100;
      lifetime.hard_bytes = lifetime.soft_bytes + 2 * margin * kLargestInner;
    }
  }
}

void add_child(const TunnelDraw& draw, TunnelPlan& tunnel, TunnelEnds& ends, std::size_t number) {
  Rng& rng = *draw.rng;
  ChildPlan plan;
  plan.name = fmt::format("net{}", number);
  plan.interval = std::chrono::milliseconds(between(rng, 100, 1000));
  const std::size_t proposal = rng.below(std::size(kEspProposals));
  const std::string_view esp =
      draw.only_esn ? kEsnProposals[proposal % std::size(kEsnProposals)] : kEspProposals[proposal];
  const bool narrow = draw.narrowing && chance(rng, 600);
  const std::size_t wide = rng.below(2);  // which end asks for more than the other gives
  const bool only_udp = chance(rng, 200);
  const auto base = 0x0a000000U + static_cast<std::uint32_t>(draw.number << 16U) +
                    static_cast<std::uint32_t>(number << 12U);
  std::array<policy::TrafficSelectors, 2> broad, narrowed;
  for (const std::size_t end : {0U, 1U}) {
    const IpAddress net = IpAddress::v4(base + static_cast<std::uint32_t>(end << 11U));
    plan.first_address[end] = IpAddress::v4(net.v4_host_order() + 1);
    broad[end] = need(policy::parse_traffic_selectors(net.to_string() + "/24"));
    narrowed[end] = need(policy::parse_traffic_selectors(net.to_string() + (only_udp ? "/25[udp]" : "/25")));
  }
  for (const std::size_t end : {0U, 1U}) {
    policy::ChildConfig child;
    child.name = plan.name;
    const auto& selectors = narrow && end == wide ? broad : narrowed;
    child.local_ts = selectors[end];
    child.remote_ts = selectors[1 - end];
    child.proposals = {need(policy::parse_esp_proposal(esp))};
    child.start = ends.connections[end].start;
    child.replay_window = static_cast<unsigned>(64U << rng.below(5));
    ends.connections[end].children.push_back(std::move(child));
  }
  draw_lifetimes(draw, ends, plan.interval, number);
  tunnel.children.push_back(std::move(plan));
}

void draw_ike(const TunnelDraw& draw, TunnelEnds& ends) {
  Rng& rng = *draw.rng;
  const bool together = chance(rng, 500);
  const auto soft = seconds_between(rng, 8, 40);
  for (const std::size_t end : {0U, 1U}) {
    policy::Connection& connection = ends.connections[end];
    connection.ike_proposals = {need(policy::parse_ike_proposal(draw.ike_proposals[end]))};
    if (draw.lifetimes && chance(rng, 700)) {
      connection.ike_lifetime.soft = together ? soft : seconds_between(rng, 8, 60);
      connection.ike_lifetime.jitter = together ? 0s : seconds_between(rng, 0, 4);
      connection.ike_lifetime.hard = connection.ike_lifetime.soft + kMargin;
    }
    connection.retransmit_initial = std::chrono::milliseconds(between(rng, 300, 1200));
    connection.retransmit_factor = 1.8;
    connection.retransmit_tries = static_cast<unsigned>(between(rng, 4, 7));
    connection.retransmit_max = 6s;
    connection.liveness_interval = seconds_between(rng, 3, 15);
    connection.keepalive_interval = seconds_between(rng, 5, 20);
    connection.backoff_initial = 1s;
    connection.backoff_max = seconds_between(rng, 4, 15);
    connection.fragment_size =
        draw.small_path || chance(rng, 200) ? static_cast<unsigned>(between(rng, 576, 1280)) : 1280;
  }
}

void draw_authentication(const TunnelDraw& draw, const TunnelPlan& tunnel, TunnelEnds& ends) {
  Rng& rng = *draw.rng;
  const std::uint64_t kind = rng.below(100);
  ends.auth = kind < 50   ? policy::AuthKind::kPsk
              : kind < 75 ? policy::AuthKind::kRawPublicKey
                          : policy::AuthKind::kCertificate;
  if (draw.wrong_secret) ends.auth = policy::AuthKind::kPsk;
  ends.key = kind < 85 ? KeyPlan::kEd25519 : kind < 96 ? KeyPlan::kEcdsaP256 : KeyPlan::kRsa2048;
  for (const std::size_t end : {0U, 1U}) {
    policy::LocalAuth local;
    local.kind = ends.auth;
    local.id_text = host_identity(tunnel.hosts[end]);
    local.id = need(Identity::parse(local.id_text));
    policy::RemoteAuth remote;
    remote.kind = ends.auth;
    remote.id_text = host_identity(tunnel.hosts[1 - end]);
    remote.id = need(Identity::parse(remote.id_text));
    ends.connections[end].local_auth = {std::move(local)};
    ends.connections[end].remote_auth = {std::move(remote)};
  }
}

}  // namespace

TunnelEnds draw_tunnel(const TunnelDraw& draw, TunnelPlan& tunnel, const std::vector<HostPlan>& hosts) {
  Rng& rng = *draw.rng;
  TunnelEnds ends;
  std::array<StartMode, 2> start = kStartModes[rng.below(std::size(kStartModes))];
  // Nobody can call a host behind a NAT.
  if (draw.behind_nat)
    start = {StartMode::kWait, chance(rng, 700) ? StartMode::kAlways : StartMode::kOnTraffic};
  if (draw.client) start[1] = StartMode::kOnTraffic;
  const auto encapsulation = chance(rng, 400) ? policy::PathProtocol::kUdp : policy::PathProtocol::kAuto;
  for (const std::size_t end : {0U, 1U}) {
    policy::Connection& connection = ends.connections[end];
    connection.name = tunnel.connection;
    connection.source = "sim";
    connection.start = start[end];
    connection.encapsulation = encapsulation;
    const HostPlan& remote = hosts[tunnel.hosts[1 - end]];
    if (!remote.nat) connection.remote_addresses = {remote.address.to_string()};
  }
  draw_ike(draw, ends);
  draw_authentication(draw, tunnel, ends);
  for (std::uint64_t i = 0, count = std::array<std::uint64_t, 4>{1, 1, 2, 3}[rng.below(4)]; i < count; ++i)
    add_child(draw, tunnel, ends, i);
  tunnel.may_be_up = tunnel.should_be_up = !draw.wrong_secret;
  return ends;
}

void add_exceptions(policy::Connection& connection, const TunnelPlan& tunnel, std::size_t end) {
  const ChildPlan& plan = tunnel.children.front();
  const auto part = [&](std::size_t of, unsigned first, unsigned length) {
    const IpAddress address = IpAddress::v4(plan.first_address[of].v4_host_order() - 1 + first);
    return need(policy::parse_traffic_selectors(fmt::format("{}/{}", address, length)));
  };
  // Beside the hosts that have traffic all the time (kInnerHosts).
  for (const auto& [name, action, first] : {std::tuple(kBypassed, policy::ChildAction::kBypass, 64U),
                                            std::tuple(kDiscarded, policy::ChildAction::kDiscard, 96U)}) {
    policy::ChildConfig child;
    child.name = name;
    child.action = action;
    child.local_ts = part(end, 0, 25);
    child.remote_ts = part(1 - end, first, 27);
    connection.children.push_back(std::move(child));
  }
}

IpAddress ipv6_twin(const IpAddress& v4) {
  return need(IpAddress::parse(fmt::format("fd00::{}", v4)));
}

void add_ipv6(policy::Connection& connection) {
  for (policy::ChildConfig& child : connection.children)
    for (policy::TrafficSelectors* selectors : {&child.local_ts, &child.remote_ts})
      for (std::size_t i = 0, count = selectors->size(); i < count; ++i) {
        policy::TrafficSelector twin = (*selectors)[i];
        twin.start_address = ipv6_twin(twin.start_address);
        twin.end_address = ipv6_twin(twin.end_address);
        selectors->push_back(twin);
      }
}

ike::ConnectionCredentials credentials_for(const TunnelDraw& draw, const TunnelEnds& ends,
                                           const TunnelPlan& tunnel, std::size_t end) {
  ike::ConnectionCredentials made;
  if (ends.auth == policy::AuthKind::kPsk) {
    const std::string psk =
        fmt::format("the secret of {}{}", tunnel.connection, draw.wrong_secret && end == 1 ? ", not" : "");
    made.local_psk = Secret::copy_of(as_bytes(psk));
    made.remote_psk = Secret::copy_of(as_bytes(psk));
    return made;
  }
  const HostKey own = host_key(ends.key, tunnel.hosts[end], draw.short_lived_certificates);
  made.private_key = own.key;
  if (ends.auth == policy::AuthKind::kCertificate) {
    made.certificates = {own.certificate};
    made.trust = trust();
  } else {
    made.public_keys = {host_key(ends.key, tunnel.hosts[1 - end]).key->public_key()};
  }
  return made;
}

// ---- a run without faults, in which everything is rekeyed all the time -----------------------------------------------------------------

Scenario rekey_scenario(std::uint64_t seed) {
  SeededRng rng(stream_seed(seed, "rekey scenario"));
  Scenario made;
  made.seed = seed;
  made.faults_end = 1s;
  made.traffic_from = 0s;
  made.odd_interval = 2s;
  made.convergence_bound = 20s;
  made.proof = 120s;
  made.summary = "two gateways without faults, short lifetimes";
  for (const std::uint32_t i : {0U, 1U}) {
    HostPlan host;
    host.name = i == 0 ? "A" : "B";
    host.address = IpAddress::v4(0xc6120001U + i);
    host.slow_actions = chance(rng, 400) ? std::chrono::milliseconds(between(rng, 1, 40)) : 0ms;
    made.hosts.push_back(std::move(host));
  }
  TunnelPlan tunnel;
  tunnel.connection = "A-B";
  tunnel.hosts = {0, 1};
  for (LinkFaults& link : tunnel.links) link.delay = std::chrono::microseconds(between(rng, 200, 150000));
  TunnelDraw draw;
  draw.rng = &rng;
  draw.ike_proposals = {"aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-x25519"};
  draw.lifetimes = true;
  draw.volume = chance(rng, 300);
  TunnelEnds ends = draw_tunnel(draw, tunnel, made.hosts);
  for (ChildPlan& child : tunnel.children) child.interval = 10ms;
  for (const std::size_t end : {0U, 1U}) {
    policy::Connection& connection = ends.connections[end];
    connection.start = StartMode::kAlways;
    connection.ike_lifetime.soft = seconds_between(rng, 9, 20);
    connection.ike_lifetime.hard = connection.ike_lifetime.soft + kMargin;
    for (policy::ChildConfig& child : connection.children) {
      child.start = StartMode::kAlways;
      // Packets flow fifty times faster here than the drawn limits thought.
      policy::SaLifetime& lifetime = child.lifetime;
      for (std::uint64_t* limit :
           {&lifetime.soft_packets, &lifetime.hard_packets, &lifetime.soft_bytes, &lifetime.hard_bytes})
        *limit *= 50;
    }
    made.hosts[end].connections = {std::make_shared<const policy::Connection>(connection)};
    auto credentials = std::make_shared<ike::Credentials>();
    credentials->by_connection[tunnel.connection] = credentials_for(draw, ends, tunnel, end);
    made.hosts[end].credentials = std::move(credentials);
  }
  made.tunnels.push_back(std::move(tunnel));
  return made;
}

}  // namespace merlon::sim
