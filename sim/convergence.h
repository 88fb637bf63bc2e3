// What must be true some time after the last fault.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/host.h"
#include "sim/scenario.h"

namespace merlon::sim {

using Hosts = std::vector<std::unique_ptr<Host>>;

// Looked at again and again, since somewhere among many tunnels something is being rekeyed all the time.
class Convergence {
 public:
  // Empty when every tunnel that should be up was seen to be a short while ago, with exactly one IKE SA and one Child SA for each child, on
  // which both ends agree, and none that may not be; otherwise the first thing that is not so. `now`: of this look.
  [[nodiscard]] std::string why_not(const Scenario& scenario, const Hosts& hosts, Duration now);

 private:
  std::map<std::size_t, Duration> whole_at_;  // by tunnel
};

// Empty when nothing is left of any SA; for hosts that were told to stop.
[[nodiscard]] std::string what_is_left(const Hosts& hosts);

// Empty when what each host holds is bounded by what it is configured for, whatever happens; and no Child SA is forgotten.
[[nodiscard]] std::string what_has_grown(const Scenario& scenario, const Hosts& hosts);

}  // namespace merlon::sim
