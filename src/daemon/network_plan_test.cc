// "Nothing in clear" as a pure function. Beside looking at single routes and rules, the plan is asked what
// the kernel would do with a packet: rules by priority, then the longest prefix; and what the guard would.
#include "daemon/network_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include "policy/spd.h"

namespace merlon::daemon {
namespace {

using policy::ChildAction;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}
IpPrefix prefix(const std::string& text) {
  return IpPrefix::parse(text).value();
}

policy::TrafficSelectors ts(const std::vector<std::string>& texts) {
  policy::TrafficSelectors out;
  for (const std::string& text : texts) {
    const auto selectors = policy::parse_traffic_selectors(text).value();
    out.insert(out.end(), selectors.begin(), selectors.end());
  }
  return out;
}

struct Entry {
  ChildAction action = ChildAction::kProtect;
  std::vector<std::string> local, remote;
  std::uint32_t priority = 0;
};

// Each entry as a connection of its own, in this order.
std::vector<policy::ConnectionPtr> connections(const std::vector<Entry>& entries) {
  std::vector<policy::ConnectionPtr> out;
  for (const Entry& entry : entries) {
    auto connection = std::make_shared<policy::Connection>();
    connection->name = fmt::format("c{}", out.size());
    policy::ChildConfig child;
    child.name = connection->name;
    child.action = entry.action;
    child.local_ts = ts(entry.local);
    child.remote_ts = ts(entry.remote);
    child.priority = entry.priority;
    connection->children.push_back(std::move(child));
    out.push_back(std::move(connection));
  }
  return out;
}

constexpr int kTunIndex = 7;
constexpr auto kProtect = ChildAction::kProtect;
constexpr auto kBypass = ChildAction::kBypass;
constexpr auto kDiscard = ChildAction::kDiscard;

HostView host(const std::vector<std::string>& addresses = {}, int tun_index = kTunIndex) {
  HostView out;
  out.tun_index = tun_index;
  for (const std::string& text : addresses) {
    io::LinkAddress address;
    address.address = ip(text);
    out.addresses.push_back(address);
  }
  return out;
}

NetworkPlan plan(const std::vector<Entry>& entries, const HostView& view = host()) {
  return plan_network(control::DaemonConfig(), connections(entries), view);
}

policy::PacketSelectors packet(const std::string& from, const std::string& to,
                               IpProtocol protocol = IpProtocol::kTcp, std::uint16_t from_port = 40000,
                               std::uint16_t to_port = 80) {
  policy::PacketSelectors out;
  out.source = ip(from);
  out.destination = ip(to);
  out.family = out.source.family();
  out.protocol = protocol;
  out.upper = wire::UpperFields::kPorts;
  out.source_port = from_port;
  out.destination_port = to_port;
  return out;
}

// ---- The kernel in a few lines.
enum class Way { kMain, kTun, kBlackhole };

bool in(const std::optional<io::RulePorts>& ports, std::uint16_t port) {
  return !ports || (ports->first <= port && port <= ports->last);
}
bool rule_matches(const io::Rule& rule, const policy::PacketSelectors& p, std::uint32_t mark) {
  return rule.family == p.family && (!rule.mark || *rule.mark == mark) &&
         (!rule.from || rule.from->contains(p.source)) && (!rule.to || rule.to->contains(p.destination)) &&
         rule.input_device.empty() &&
         (!rule.ip_protocol || *rule.ip_protocol == static_cast<std::uint8_t>(p.protocol)) &&
         in(rule.source_ports, p.source_port) && in(rule.destination_ports, p.destination_port);
}

Way route_of(const NetworkPlan& plan, const policy::PacketSelectors& p, std::uint32_t mark = 0) {
  std::vector<io::Rule> rules = plan.rules;
  std::ranges::stable_sort(rules, {}, &io::Rule::priority);
  std::vector<io::Route> routes = plan.routes;
  routes.insert(routes.end(), plan.blackholes.begin(), plan.blackholes.end());
  for (const io::Rule& rule : rules) {
    if (!rule_matches(rule, p, mark)) continue;
    if (rule.table == io::kMainTable) return Way::kMain;
    const io::Route* best = nullptr;
    for (const io::Route& route : routes)
      if (route.table == rule.table && route.destination.contains(p.destination) &&
          (best == nullptr || std::pair(-static_cast<int>(route.destination.length), route.metric) <
                                  std::pair(-static_cast<int>(best->destination.length), best->metric)))
        best = &route;
    if (best != nullptr) return best->type == io::RouteType::kBlackhole ? Way::kBlackhole : Way::kTun;
  }
  return Way::kMain;
}

bool holds(const io::AddressRange& range, const IpAddress& address) {
  return range.first.family() == address.family() && range.first <= address && address <= range.last;
}
// What the guard does with an outbound packet in clear: the first entry decides, none lets it pass.
bool guard_drops(const NetworkPlan& plan, const policy::PacketSelectors& p) {
  for (const io::GuardEntry& entry : plan.guard.entries) {
    if (!holds(entry.local, p.source) || !holds(entry.remote, p.destination)) continue;
    if (entry.protocol && *entry.protocol != static_cast<std::uint8_t>(p.protocol)) continue;
    if (p.source_port < entry.local_ports.first || p.source_port > entry.local_ports.last) continue;
    if (p.destination_port < entry.remote_ports.first || p.destination_port > entry.remote_ports.last)
      continue;
    return entry.action != io::GuardEntry::Action::kBypass;
  }
  return false;
}

// ---- Routes

TEST(NetworkPlan, RouteAndBlackholeForBothFamilies) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16", "fd00:1::/64"}, {"10.2.0.0/16", "fd00:2::/64"}}});
  ASSERT_THAT(made.routes, SizeIs(2));
  ASSERT_THAT(made.blackholes, SizeIs(2));
  const control::DaemonConfig daemon;
  for (const io::Route& route : made.routes) {
    EXPECT_EQ(route.table, daemon.routing_table);
    EXPECT_EQ(route.link_index, kTunIndex);
    EXPECT_EQ(route.type, io::RouteType::kUnicast);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(made.blackholes[i].destination, made.routes[i].destination);
    EXPECT_EQ(made.blackholes[i].table, daemon.routing_table);
    EXPECT_EQ(made.blackholes[i].type, io::RouteType::kBlackhole);
    EXPECT_EQ(made.blackholes[i].link_index, 0);  // it stays when the device is gone
    EXPECT_GT(made.blackholes[i].metric, made.routes[i].metric);
  }
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_EQ(route_of(made, packet("fd00:1::5", "fd00:2::9")), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "192.0.2.9")), Way::kMain);
  EXPECT_EQ(route_of(made, packet("172.16.0.5", "10.2.0.9")), Way::kMain);
}

