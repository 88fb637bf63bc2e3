#include "daemon/network_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "policy/spd.h"

namespace merlon::daemon {
namespace {

using policy::ChildAction;
using policy::SpdEntry;
using policy::TrafficSelector;

constexpr std::uint32_t kRouteMetric = 100, kBlackholeMetric = 4'000'000'000U;

std::vector<IpPrefix> prefixes_of(const TrafficSelector& selector) {
  return prefixes_of_range(selector.start_address, selector.end_address);
}

bool same_family(const TrafficSelector& a, const TrafficSelector& b) {
  return a.start_address.family() == b.start_address.family();
}
bool addresses_overlap(const TrafficSelector& a, const TrafficSelector& b) {
  return same_family(a, b) && a.start_address <= b.end_address && b.start_address <= a.end_address;
}
bool addresses_equal(const TrafficSelector& a, const TrafficSelector& b) {
  return a.start_address == b.start_address && a.end_address == b.end_address;
}
// 0.0.0.0/0 behind 10.1.0.0/16: what moves inside the local network matches the policy as well, but never
// leaves it. The other way round (10.2.0.0/16 behind 10.0.0.0/8) the part that lies behind the peer is the
// peer's, and must not be let through.
bool holds_strictly(const TrafficSelector& remote, const TrafficSelector& local) {
  return same_family(remote, local) && remote.start_address <= local.start_address &&
         local.end_address <= remote.end_address && !addresses_equal(remote, local);
}

// One pair of selectors as rules and guard see it: a pair of two families or two protocols matches no packet.
struct Pair {
  TrafficSelector local, remote;
  std::optional<std::uint8_t> protocol;

  static std::optional<Pair> of(const TrafficSelector& local, const TrafficSelector& remote) {
    if (!same_family(local, remote)) return std::nullopt;
    if (local.protocol != 0 && remote.protocol != 0 && local.protocol != remote.protocol) return std::nullopt;
    Pair out{local, remote, std::nullopt};
    if (local.protocol != 0 || remote.protocol != 0)
      out.protocol = local.protocol != 0 ? local.protocol : remote.protocol;
    return out;
  }
  // The part of it that moves inside the local network.
  [[nodiscard]] Pair inside() const {
    Pair out = *this;
    out.remote.start_address = local.start_address;
    out.remote.end_address = local.end_address;
    return out;
  }
  // Whether some packet may match both, by addresses and protocol; ports do not count.
  [[nodiscard]] bool meets(const Pair& other) const {
    return addresses_overlap(local, other.local) && addresses_overlap(remote, other.remote) &&
           (!protocol || !other.protocol || *protocol == *other.protocol);
  }
  friend bool operator==(const Pair&, const Pair&) = default;
  [[nodiscard]] bool has_ports() const { return !local.is_any_port() || !remote.is_any_port(); }
  [[nodiscard]] bool has_opaque_ports() const { return local.is_opaque_port() || remote.is_opaque_port(); }
};

std::vector<Pair> pairs_of(const SpdEntry& entry) {
  std::vector<Pair> out;
  for (const TrafficSelector& local : entry.local_ts)
    for (const TrafficSelector& remote : entry.remote_ts)
      if (const auto pair = Pair::of(local, remote)) out.push_back(*pair);
  return out;
}

// A rule can look at the ports of these (the kernel's flow dissector); of ICMP it sees neither type nor code.
bool rule_can_tell(const Pair& pair) {
  if (!pair.has_ports()) return true;
  const auto id = static_cast<IpProtocol>(pair.protocol.value_or(0));
  return !pair.has_opaque_ports() &&
         (id == IpProtocol::kTcp || id == IpProtocol::kUdp || id == IpProtocol::kSctp);
}
// And nftables, which sees ICMP as well.
bool guard_can_tell(const Pair& pair) {
  const auto id = static_cast<IpProtocol>(pair.protocol.value_or(0));
  return rule_can_tell(pair) ||
         (!pair.has_opaque_ports() && (id == IpProtocol::kIcmp || id == IpProtocol::kIpv6Icmp));
}

// The kernel takes neither port 0 nor 65535 into a rule's range. nullopt: nothing is left.
std::optional<io::RulePorts> rule_ports(const TrafficSelector& selector) {
  const auto first = std::max<std::uint16_t>(selector.start_port, 1);
  const auto last = std::min<std::uint16_t>(selector.end_port, 65534);
  if (first > last) return std::nullopt;
  return io::RulePorts{first, last};
}

class Planner {
 public:
  Planner(const control::DaemonConfig& daemon, const HostView& host) : daemon_(daemon), host_(host) {}

  NetworkPlan plan(std::span<const policy::ConnectionPtr> connections) {
    const policy::Spd spd = policy::build_spd(connections);
    plan_.warnings = spd.warnings();
    for (const SpdEntry& entry : spd.entries()) {
      if (entry.action == ChildAction::kProtect) protect(entry);
      if (entry.action == ChildAction::kBypass) bypass(entry);
      guard(entry);
    }
    const std::uint32_t top = order_rules();
    mark_rules(top);
    lookup_rules();
    plan_.guard.tun_devices = {daemon_.interface};
    plan_.guard.mark = daemon_.fwmark;
    plan_.guard.ike_ports = {daemon_.ike_port, daemon_.natt_port};
    return std::move(plan_);
  }

