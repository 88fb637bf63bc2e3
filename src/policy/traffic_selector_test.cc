#include "policy/traffic_selector.h"

#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::any_packet_now;
using test::any_selector_now;
using test::any_selectors_now;
using test::icmp;
using test::ip;
using test::one;
using test::packet;
using test::ts;

std::string error_of(std::string_view text) {
  const auto parsed = parse_traffic_selectors(text);
  EXPECT_FALSE(parsed.has_value()) << text;
  return parsed ? "" : parsed.error().message;
}

TEST(TrafficSelectorText, Reads) {
  TrafficSelector expected;
  expected.start_address = ip("10.1.0.0");
  expected.end_address = ip("10.1.255.255");
  EXPECT_EQ(one("10.1.0.0/16"), expected);
  expected.protocol = 6;
  expected.start_port = expected.end_port = 443;
  EXPECT_EQ(one("10.1.0.0/16[tcp/443]"), expected);
  EXPECT_EQ(one(" 10.1.0.0/16 [ tcp / 443 ] "), expected);
  EXPECT_EQ(one("10.1.0.0/16[6/443]"), expected);
  expected.start_port = 1000;
  expected.end_port = 2000;
  EXPECT_EQ(one("10.1.0.0-10.1.255.255[tcp/1000-2000]"), expected);

  EXPECT_EQ(one("10.1.0.5-10.1.0.9").start_address, ip("10.1.0.5"));
  EXPECT_EQ(one("10.1.0.5-10.1.0.9").end_address, ip("10.1.0.9"));
  EXPECT_EQ(one("2001:db8::/32").end_address, ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
  EXPECT_EQ(one("2001:db8::5"), one("2001:db8::5/128"));
  EXPECT_EQ(one("2001:db8::1-2001:db8::7[udp/53]").protocol, 17);
}

// RFC 7296 3.13.1: the type is in the upper eight bits, the code in the lower eight.
TEST(TrafficSelectorText, ReadsIcmp) {
  const TrafficSelector type = one("0.0.0.0/0[icmp/8]");
  EXPECT_EQ(type.start_port, 8 * 256);
  EXPECT_EQ(type.end_port, 8 * 256 + 255);
  const TrafficSelector code = one("[icmp/3/4]");
  EXPECT_EQ(code.start_port, 3 * 256 + 4);
  EXPECT_EQ(code.end_port, 3 * 256 + 4);
  EXPECT_EQ(code.start_address, ip("0.0.0.0"));
  const TrafficSelector v6 = one("[icmpv6/128]");
  EXPECT_EQ(v6.protocol, 58);
  EXPECT_EQ(v6.start_address, ip("::"));
  EXPECT_EQ(one("10.0.0.0/8[icmp/3-5]").start_port, 3 * 256);
  EXPECT_EQ(one("10.0.0.0/8[icmp/3-5]").end_port, 5 * 256 + 255);
}

TEST(TrafficSelectorText, WithoutAddressesMeansBothFamilies) {
  const TrafficSelectors both = ts({"[udp/1000-2000]"});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0], one("0.0.0.0/0[udp/1000-2000]"));
  EXPECT_EQ(both[1], one("::/0[udp/1000-2000]"));
  EXPECT_FALSE(parse_traffic_selector("[tcp]").has_value());
  EXPECT_EQ(ts({"any"}), ts({"0.0.0.0/0", "::/0"}));
}

TEST(TrafficSelectorText, Opaque) {
  EXPECT_TRUE(one("10.0.0.0/8[tcp/opaque]").is_opaque_port());
  EXPECT_TRUE(one("10.0.0.0/8[tcp/any]").is_any_port());
  EXPECT_EQ(to_text(one("10.0.0.0/8[tcp/opaque]")), "10.0.0.0/8[tcp/opaque]");
}