TEST(NetworkPlan, WithoutTheDeviceEverythingEndsInBlackholes) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}}, host({}, 0));
  EXPECT_THAT(made.routes, IsEmpty());
  ASSERT_THAT(made.blackholes, SizeIs(1));
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kBlackhole);
}

TEST(NetworkPlan, SeveralConnectionsToTheSameNetwork) {
  const NetworkPlan made =
      plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}, {kProtect, {"10.3.0.0/16"}, {"10.2.0.0/16"}}},
           host({"10.3.0.1"}));
  ASSERT_THAT(made.routes, SizeIs(1));
  ASSERT_THAT(made.blackholes, SizeIs(1));
  EXPECT_EQ(made.routes[0].preferred_source, ip("10.3.0.1"));
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.3.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_THAT(made.guard.entries, SizeIs(2));
}

TEST(NetworkPlan, HostsOwnAddressIsTheSource) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16", "fd00:1::/64"}, {"10.2.0.0/16", "fd00:2::/64"}}},
                                host({"192.0.2.1", "10.1.0.1", "fd00:1::1"}));
  ASSERT_THAT(made.routes, SizeIs(2));
  EXPECT_EQ(made.routes[0].preferred_source, ip("10.1.0.1"));
  EXPECT_EQ(made.routes[1].preferred_source, ip("fd00:1::1"));
  // A packet that has no source yet asks our table as well.
  EXPECT_EQ(route_of(made, packet("0.0.0.0", "10.2.0.9")), Way::kTun);
  EXPECT_TRUE(std::ranges::any_of(made.rules, [](const io::Rule& rule) {
    return rule.family == IpFamily::kIpv6 && rule.input_device == "lo" && !rule.from;
  }));
  const NetworkPlan without = plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}}, host({"192.0.2.1"}));
  EXPECT_FALSE(without.routes.at(0).preferred_source);
  EXPECT_EQ(route_of(without, packet("0.0.0.0", "10.2.0.9")), Way::kMain);
}

TEST(NetworkPlan, RangesBecomePrefixes) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.5-10.2.0.9"}}});
  std::set<IpPrefix> destinations;
  for (const io::Route& route : made.routes) destinations.insert(route.destination);
  EXPECT_EQ(destinations, (std::set{prefix("10.2.0.5/32"), prefix("10.2.0.6/31"), prefix("10.2.0.8/31")}));
}

// ---- Outer packets

