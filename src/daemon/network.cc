#include "daemon/network.h"

namespace merlon::daemon {

Result<Network> Network::open() {
  MERLON_TRY(auto netlink, io::Netlink::open());
  return Network(std::move(netlink));
}

Result<NetworkPlan> Network::apply(const control::DaemonConfig& daemon,
                                   std::span<const policy::ConnectionPtr> connections, int tun_index) {
  HostView host;
  host.tun_index = tun_index;
  MERLON_TRY(host.addresses, netlink_.addresses());
  NetworkPlan plan = plan_network(daemon, connections, host);
  // Most changes of addresses and routes change nothing for us; what stands is left alone, without a moment of disturbance.
  const std::string guard = daemon.guard ? io::NftGuard::ruleset(plan.guard).value_or("") : "";
  if (applied_ && guard == applied_guard_ && plan.routes == plan_.routes &&
      plan.blackholes == plan_.blackholes && plan.rules == plan_.rules)
    return plan;
  applied_ = false;  // until all of it stands: what fails is done again as a whole
  if (daemon.guard && !plan.guard.entries.empty()) {
    MERLON_TRY_VOID(io::NftGuard::apply(plan.guard));
  } else {
    MERLON_TRY_VOID(io::NftGuard::remove());
  }
  std::vector<io::Route> routes = plan.blackholes;
  routes.insert(routes.end(), plan.routes.begin(), plan.routes.end());
  MERLON_TRY(const auto reconciled_routes, netlink_.reconcile_routes(routes));
  MERLON_TRY(const auto reconciled_rules, netlink_.reconcile_rules(plan.rules));
  static_cast<void>(reconciled_routes);
  static_cast<void>(reconciled_rules);
  plan_ = plan;
  applied_ = true;
  applied_guard_ = guard;
  return plan;
}

bool Network::guard_is_gone() const {
  return applied_ && !applied_guard_.empty() && !plan_.guard.entries.empty() &&
         !io::NftGuard::is_present().value_or(true);
}

Result<> Network::remove(bool keep_guard) {
  if (keep_guard) {
    MERLON_TRY(const auto kept, netlink_.reconcile_routes(plan_.blackholes));
    static_cast<void>(kept);
    return {};
  }
  MERLON_TRY(const auto rules, netlink_.reconcile_rules({}));
  MERLON_TRY(const auto routes, netlink_.reconcile_routes({}));
  static_cast<void>(rules);
  static_cast<void>(routes);
  return io::NftGuard::remove();
}

Result<io::RouteAnswer> Network::path_to(const IpAddress& remote, std::uint32_t mark) {
  io::RouteQuery query;
  query.destination = remote;
  query.mark = mark;
  return netlink_.lookup_route(query);
}

}  // namespace merlon::daemon
