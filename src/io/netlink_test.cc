#include "io/netlink.h"

#include "io/kernel_settings.h"
#include "io/test_namespace.h"
#include "io/tun.h"

namespace merlon::io {
namespace {

using test::ip;
using test::net;
using test::shell;

// Text of a shell command's output, in the calling thread's namespace.
std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "re");
  char buffer[4096];
  while (pipe != nullptr && fgets(buffer, sizeof buffer, pipe) != nullptr) out += buffer;
  if (pipe != nullptr) pclose(pipe);
  return out;
}

class NetlinkTest : public test::NamespaceTest {};

TEST_F(NetlinkTest, ListsAndSetsLinks) {
  in_namespace([] {
    shell("ip link add v0 mtu 1400 type veth peer name v1");
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink) << netlink.error().message;
    const auto links = netlink->links();
    ASSERT_TRUE(links) << links.error().message;
    ASSERT_EQ(links->size(), 3U);
    const auto v0 = netlink->link("v0");
    ASSERT_TRUE(v0) << v0.error().message;
    EXPECT_EQ(v0->kind, "veth");
    EXPECT_EQ(v0->mtu, 1400U);
    EXPECT_FALSE(v0->up);
    const auto lo = netlink->link(1);
    ASSERT_TRUE(lo);
    EXPECT_TRUE(lo->loopback && lo->up && lo->running);
    ASSERT_TRUE(netlink->set_link_mtu(v0->index, 1300));
    ASSERT_TRUE(netlink->set_link_up(v0->index, true));
    EXPECT_TRUE(netlink->link("v0")->up);
    EXPECT_EQ(*link_mtu("v0"), 1300U);
    EXPECT_EQ(netlink->link("v9").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(netlink->link(4711).error().code, ErrorCode::kNotFound);
    const auto refused = netlink->set_link_mtu(v0->index, 10'000'000);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("mtu greater than device maximum"), std::string::npos)
        << refused.error().message;
  });
}

TEST_F(NetlinkTest, AddsAndRemovesAddresses) {
  in_namespace([] {
    auto tun = Tun::open({.name = "t0"});
    ASSERT_TRUE(tun) << tun.error().message;
    ASSERT_TRUE(disable_ipv6_autoconfiguration("t0"));
    ASSERT_TRUE(tun->set_up(true));
    auto netlink = Netlink::open();
    for (const char* text : {"10.9.0.1", "fd00::1"}) {
      const IpAddress address = ip(text);
      ASSERT_TRUE(netlink->add_address(tun->index(), address, address.bit_width()));
      EXPECT_TRUE(netlink->add_address(tun->index(), address, address.bit_width()))
          << "a second time is fine";
    }
    const auto present = netlink->addresses(tun->index());
    ASSERT_TRUE(present);
    ASSERT_EQ(present->size(), 2U) << "no address of the kernel's own";
    EXPECT_EQ((*present)[0].address, ip("10.9.0.1"));
    EXPECT_EQ((*present)[0].prefix_length, 32U);
    EXPECT_EQ((*present)[1].address, ip("fd00::1"));
    EXPECT_FALSE((*present)[1].tentative);
    EXPECT_TRUE(netlink->remove_address(tun->index(), ip("fd00::1"), 128));
    EXPECT_EQ(netlink->remove_address(tun->index(), ip("fd00::1"), 128).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(netlink->addresses(tun->index())->size(), 1U);
  });
}

std::vector<Route> routes_over(int link_index) {
  return {
      {.destination = net("10.2.0.0/16"),
       .table = 7777,
       .metric = 10,
       .link_index = link_index,
       .preferred_source = ip("10.1.0.1"),
       .mtu = 1390,
       .advertised_mss = 1350},
      {.destination = net("10.2.0.0/16"), .table = 7777, .metric = 1000, .type = RouteType::kBlackhole},
      {.destination = net("fd02::/64"), .table = 7777, .metric = 10, .link_index = link_index, .mtu = 1390},
      {.destination = net("fd02::/64"), .table = 7777, .metric = 1000, .type = RouteType::kBlackhole},
      {.destination = net("0.0.0.0/0"), .table = 7777, .metric = 0, .type = RouteType::kUnreachable},
      {.destination = net("::/0"), .table = 200, .metric = 0, .link_index = link_index},
      {.destination = net("192.0.2.0/24"), .table = 200, .gateway = ip("10.1.0.254")},
  };
}

void add_inside_link() {
  shell(
      "ip link add v0 type veth peer name v1; ip addr add 10.1.0.1/24 dev v0; ip link set v0 up; ip link set "
      "v1 up");
}

TEST_F(NetlinkTest, RoutesReconcileFromAnythingAndLeaveNothing) {
  in_namespace([] {
    add_inside_link();
    auto tun = Tun::open({.name = "t0"});
    ASSERT_TRUE(tun->set_up(true));
    auto netlink = Netlink::open();
    const auto wanted = routes_over(tun->index());
    // What a killed daemon left, and what is none of our business.
    ASSERT_TRUE(netlink->add_route(
        {.destination = net("172.16.0.0/12"), .table = 7777, .metric = 1000, .type = RouteType::kBlackhole}));
    ASSERT_TRUE(netlink->add_route(wanted[1]));
    shell("ip route add 198.51.100.0/24 dev v0; ip route add blackhole 10.77.0.0/16 table 7777 proto static");
    const auto first = netlink->reconcile_routes(wanted);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->added, wanted.size() - 1);
    EXPECT_EQ(first->kept, 1U);
    EXPECT_EQ(first->removed, 1U);
    EXPECT_EQ(netlink->routes()->size(), wanted.size());
    const auto again = netlink->reconcile_routes(wanted);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->kept, wanted.size()) << output_of("ip route show table all; ip -6 route show table all");
    EXPECT_EQ(again->added + again->removed, 0U);
    const std::string shown = output_of("ip route show table 7777");
    EXPECT_NE(
        shown.find("10.2.0.0/16 dev t0 proto 77 scope link src 10.1.0.1 metric 10 mtu 1390 advmss 1350"),
        std::string::npos)
        << shown;
    EXPECT_NE(shown.find("blackhole 10.2.0.0/16 proto 77 metric 1000"), std::string::npos) << shown;
    // A changed attribute replaces the route in place.
    auto changed = wanted;
    changed[0].mtu = 1280;
    changed[2].mtu = 1280;
    const auto third = netlink->reconcile_routes(changed);
    ASSERT_TRUE(third);
    EXPECT_EQ(third->added, 2U);
    EXPECT_EQ(third->removed, 0U) << output_of("ip -6 route show table 7777");
    const auto last = netlink->reconcile_routes({});
    ASSERT_TRUE(last) << last.error().message;
    EXPECT_EQ(last->removed, wanted.size());
    EXPECT_TRUE(netlink->routes()->empty());
    EXPECT_NE(output_of("ip route show table 7777").find("blackhole 10.77.0.0/16"), std::string::npos);
    EXPECT_NE(output_of("ip route").find("198.51.100.0/24"), std::string::npos);
  });
}

