// Carries the network plan out, and takes it back.
#pragma once

#include "daemon/network_plan.h"
#include "io/netlink.h"

namespace merlon::daemon {

class Network {
 public:
  [[nodiscard]] static Result<Network> open();

  // Makes the kernel's routes, rules and guard be those of the plan; what a killed daemon left is taken over or removed.
  // The guard comes first and the old routes go last: there is no moment in clear.
  [[nodiscard]] Result<NetworkPlan> apply(const control::DaemonConfig& daemon,
                                          std::span<const policy::ConnectionPtr> connections, int tun_index);
  // Others may have changed what is ours: the next apply() looks at all of it.
  void doubt() { applied_ = false; }
  // Whether others have removed the guard. What nobody tells must be asked for.
  [[nodiscard]] bool guard_is_gone() const;
  // A clean stop: everything of ours goes; with keep_guard, blackholes, rules and guard stay.
  [[nodiscard]] Result<> remove(bool keep_guard);

  // How an outer packet travels: the source that the kernel would take, and the MTU.
  [[nodiscard]] Result<io::RouteAnswer> path_to(const IpAddress& remote, std::uint32_t mark);
  // Packets that a device dropped since nobody took them from its queue.
  [[nodiscard]] Result<std::uint64_t> dropped_by(int device) { return netlink_.dropped_by_link(device); }

 private:
  explicit Network(io::Netlink netlink) : netlink_(std::move(netlink)) {}
  io::Netlink netlink_;
  NetworkPlan plan_;  // what was applied last
  std::string applied_guard_;
  bool applied_ = false;
};

}  // namespace merlon::daemon
