#include "daemon/network_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "policy/spd.h"

namespace merlon::daemon {
namespace {

using policy::ChildAction;
using policy::TrafficSelector;

constexpr std::uint32_t kRouteMetric = 100, kBlackholeMetric = 4'000'000'000U;

std::vector<IpPrefix> prefixes_of(const TrafficSelector& selector) {
  return prefixes_of_range(selector.start_address, selector.end_address);
}

class Planner {
 public:
  Planner(const control::DaemonConfig& daemon, const HostView& host) : daemon_(daemon), host_(host) {}

  NetworkPlan plan(std::span<const policy::ConnectionPtr> connections) {
    const policy::Spd spd = policy::build_spd(connections);
    for (const policy::SpdEntry& entry : spd.entries()) {
      if (entry.action == ChildAction::kProtect) protect(entry);
      if (entry.action == ChildAction::kBypass) bypass(entry);
      guard(entry);
    }
    lookup_rules();
    plan_.guard.tun_devices = {daemon_.interface};
    plan_.guard.mark = daemon_.fwmark;
    plan_.guard.ike_ports = {daemon_.ike_port, daemon_.natt_port};
    plan_.warnings = spd.warnings();
    return std::move(plan_);
  }

 private:
  // The address of ours that lies in the protected local network: what this host itself sends from into the tunnel.
  std::optional<IpAddress> source_within(const policy::TrafficSelectors& local, IpFamily family) const {
    for (const io::LinkAddress& candidate : host_.addresses)
      for (const TrafficSelector& selector : local)
        if (candidate.address.family() == family && selector.start_address.family() == family &&
            selector.start_address <= candidate.address && candidate.address <= selector.end_address && !candidate.address.is_link_local())
          return candidate.address;
    return std::nullopt;
  }

  void protect(const policy::SpdEntry& entry) {
    for (const TrafficSelector& selector : entry.local_ts)
      for (const IpPrefix& prefix : prefixes_of(selector)) local_prefixes_.insert(prefix);
    for (const TrafficSelector& selector : entry.remote_ts) {
      const auto source = source_within(entry.local_ts, selector.start_address.family());
      if (source) local_families_.insert(selector.start_address.family());
      for (const IpPrefix& prefix : prefixes_of(selector)) route(prefix, source);
      for (const TrafficSelector& local : entry.local_ts) stay_local(local, selector);
    }
  }

  static bool overlap(const TrafficSelector& a, const TrafficSelector& b) {
    return a.start_address.family() == b.start_address.family() && a.start_address <= b.end_address && b.start_address <= a.end_address;
  }

  // Where the remote range holds the local one (0.0.0.0/0 behind 10.1.0.0/16), traffic inside the local network matches
  // the policy as well, but never leaves it: it is routed as ever.
  void stay_local(const TrafficSelector& local, const TrafficSelector& remote) {
    if (!overlap(local, remote)) return;
    for (const IpPrefix& from : prefixes_of(local))
      for (const IpPrefix& to : prefixes_of(local)) bypass_rule(policy::selector_for(from), policy::selector_for(to), from, to);
  }

  void route(const IpPrefix& destination, std::optional<IpAddress> source) {
    if (!routed_.insert(destination).second) return;
    io::Route route;
    route.destination = destination;
    route.table = daemon_.routing_table;
    route.metric = kRouteMetric;
    route.link_index = host_.tun_index;
    route.preferred_source = source;
    if (host_.tun_index != 0) plan_.routes.push_back(route);
    route.metric = kBlackholeMetric;
    route.type = io::RouteType::kBlackhole;
    route.link_index = 0;
    route.preferred_source.reset();
    plan_.blackholes.push_back(route);
  }

  // One lookup rule for each distinct local network (they are few), so that what this host sends from other addresses is
  // not drawn in. Locally made packets without a source yet ask too, where a source of ours lies in a protected network.
  void lookup_rules() {
    std::set<IpPrefix> froms = local_prefixes_;
    for (const IpFamily family : local_families_) {
      if (family == IpFamily::kIpv4) froms.insert({IpAddress::any(family), 32});
    }
    for (const IpPrefix& from : froms) add_lookup(from.address.family(), from, "");
    // The kernel skips IPv6 rules with a source while it still looks for one, so this one has none.
    if (local_families_.contains(IpFamily::kIpv6)) add_lookup(IpFamily::kIpv6, std::nullopt, "lo");
  }