TEST(TrafficSelectorText, ErrorsSayWhatIsWrong) {
  EXPECT_NE(error_of("10.1.0.0/16[tpc/443]").find("did you mean 'tcp'"), std::string::npos)
      << error_of("10.1.0.0/16[tpc/443]");
  EXPECT_NE(error_of("10.1.0.1/16").find("10.1.0.0/16"), std::string::npos);
  EXPECT_NE(error_of("10.1.0.0/16[tcp/443").find("']'"), std::string::npos);
  EXPECT_NE(error_of("10.1.0.9-10.1.0.5").find("ends before it starts"), std::string::npos);
  EXPECT_NE(error_of("10.1.0.9-::1").find("IPv6"), std::string::npos);
  EXPECT_NE(error_of("10.0.0.0/8[gre/1]").find("neither ports nor types"), std::string::npos);
  EXPECT_NE(error_of("2001:db8::/32[icmp]").find("icmpv6"), std::string::npos);
  EXPECT_NE(error_of("10.0.0.0/8[icmpv6]").find("IPv6"), std::string::npos);
  for (const char* text :
       {"", " ", "10.0.0.0/8[]", "10.0.0.0/8[tcp/]", "10.0.0.0/8[tcp/70000]", "10.0.0.0/8[tcp/90-80]", "[",
        "]", "[[tcp]]", "10.0.0.0/33", "10.0.0.0/8[0]", "10.0.0.0/8[256]", "10.0.0.0/8[icmp/256]",
        "10.0.0.0/8[icmp/8/256]", "10.0.0.0/8[tcp/80/90]", "-", "10.0.0.0/8]", "gw.example.com"})
    EXPECT_FALSE(parse_traffic_selectors(text).has_value()) << text;
}

TEST(TrafficSelectorText, RoundTrips) {
  EXPECT_TRUE(rc::check("parse(to_text(x)) == x", [] {
    TrafficSelector selector = any_selector_now();
    const bool v4 = selector.start_address.is_v4();
    if ((selector.protocol == 1 && !v4) || (selector.protocol == 58 && v4)) selector.protocol = v4 ? 1 : 58;
    if (selector.protocol == 47 && !selector.is_opaque_port()) {
      selector.start_port = 0;
      selector.end_port = 65535;
    }
    const auto parsed = parse_traffic_selectors(to_text(selector));
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == TrafficSelectors{selector});
  }));
  EXPECT_EQ(to_text(ts({"10.1.0.0/16", "10.2.0.1"}), ts({"10.3.0.0-10.3.0.5[udp/53]"})),
            "10.1.0.0/16, 10.2.0.1/32 === 10.3.0.0-10.3.0.5[udp/53]");
  EXPECT_EQ(to_text(SelectorView{}), "nothing");
}

TEST(TrafficSelectorText, AnyBytesNeverCrash) {
  EXPECT_TRUE(rc::check("random text", [](const std::string& text) { (void)parse_traffic_selectors(text); }));
  EXPECT_TRUE(rc::check("nearly right text", [] {
    std::string text;
    const int parts = *rc::gen::inRange(0, 8);
    for (int i = 0; i < parts; ++i)
      text += *rc::gen::element<std::string>("10.0.0.0", "/", "[", "]", "-", "tcp", "icmp", "8",
                                             "::", "65535", "opaque");
    (void)parse_traffic_selectors(text);
  }));
}