TEST_F(NetlinkTest, AddReplaceAndRemoveRoute) {
  in_namespace([] {
    add_inside_link();
    auto netlink = Netlink::open();
    const Route route{.destination = net("10.2.0.0/16"), .metric = 5, .type = RouteType::kBlackhole};
    ASSERT_TRUE(netlink->add_route(route));
    EXPECT_EQ(netlink->add_route(route).error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(netlink->replace_route(route));
    EXPECT_TRUE(netlink->remove_route(route));
    EXPECT_EQ(netlink->remove_route(route).error().code, ErrorCode::kNotFound);
    const auto unreachable =
        netlink->add_route({.destination = net("10.3.0.0/16"), .gateway = ip("203.0.113.1")});
    ASSERT_FALSE(unreachable);
    EXPECT_NE(unreachable.error().message.find("Nexthop has invalid gateway"), std::string::npos)
        << "the kernel's own explanation is passed on: " << unreachable.error().message;
  });
}

TEST_F(NetlinkTest, RulesReconcile) {
  in_namespace([] {
    auto netlink = Netlink::open();
    std::vector<Rule> wanted = {
        {.priority = 5000, .table = 7777, .invert = true, .mark = 0x4d00, .mask = 0xff00},
        {.family = IpFamily::kIpv6,
         .priority = 5000,
         .table = 7777,
         .invert = true,
         .mark = 0x4d00,
         .mask = 0xff00},
        {.priority = 4000,
         .table = kMainTable,
         .from = net("10.1.0.0/16"),
         .to = net("192.0.2.0/24"),
         .ip_protocol = 6,
         .destination_ports = RulePorts{22, 22}},
        {.priority = 4001, .table = kMainTable, .ip_protocol = 17, .source_ports = RulePorts{1000, 2000}},
        {.priority = 4002, .action = RuleAction::kUnreachable, .to = net("203.0.113.0/24")},
        {.priority = 4999, .table = kMainTable, .suppress_prefix_length = 0},
        {.family = IpFamily::kIpv6,
         .priority = 4003,
         .table = kMainTable,
         .to = net("fe80::/10"),
         .input_device = "lo"},
    };
    ASSERT_TRUE(netlink->add_rule({.priority = 1, .table = 9}));  // left by a killed daemon
    const auto first = netlink->reconcile_rules(wanted);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->added, wanted.size());
    EXPECT_EQ(first->removed, 1U);
    const auto again = netlink->reconcile_rules(wanted);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->kept, wanted.size()) << output_of("ip rule; ip -6 rule");
    EXPECT_EQ(again->added + again->removed, 0U);
    const std::string shown = output_of("ip rule");
    EXPECT_NE(shown.find("5000:\tnot from all fwmark 0x4d00/0xff00 lookup 7777 proto 77"), std::string::npos)
        << shown;
    EXPECT_NE(shown.find("from 10.1.0.0/16 to 192.0.2.0/24 ipproto tcp dport 22 lookup main"),
              std::string::npos)
        << shown;
    EXPECT_NE(shown.find("4999:\tfrom all lookup main suppress_prefixlength 0 proto 77"), std::string::npos)
        << shown;
    EXPECT_TRUE(netlink->add_rule(wanted[0])) << "a second time is fine";
    ASSERT_TRUE(netlink->remove_rule(wanted[0]));
    EXPECT_EQ(netlink->remove_rule(wanted[0]).error().code, ErrorCode::kNotFound);
    ASSERT_TRUE(netlink->reconcile_rules({}));
    EXPECT_TRUE(netlink->rules()->empty());
    EXPECT_EQ(netlink->rules(std::nullopt)->size(), 5U)
        << "the kernel's own: local, main, default; IPv6 has no default";
  });
}

