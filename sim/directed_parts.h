// What directed scenarios are made of. Only directed*.cc include this.
#pragma once

#include <memory>

#include "sim/directed.h"
#include "sim/scenario_draw.h"

namespace merlon::sim {

// Two gateways and a tunnel without faults, whose limits the caller sets.
[[nodiscard]] Scenario two_gateways(std::uint64_t seed);
// The same with one child, which neither end rekeys by itself, and nobody's IKE SA ever ends.
[[nodiscard]] Scenario quiet_gateways(std::uint64_t seed);

template <class Change>
void change_end(Scenario& scenario, std::size_t end, Change change) {
  for (policy::ConnectionPtr& connection : scenario.hosts[end].connections) {
    auto copy = std::make_shared<policy::Connection>(*connection);
    change(*copy);
    connection = std::move(copy);
  }
}
template <class Change>
void change_both(Scenario& scenario, Change change) {
  for (std::size_t end = 0; end < scenario.hosts.size(); ++end) change_end(scenario, end, change);
}
void set_interval(Scenario& scenario, Duration interval);
void happens(Scenario& scenario, Duration at, HappeningKind kind, std::size_t host, Duration lasts = {});

// For paths that a random run takes once in some hundreds, or never.
[[nodiscard]] std::vector<Directed> seldom_scenarios();
// For configurations that random runs do not have.
[[nodiscard]] std::vector<Directed> special_scenarios();

}  // namespace merlon::sim
