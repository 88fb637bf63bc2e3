#include "sim/directed.h"

#include <algorithm>

#include "sim/directed_parts.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;
using policy::Connection;

// The Child SA stands, since IKE_AUTH has no KE payload, and cannot be rekeyed.
Scenario other_methods(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  const std::array<std::string_view, 2> esp = {"aes256gcm16-x25519-noesn", "aes256gcm16-noesn"};
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.ike_lifetime = {};
      connection.start = end == 0 ? policy::StartMode::kAlways : policy::StartMode::kWait;
      connection.children.resize(1);
      policy::ChildConfig& child = connection.children[0];
      child.proposals = {need(policy::parse_esp_proposal(esp[end]))};
      child.lifetime = {};
      child.lifetime.soft = 5s;
      child.lifetime.hard = 3600s;
      child.start = connection.start;
    });
  made.tunnels[0].children.resize(1);
  return made;
}

// One more child, of which both ends think otherwise.
Scenario other_selectors(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      policy::ChildConfig child = connection.children[0];
      child.name = "misfit";
      child.local_ts = need(policy::parse_traffic_selectors(end == 0 ? "10.200.0.0/24" : "10.201.0.0/24"));
      child.remote_ts = need(policy::parse_traffic_selectors(end == 0 ? "10.202.0.0/24" : "10.203.0.0/24"));
      connection.children.push_back(std::move(child));
    });
  return made;
}

// SAs end at one side, while the other does not hear of it.
Scenario hard_lifetimes(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  set_interval(made, 50ms);
  for (LinkFaults& link : made.tunnels[0].links) link.loss = 450;
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.ike_lifetime.soft = 15s;
      connection.ike_lifetime.hard = 17s;
      connection.ike_lifetime.jitter = 0s;
      connection.retransmit_tries = 8;
      for (policy::ChildConfig& child : connection.children) {
        child.lifetime = {};
        child.lifetime.soft = 4s;
        child.lifetime.hard = end == 0 ? 5s : 9s;
        child.lifetime.soft_packets = 40;
        child.lifetime.hard_packets = 80;
      }
    });
  made.may_lose = true;
  return made;
}

Scenario few_message_ids(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  for (HostPlan& host : made.hosts) host.options.last_message_id = 64;
  change_both(made, [](Connection& connection) {
    connection.ike_lifetime = {};
    for (policy::ChildConfig& child : connection.children) {
      child.lifetime = {};
      child.lifetime.soft = 2s;
    }
  });
  return made;
}

// Whatever both can begin, at once, again and again, with slow key exchanges.
Scenario crossings(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  SeededRng rng(stream_seed(seed, "crossings"));
  for (HostPlan& host : made.hosts) host.slow_actions = 300ms;
  for (LinkFaults& link : made.tunnels[0].links) {
    link.delay = 30ms;
    link.jitter = 200ms;
    link.loss = 50;
    link.duplicate = 150;
    link.late = 50;
    link.lateness = 3s;
  }
  change_both(made, [&](Connection& connection) {
    connection.ike_lifetime = {};
    connection.retransmit_initial = 400ms;
    for (policy::ChildConfig& child : connection.children) {
      child.lifetime = {};
      child.proposals = {need(policy::parse_esp_proposal("aes256gcm16-x25519-noesn"))};
    }
  });
  constexpr std::array kKinds = {HappeningKind::kRekeyChild, HappeningKind::kRekeyIke,
                                 HappeningKind::kTerminate, HappeningKind::kRekeyChild,
                                 HappeningKind::kTerminate};
  const auto& children = made.tunnels[0].children;
  for (Duration at = 3s; at < 40s; at += std::chrono::milliseconds(between(rng, 50, 700)))
    for (const std::size_t host : {0U, 1U}) {
      Happening one;
      one.at = at + std::chrono::milliseconds(between(rng, 0, 60));
      one.kind = kKinds[rng.below(kKinds.size())];
      one.host = host;
      if (one.kind != HappeningKind::kRekeyIke &&
          !(one.kind == HappeningKind::kTerminate && chance(rng, 150)))
        one.child = children[rng.below(children.size())].name;
      made.happenings.push_back(one);
    }
  std::stable_sort(made.happenings.begin(), made.happenings.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return made;
}

// Many begin at once at gateways that ask for a cookie as soon as one is half open, and for another key exchange method.
Scenario crowd(std::uint64_t seed) {
  Scenario made = draw_scenario(seed, 9, Repertoire::kFirst);
  for (std::uint64_t other = seed; made.summary.find("INVALID_KE") == std::string::npos;)
    made = draw_scenario(other += 100, 9, Repertoire::kFirst);
  for (HostPlan& host : made.hosts) {
    host.starts_at = {};
    host.slow_actions = 20ms;
    host.options.cookie_threshold = 1;
  }
  return made;
}

}  // namespace

Scenario two_gateways(std::uint64_t seed) {
  Scenario made = rekey_scenario(seed);
  made.faults_end = 40s;
  made.convergence_bound = 240s;
  made.proof = 20s;
  return made;
}

Scenario quiet_gateways(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  made.tunnels[0].children.resize(1);
  for (LinkFaults& link : made.tunnels[0].links) link.delay = 30ms;
  for (HostPlan& host : made.hosts) host.slow_actions = 0ms;
  change_both(made, [](Connection& connection) {
    connection.ike_lifetime = {};
    connection.liveness_interval = 5s;
    connection.children.resize(1);
    connection.children[0].lifetime = {};
  });
  set_interval(made, 100ms);
  return made;
}

void set_interval(Scenario& scenario, Duration interval) {
  for (ChildPlan& child : scenario.tunnels[0].children) child.interval = interval;
}

void happens(Scenario& scenario, Duration at, HappeningKind kind, std::size_t host, Duration lasts) {
  Happening one;
  one.at = at;
  one.kind = kind;
  one.host = host;
  one.lasts = lasts;
  scenario.happenings.push_back(one);
}

std::vector<Directed> directed_scenarios() {
  std::vector<Directed> made;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    made.push_back({"key exchange methods that do not fit", other_methods(seed)});
    made.push_back({"selectors that do not fit", other_selectors(seed)});
    made.push_back({"hard lifetimes", hard_lifetimes(seed)});
    made.push_back({"few Message IDs", few_message_ids(seed)});
    made.push_back({"a crowd", crowd(seed)});
  }
  for (std::uint64_t seed = 1; seed <= 20; ++seed) made.push_back({"crossings", crossings(seed)});
  for (Directed& one : seldom_scenarios()) made.push_back(std::move(one));
  for (Directed& one : special_scenarios()) made.push_back(std::move(one));
  return made;
}

}  // namespace merlon::sim