 private:
  // The address of ours that lies in the protected local network: what this host itself sends from into the
  // tunnel.
  std::optional<IpAddress> source_within(const policy::TrafficSelectors& local, IpFamily family) const {
    for (const io::LinkAddress& candidate : host_.addresses)
      for (const TrafficSelector& selector : local)
        if (may_be_source(candidate) && candidate.address.family() == family &&
            selector.start_address.family() == family && selector.start_address <= candidate.address &&
            candidate.address <= selector.end_address)
          return candidate.address;
    return std::nullopt;
  }

  // 0.0.0.0/0 and ::/0 hold addresses that never leave the host; the kernel takes no route with ::1 as its
  // source, nor with an address that duplicate address detection still looks at.
  static bool may_be_source(const io::LinkAddress& candidate) {
    static const IpPrefix loopback4{IpAddress::v4(0x7f000000), 8};
    static const IpAddress loopback6 = *IpAddress::parse("::1");
    const IpAddress& address = candidate.address;
    return !candidate.tentative && !address.is_link_local() && !loopback4.contains(address) &&
           address != loopback6;
  }

  void protect(const SpdEntry& entry) {
    for (const TrafficSelector& selector : entry.local_ts)
      for (const IpPrefix& prefix : prefixes_of(selector)) local_prefixes_.insert(prefix);
    for (const TrafficSelector& selector : entry.remote_ts) {
      const IpFamily family = selector.start_address.family();
      families_.insert(family);
      const auto source = source_within(entry.local_ts, family);
      if (source) source_families_.insert(family);
      for (const IpPrefix& prefix : prefixes_of(selector)) route(prefix, source);
    }
    for (const Pair& pair : pairs_of(entry)) {
      if (holds_strictly(pair.remote, pair.local) && rule_can_tell(pair))
        decide(ChildAction::kBypass, pair.inside());
      if (addresses_equal(pair.remote, pair.local))
        plan_.warnings.push_back(fmt::format(
            "{}: local_ts and remote_ts are both {}: what stays inside this network is sent to the "
            "peer, too",
            entry.name(), policy::to_text(pair.local)));
      decide(ChildAction::kProtect, pair);
    }
  }

