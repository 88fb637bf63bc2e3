// Packets that do not fit (RFC 4301 8), and TCP's segment size.
#include <rapidcheck.h>

#include "esp/test_peers.h"
#include "wire/ip/icmp.h"
#include "wire/ip/tcp_mss.h"

namespace merlon::esp {
namespace {

using test::Gateway;
using test::inner_packet;
using test::Peers;
using test::SaSpec;
using test::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::size_t outer_size(const packet::Packet& packet, const SaSpec& spec) {
  return packet.size() + (spec.outer == IpFamily::kIpv4 ? 20U : 40U) + (spec.udp ? 8U : 0U);
}

// The inner MTU is the exact limit: a packet of that size fills the path, one byte more does not fit.
TEST(Mtu, InnerMtuIsExact) {
  constexpr std::array kAlgorithms{
      policy::EspAlgorithms{EncrId::kAesGcm16, 128, IntegId::kNone, true},
      policy::EspAlgorithms{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128, false},
      policy::EspAlgorithms{EncrId::kNull, 0, IntegId::kHmacSha2_512_256, false},
      policy::EspAlgorithms{EncrId::kChacha20Poly1305, 256, IntegId::kNone, true},
  };
  EXPECT_TRUE(rc::check([&] {
    SaSpec spec;
    spec.algorithms = kAlgorithms.at(*rc::gen::inRange<std::size_t>(0, kAlgorithms.size()));
    spec.outer = *rc::gen::element(IpFamily::kIpv4, IpFamily::kIpv6);
    spec.udp = *rc::gen::arbitrary<bool>();
    Peers peers(spec);
    const policy::ChildSaId id = peers.install();
    const auto path_mtu = *rc::gen::inRange(1280U, 9000U);
    peers.a.engine.set_path_mtu(id, path_mtu);
    const SaStats stats = peers.a.engine.stats(id).value();
    RC_ASSERT(stats.path_mtu == path_mtu);

    const auto fitting = peers.a.protect({test::with_df(inner_packet(IpFamily::kIpv4, stats.inner_mtu))});
    RC_ASSERT(fitting.size() == 1U);
    RC_ASSERT(outer_size(*fitting[0], spec) <= path_mtu);
    RC_ASSERT(!fitting[0]->meta.may_fragment_outer);
    RC_ASSERT(peers.a.protect({test::with_df(inner_packet(IpFamily::kIpv4, stats.inner_mtu + 1))}).empty());
    // Padding cannot hide that one byte more would have fitted.
    const std::size_t lost = path_mtu - outer_size(*fitting[0], spec);
    RC_ASSERT(lost < (spec.algorithms.encr == EncrId::kAesCbc ? 16U : 4U));
  }));
}

TEST(Mtu, TooBigIsAnsweredIntoTheInnerNetwork) {
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    Peers peers;
    const policy::ChildSaId id = peers.install();
    Bytes packet = inner_packet(family, 1500);
    if (family == IpFamily::kIpv4) packet = test::with_df(packet);
    EXPECT_THAT(peers.a.protect({packet}), IsEmpty());
    EXPECT_EQ(peers.a.engine.drops(DropReason::kTooBig), 1U);
    ASSERT_THAT(peers.a.answers, SizeIs(1));
    const auto view = wire::parse_packet(peers.a.answers[0]).value();
    EXPECT_EQ(view.destination, wire::parse_packet(packet)->source);
    EXPECT_EQ(view.source, wire::parse_packet(packet)->destination);
    const auto error = wire::parse_icmp_error(peers.a.answers[0]).value();
    EXPECT_TRUE(error.is_packet_too_big);
    EXPECT_EQ(error.mtu, peers.a.engine.stats(id)->inner_mtu);
  }
}

TEST(Mtu, IcmpErrorsComeFromTheConfiguredAddress) {
  EngineConfig config = Gateway::small();
  config.icmp_source_v4 = test::ip("10.1.0.1");
  Peers peers({}, config);
  peers.install();
  peers.a.protect({test::with_df(inner_packet(IpFamily::kIpv4, 1500))});
  ASSERT_THAT(peers.a.answers, SizeIs(1));
  EXPECT_EQ(wire::parse_packet(peers.a.answers[0])->source, test::ip("10.1.0.1"));
}

TEST(Mtu, IcmpErrorsAreRateLimited) {
  EngineConfig config = Gateway::small();
  config.icmp_per_second = 5;
  Peers peers({}, config);
  peers.install();
  const std::vector<Bytes> many(50, test::with_df(inner_packet(IpFamily::kIpv4, 1500)));
  peers.a.protect(many, seconds(1));
  EXPECT_THAT(peers.a.answers, SizeIs(5));
  peers.a.protect(many, seconds(2));
  EXPECT_THAT(peers.a.answers, SizeIs(10));
}

TEST(Mtu, Ipv4WithoutDfIsFragmentedBeforeEncryption) {
  Peers peers;
  const policy::ChildSaId id = peers.install();
  const Bytes packet = inner_packet(IpFamily::kIpv4, 4000);
  const auto packets = peers.a.protect({packet});
  ASSERT_GE(packets.size(), 3U);
  for (const auto& one : packets) EXPECT_LE(outer_size(*one, peers.spec), 1500U);
  const auto fragments = peers.b.unprotect(packets);
  ASSERT_EQ(fragments.size(), packets.size());
  Bytes data;
  for (const Bytes& fragment : fragments) {
    const auto header = wire::parse_ipv4(fragment).value();
    EXPECT_LE(fragment.size(), peers.a.engine.stats(id)->inner_mtu);
    EXPECT_EQ(header.fragment_offset, data.size());
    append(data, ByteView(fragment).subspan(header.header_length));
  }
  EXPECT_EQ(data, to_bytes(ByteView(packet).subspan(20)));
}

// RFC 4301 7: the fragments behind the first show no ports, so an SA for certain ports would not take them at its other
// end.
TEST(Mtu, ForCertainPortsItIsFragmentedAfterEncryption) {
  SaSpec spec;
  spec.local_ts = test::ts("10.1.0.0/16[udp]");
  spec.remote_ts = test::ts("10.2.0.0/16[udp/2222]");
  Peers peers(spec);
  peers.install();
  const Bytes packet = inner_packet(IpFamily::kIpv4, 4000);
  const auto packets = peers.a.protect({packet});
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_TRUE(packets[0]->meta.may_fragment_outer);
  EXPECT_THAT(peers.b.unprotect(packets), ElementsAre(packet));

  // With DF its sender is told, as ever.
  EXPECT_THAT(peers.a.protect({test::with_df(packet)}), IsEmpty());
  EXPECT_THAT(peers.a.answers, SizeIs(1));
}

// RFC 8200 5: 1,280 bytes always get through, by outer fragments where it must be.
TEST(Mtu, AnIpv6PacketOf1280BytesAlwaysGetsThrough) {
  for (const IpFamily outer : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    SaSpec spec;
    spec.outer = outer;
    Peers peers(spec);
    const policy::ChildSaId id = peers.install();
    peers.a.engine.set_path_mtu(id, 1280);
    EXPECT_LT(peers.a.engine.stats(id)->inner_mtu, 1280U);
    const Bytes packet = inner_packet(IpFamily::kIpv6, 1280);
    const auto packets = peers.a.protect({packet});
    ASSERT_THAT(packets, SizeIs(1));
    EXPECT_TRUE(packets[0]->meta.may_fragment_outer);
    EXPECT_EQ(packets[0]->meta.outer_mtu, 1280U);
    EXPECT_THAT(peers.b.unprotect(packets), ElementsAre(packet));
    EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv6, 1281)}), IsEmpty());
    ASSERT_THAT(peers.a.answers, SizeIs(1));
    EXPECT_EQ(wire::parse_icmp_error(peers.a.answers[0])->mtu, 1280U);
  }
}