TEST(NetworkPlan, MarkedPacketsNeverAskOurTable) {
  for (const std::vector<Entry>& entries :
       {std::vector<Entry>{{kProtect, {"10.1.0.0/16"}, {"0.0.0.0/0"}}},
        std::vector<Entry>{{kProtect, {"0.0.0.0/0"}, {"0.0.0.0/0"}}},
        std::vector<Entry>{{kProtect, {"0.0.0.0/0", "::/0"}, {"10.2.0.0/16", "fd00:2::/64"}}},
        std::vector<Entry>{{kProtect, {"0.0.0.0/0"}, {"10.2.0.0/16"}},
                           {kBypass, {"0.0.0.0/0"}, {"10.0.0.0/8"}},
                           {kProtect, {"0.0.0.0/0"}, {"0.0.0.0/0"}}}}) {
    const NetworkPlan made = plan(entries);
    const std::uint32_t mark = control::DaemonConfig().fwmark;
    EXPECT_EQ(route_of(made, packet("10.1.0.1", "10.2.0.1", IpProtocol::kUdp, 4500, 4500), mark), Way::kMain);
    EXPECT_EQ(route_of(made, packet("fd00:1::1", "fd00:2::1", IpProtocol::kUdp, 4500, 4500), mark),
              Way::kMain);
    EXPECT_EQ(made.guard.mark, mark);
  }
}

TEST(NetworkPlan, GuardKnowsDeviceAndPorts) {
  control::DaemonConfig daemon;
  daemon.interface = "tun9";
  daemon.ike_port = 501;
  const NetworkPlan made =
      plan_network(daemon, connections({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}}), host());
  EXPECT_THAT(made.guard.tun_devices, testing::ElementsAre("tun9"));
  EXPECT_THAT(made.guard.ike_ports, testing::ElementsAre(501, 4500));
}

// ---- Networks that overlap

// A spoke that sends everything through its office: what moves inside the spoke stays inside.
TEST(NetworkPlan, EverythingBehindThePeer) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"0.0.0.0/0"}}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "8.8.8.8")), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "8.8.8.8")));
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.1.3.3")), Way::kMain);
  EXPECT_FALSE(guard_drops(made, packet("10.1.0.5", "10.1.3.3")));
  EXPECT_EQ(route_of(made, packet("192.0.2.1", "8.8.8.8")), Way::kMain);
}

// The other end of it: everything is behind us, one network behind the peer. Nothing to that network may be
// taken for traffic inside our own.
TEST(NetworkPlan, EverythingBehindUs) {
  const NetworkPlan made = plan({{kProtect, {"0.0.0.0/0"}, {"10.1.0.0/16"}}});
  EXPECT_EQ(route_of(made, packet("8.8.8.8", "10.1.0.5")), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("8.8.8.8", "10.1.0.5")));
  EXPECT_EQ(route_of(made, packet("8.8.8.8", "192.0.2.5")), Way::kMain);
}

// A hub whose own selectors are the summary of all spokes.
TEST(NetworkPlan, PeersNetworkLiesWithinOurs) {
  const NetworkPlan made =
      plan({{kProtect, {"10.0.0.0/8"}, {"10.2.0.0/16"}}, {kProtect, {"10.0.0.0/8"}, {"10.3.0.0/16"}}});
  for (const auto& [from, to] : {std::pair("10.1.0.5", "10.2.0.9"), std::pair("10.2.0.9", "10.3.0.9")}) {
    EXPECT_EQ(route_of(made, packet(from, to)), Way::kTun) << from << " " << to;
    EXPECT_TRUE(guard_drops(made, packet(from, to))) << from << " " << to;
  }
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.4.0.9")), Way::kMain);
}

// Only what that policy is about stays inside: another one may protect the rest.
TEST(NetworkPlan, InsideOfOneProtocolOnly) {
  const NetworkPlan made =
      plan({{kProtect, {"10.2.7.0/24"}, {"10.0.0.0/8[tcp]"}}, {kProtect, {"10.2.0.0/16"}, {"10.2.7.9"}}});
  EXPECT_EQ(route_of(made, packet("10.2.7.8", "10.2.7.9", IpProtocol::kTcp)), Way::kMain);
  EXPECT_EQ(route_of(made, packet("10.2.7.8", "10.2.7.9", IpProtocol::kUdp)), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("10.2.7.8", "10.2.7.9", IpProtocol::kUdp)));
}

TEST(NetworkPlan, SameNetworkOnBothSidesIsProtectedAndSaid) {
  const NetworkPlan made = plan({{kProtect, {"10.0.0.0/8"}, {"10.0.0.0/8"}}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "10.2.0.9")));
  EXPECT_THAT(made.warnings, testing::Contains(HasSubstr("local_ts and remote_ts are both 10.0.0.0/8")));
}

