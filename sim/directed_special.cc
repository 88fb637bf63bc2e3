#include <algorithm>

#include "sim/directed_parts.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;
using policy::Connection;

// Several Child SAs with the same selectors (RFC 9611), which both ends begin at once, rekey and delete, over a network that loses: what
// everything converges to is counted. `wanted`: by each end.
Scenario several_child_sas(std::uint64_t seed, std::array<unsigned, 2> wanted) {
  Scenario made = two_gateways(seed);
  SeededRng rng(stream_seed(seed, "several child SAs", wanted[0], wanted[1]));
  made.tunnels[0].children.resize(1);
  made.tunnels[0].children[0].parallel = std::min(wanted[0], wanted[1]);
  for (LinkFaults& link : made.tunnels[0].links) {
    link.delay = 20ms;
    link.jitter = 60ms;
    link.loss = 80;
    link.duplicate = 80;
  }
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.retransmit_initial = 400ms;
      connection.children.resize(1);
      policy::ChildConfig& child = connection.children[0];
      child.parallel = wanted[end];
      child.lifetime = {};
      child.lifetime.soft = 7s;
      child.lifetime.hard = 40s;
      child.lifetime.jitter = 1s;
      // RFC 9611 3: all have the same algorithms, also those that IKE_AUTH did not make.
      child.proposals = {need(policy::parse_esp_proposal("aes256gcm16-noesn"))};
    });
  const std::string& child = made.tunnels[0].children[0].name;
  constexpr std::array kKinds = {HappeningKind::kRekeyChild, HappeningKind::kRekeyIke,
                                 HappeningKind::kRekeyChild, HappeningKind::kTerminate};
  for (Duration at = 2s; at < 39s; at += std::chrono::milliseconds(between(rng, 500, 3000))) {
    const HappeningKind kind = kKinds[rng.below(kKinds.size())];
    const bool whole =
        kind == HappeningKind::kRekeyIke || (kind == HappeningKind::kTerminate && chance(rng, 300));
    for (const std::size_t host : {0U, 1U}) {
      if (chance(rng, 300)) continue;  // mostly both at once
      happens(made, at + std::chrono::milliseconds(between(rng, 0, 60)), kind, host);
      if (!whole) made.happenings.back().child = child;
    }
  }
  std::stable_sort(made.happenings.begin(), made.happenings.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return made;
}

// A random run, with all its faults, where each end wants several Child SAs of each child.
Scenario random_with_several(std::uint64_t seed) {
  Scenario made = draw_scenario(seed);
  const auto wanted = static_cast<unsigned>(2 + seed % 3);
  for (HostPlan& host : made.hosts) host.esp.sa_capacity *= wanted;
  change_both(made, [&](Connection& connection) {
    for (policy::ChildConfig& child : connection.children) child.parallel = wanted;
  });
  for (TunnelPlan& tunnel : made.tunnels)
    for (ChildPlan& child : tunnel.children) child.parallel = wanted;
  return made;
}

// A asks for more than one child of B holds: the answer says that more could be had (RFC 7296 2.9).
Scenario a_child_that_spans_two(std::uint64_t seed) {
  Scenario made = two_gateways(seed);
  change_end(made, 0, [](Connection& connection) {
    policy::ChildConfig& last = connection.children.back();
    for (std::size_t i = 0; i + 1 < connection.children.size(); ++i) {
      const policy::ChildConfig& other = connection.children[i];
      last.local_ts.insert(last.local_ts.end(), other.local_ts.begin(), other.local_ts.end());
      last.remote_ts.insert(last.remote_ts.end(), other.remote_ts.begin(), other.remote_ts.end());
    }
  });
  return made;
}

// A hub and gateways that begin at once, over links that lose.
Scenario hub(std::uint64_t seed, unsigned loss) {
  Scenario made = pace_scenario(seed, 9);
  made.happenings.clear();
  made.faults_end = 30s;
  made.proof = 20s;
  for (TunnelPlan& tunnel : made.tunnels)
    for (LinkFaults& link : tunnel.links) link.loss = loss;
  made.hosts[0].options.cookie_threshold = 1000;
  return made;
}