TEST(Mtu, TheOuterDfBitFollowsThePolicy) {
  const Bytes free_packet = inner_packet(IpFamily::kIpv4, 100), df_packet = test::with_df(free_packet);
  struct Case {
    policy::DfBit df;
    bool free_may, df_may;
  };
  for (const Case& one : {Case{policy::DfBit::kCopy, true, false}, Case{policy::DfBit::kSet, false, false},
                          Case{policy::DfBit::kClear, true, true}}) {
    SaSpec spec;
    spec.child.df = one.df;
    Peers peers(spec);
    peers.install();
    const auto packets = peers.a.protect({free_packet, df_packet});
    EXPECT_EQ(packets.at(0)->meta.may_fragment_outer, one.free_may);
    EXPECT_EQ(packets.at(1)->meta.may_fragment_outer, one.df_may);
  }
}

TEST(Mtu, WithTheDfBitClearedLargePacketsGoOutWhole) {
  SaSpec spec;
  spec.child.df = policy::DfBit::kClear;
  Peers peers(spec);
  peers.install();
  const Bytes packet = test::with_df(inner_packet(IpFamily::kIpv4, 4000));
  const auto packets = peers.a.protect({packet});
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_TRUE(packets[0]->meta.may_fragment_outer);
  EXPECT_THAT(peers.b.unprotect(packets), ElementsAre(packet));
}

