// The kernel's links, addresses, routes and rules, in the network namespace of the thread that opens the
// socket (RFC 3549, rtnetlink(7)). libnl-3 carries and parses the messages. They are composed here from
// attributes: libnl-route's rule objects know neither inversion nor suppression.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "io/netlink_types.h"

struct nl_sock;

namespace merlon::io {

struct NetlinkSocketDeleter {
  void operator()(nl_sock* socket) const;
};
using NetlinkSocket = std::unique_ptr<nl_sock, NetlinkSocketDeleter>;

// What reconcile() did.
struct ReconcileReport {
  unsigned added = 0;
  unsigned kept = 0;
  unsigned removed = 0;
};

// Blocking requests (each takes microseconds), one thread at a time. Errors say what was asked, with the
// kernel's own explanation where it gives one. kNotFound: no such link, address, route or rule.
class Netlink {
 public:
  [[nodiscard]] static Result<Netlink> open();

  [[nodiscard]] Result<std::vector<Link>> links();
  [[nodiscard]] Result<Link> link(std::string_view name);
  [[nodiscard]] Result<Link> link(int index);
  // Packets that the device dropped on their way out of the kernel (tx_dropped): a TUN device when its queues are full.
  [[nodiscard]] Result<std::uint64_t> dropped_by_link(int index);
  [[nodiscard]] Result<> set_link_up(int index, bool up);
  [[nodiscard]] Result<> set_link_mtu(int index, unsigned mtu);

  [[nodiscard]] Result<std::vector<LinkAddress>> addresses();
  [[nodiscard]] Result<std::vector<LinkAddress>> addresses(int link_index);
  // Fine if it is there already. IPv6 addresses are added without duplicate address detection, and neither
  // family gets the prefix route that the kernel would make: routes are ours to decide.
  [[nodiscard]] Result<> add_address(int link_index, const IpAddress& address, unsigned prefix_length);
  [[nodiscard]] Result<> remove_address(int link_index, const IpAddress& address, unsigned prefix_length);

  // add_route: kInvalidArgument if one of the same destination, table and metric exists. replace_route: puts
  // itself in its place, or adds.
  [[nodiscard]] Result<> add_route(const Route& route);
  [[nodiscard]] Result<> replace_route(const Route& route);
  // By destination, table, metric, type and protocol (and the interface, when given).
  [[nodiscard]] Result<> remove_route(const Route& route);
  // All tables but the local one, both families. protocol: nullopt for every one.
  [[nodiscard]] Result<std::vector<Route>> routes(std::optional<std::uint8_t> protocol = kRouteProtocol);

  [[nodiscard]] Result<> add_rule(const Rule& rule);  // fine if it is there already
  [[nodiscard]] Result<> remove_rule(const Rule& rule);
  [[nodiscard]] Result<std::vector<Rule>> rules(std::optional<std::uint8_t> protocol = kRouteProtocol);

  // Makes the routes (rules) with our protocol number be exactly these: adds what lacks, and only then
  // removes what is too many. So a start after a crash takes over what stands without a moment without a
  // guard. An empty list removes all that is left of us.
  [[nodiscard]] Result<ReconcileReport> reconcile_routes(std::span<const Route> wanted);
  [[nodiscard]] Result<ReconcileReport> reconcile_rules(std::span<const Rule> wanted);

  // How the kernel would send to a destination now. kNotFound: no route, or a blackhole, unreachable or
  // prohibit route.
  [[nodiscard]] Result<RouteAnswer> lookup_route(const RouteQuery& query);

 private:
  explicit Netlink(NetlinkSocket socket);
  NetlinkSocket socket_;
};

// Tells when links, addresses or routes change, nonblocking. Changes to routes with our own protocol number,
// and to the kernel's local and multicast routes, are left out.
class NetlinkMonitor {
 public:
  [[nodiscard]] static Result<NetlinkMonitor> open();

  [[nodiscard]] int fd() const;
  struct Changes {
    std::vector<NetlinkChange> changes;  // in order; empty when nothing waits
    bool resync = false;                 // notifications were lost: list again what matters
  };
  [[nodiscard]] Result<Changes> read_changes();

 private:
  explicit NetlinkMonitor(NetlinkSocket socket);
  NetlinkSocket socket_;
};

}  // namespace merlon::io
