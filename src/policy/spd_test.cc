#include "policy/spd.h"

#include <memory>

#include "base/rng.h"
#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::any_packet_now;
using test::any_selectors_now;
using test::icmp;
using test::packet;
using test::ts;

ChildConfig child(const std::string& name, const std::vector<std::string>& local,
                  const std::vector<std::string>& remote, ChildAction action = ChildAction::kProtect,
                  std::uint32_t priority = 0) {
  ChildConfig out;
  out.name = name;
  out.action = action;
  out.local_ts = ts(local);
  out.remote_ts = ts(remote);
  out.priority = priority;
  return out;
}
ConnectionPtr connection(const std::string& name, std::vector<ChildConfig> children) {
  auto out = std::make_shared<Connection>();
  out->name = name;
  out->source = name + ".toml:1";
  out->children = std::move(children);
  return out;
}
std::string found(const Spd& spd, const PacketSelectors& packet, Direction direction) {
  const SpdEntry* entry = spd.find(packet, direction);
  EXPECT_EQ(entry, spd.find_by_scan(packet, direction));
  return entry == nullptr ? "nothing" : entry->name();
}

TEST(Spd, FirstMatchDecides) {
  const std::vector<ConnectionPtr> connections = {
      connection("office", {child("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"}),
                            child("web", {"10.1.0.0/16"}, {"0.0.0.0/0[tcp/443]"}, ChildAction::kDiscard)}),
      connection("(policy)", {child("ssh", {"10.1.0.0/16"}, {"10.2.0.0/16[tcp/22]"}, ChildAction::kBypass),
                              child("late", {"0.0.0.0/0"}, {"0.0.0.0/0"}, ChildAction::kBypass, 10)})};
  const Spd spd = build_spd(connections);
  ASSERT_EQ(spd.entries().size(), 4U);
  const auto out = Direction::kOutbound;
  EXPECT_EQ(found(spd, packet("10.1.0.1", "10.2.0.1", IpProtocol::kTcp, 1000, 80), out), "office.lan");
  // Bypass and discard are asked before protect of the same priority.
  EXPECT_EQ(found(spd, packet("10.1.0.1", "10.2.0.1", IpProtocol::kTcp, 1000, 443), out), "office.web");
  EXPECT_EQ(found(spd, packet("10.1.0.1", "10.2.0.1", IpProtocol::kTcp, 1000, 22), out), "(policy).ssh");
  EXPECT_EQ(found(spd, packet("10.1.0.1", "10.3.0.1", IpProtocol::kTcp, 1000, 80), out), "(policy).late");
  EXPECT_EQ(found(spd, packet("10.2.0.1", "10.1.0.1", IpProtocol::kTcp, 80, 1000), Direction::kInbound),
            "office.lan");
  EXPECT_EQ(found(spd, packet("2001:db8::1", "2001:db8::2", IpProtocol::kTcp, 80, 1000), out), "nothing");
  EXPECT_EQ(spd.find(packet("10.1.0.1", "10.2.0.1", IpProtocol::kTcp, 1000, 22), out)->action,
            ChildAction::kBypass);
}

TEST(Spd, EmptyAndMovable) {
  Spd spd;
  EXPECT_EQ(spd.find(packet("10.1.0.1", "10.2.0.1", IpProtocol::kUdp), Direction::kOutbound), nullptr);
  spd = build_spd(std::vector{connection("a", {child("x", {"10.1.0.0/16"}, {"10.2.0.0/16"})})});
  const Spd moved = std::move(spd);
  EXPECT_EQ(found(moved, packet("10.1.0.1", "10.2.0.1", IpProtocol::kUdp), Direction::kOutbound), "a.x");
  EXPECT_TRUE(build_spd({}).entries().empty());
}

