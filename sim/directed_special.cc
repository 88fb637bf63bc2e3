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

}  // namespace

std::vector<Directed> special_scenarios() {
  std::vector<Directed> made;
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    made.push_back({"a child that spans two", a_child_that_spans_two(seed)});
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    made.push_back({"several Child SAs", several_child_sas(seed, {2, 2})});
    made.push_back({"several Child SAs", several_child_sas(seed + 100, {3, 3})});
    made.push_back({"several Child SAs", several_child_sas(seed + 200, {4, 4})});
    made.push_back({"more Child SAs than the peer wants", several_child_sas(seed + 300, {4, 2})});
  }
  // Found: several, of which all but one went, and never came back; and one more beside as many as were wanted, which pushed them out.
  made.push_back({"several Child SAs", several_child_sas(207, {4, 4})});
  for (const std::uint64_t seed : {319U, 337U})
    made.push_back({"more Child SAs than the peer wants", several_child_sas(seed, {4, 2})});
  return made;
}

}  // namespace merlon::sim