// ---- Bypass

TEST(NetworkPlan, BypassBeforeProtect) {
  const NetworkPlan made =
      plan({{kBypass, {"10.1.0.0/16"}, {"10.2.7.0/24"}}, {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.7.9")), Way::kMain);
  EXPECT_FALSE(guard_drops(made, packet("10.1.0.5", "10.2.7.9")));
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.8.9")), Way::kTun);
}

// RFC 4301 4.4.1: the SPD is ordered; the first entry decides.
TEST(NetworkPlan, BypassBehindProtectDoesNotTakeFromIt) {
  const NetworkPlan made =
      plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}, {kBypass, {"10.1.0.0/16"}, {"10.0.0.0/8"}, 10}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "10.2.0.9")));
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.3.0.9")), Way::kMain);
}

TEST(NetworkPlan, BypassBetweenTwoProtects) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"10.2.7.0/24"}},
                                 {kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16"}, 1},
                                 {kProtect, {"10.1.0.0/16"}, {"10.0.0.0/8"}, 2}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.7.9")), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.8.9")), Way::kMain);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.9.0.9")), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.1.0.9")), Way::kMain);
}

TEST(NetworkPlan, BypassWithProtocolAndPorts) {
  const NetworkPlan made = plan({{kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16[tcp/80-90]"}},
                                 {kBypass, {"10.1.0.0/16[udp/5353]"}, {"10.2.0.0/16"}},
                                 {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kTcp, 4000, 80)), Way::kMain);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kTcp, 4000, 91)), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kUdp, 4000, 80)), Way::kTun);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kUdp, 5353, 80)), Way::kMain);
  EXPECT_FALSE(guard_drops(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kUdp, 5353, 80)));
}

// The kernel refuses ports 0 and 65535 in a rule, and the whole plan with it.
TEST(NetworkPlan, PortsAtTheEdges) {
  const NetworkPlan made = plan({{kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16[tcp/1024-65535]"}},
                                 {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  for (const io::Rule& rule : made.rules)
    if (rule.destination_ports) {
      EXPECT_GE(rule.destination_ports->first, 1);
      EXPECT_LE(rule.destination_ports->last, 65534);
    }
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kTcp, 4000, 2000)), Way::kMain);
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kTcp, 4000, 80)), Way::kTun);
}

TEST(NetworkPlan, WhatNoRuleCanTellIsSaidAndNotLetThrough) {
  const NetworkPlan made = plan(
      {{kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16[icmp/8]"}}, {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  EXPECT_THAT(made.warnings, testing::Contains(HasSubstr("cannot be a routing rule")));
  for (const io::Rule& rule : made.rules) {
    EXPECT_FALSE(rule.source_ports);
    EXPECT_FALSE(rule.destination_ports);
  }
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9", IpProtocol::kIcmp, 0x0800, 0x0800)), Way::kTun);
}

// Whatever the selectors, nftables takes the guard.
TEST(NetworkPlan, GuardOfEverySelectorIsARuleset) {
  for (const char* selector :
       {"10.2.0.0/16", "10.2.0.0/16[tcp/443]", "10.2.0.0/16[icmp/8]", "10.2.0.0/16[tcp/opaque]",
        "10.2.0.0/16[gre]", "fd00:2::/64[mh/5]", "10.2.0.0/16[udplite/7]", "10.2.0.0/16[udp/1000-2000]",
        "10.2.0.5-10.2.0.9", "10.2.0.0/16[sctp/7]"}) {
    for (const ChildAction action : {kProtect, kBypass, kDiscard}) {
      const NetworkPlan made = plan({{action, {"10.1.0.0/16", "fd00:1::/64"}, {selector}},
                                     {kProtect, {"10.1.0.0/16"}, {"10.0.0.0/8"}}});
      const auto ruleset = io::NftGuard::ruleset(made.guard);
      EXPECT_TRUE(ruleset) << selector << ": " << (ruleset ? "" : ruleset.error().message);
      EXPECT_FALSE(made.guard.entries.empty());
    }
  }
}

TEST(NetworkPlan, OpaquePortsAreProtectedRatherThanLetOut) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16[tcp/opaque]"}}});
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "10.2.0.9")));
  const NetworkPlan bypassed = plan({{kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16[tcp/opaque]"}},
                                     {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  EXPECT_TRUE(guard_drops(bypassed, packet("10.1.0.5", "10.2.0.9")));
}

TEST(NetworkPlan, SelectorsThatMatchNothingMakeNothing) {
  const NetworkPlan made = plan(
      {{kBypass, {"10.1.0.0/16[tcp]"}, {"10.2.0.0/16[udp]"}}, {kProtect, {"10.1.0.0/16"}, {"10.2.0.0/16"}}});
  EXPECT_EQ(route_of(made, packet("10.1.0.5", "10.2.0.9")), Way::kTun);
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "10.2.0.9")));
}

