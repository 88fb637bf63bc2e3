#include "io/nft_guard.h"

#include <fmt/format.h>

#include <array>

#include "io/raw_esp_socket.h"
#include "io/test_namespace.h"
#include "io/udp_socket.h"

namespace merlon::io {
namespace {

using test::ip;
using test::Namespace;
using test::net;
using test::shell;
using Action = GuardEntry::Action;

AddressRange range(std::string_view prefix) {
  return AddressRange::of(net(prefix));
}

GuardEntry entry(Action action, std::string_view local, std::string_view remote) {
  return {.action = action, .local = range(local), .remote = range(remote)};
}

TEST(GuardRuleset, RefusesWhatCanNotBe) {
  GuardSpec spec{.entries = {entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16")}};
  EXPECT_EQ(NftGuard::ruleset(spec).error().code, ErrorCode::kInvalidArgument) << "no TUN device";
  spec.tun_devices = {"merlon0"};
  EXPECT_TRUE(NftGuard::ruleset(spec));
  for (const char* name : {"", "*", "a b", "a\"b", "a/b", "me*lon", "a-name-that-is-too-long", "x\n"}) {
    GuardSpec bad = spec;
    bad.tun_devices.emplace_back(name);
    EXPECT_FALSE(NftGuard::ruleset(bad)) << name;
  }
  spec.entries[0].remote = {ip("10.2.0.9"), ip("10.2.0.1")};
  EXPECT_FALSE(NftGuard::ruleset(spec));
  spec.entries[0].remote = range("fd00::/8");
  EXPECT_FALSE(NftGuard::ruleset(spec));
  spec.entries[0] = entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16");
  spec.entries[0].remote_ports = {80, 80};
  EXPECT_FALSE(NftGuard::ruleset(spec)) << "ports without a protocol";
  spec.entries[0].protocol = 47;
  EXPECT_FALSE(NftGuard::ruleset(spec)) << "GRE has no ports";
  spec.entries[0].protocol = 6;
  EXPECT_TRUE(NftGuard::ruleset(spec));
}

// The gateway is the test's own namespace. outside 203.0.113.2 (and 10.2.0.7: a forger) - gateway
// 203.0.113.1, 10.1.0.1 - inside 10.1.0.5.
struct Site {
  Site() {
    shell("ip link add wan type veth peer name out0 netns " + outside.path());
    shell("ip link add lan type veth peer name in0 netns " + inside.path());
    shell(
        "ip addr add 203.0.113.1/24 dev wan; ip -6 addr add 2001:db8::1/64 dev wan nodad; ip link set wan up;"
        "ip addr add 10.1.0.1/16 dev lan; ip -6 addr add fd01::1/64 dev lan nodad; ip link set lan up;"
        "ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8::2;"
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0");
    outside.sh(
        "ip addr add 203.0.113.2/24 dev out0; ip addr add 10.2.0.7/32 dev out0; ip link set out0 up;"
        "ip -6 addr add 2001:db8::2/64 dev out0 nodad; ip -6 addr add fd02::7/128 dev out0 nodad;"
        "ip route add 10.1.0.0/16 via 203.0.113.1; ip -6 route add fd01::/64 via 2001:db8::1");
    inside.sh(
        "ip addr add 10.1.0.5/16 dev in0; ip -6 addr add fd01::5/64 dev in0 nodad; ip link set in0 up;"
        "ip route add default via 10.1.0.1; ip -6 route add default via fd01::1");
    outside.run(test::links_settle);
    inside.run(test::links_settle);
    test::links_settle();
  }
  Namespace outside;
  Namespace inside;
};

UdpSocket udp(std::string_view any, std::uint16_t port, std::uint32_t mark = 0) {
  UdpSocketOptions options;
  options.local = {ip(any), port};
  options.mark = mark;
  options.path_mtu_mode = PathMtuMode::kDont;
  auto socket = UdpSocket::open(options);
  EXPECT_TRUE(socket) << socket.error().message;
  return std::move(*socket);
}

bool arrives(DatagramSocket& from, std::string_view source, DatagramSocket& to, std::string_view destination,
             std::size_t size = 10, int wait_ms = 20'000) {
  const Bytes payload(size, 7);
  const SendOutcome outcome =
      from.send({.payload = payload, .source = ip(source), .destination = {ip(destination), to.port()}});
  if (outcome != SendOutcome::kSent && outcome != SendOutcome::kRefusedByPolicy)
    ADD_FAILURE() << name(outcome);
  pollfd waiting{to.fd(), POLLIN, 0};
  if (poll(&waiting, 1, wait_ms) != 1) return false;
  Bytes buffer(65536);
  ReceivedDatagram slot{.buffer = buffer};
  return to.receive_burst({&slot, 1}).value_or(0) == 1 && slot.payload.size() == size;
}

bool is_lost(DatagramSocket& from, std::string_view source, DatagramSocket& to, std::string_view destination,
             std::size_t size = 10) {
  return !arrives(from, source, to, destination, size, 150);
}

// Sockets on every side, one per family.
struct Sockets {
  Sockets(Site& site, std::string_view any) {
    site.outside.run([&] { outside.emplace(udp(any, 7000)); });
    site.inside.run([&] { inside.emplace(udp(any, 7000)); });
    gateway.emplace(udp(any, 7000));
    gateway_ike.emplace(udp(any, 4500));
    marked.emplace(udp(any, 7001, 0x4d));
  }
  std::optional<UdpSocket> outside, inside, gateway, gateway_ike, marked;
};

class NftGuardTest : public test::NamespaceTest {};

GuardSpec spec_of(std::vector<GuardEntry> entries) {
  return {.entries = std::move(entries), .tun_devices = {"merlon0"}, .mark = 0x4d, .mask = 0xff};
}

TEST_F(NftGuardTest, DropsWhatIsProtectedInBothDirections) {
  in_namespace([] {
    Site site;
    struct Family {
      const char *any, *local, *remote, *inside, *gateway, *forger, *outside, *wan;
    };
    for (const Family& f : {Family{"0.0.0.0", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.5", "10.1.0.1",
                                   "10.2.0.7", "203.0.113.2", "203.0.113.1"},
                            Family{"::", "fd01::/64", "fd02::/64", "fd01::5", "fd01::1", "fd02::7",
                                   "2001:db8::2", "2001:db8::1"}}) {
      Sockets sockets(site, f.any);
      ASSERT_TRUE(NftGuard::remove());
      EXPECT_FALSE(*NftGuard::is_present());
      EXPECT_TRUE(arrives(*sockets.outside, f.forger, *sockets.inside, f.inside));
      EXPECT_TRUE(arrives(*sockets.inside, f.inside, *sockets.outside, f.forger));

      const auto applied = NftGuard::apply(spec_of({entry(Action::kProtect, f.local, f.remote)}));
      ASSERT_TRUE(applied) << applied.error().message;
      EXPECT_TRUE(*NftGuard::is_present());
      EXPECT_TRUE(is_lost(*sockets.outside, f.forger, *sockets.inside, f.inside)) << "forwarded, inbound";
      EXPECT_TRUE(is_lost(*sockets.outside, f.forger, *sockets.gateway, f.gateway))
          << "to the gateway itself";
      EXPECT_TRUE(is_lost(*sockets.inside, f.inside, *sockets.outside, f.forger)) << "forwarded, outbound";
      EXPECT_TRUE(is_lost(*sockets.gateway, f.gateway, *sockets.outside, f.forger))
          << "from the gateway itself";
      const auto counters = NftGuard::counters();
      ASSERT_TRUE(counters) << counters.error().message;
      EXPECT_EQ(counters->inbound_packets, 2U);
      EXPECT_EQ(counters->outbound_packets, 2U);
      EXPECT_GT(counters->inbound_bytes, 0U);

      EXPECT_TRUE(arrives(*sockets.outside, f.outside, *sockets.inside, f.inside)) << "not protected";
      EXPECT_TRUE(arrives(*sockets.inside, f.inside, *sockets.outside, f.outside)) << "not protected";
      EXPECT_TRUE(arrives(*sockets.inside, f.inside, *sockets.gateway, f.gateway));
      EXPECT_TRUE(arrives(*sockets.marked, f.gateway, *sockets.outside, f.forger)) << "an outer packet";

      // A second daemon takes over: the table is replaced, the counters go on.
      ASSERT_TRUE(NftGuard::apply(spec_of({entry(Action::kProtect, f.local, f.remote)})));
      EXPECT_EQ(NftGuard::counters()->inbound_packets, 2U);
    }
    ASSERT_TRUE(NftGuard::remove());
    EXPECT_TRUE(NftGuard::remove()) << "fine when there is none";
    EXPECT_EQ(NftGuard::counters().error().code, ErrorCode::kNotFound);
  });
}

TEST_F(NftGuardTest, HostToHostSelectorsLetTheOuterPacketsIn) {
  in_namespace([] {
    Site site;
    Sockets sockets(site, "0.0.0.0");
    ASSERT_TRUE(NftGuard::apply(spec_of({entry(Action::kProtect, "203.0.113.1/32", "203.0.113.2/32")})));
    EXPECT_TRUE(is_lost(*sockets.outside, "203.0.113.2", *sockets.gateway, "203.0.113.1"));
    EXPECT_TRUE(arrives(*sockets.outside, "203.0.113.2", *sockets.gateway_ike, "203.0.113.1"));
    RawEspSocketOptions options;
    auto ours = RawEspSocket::open(options);
    std::optional<RawEspSocket> theirs;
    site.outside.run([&] { theirs.emplace(std::move(*RawEspSocket::open(options))); });
    EXPECT_TRUE(arrives(*theirs, "203.0.113.2", *ours, "203.0.113.1"));
    // "Port unreachable" about an outer packet of ours comes in, though 203.0.113.2 is protected.
    auto marked = udp("0.0.0.0", 500, 0x4d);
    ASSERT_EQ(marked.send({.payload = as_bytes("hello"), .destination = {ip("203.0.113.2"), 500}}),
              SendOutcome::kSent);
    EXPECT_TRUE(test::wait_for(marked.fd(), POLLERR));
    // About anything else it does not.
    ASSERT_EQ(sockets.marked->send({.payload = as_bytes("hello"), .destination = {ip("203.0.113.2"), 999}}),
              SendOutcome::kSent);
    pollfd waiting{sockets.marked->fd(), POLLERR, 0};
    EXPECT_EQ(poll(&waiting, 1, 150), 0);
  });
}

TEST_F(NftGuardTest, OrderProtocolsPortsAndFragments) {
  in_namespace([] {
    Site site;
    Sockets sockets(site, "0.0.0.0");
    std::optional<UdpSocket> second;
    site.inside.run([&] { second.emplace(udp("0.0.0.0", 7002)); });
    GuardEntry bypass = entry(Action::kBypass, "10.1.0.5/32", "10.2.0.0/16");
    bypass.protocol = 17;
    bypass.local_ports = {7000, 7001};
    GuardEntry protect = entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16");
    protect.protocol = 17;
    protect.local_ports = {7000, 7002};
    ASSERT_TRUE(NftGuard::apply(spec_of({bypass, protect})));
    EXPECT_TRUE(arrives(*sockets.outside, "10.2.0.7", *sockets.inside, "10.1.0.5")) << "bypassed first";
    EXPECT_TRUE(is_lost(*sockets.outside, "10.2.0.7", *second, "10.1.0.5")) << "protected";
    EXPECT_TRUE(is_lost(*second, "10.1.0.5", *sockets.outside, "10.2.0.7")) << "protected by its source port";
    EXPECT_TRUE(is_lost(*sockets.outside, "10.2.0.7", *sockets.gateway, "10.1.0.1"))
        << "the bypass is for one host";
    // TCP, and UDP to other ports, is no business of these entries.
    std::optional<UdpSocket> third;
    site.inside.run([&] { third.emplace(udp("0.0.0.0", 7003)); });
    EXPECT_TRUE(arrives(*sockets.outside, "10.2.0.7", *third, "10.1.0.5"));
    // A fragment behind the first shows no ports: it does not pass, so the datagram does not.
    EXPECT_TRUE(is_lost(*sockets.outside, "10.2.0.7", *third, "10.1.0.5", 4000));
    EXPECT_GT(NftGuard::counters()->inbound_packets, 3U);
  });
}

TEST_F(NftGuardTest, Ipv6PortsAndFragments) {
  in_namespace([] {
    Site site;
    Sockets sockets(site, "::");
    GuardEntry protect = entry(Action::kProtect, "fd01::/64", "fd02::/64");
    protect.protocol = 17;
    protect.local_ports = {7002, 7002};
    GuardSpec spec = spec_of({protect});
    spec.tun_devices = {"merlon*"};
    ASSERT_TRUE(NftGuard::apply(spec));
    EXPECT_TRUE(arrives(*sockets.outside, "fd02::7", *sockets.inside, "fd01::5"));
    EXPECT_TRUE(is_lost(*sockets.outside, "fd02::7", *sockets.inside, "fd01::5", 4000))
        << "a fragment shows no ports";
    EXPECT_GT(NftGuard::counters()->inbound_packets, 0U);
    std::optional<UdpSocket> second;
    site.inside.run([&] { second.emplace(udp("::", 7002)); });
    EXPECT_TRUE(is_lost(*sockets.outside, "fd02::7", *second, "fd01::5"));
    // Dropped by name, whatever the wildcard's device: veth "wan" renamed as if it were ours passes.
    shell(
        "ip link set wan down; ip link set wan name merlon7; ip link set merlon7 up; ip -6 addr add "
        "2001:db8::1/64 dev merlon7 nodad;"
        "ip -6 route replace default via 2001:db8::2");
    EXPECT_TRUE(arrives(*sockets.outside, "fd02::7", *second, "fd01::5"));
  });
}

TEST_F(NftGuardTest, IcmpTypesAndInsideDevices) {
  in_namespace([] {
    Site site;
    const auto ping_from_outside = [&site] {
      int status = 0;
      site.outside.run(
          [&status] { status = std::system("ping -q -c1 -W1 -I 10.2.0.7 10.1.0.5 >/dev/null"); });
      return status == 0;
    };
    GuardEntry icmp = entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16");
    icmp.protocol = 1;
    icmp.remote_ports = {13 << 8, 13 << 8 | 255};  // timestamp requests from there
    ASSERT_TRUE(NftGuard::apply(spec_of({icmp})));
    EXPECT_TRUE(ping_from_outside());
    icmp.remote_ports = {8 << 8, 8 << 8 | 255};  // echo requests from there
    ASSERT_TRUE(NftGuard::apply(spec_of({icmp})));
    EXPECT_FALSE(ping_from_outside());
    EXPECT_EQ(NftGuard::counters()->inbound_packets, 1U);
    // Everything is protected: the inside network would be cut off from its gateway, were its device not
    // known as inside.
    GuardSpec all = spec_of({entry(Action::kProtect, "10.1.0.0/16", "0.0.0.0/0")});
    ASSERT_TRUE(NftGuard::apply(all));
    site.inside.run([] { EXPECT_NE(std::system("ping -q -c1 -W1 10.1.0.1 >/dev/null"), 0); });
    all.inside_devices = {"lan"};
    ASSERT_TRUE(NftGuard::apply(all));
    site.inside.run([] { EXPECT_EQ(std::system("ping -q -c1 -W1 10.1.0.1 >/dev/null"), 0); });
    site.inside.run([] { EXPECT_NE(std::system("ping -q -c1 -W1 203.0.113.2 >/dev/null"), 0); });
  });
}

TEST_F(NftGuardTest, ManyEntriesBecomeASet) {
  in_namespace([] {
    Site site;
    Sockets four(site, "0.0.0.0");
    Sockets six(site, "::");
    GuardSpec spec = spec_of({entry(Action::kBypass, "10.1.0.9/32", "10.2.0.0/24")});
    for (unsigned i = 0; i < 600; ++i) {
      spec.entries.push_back(
          {.local = range("10.1.0.0/16"),
           .remote = {IpAddress::v4(0x0a020000U + i * 64), IpAddress::v4(0x0a020000U + i * 64 + 62)}});
      spec.entries.push_back(entry(Action::kProtect, "fd01::/64", fmt::format("fd02:0:0:{:x}::/64", i)));
    }
    spec.entries.push_back(entry(Action::kProtect, "10.1.0.0/24", "10.2.0.0/18"));  // overlaps
    spec.entries.push_back(spec.entries[1]);                                        // twice the same
    spec.entries.push_back(entry(Action::kProtect, "10.1.0.0/16", "0.0.0.0/32"));
    const auto applied = NftGuard::apply(spec);
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_TRUE(is_lost(*four.outside, "10.2.0.7", *four.inside, "10.1.0.5"));
    EXPECT_TRUE(is_lost(*four.inside, "10.1.0.5", *four.outside, "10.2.0.7"));
    EXPECT_TRUE(is_lost(*six.outside, "fd02::7", *six.inside, "fd01::5"));
    EXPECT_TRUE(is_lost(*six.inside, "fd01::5", *six.outside, "fd02::7"));
    site.inside.sh("ip addr add 10.1.0.9/16 dev in0");
    EXPECT_TRUE(arrives(*four.outside, "10.2.0.7", *four.inside, "10.1.0.9")) << "bypassed before";
    EXPECT_TRUE(arrives(*four.outside, "203.0.113.2", *four.inside, "10.1.0.5"));
    EXPECT_EQ(NftGuard::counters()->inbound_packets, 2U);
    EXPECT_EQ(NftGuard::counters()->outbound_packets, 2U);
  });
}

TEST_F(NftGuardTest, RefusedTablesLeaveTheOldOneInPlace) {
  in_namespace([] {
    ASSERT_TRUE(NftGuard::apply(spec_of({entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16")})));
    GuardSpec bad = spec_of({entry(Action::kProtect, "10.1.0.0/16", "10.2.0.0/16")});
    bad.tun_devices = {"a/b"};
    EXPECT_FALSE(NftGuard::apply(bad));
    EXPECT_TRUE(*NftGuard::is_present());
  });
}

}  // namespace
}  // namespace merlon::io