  void add_lookup(IpFamily family, std::optional<IpPrefix> from, std::string input_device) {
    // The mark's exception is a rule of its own, asked first: `invert` would turn the other conditions around too.
    if (marked_.insert(family).second) {
      io::Rule outer;
      outer.family = family;
      outer.priority = daemon_.rule_priority - 1;
      outer.table = io::kMainTable;
      outer.mark = daemon_.fwmark;
      plan_.rules.push_back(outer);
    }
    io::Rule rule;
    rule.family = family;
    rule.priority = daemon_.rule_priority;
    rule.table = daemon_.routing_table;
    if (from && from->length != 0) rule.from = from;
    rule.input_device = std::move(input_device);
    if (std::ranges::count(plan_.rules, rule) == 0) plan_.rules.push_back(rule);
  }

  // A bypass in the order of the SPD: only before protects that come after it. Rules know prefixes, protocols and ports.
  void bypass(const policy::SpdEntry& entry) {
    for (const TrafficSelector& local : entry.local_ts)
      for (const TrafficSelector& remote : entry.remote_ts) {
        if (local.start_address.family() != remote.start_address.family()) continue;
        for (const IpPrefix& from : prefixes_of(local))
          for (const IpPrefix& to : prefixes_of(remote)) bypass_rule(local, remote, from, to);
      }
  }

  void bypass_rule(const TrafficSelector& local, const TrafficSelector& remote, const IpPrefix& from, const IpPrefix& to) {
    io::Rule rule;
    rule.family = from.address.family();
    rule.priority = daemon_.rule_priority - 1;
    rule.table = io::kMainTable;
    if (from.length != 0) rule.from = from;
    if (to.length != 0) rule.to = to;
    const std::uint8_t protocol = local.protocol != 0 ? local.protocol : remote.protocol;
    if (protocol != 0) rule.ip_protocol = protocol;
    if (!local.is_any_port()) rule.source_ports = io::RulePorts{local.start_port, local.end_port};
    if (!remote.is_any_port()) rule.destination_ports = io::RulePorts{remote.start_port, remote.end_port};
    if (std::ranges::count(plan_.rules, rule) == 0) plan_.rules.push_back(rule);
  }

  void guard(const policy::SpdEntry& entry) {
    for (const TrafficSelector& local : entry.local_ts)
      for (const TrafficSelector& remote : entry.remote_ts) {
        if (local.start_address.family() != remote.start_address.family()) continue;
        if (local.is_opaque_port() || remote.is_opaque_port()) continue;  // nftables cannot see what cannot be seen
        io::GuardEntry out;
        out.action = entry.action == ChildAction::kProtect  ? io::GuardEntry::Action::kProtect
                     : entry.action == ChildAction::kBypass ? io::GuardEntry::Action::kBypass
                                                            : io::GuardEntry::Action::kDiscard;
        out.local = {local.start_address, local.end_address};
        out.remote = {remote.start_address, remote.end_address};
        if (local.protocol != 0 || remote.protocol != 0) out.protocol = local.protocol != 0 ? local.protocol : remote.protocol;
        out.local_ports = {local.start_port, local.end_port};
        out.remote_ports = {remote.start_port, remote.end_port};
        if (entry.action == ChildAction::kProtect && overlap(local, remote)) plan_.guard.entries.push_back(inside(out));
        plan_.guard.entries.push_back(std::move(out));
      }
  }

  static io::GuardEntry inside(const io::GuardEntry& protect) {
    io::GuardEntry entry;
    entry.action = io::GuardEntry::Action::kBypass;
    entry.local = entry.remote = protect.local;
    return entry;
  }

  const control::DaemonConfig& daemon_;
  const HostView& host_;
  NetworkPlan plan_;
  std::set<IpPrefix> local_prefixes_, routed_;
  std::set<IpFamily> local_families_, marked_;
};

}  // namespace

NetworkPlan plan_network(const control::DaemonConfig& daemon, std::span<const policy::ConnectionPtr> connections, const HostView& host) {
  return Planner(daemon, host).plan(connections);
}

}  // namespace merlon::daemon