TEST(Spd, RangesTypesAndFragments) {
  const Spd spd = build_spd(
      std::vector{connection("a", {child("range", {"10.1.0.5-10.1.0.9"}, {"2.0.0.0-2.255.255.254"}),
                                   child("ping", {"10.1.0.0/16[icmp/8]"}, {"10.2.0.0/16[icmp/8]"}),
                                   child("dns", {"10.1.0.0/16"}, {"10.2.0.0/16[udp/53]"}),
                                   child("six", {"2001:db8:1::/48"}, {"2001:db8:2::/48[tcp/1-1023]"})})});
  const auto out = Direction::kOutbound;
  EXPECT_EQ(found(spd, packet("10.1.0.9", "2.3.4.5", IpProtocol::kGre), out), "a.range");
  EXPECT_EQ(found(spd, packet("10.1.0.10", "2.3.4.5", IpProtocol::kGre), out), "nothing");
  EXPECT_EQ(found(spd, packet("10.1.0.9", "2.255.255.255", IpProtocol::kGre), out), "nothing");
  EXPECT_EQ(found(spd, icmp("10.1.0.1", "10.2.0.1", 8), out), "a.ping");
  EXPECT_EQ(found(spd, icmp("10.1.0.1", "10.2.0.1", 0), out), "nothing");
  EXPECT_EQ(found(spd, packet("2001:db8:1::5", "2001:db8:2::7", IpProtocol::kTcp, 5000, 443), out), "a.six");
  EXPECT_EQ(found(spd, packet("2001:db8:1::5", "2001:db8:2::7", IpProtocol::kTcp, 5000, 4430), out),
            "nothing");
  auto fragment = packet("10.1.0.1", "10.2.0.1", IpProtocol::kUdp, 0, 53);
  fragment.upper = wire::UpperFields::kOpaque;
  EXPECT_EQ(found(spd, fragment, out), "nothing");
}

TEST(Spd, FindsWhatAScanFinds) {
  EXPECT_TRUE(rc::check("index == linear scan", [] {
    std::vector<SpdEntry> entries(static_cast<std::size_t>(*rc::gen::inRange(0, 12)));
    for (SpdEntry& entry : entries) {
      entry.local_ts = any_selectors_now(3);
      entry.remote_ts = any_selectors_now(3);
    }
    const Spd spd(entries);
    for (int i = 0; i < 30; ++i) {
      const auto one = any_packet_now();
      for (const Direction direction : {Direction::kOutbound, Direction::kInbound})
        RC_ASSERT(spd.find(one, direction) == spd.find_by_scan(one, direction));
    }
    // An entry that is said to be unreachable is never found.
    (void)spd.warnings();
  }));
}

TEST(Spd, ManyRandomPoliciesAgainstAScan) {
  SeededRng rng(4711);
  std::vector<SpdEntry> entries(400);
  const auto prefix = [&](unsigned minimum) {
    const unsigned length = minimum + static_cast<unsigned>(rng.below(33 - minimum));
    return selector_for(
        IpPrefix{IpAddress::v4(0x0a000000U | static_cast<std::uint32_t>(rng.below(1U << 12U))).masked(length),
                 length});
  };
  for (SpdEntry& entry : entries) {
    entry.local_ts = {prefix(20)};
    entry.remote_ts = {prefix(20)};
    if (rng.below(2) == 0) {
      entry.local_ts[0].protocol = entry.remote_ts[0].protocol = 6;
      if (rng.below(2) == 0)
        entry.remote_ts[0].start_port = entry.remote_ts[0].end_port =
            static_cast<std::uint16_t>(rng.below(4));
      if (rng.below(3) == 0) entry.local_ts[0].end_port = static_cast<std::uint16_t>(rng.below(4));
    }
  }
  const Spd spd(entries);
  std::size_t hits = 0;
  for (int i = 0; i < 20000; ++i) {
    PacketSelectors one =
        packet("0.0.0.0", "0.0.0.0", rng.below(2) == 0 ? IpProtocol::kTcp : IpProtocol::kUdp,
               static_cast<std::uint16_t>(rng.below(4)), static_cast<std::uint16_t>(rng.below(4)));
    one.source = IpAddress::v4(0x0a000000U | static_cast<std::uint32_t>(rng.below(1U << 12U)));
    one.destination = IpAddress::v4(0x0a000000U | static_cast<std::uint32_t>(rng.below(1U << 12U)));
    for (const Direction direction : {Direction::kOutbound, Direction::kInbound}) {
      const SpdEntry* by_index = spd.find(one, direction);
      ASSERT_EQ(by_index, spd.find_by_scan(one, direction)) << i;
      hits += by_index != nullptr ? 1 : 0;
    }
  }
  EXPECT_GT(hits, 1000U);
}