// Fragments of IKE_AUTH requests of which others are lost, sent by the gateways and once more by somebody on the path, fill what the hub
// has for messages that are not whole. What arrives whole at once still finds room. (All from where they come: an answer goes to where the
// last fragment came from, so one replayed from an address of nobody takes a whole answer there, for the bytes of the smallest fragment.)
Scenario little_memory(std::uint64_t seed) {
  Scenario made = hub(seed, 400);
  change_both(made, [](Connection& connection) {
    connection.fragment_size = 200;
    connection.retransmit_initial = 500ms;
  });
  made.hosts[0].options.memory_limit = 1500;
  made.replays = {50ms, 64, 0, 0};
  return made;
}

// The hub has two places more than gateways. Half-open IKE SAs of those who begin take them, and of requests that are sent again from
// elsewhere, and IKE SAs of gateways that came back without a word.
Scenario few_ike_sas(std::uint64_t seed) {
  Scenario made = hub(seed, 100);
  SeededRng rng(stream_seed(seed, "few IKE SAs"));
  change_both(made, [](Connection& connection) {
    connection.liveness_interval = 5s;
    connection.retransmit_initial = 500ms;
    connection.retransmit_tries = 4;
  });
  made.hosts[0].options.ike_sa_limit = made.hosts.size() - 1 + 2;
  made.replays = {100ms, 32, 500, 0};
  for (std::size_t i = 1; i < made.hosts.size(); ++i)
    happens(made, std::chrono::milliseconds(between(rng, 3000, 25000)), HappeningKind::kCrash, i, 200ms);
  return made;
}

// Both rekey so many Child SAs at once that B's packet engine has no place for the new ones beside the old: it begins none, and refuses A's
// (RFC 7296 1.3: NO_ADDITIONAL_SAS).
Scenario few_places(std::uint64_t seed) {
  Scenario made = several_child_sas(seed, {40, 40});
  made.faults_end = 60s;
  for (LinkFaults& link : made.tunnels[0].links) link = {};
  made.hosts[1].esp.sa_capacity = 64;
  made.happenings.clear();
  const std::string& child = made.tunnels[0].children[0].name;
  for (const Duration at : {20s, 23s, 40s})
    for (const std::size_t host : {0U, 1U}) {
      happens(made, at, HappeningKind::kRekeyChild, host);
      made.happenings.back().child = child;
    }
  change_both(made, [](Connection& connection) {
    connection.children[0].lifetime.soft = 60s;
    connection.children[0].lifetime.hard = 300s;
    connection.children[0].lifetime.jitter = 20s;
  });
  return made;
}

}  // namespace

std::vector<Directed> special_scenarios() {
  std::vector<Directed> made;
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    made.push_back({"a child that spans two", a_child_that_spans_two(seed)});
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    made.push_back({"little memory", little_memory(seed)});
    made.push_back({"few IKE SAs", few_ike_sas(seed)});
    made.push_back({"few places for SAs", few_places(seed)});
  }
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    made.push_back({"several Child SAs", several_child_sas(seed, {2, 2})});
    made.push_back({"several Child SAs", several_child_sas(seed + 100, {3, 3})});
    made.push_back({"several Child SAs", several_child_sas(seed + 200, {4, 4})});
    made.push_back({"more Child SAs than the peer wants", several_child_sas(seed + 300, {4, 2})});
  }
  for (std::uint64_t seed = 1; seed <= 5; ++seed)
    made.push_back({"a random run with several", random_with_several(seed)});
  // Found: several, of which all but one went, and never came back; and one more beside as many as were wanted, which pushed them out.
  made.push_back({"several Child SAs", several_child_sas(207, {4, 4})});
  for (const std::uint64_t seed : {319U, 337U})
    made.push_back({"more Child SAs than the peer wants", several_child_sas(seed, {4, 2})});
  return made;
}

}  // namespace merlon::sim