TEST(Mtu, AbsurdPathMtusAreNotBelieved) {
  Peers peers;
  const policy::ChildSaId id = peers.install();
  for (const unsigned mtu : {1U, 68U, 500U}) {
    peers.a.engine.set_path_mtu(id, mtu);
    EXPECT_EQ(peers.a.engine.stats(id)->path_mtu, 576U);
    const auto packets = peers.a.protect({test::with_df(inner_packet(IpFamily::kIpv4, 400))});
    ASSERT_THAT(packets, SizeIs(1));
    EXPECT_TRUE(packets[0]->meta.may_fragment_outer);
  }
  peers.a.engine.set_path_mtu(id, 0);
  EXPECT_EQ(peers.a.engine.stats(id)->path_mtu, 1500U);
}

// Where the path is even narrower than what is believed, outer fragments are what is left; for the pieces of a packet that was
// fragmented inside as for others, whatever the policy says of DF.
TEST(Mtu, AbsurdlyNarrowPathsGetOuterFragments) {
  SaSpec spec;
  spec.child.df = policy::DfBit::kSet;
  Peers peers(spec);
  peers.a.engine.set_path_mtu(peers.install(), 500);
  const auto packets = peers.a.protect({inner_packet(IpFamily::kIpv4, 1000)});
  ASSERT_GE(packets.size(), 2U);
  for (const auto& one : packets) EXPECT_TRUE(one->meta.may_fragment_outer);
}

TEST(Mtu, ARekeyedSaInheritsWhatWasLearnt) {
  Peers peers;
  peers.a.engine.set_path_mtu(peers.install(), 1400);
  EXPECT_EQ(peers.a.engine.stats(peers.install())->path_mtu, 1400U);
}

TEST(Mtu, TheConfiguredTunnelMtuIsAnUpperBound) {
  SaSpec spec;
  spec.child.tunnel_mtu = 1300;
  Peers peers(spec);
  const policy::ChildSaId id = peers.install();
  EXPECT_EQ(peers.a.engine.stats(id)->inner_mtu, 1300U);
  peers.a.engine.set_path_mtu(id, 1000);
  EXPECT_LT(peers.a.engine.stats(id)->inner_mtu, 1000U);
}

TEST(Mss, IsClampedInBothDirections) {
  for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6}) {
    SaSpec spec;
    Peers peers(spec);
    const policy::ChildSaId id = peers.install();
    const auto mtu = peers.a.engine.stats(id)->inner_mtu;
    const std::uint16_t expected = wire::mss_for_mtu(family, mtu);
    auto received = peers.b.unprotect(peers.a.protect({test::tcp_syn(family, 8000)}));
    ASSERT_THAT(received, SizeIs(1));
    EXPECT_EQ(test::mss_of(received[0]), expected);
    // Inbound: B knows a narrower path than A.
    peers.b.engine.set_path_mtu(id, 1300);
    received = peers.b.unprotect(peers.a.protect({test::tcp_syn(family, 8000)}));
    ASSERT_THAT(received, SizeIs(1));
    EXPECT_EQ(test::mss_of(received[0]), wire::mss_for_mtu(family, peers.b.engine.stats(id)->inner_mtu));
    const auto view = wire::parse_packet(received[0]).value();
    EXPECT_EQ(wire::transport_checksum(view.source, view.destination, IpProtocol::kTcp,
                                       ByteView(received[0]).subspan(view.upper_offset)),
              0);
  }
}

TEST(Mss, IsLeftAloneWhereThePolicySaysSo) {
  SaSpec spec;
  spec.child.tcp_mss_clamp = false;
  Peers peers(spec);
  peers.install();
  const Bytes syn = test::tcp_syn(IpFamily::kIpv4, 8000);
  EXPECT_THAT(peers.b.unprotect(peers.a.protect({syn})), ElementsAre(syn));
}

}  // namespace
}  // namespace merlon::esp