TEST(TrafficSelectorMatch, PortsOnTheirSides) {
  const auto web = packet("10.1.0.5", "10.2.0.7", IpProtocol::kTcp, 40000, 443);
  EXPECT_TRUE(matches(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16[tcp/443]"}), web, Direction::kOutbound));
  EXPECT_FALSE(matches(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16[tcp/80]"}), web, Direction::kOutbound));
  EXPECT_FALSE(matches(ts({"10.1.0.0/16[tcp/443]"}), ts({"10.2.0.0/16"}), web, Direction::kOutbound));
  EXPECT_FALSE(matches(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16[udp/443]"}), web, Direction::kOutbound));
  EXPECT_FALSE(matches(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), web, Direction::kInbound));
  const auto reply = packet("10.2.0.7", "10.1.0.5", IpProtocol::kTcp, 443, 40000);
  EXPECT_TRUE(matches(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16[tcp/443]"}), reply, Direction::kInbound));
  EXPECT_FALSE(matches(ts({"::/0"}), ts({"::/0"}), reply, Direction::kInbound));
}

// RFC 4301 4.4.1.1: a fragment that shows no ports matches ANY and OPAQUE only.
TEST(TrafficSelectorMatch, Opaque) {
  auto fragment = packet("10.1.0.5", "10.2.0.7", IpProtocol::kTcp);
  fragment.upper = wire::UpperFields::kOpaque;
  EXPECT_TRUE(matches(one("10.1.0.0/16"), fragment, PacketSide::kSource));
  EXPECT_TRUE(matches(one("10.1.0.0/16[tcp]"), fragment, PacketSide::kSource));
  EXPECT_TRUE(matches(one("10.1.0.0/16[tcp/opaque]"), fragment, PacketSide::kSource));
  EXPECT_FALSE(matches(one("10.1.0.0/16[tcp/0-65534]"), fragment, PacketSide::kSource));
  EXPECT_FALSE(matches(one("10.1.0.0/16[udp]"), fragment, PacketSide::kSource));
  const auto whole = packet("10.1.0.5", "10.2.0.7", IpProtocol::kTcp, 65535, 0);
  EXPECT_FALSE(matches(one("10.1.0.0/16[tcp/opaque]"), whole, PacketSide::kSource));
  EXPECT_FALSE(matches(one("10.2.0.0/16[tcp/opaque]"), whole, PacketSide::kDestination));

  auto hidden = packet("2001:db8::1", "2001:db8::2", IpProtocol::kFragment);
  hidden.is_protocol_opaque = true;
  hidden.upper = wire::UpperFields::kOpaque;
  EXPECT_TRUE(matches(one("2001:db8::/32"), hidden, PacketSide::kSource));
  EXPECT_FALSE(matches(one("2001:db8::/32[tcp]"), hidden, PacketSide::kSource));
}

// RFC 4301 4.4.1.3's example: behind us, traceroutes (type 30) may go out and must not come in.
TEST(TrafficSelectorMatch, IcmpTypeStandsOnTheSendersSide) {
  const auto local = ts({"10.1.0.0/16[icmp/30]"});
  const auto remote = ts({"10.2.0.0/16[icmp/opaque]"});
  EXPECT_TRUE(matches(local, remote, icmp("10.1.0.1", "10.2.0.1", 30), Direction::kOutbound));
  EXPECT_FALSE(matches(local, remote, icmp("10.2.0.1", "10.1.0.1", 30), Direction::kInbound));
  EXPECT_FALSE(matches(local, remote, icmp("10.1.0.1", "10.2.0.1", 8), Direction::kOutbound));
  // The type on both sides, as people write it.
  const auto echo_local = ts({"10.1.0.0/16[icmp/8]"});
  const auto echo_remote = ts({"10.2.0.0/16[icmp/8]"});
  EXPECT_TRUE(matches(echo_local, echo_remote, icmp("10.1.0.1", "10.2.0.1", 8, 3), Direction::kOutbound));
  EXPECT_TRUE(matches(echo_local, echo_remote, icmp("10.2.0.1", "10.1.0.1", 8), Direction::kInbound));
  EXPECT_FALSE(matches(echo_local, echo_remote, icmp("10.2.0.1", "10.1.0.1", 0), Direction::kInbound));
}

// RFC 4301 4.4.1.3: the mobility header's type is ours in both directions.
TEST(TrafficSelectorMatch, Mobility) {
  auto binding_update = packet("2001:db8::1", "2001:db8::2", IpProtocol::kMobility);
  binding_update.upper = wire::UpperFields::kMobility;
  binding_update.mobility_type = 5;
  const auto local = ts({"any[mh/5]"});
  const auto remote = ts({"any[mh/opaque]"});
  EXPECT_TRUE(matches(local, remote, binding_update, Direction::kOutbound));
  EXPECT_TRUE(matches(local, remote, binding_update, Direction::kInbound));
  binding_update.mobility_type = 6;
  EXPECT_FALSE(matches(local, remote, binding_update, Direction::kOutbound));
}

TEST(TrafficSelectorMatch, SelectorsOfAPacketMatchIt) {
  const auto [local, remote] =
      selectors_of_packet(packet("10.1.0.5", "10.2.0.7", IpProtocol::kUdp, 5000, 53), Direction::kOutbound);
  EXPECT_EQ(to_text(local), "10.1.0.5/32[udp/5000]");
  EXPECT_EQ(to_text(remote), "10.2.0.7/32[udp/53]");
  EXPECT_TRUE(rc::check("a packet lies in its own selectors", [] {
    const PacketSelectors one_packet = any_packet_now();
    for (const Direction direction : {Direction::kOutbound, Direction::kInbound}) {
      const auto [l, r] = selectors_of_packet(one_packet, direction);
      RC_ASSERT(matches(TrafficSelectors{l}, TrafficSelectors{r}, one_packet, direction));
    }
  }));
}

TEST(TrafficSelectorSets, IntersectsByHand) {
  EXPECT_EQ(to_text(intersect(ts({"10.0.0.0/8"}), ts({"10.1.0.0/16[tcp]", "192.168.0.0/16", "::/0"}))),
            "10.1.0.0/16[tcp]");
  EXPECT_EQ(to_text(intersect(ts({"10.1.0.0/24", "10.1.0.0/16"}), ts({"10.0.0.0/8"}))), "10.1.0.0/16");
  EXPECT_EQ(intersect(one("10.0.0.0/8[tcp/80-90]"), one("10.0.0.0/8[tcp/85-100]")),
            one("10.0.0.0/8[tcp/85-90]"));
  EXPECT_EQ(intersect(one("10.0.0.0/8[tcp]"), one("10.0.0.0/8[udp]")), std::nullopt);
  EXPECT_EQ(intersect(one("10.0.0.0/8"), one("10.0.0.0/8[udp/opaque]")), one("10.0.0.0/8[udp/opaque]"));
  EXPECT_EQ(intersect(one("10.0.0.0/8[udp/opaque]"), one("10.0.0.0/8[udp/1-65535]")), std::nullopt);
}

TEST(TrafficSelectorSets, ContainsAcrossSelectors) {
  EXPECT_TRUE(contains(ts({"10.0.0.0/9", "10.128.0.0/9"}), ts({"10.0.0.0/8"})));
  EXPECT_FALSE(contains(ts({"10.0.0.0/9", "10.128.0.0/10"}), ts({"10.0.0.0/8"})));
  // ANY holds packets without visible ports, two halves of the ports do not.
  EXPECT_FALSE(contains(ts({"10.0.0.0/8[tcp/0-99]", "10.0.0.0/8[tcp/100-65535]"}), ts({"10.0.0.0/8[tcp]"})));
  EXPECT_TRUE(contains(ts({"10.0.0.0/8[tcp/0-99]", "10.0.0.0/8[tcp/100-65535]", "10.0.0.0/8[tcp/opaque]"}),
                       ts({"10.0.0.0/8[tcp]"})));
  EXPECT_TRUE(contains(ts({"0.0.0.0/0", "::/0"}), ts({"2001:db8::/32", "10.0.0.0/8"})));
  EXPECT_TRUE(contains(ts({}), ts({})));
  EXPECT_FALSE(contains(ts({}), ts({"10.0.0.0/8"})));
}

TEST(TrafficSelectorSets, Normalises) {
  EXPECT_EQ(to_text(normalised(ts({"10.128.0.0/9", "10.0.0.0/9", "10.3.0.0/16"}))), "10.0.0.0/8");
  EXPECT_EQ(to_text(normalised(ts({"10.0.0.0/8[tcp/0-99]", "10.0.0.0/8[tcp/100-200]"}))),
            "10.0.0.0/8[tcp/0-200]");
  // The whole range would be ANY, which holds more.
  EXPECT_EQ(normalised(ts({"10.0.0.0/8[tcp/0-99]", "10.0.0.0/8[tcp/100-65535]"})).size(), 2U);
  EXPECT_EQ(to_text(normalised(ts({"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}))), "0.0.0.0/0, ::/0");
  EXPECT_EQ(to_text(without_redundant(ts({"10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/16"}))),
            "10.0.0.0/9, 10.128.0.0/9");
}

TEST(TrafficSelectorSets, EmptyOnesMatchNothing) {
  TrafficSelector backwards = one("10.0.0.0/8");
  std::swap(backwards.start_address, backwards.end_address);
  EXPECT_TRUE(is_empty(backwards));
  EXPECT_TRUE(contains(TrafficSelectors{}, TrafficSelectors{backwards}));
  EXPECT_TRUE(without_redundant(TrafficSelectors{backwards}).empty());
  EXPECT_FALSE(overlaps(backwards, one("10.0.0.0/8")));
  EXPECT_FALSE(to_text(backwards).empty());
  TrafficSelector ports = one("10.0.0.0/8[tcp/80]");
  ports.end_port = 79;
  EXPECT_TRUE(is_empty(ports));
  EXPECT_FALSE(matches(ports, packet("10.0.0.1", "10.0.0.2", IpProtocol::kTcp, 80, 80), PacketSide::kSource));
}

TEST(TrafficSelectorSets, IntersectionIsTheSetOfCommonPackets) {
  EXPECT_TRUE(rc::check("p in a and p in b == p in (a intersect b)", [] {
    const auto a = any_selectors_now(4);
    const auto b = any_selectors_now(4);
    const auto both = intersect(a, b);
    RC_ASSERT(same_set(both, intersect(b, a)));
    RC_ASSERT(contains(a, both) && contains(b, both));
    RC_ASSERT(same_set(intersect(a, a), a));
    for (int i = 0; i < 20; ++i) {
      const auto p = any_packet_now();
      for (const auto side : {PacketSide::kSource, PacketSide::kDestination}) {
        // On the receiver's side an ICMP packet matches both OPAQUE and its type, which share nothing as
        // sets.
        if (side == PacketSide::kDestination && p.upper == wire::UpperFields::kIcmp) continue;
        RC_ASSERT(matches_any(both, p, side) == (matches_any(a, p, side) && matches_any(b, p, side)));
      }
    }
  }));
}

TEST(TrafficSelectorSets, NormalisingKeepsTheSet) {
  EXPECT_TRUE(rc::check("same set, idempotent, no longer", [] {
    const auto a = any_selectors_now(8);
    const auto n = normalised(a);
    RC_ASSERT(same_set(a, n));
    RC_ASSERT(normalised(n) == n);
    RC_ASSERT(n.size() <= a.size());
    const auto w = without_redundant(a);
    RC_ASSERT(same_set(a, w));
    for (int i = 0; i < 20; ++i) {
      const auto p = any_packet_now();
      for (const auto side : {PacketSide::kSource, PacketSide::kDestination})
        RC_ASSERT(matches_any(a, p, side) == matches_any(n, p, side));
    }
  }));
}

TEST(TrafficSelectorSets, ContainmentAgreesWithPackets) {
  EXPECT_TRUE(rc::check("contains(a, b) and p in b => p in a", [] {
    const auto a = any_selectors_now(6);
    const auto b = any_selectors_now(2);
    RC_ASSERT(contains(a, a));
    const auto both = a.size() > 1 ? TrafficSelectors(a.begin() + 1, a.end()) : a;
    RC_ASSERT(contains(a, both));
    if (!contains(a, b)) return;
    for (int i = 0; i < 20; ++i) {
      const auto p = any_packet_now();
      if (matches_any(b, p, PacketSide::kSource)) RC_ASSERT(matches_any(a, p, PacketSide::kSource));
    }
  }));
}

// Address grids of tiny boxes against a big one: the cover check must end quickly either way.
TEST(TrafficSelectorSets, ContainmentIsBounded) {
  TrafficSelectors grid;
  for (std::uint32_t i = 0; i < 15; ++i) {
    for (std::uint32_t j = 0; j < 17; ++j) {
      TrafficSelector box = selector_for(IpAddress::v4(i * 100), IpAddress::v4(i * 100 + 99));
      box.protocol = 6;
      box.start_port = static_cast<std::uint16_t>(j * 10);
      box.end_port = static_cast<std::uint16_t>(j * 10 + 9);
      grid.push_back(box);
    }
  }
  TrafficSelector whole = selector_for(IpAddress::v4(0), IpAddress::v4(1499));
  whole.protocol = 6;
  whole.start_port = 0;
  whole.end_port = 169;
  EXPECT_TRUE(contains(grid, TrafficSelectors{whole}));
  whole.end_port = 170;
  EXPECT_FALSE(contains(grid, TrafficSelectors{whole}));
}

// Together they hold a range that none of them holds alone, whichever way it is cut.
TEST(Contains, WhatSeveralHoldTogether) {
  const auto both = [](const std::vector<std::string>& parts, const std::string& whole) {
    return contains(ts(parts), ts({whole}));
  };
  EXPECT_TRUE(both({"10.0.0.0/25", "10.0.0.128/25"}, "10.0.0.0/24"));
  EXPECT_TRUE(both({"10.0.0.64-10.0.0.127", "10.0.0.0-10.0.0.63", "10.0.0.128/25"}, "10.0.0.0/24"));
  EXPECT_FALSE(both({"10.0.0.64-10.0.0.127", "10.0.0.128/25"}, "10.0.0.0/24"));
  EXPECT_TRUE(both({"10.0.0.0/24[tcp/100-200]", "10.0.0.0/24[tcp/0-99]", "10.0.0.0/24[tcp/201-65535]"},
                   "10.0.0.0/24[tcp/50-300]"));
  EXPECT_FALSE(both({"10.0.0.0/24[tcp/100-200]", "10.0.0.0/24[tcp/201-65535]"}, "10.0.0.0/24[tcp/50-300]"));
  // A selector of any protocol holds every port of each; one of a protocol holds a slice.
  EXPECT_FALSE(both({"10.0.0.0/24[tcp]", "10.0.0.0/24[udp]"}, "10.0.0.0/24"));
  EXPECT_TRUE(both({"9.0.0.0-10.0.0.255[tcp]", "10.0.0.0/25", "10.0.0.128/25"}, "10.0.0.0/24"));
}

TEST(TrafficSelectorText, AProtocolWithoutAName) {
  EXPECT_EQ(to_text(one("10.1.0.0/16[99]")), "10.1.0.0/16[99]");
}

TEST(SelectorsOfPacket, OfAMobilityMessage) {
  auto message = packet("2001:db8:1::1", "2001:db8:2::1", static_cast<IpProtocol>(135));
  message.upper = wire::UpperFields::kMobility;
  message.mobility_type = 5;
  const auto [local, remote] = selectors_of_packet(message, Direction::kOutbound);
  EXPECT_EQ(local.start_port, 5 * 256);
  EXPECT_EQ(local.end_port, 5 * 256);
  EXPECT_EQ(remote.start_address, ip("2001:db8:2::1"));
}

}  // namespace
}  // namespace merlon::policy