Spd spd_of(std::uint32_t count) {
  std::vector<SpdEntry> entries(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    entries[i].local_ts = {selector_for(IpPrefix{IpAddress::v4(0x0a000000U), 16})};
    entries[i].remote_ts = {selector_for(IpPrefix{IpAddress::v4(0x14000000U + i * 256), 24})};
  }
  return Spd(std::move(entries));
}

// The work of a lookup is bounded by the number of shapes: it stays one hash table however many tunnels there
// are.
TEST(Spd, ShapesDoNotGrowWithEntries) {
  const Spd spd = spd_of(100000);
  EXPECT_EQ(spd.rule_count(), 100000U);
  EXPECT_EQ(spd.shape_count(), 1U);
  PacketSelectors one = packet("10.0.3.4", "0.0.0.0", IpProtocol::kUdp, 1, 2);
  for (std::uint32_t i = 0; i < 100000; i += 997) {
    one.destination = IpAddress::v4(0x14000000U + i * 256 + 7);
    ASSERT_EQ(spd.find_index(one, Direction::kOutbound), std::optional<std::size_t>(i));
  }
  EXPECT_TRUE(spd.warnings().empty());
}

TEST(SpdWarnings, ShadowedAndOverlapping) {
  const Spd spd = build_spd(std::vector{
      connection("internet", {child("all", {"10.1.0.0/16"}, {"0.0.0.0/0"})}),
      connection("office",
                 {child("lan", {"10.1.0.0/17", "10.1.128.0-10.1.128.9"}, {"10.2.0.0/16[tcp/80]"})})});
  const auto shadowed = spd.warnings();
  ASSERT_EQ(shadowed.size(), 1U);
  EXPECT_NE(shadowed[0].find("'office.lan'"), std::string::npos) << shadowed[0];
  EXPECT_NE(shadowed[0].find("'internet.all' (protect 10.1.0.0/16 === 0.0.0.0/0, internet.toml:1)"),
            std::string::npos)
      << shadowed[0];

  const Spd right_order =
      build_spd(std::vector{connection("office", {child("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"})}),
                            connection("internet", {child("all", {"10.1.0.0/16"}, {"0.0.0.0/0"})})});
  EXPECT_TRUE(right_order.warnings().empty());

  const Spd crossing =
      build_spd(std::vector{connection("a", {child("x", {"10.1.0.0/16"}, {"10.2.0.0/24"})}),
                            connection("b", {child("y", {"10.1.0.0/24"}, {"10.2.0.0/16"})})});
  ASSERT_EQ(crossing.warnings().size(), 1U);
  EXPECT_NE(crossing.warnings()[0].find("share packets"), std::string::npos);

  const Spd partly =
      build_spd(std::vector{connection("a", {child("x", {"10.1.0.0/16"}, {"10.2.0.0/24"})}),
                            connection("b", {child("y", {"10.1.0.0/16"}, {"10.2.0.0/24", "10.3.0.0/24"})})});
  EXPECT_TRUE(partly.warnings().empty());  // the first is an exception from the second
}