TEST(NetworkPlan, DiscardIsDroppedByTheGuard) {
  const NetworkPlan made = plan({{kDiscard, {"10.1.0.0/16"}, {"10.9.0.0/16"}}});
  EXPECT_TRUE(guard_drops(made, packet("10.1.0.5", "10.9.0.9")));
  EXPECT_THAT(made.routes, IsEmpty());
}

TEST(NetworkPlan, NothingToProtectNothingToDo) {
  const NetworkPlan made = plan({});
  EXPECT_THAT(made.routes, IsEmpty());
  EXPECT_THAT(made.blackholes, IsEmpty());
  EXPECT_THAT(made.rules, IsEmpty());
  EXPECT_THAT(made.guard.entries, IsEmpty());
}

TEST(NetworkPlan, RulesAndRoutesAreDistinctAndInRange) {
  const NetworkPlan made = plan({{kProtect, {"10.1.0.0/16"}, {"0.0.0.0/0", "::/0"}},
                                 {kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16"}},
                                 {kBypass, {"10.1.0.0/16"}, {"10.2.0.0/16"}},
                                 {kProtect, {"10.1.0.0/16"}, {"0.0.0.0/0"}}});
  for (std::size_t i = 0; i < made.rules.size(); ++i) {
    EXPECT_GE(made.rules[i].priority, 1U);
    EXPECT_LE(made.rules[i].priority, control::DaemonConfig().rule_priority);
    EXPECT_EQ(std::ranges::count(made.rules, made.rules[i]), 1);
  }
}

// The property behind all of the above: the kernel's way and the SPD's decision agree for every packet, and
// what the SPD protects or discards is dropped by the guard if it leaves in clear all the same.
TEST(NetworkPlan, AgreesWithTheSpd) {
  EXPECT_TRUE(rc::check("random policies and packets", [] {
    const auto network = [] {
      return *rc::gen::element<std::string>("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.2.7.0/24",
                                            "10.2.7.9", "0.0.0.0/0", "10.1.0.0-10.2.255.255");
    };
    const auto flow = [] {
      return *rc::gen::element<std::string>("", "", "", "[tcp]", "[tcp/80]", "[udp/1-100]");
    };
    std::vector<Entry> entries;
    for (int i = *rc::gen::inRange(1, 6); i > 0; --i)
      entries.push_back({*rc::gen::element(kProtect, kProtect, kBypass),
                         {network()},
                         {network() + flow()},
                         *rc::gen::inRange(0U, 3U)});
    const auto all = connections(entries);
    const NetworkPlan made = plan_network(control::DaemonConfig(), all, host());
    const policy::Spd spd = policy::build_spd(all);
    for (int i = 0; i < 20; ++i) {
      const auto address = [] {
        return *rc::gen::element<std::string>("10.1.0.5", "10.2.0.9", "10.2.7.9", "10.2.7.8", "10.3.0.1",
                                              "192.0.2.1");
      };
      const auto p = packet(address(), address(), *rc::gen::element(IpProtocol::kTcp, IpProtocol::kUdp),
                            40000, *rc::gen::element<std::uint16_t>(80, 81, 443));
      const policy::SpdEntry* entry = spd.find(p, policy::Direction::kOutbound);
      if (entry == nullptr)
        continue;  // without a policy: discarded in the TUN device, or none of our business
      const auto& local = entry->local_ts.front();
      const auto& remote = entry->remote_ts.front();
      const bool is_protect = entry->action == kProtect;
      const bool stays_inside =
          is_protect && remote.start_address <= local.start_address &&
          local.end_address <= remote.end_address &&
          (remote.start_address != local.start_address || remote.end_address != local.end_address) &&
          local.start_address <= p.destination && p.destination <= local.end_address;
      const Way way = route_of(made, p);
      const std::string words = fmt::format("{} -> {}: {}", p.source, p.destination, entry->name());
      RC_LOG() << words << "\n";
      if (is_protect && !stays_inside) {
        RC_ASSERT(way == Way::kTun);
        RC_ASSERT(guard_drops(made, p));
      } else {
        RC_ASSERT(way == Way::kMain);
        RC_ASSERT(!guard_drops(made, p));
      }
    }
  }));
}

}  // namespace
}  // namespace merlon::daemon