  void route(const IpPrefix& destination, std::optional<IpAddress> source) {
    const auto [at, is_new] = routed_.emplace(destination, plan_.routes.size());
    if (!is_new) {
      // Another connection leads there as well; whichever knows a source for this host says it.
      if (host_.tun_index != 0 && !plan_.routes[at->second].preferred_source)
        plan_.routes[at->second].preferred_source = source;
      return;
    }
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

  void bypass(const SpdEntry& entry) {
    for (const Pair& pair : pairs_of(entry)) {
      if (!rule_can_tell(pair)) {
        plan_.warnings.push_back(fmt::format(
            "{}: {} cannot be a routing rule, which knows ports of TCP, UDP and SCTP only: where a tunnel's "
            "networks hold these packets, they are dropped",
            entry.name(), policy::to_text({&pair.local, 1}, {&pair.remote, 1})));
        continue;
      }
      decide(ChildAction::kBypass, pair);
    }
  }

  // ---- Rules in the SPD's order. Everything from a protected network asks our table at rule_priority,
  // whatever its protocol. So each bypass needs a rule before that, and a protect that such a bypass would
  // swallow needs one of its own before the bypass, and so on.
  struct Decision {
    ChildAction action;
    Pair pair;
    std::uint32_t level = 0;  // 0: no rule of its own; n: at rule_priority - n
  };

  void decide(ChildAction action, const Pair& pair) {
    const bool decided = std::ranges::any_of(
        decisions_, [&](const Decision& d) { return d.action == action && d.pair == pair; });
    if (!decided) decisions_.push_back({action, pair});
  }

  // Returns the greatest level.
  std::uint32_t order_rules() {
    std::vector<Decision*> bypasses, protects;  // those later in the order
    std::uint32_t top = 0;
    for (auto decision = decisions_.rbegin(); decision != decisions_.rend(); ++decision) {
      const bool is_bypass = decision->action == ChildAction::kBypass;
      if (is_bypass) decision->level = 1;
      for (const Decision* later : is_bypass ? protects : bypasses)
        if (decision->pair.meets(later->pair)) decision->level = std::max(decision->level, later->level + 1);
      (is_bypass ? bypasses : protects).push_back(&*decision);
      top = std::max(top, decision->level);
    }
    // rule_priority leaves little room only where somebody chose a small one; then the outermost share one.
    const std::uint32_t room = daemon_.rule_priority - 2;
    for (const Decision& decision : decisions_)
      if (decision.level != 0) add_rules(decision, daemon_.rule_priority - std::min(decision.level, room));
    return std::min(top, room);
  }

  void add_rules(const Decision& decision, std::uint32_t priority) {
    for (const IpPrefix& from : prefixes_of(decision.pair.local))
      for (const IpPrefix& to : prefixes_of(decision.pair.remote)) {
        io::Rule rule;
        rule.family = from.address.family();
        rule.priority = priority;
        rule.table = decision.action == ChildAction::kBypass ? io::kMainTable : daemon_.routing_table;
        if (from.length != 0) rule.from = from;
        if (to.length != 0) rule.to = to;
        if (add_flow(decision, rule)) add(std::move(rule));
      }
  }

  // Protocol and ports. A protect whose ports no rule can see is made for the whole protocol: rather too much
  // into the TUN device, where the SPD decides, than anything in clear. False: the rule would match nothing.
  static bool add_flow(const Decision& decision, io::Rule& rule) {
    const Pair& pair = decision.pair;
    rule.ip_protocol = pair.protocol;
    if (!pair.has_ports() || !rule_can_tell(pair)) return true;
    if (!pair.local.is_any_port() && !(rule.source_ports = rule_ports(pair.local))) return false;
    if (!pair.remote.is_any_port() && !(rule.destination_ports = rule_ports(pair.remote))) return false;
    return true;
  }

  void add(io::Rule rule) {
    if (std::ranges::count(plan_.rules, rule) == 0) plan_.rules.push_back(std::move(rule));
  }

  // Outer packets are asked first: `invert` in the lookup rules would turn their other conditions around,
  // too.
  void mark_rules(std::uint32_t top) {
    for (const IpFamily family : families_) {
      io::Rule outer;
      outer.family = family;
      outer.priority = daemon_.rule_priority - top - 1;
      outer.table = io::kMainTable;
      outer.mark = daemon_.fwmark;
      add(std::move(outer));
    }
  }

  // One lookup rule for each distinct local network (they are few), so that what this host sends from other
  // addresses is not drawn in. Locally made packets without a source yet ask too, where a source of ours lies
  // in a protected network.
  void lookup_rules() {
    for (const IpPrefix& from : local_prefixes_)
      if (families_.contains(from.address.family())) add_lookup(from.address.family(), from, "");
    if (source_families_.contains(IpFamily::kIpv4))
      add_lookup(IpFamily::kIpv4, IpPrefix{IpAddress::any(IpFamily::kIpv4), 32}, "");
    // The kernel skips IPv6 rules with a source while it still looks for one, so this one has none.
    if (source_families_.contains(IpFamily::kIpv6)) add_lookup(IpFamily::kIpv6, std::nullopt, "lo");
  }

  void add_lookup(IpFamily family, std::optional<IpPrefix> from, std::string input_device) {
    io::Rule rule;
    rule.family = family;
    rule.priority = daemon_.rule_priority;
    rule.table = daemon_.routing_table;
    if (from && from->length != 0) rule.from = from;
    rule.input_device = std::move(input_device);
    add(std::move(rule));
  }

  // ---- The guard.
  void guard(const SpdEntry& entry) {
    for (const Pair& pair : pairs_of(entry)) {
      // nftables cannot see every field: nothing is let through for what it cannot, and rather too much is
      // kept.
      if (!guard_can_tell(pair) && entry.action == ChildAction::kBypass) continue;
      if (entry.action == ChildAction::kProtect && guard_can_tell(pair) &&
          holds_strictly(pair.remote, pair.local))
        plan_.guard.entries.push_back(guard_entry(ChildAction::kBypass, pair.inside()));
      plan_.guard.entries.push_back(guard_entry(entry.action, pair));
    }
  }

  static io::GuardEntry guard_entry(ChildAction action, const Pair& pair) {
    io::GuardEntry out;
    out.action = action == ChildAction::kProtect  ? io::GuardEntry::Action::kProtect
                 : action == ChildAction::kBypass ? io::GuardEntry::Action::kBypass
                                                  : io::GuardEntry::Action::kDiscard;
    out.local = {pair.local.start_address, pair.local.end_address};
    out.remote = {pair.remote.start_address, pair.remote.end_address};
    out.protocol = pair.protocol;
    if (!guard_can_tell(pair)) return out;
    out.local_ports = {pair.local.start_port, pair.local.end_port};
    out.remote_ports = {pair.remote.start_port, pair.remote.end_port};
    return out;
  }

  const control::DaemonConfig& daemon_;
  const HostView& host_;
  NetworkPlan plan_;
  std::vector<Decision> decisions_;  // in the order of the SPD
  std::set<IpPrefix> local_prefixes_;
  std::map<IpPrefix, std::size_t> routed_;  // destination -> its place in plan_.routes
  std::set<IpFamily> families_, source_families_;
};

}  // namespace

NetworkPlan plan_network(const control::DaemonConfig& daemon,
                         std::span<const policy::ConnectionPtr> connections, const HostView& host) {
  return Planner(daemon, host).plan(connections);
}

}  // namespace merlon::daemon