TEST_F(NetlinkTest, LooksUpRoutesAsTheMarkSays) {
  in_namespace([] {
    add_inside_link();
    shell(
        "ip route add default via 10.1.0.254; ip -6 addr add 2001:db8::1/64 dev v0 nodad; ip -6 route add "
        "default via 2001:db8::ff mtu 1400");
    auto tun = Tun::open({.name = "t0"});
    ASSERT_TRUE(tun->set_up(true));
    ASSERT_TRUE(tun->set_mtu(1380));
    auto netlink = Netlink::open();
    const int v0 = netlink->link("v0")->index;
    // 0.0.0.0/0 is protected; marked packets stay out of the table.
    ASSERT_TRUE(
        netlink->add_route({.destination = net("0.0.0.0/0"), .table = 7777, .link_index = tun->index()}));
    ASSERT_TRUE(netlink->add_route(
        {.destination = net("10.66.0.0/16"), .table = 7777, .type = RouteType::kBlackhole}));
    ASSERT_TRUE(netlink->add_rule({.priority = 5000, .table = 7777, .invert = true, .mark = 0x4d}));
    const auto inner = netlink->lookup_route({.destination = ip("198.51.100.7")});
    ASSERT_TRUE(inner) << inner.error().message;
    EXPECT_EQ(inner->link_index, tun->index());
    EXPECT_EQ(inner->mtu, 1380U);
    EXPECT_EQ(inner->table, 7777U);
    const auto outer = netlink->lookup_route({.destination = ip("198.51.100.7"), .mark = 0x4d});
    ASSERT_TRUE(outer) << outer.error().message;
    EXPECT_EQ(outer->link_index, v0);
    EXPECT_EQ(outer->source, ip("10.1.0.1"));
    EXPECT_EQ(outer->gateway, ip("10.1.0.254"));
    EXPECT_EQ(outer->mtu, 1500U);
    EXPECT_EQ(outer->table, kMainTable);
    const auto blackhole = netlink->lookup_route({.destination = ip("10.66.0.1")});
    ASSERT_FALSE(blackhole);
    EXPECT_EQ(blackhole.error().code, ErrorCode::kNotFound) << blackhole.error().message;
    const auto local = netlink->lookup_route({.destination = ip("10.1.0.1"), .mark = 0x4d});
    ASSERT_TRUE(local);
    EXPECT_EQ(local->type, RouteType::kLocal);
    const auto six = netlink->lookup_route({.destination = ip("2001:db8:1::1"), .mark = 0x4d});
    ASSERT_TRUE(six) << six.error().message;
    EXPECT_EQ(six->source, ip("2001:db8::1"));
    EXPECT_EQ(six->mtu, 1400U);
    ASSERT_TRUE(netlink->add_route({.destination = net("2001:db8:66::/48"), .type = RouteType::kBlackhole}));
    EXPECT_EQ(netlink->lookup_route({.destination = ip("2001:db8:66::1"), .mark = 0x4d}).error().code,
              ErrorCode::kNotFound);
    shell("ip -6 route del default; ip route del default");
    EXPECT_EQ(netlink->lookup_route({.destination = ip("2001:db8:1::1"), .mark = 0x4d}).error().code,
              ErrorCode::kNotFound);
    EXPECT_EQ(netlink->lookup_route({.destination = ip("198.51.100.7"), .mark = 0x4d}).error().code,
              ErrorCode::kNotFound);
  });
}