TEST(SpdWarnings, ShadowsByPortAndProtocol) {
  const auto warnings_of = [](const std::string& first, const std::string& second) {
    return build_spd(std::vector{connection("a", {child("x", {"10.1.0.0/16"}, {first})}),
                                 connection("b", {child("y", {"10.1.0.0/24"}, {second})})})
        .warnings()
        .size();
  };
  EXPECT_EQ(warnings_of("10.2.0.0/16[tcp/80]", "10.2.0.0/16[tcp/80]"), 1U);
  EXPECT_EQ(warnings_of("10.2.0.0/16[tcp]", "10.2.3.0/24[tcp/80]"), 1U);
  EXPECT_EQ(warnings_of("10.2.0.0/16[tcp/1-100]", "10.2.3.0/24[tcp/80-90]"), 1U);
  EXPECT_EQ(warnings_of("0.0.0.0/0", "10.2.3.0/24[icmp/8]"), 1U);
  EXPECT_EQ(warnings_of("10.2.0.0/16[tcp/80]", "10.2.0.0/16[tcp/81]"), 0U);
  EXPECT_EQ(warnings_of("10.2.0.0/16[udp/80]", "10.2.0.0/16[tcp/80]"), 0U);
}

TEST(SpdWarnings, AShadowedEntryIsNeverFound) {
  EXPECT_TRUE(rc::check("unreachable means unreachable", [] {
    auto owner = std::make_shared<Connection>();
    owner->name = "c";
    std::vector<SpdEntry> entries(static_cast<std::size_t>(*rc::gen::inRange(2, 6)));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      owner->children.push_back(child("n" + std::to_string(i), {}, {}));
      entries[i].local_ts = any_selectors_now(2);
      entries[i].remote_ts = any_selectors_now(2);
      entries[i].child_index = i;
    }
    for (SpdEntry& entry : entries) entry.connection = owner;
    const Spd spd(entries);
    const auto warnings = spd.warnings();
    for (int i = 0; i < 30; ++i) {
      const SpdEntry* entry = spd.find(any_packet_now(), Direction::kOutbound);
      if (entry == nullptr) continue;
      for (const std::string& warning : warnings)
        RC_ASSERT(!(warning.starts_with("'" + entry->name() + "'") &&
                    warning.find("never be reached") != std::string::npos));
    }
  }));
}

TEST(SpdWarnings, SayWhatBothDo) {
  const auto spd = build_spd(
      std::vector{connection("a", {child("x", {"10.1.0.0/16"}, {"10.2.0.0/16"}, ChildAction::kBypass, 1)}),
                  connection("b", {child("y", {"10.1.0.0/24"}, {"10.2.3.0/24"}, ChildAction::kDiscard, 2)})});
  ASSERT_EQ(spd.warnings().size(), 1U);
  const std::string text = spd.warnings().front();
  EXPECT_NE(text.find("(bypass 10.1.0.0/16"), std::string::npos) << text;
  EXPECT_NE(text.find("(discard 10.1.0.0/24"), std::string::npos) << text;
}

// RFC 4301 4.4.1.1, RFC 6275 6.1: the type of a mobility message is where others have ports.
TEST(Spd, RulesForMobilityMessages) {
  auto updates = child("updates", {"2001:db8:1::/48[135]"}, {"2001:db8:2::/48[135]"});
  updates.local_ts.front().start_port = updates.local_ts.front().end_port = 5 << 8;
  const auto rest =
      child("rest", {"2001:db8:1::/48[135]"}, {"2001:db8:2::/48[135]"}, ChildAction::kBypass, 10);
  const Spd spd = build_spd(std::vector{connection("one", {updates, rest})});
  auto message = packet("2001:db8:1::1", "2001:db8:2::1", static_cast<IpProtocol>(135));
  message.upper = wire::UpperFields::kMobility;
  message.mobility_type = 5;
  EXPECT_EQ(found(spd, message, Direction::kOutbound), "one.updates");
  message.mobility_type = 6;
  EXPECT_EQ(found(spd, message, Direction::kOutbound), "one.rest");
}

}  // namespace
}  // namespace merlon::policy
