// Which routes, rules and guards the configuration asks for: a pure function, so that it can be tested and
// printed.
//
// - Routes to protected networks lead to the TUN device, in a table of our own; a blackhole of worse metric
// stands behind
//   each and stays when the device is gone.
// - Rules lead to that table what comes from a protected local network, except outer packets, which carry a
// mark.
//   A bypass is a rule before these, and a protect that a later bypass would swallow is one before that:
//   whatever the order in the SPD, the packet meets the entry that decides first.
// - The guard drops in the kernel what a policy protects and arrives or would leave in clear.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/config.h"
#include "io/netlink_types.h"
#include "io/nft_guard.h"

namespace merlon::daemon {

struct NetworkPlan {
  std::vector<io::Route> routes, blackholes;
  std::vector<io::Rule> rules;
  io::GuardSpec guard;
  std::vector<std::string> warnings;
};

struct HostView {
  int tun_index = 0;  // 0: the device is not there (then only blackholes are planned)
  std::vector<io::LinkAddress> addresses;
};

[[nodiscard]] NetworkPlan plan_network(const control::DaemonConfig& daemon,
                                       std::span<const policy::ConnectionPtr> connections,
                                       const HostView& host);

}  // namespace merlon::daemon