TEST_F(NetlinkTest, MonitorTellsChangesButNotOurOwnRoutes) {
  in_namespace([] {
    auto monitor = NetlinkMonitor::open();
    ASSERT_TRUE(monitor) << monitor.error().message;
    EXPECT_TRUE(monitor->read_changes()->changes.empty());
    add_inside_link();
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink->add_route({.destination = net("10.5.0.0/16"), .type = RouteType::kBlackhole}));
    shell("ip route add 10.6.0.0/16 dev v0; ip addr del 10.1.0.1/24 dev v0; ip link del v0");
    ASSERT_TRUE(test::wait_for(monitor->fd()));
    const auto seen = monitor->read_changes();
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_FALSE(seen->resync);
    const auto count = [&seen](auto wanted) {
      return std::count_if(seen->changes.begin(), seen->changes.end(), wanted);
    };
    using Kind = NetlinkChange::Kind;
    EXPECT_EQ(count([](const NetlinkChange& c) {
                return c.kind == Kind::kAddressAdded && c.address->address == ip("10.1.0.1");
              }),
              1);
    EXPECT_EQ(count([](const NetlinkChange& c) {
                return c.kind == Kind::kAddressRemoved && c.address->address == ip("10.1.0.1");
              }),
              1);
    EXPECT_EQ(
        count([](const NetlinkChange& c) { return c.kind == Kind::kLinkRemoved && c.link->name == "v0"; }),
        1);
    EXPECT_EQ(count([](const NetlinkChange& c) {
                return c.kind == Kind::kRouteAdded && c.route->destination == net("10.6.0.0/16");
              }),
              1);
    EXPECT_EQ(
        count([](const NetlinkChange& c) { return c.route && c.route->destination == net("10.5.0.0/16"); }),
        0);
  });
}

TEST_F(NetlinkTest, MonitorTellsWhenOursIsRemoved) {
  in_namespace([] {
    auto monitor = NetlinkMonitor::open();
    ASSERT_TRUE(monitor) << monitor.error().message;
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink->add_route({.destination = net("10.5.0.0/16"), .type = RouteType::kBlackhole}));
    shell("ip rule add to 10.5.0.0/16 lookup 77");
    EXPECT_TRUE(monitor->read_changes()->changes.empty()) << "that we add something is no news";
    shell("ip route flush root 10.5.0.0/16; ip rule del to 10.5.0.0/16 lookup 77");
    ASSERT_TRUE(test::wait_for(monitor->fd()));
    const auto seen = monitor->read_changes();
    ASSERT_TRUE(seen) << seen.error().message;
    using Kind = NetlinkChange::Kind;
    ASSERT_EQ(seen->changes.size(), 2U);
    EXPECT_EQ(seen->changes[0].kind, Kind::kOwnRouteRemoved);
    EXPECT_EQ(seen->changes[0].route->destination, net("10.5.0.0/16"));
    EXPECT_EQ(seen->changes[1].kind, Kind::kRuleRemoved);
  });
}

TEST_F(NetlinkTest, MonitorSaysWhenItLostSome) {
  in_namespace([] {
    add_inside_link();
    auto monitor = NetlinkMonitor::open();
    ASSERT_TRUE(monitor);
    shell(
        "for i in $(seq 0 99); do for j in $(seq 0 99); do echo route add 172.16.$i.$j/32 dev v0; done; done "
        "| ip -batch -");
    const auto seen = monitor->read_changes();
    ASSERT_TRUE(seen);
    EXPECT_TRUE(seen->resync || seen->changes.size() == 10'000);
    EXPECT_TRUE(monitor->read_changes()->changes.empty()) << "it goes on afterwards";
  });
}

TEST_F(NetlinkTest, KernelSettingsOfTheOwnNamespace) {
  in_namespace([] {
    auto tun = Tun::open({.name = "t0.5"});  // a dot in the name
    ASSERT_TRUE(tun) << tun.error().message;
    ASSERT_TRUE(set_reverse_path_filter("t0.5", ReversePathFilter::kStrict));
    EXPECT_EQ(*reverse_path_filter("t0.5"), ReversePathFilter::kStrict);
    ASSERT_TRUE(write_sysctl("net.ipv4.conf.all.rp_filter", "2"));
    EXPECT_EQ(*reverse_path_filter("t0.5"), ReversePathFilter::kLoose);
    EXPECT_EQ(*forwards(IpFamily::kIpv4), false);
    ASSERT_TRUE(write_sysctl("net.ipv4.ip_forward", "1"));
    EXPECT_EQ(*forwards(IpFamily::kIpv4), true);
    EXPECT_EQ(*ipv6_disabled("t0.5"), false);
    ASSERT_TRUE(set_ipv6_disabled("t0.5", true));
    EXPECT_EQ(*ipv6_disabled("t0.5"), true);
  });
}

}  // namespace
}  // namespace merlon::io
