// Which packets go where: the SPD, the choice of the SA, packets that wait for one.
#include "esp/test_peers.h"

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

policy::ConnectionPtr with_action(policy::ChildAction action, std::string_view remote) {
  auto connection = std::make_shared<policy::Connection>();
  connection->name = "other";
  policy::ChildConfig child;
  child.name = "net";
  child.action = action;
  child.local_ts = test::ts("10.1.0.0/16");
  child.remote_ts = test::ts(remote);
  connection->children.push_back(child);
  return connection;
}

TEST(Policy, DiscardBypassAndNothingAreDroppedAndCountedApart) {
  Peers peers;
  peers.install();
  peers.a.set_policies({with_action(policy::ChildAction::kDiscard, "10.2.3.0/24"),
                        with_action(policy::ChildAction::kBypass, "10.2.4.0/24"), peers.connection_a});
  const auto packets =
      peers.a.protect({inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.3.1"),
                       inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.4.1"),
                       inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.9.0.1"),
                       inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.5.1"), Bytes{0x45, 1, 2}});
  EXPECT_THAT(packets, SizeIs(1));
  EXPECT_EQ(peers.a.engine.drops(DropReason::kPolicyDiscard), 1U);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kPolicyBypass), 1U);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kNoPolicy), 1U);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kMalformedInner), 1U);
}

// What the kernel says to any device that is up (RFC 3810 MLD, RFC 4861 router solicitations, RFC 3376 IGMP) is no event
// that anybody should look at; still it goes nowhere, and where a policy names it, it is obeyed.
TEST(Policy, TheKernelsOwnTalkOnTheLinkIsNotAudited) {
  Peers peers;
  peers.install();
  EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv6, 80, "::", "ff02::16"),
                               inner_packet(IpFamily::kIpv6, 80, "fe80::1", "ff02::2"),
                               inner_packet(IpFamily::kIpv6, 80, "fe80::1", "fd00::1"),
                               inner_packet(IpFamily::kIpv4, 60, "10.9.0.1", "224.0.0.22")}),
              IsEmpty());
  EXPECT_EQ(peers.a.engine.drops(DropReason::kLinkLocal), 4U);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kNoPolicy), 0U);
  EXPECT_THAT(peers.a.events_of<Audit>(), IsEmpty());
  EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv6, 80, "::", "ff05::16")}), IsEmpty());
  EXPECT_EQ(peers.a.engine.drops(DropReason::kNoPolicy), 1U);
  peers.a.set_policies({with_action(policy::ChildAction::kDiscard, "224.0.0.0/24"), peers.connection_a});
  EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "224.0.0.22")}), IsEmpty());
  EXPECT_EQ(peers.a.engine.drops(DropReason::kPolicyDiscard), 1U);
}

TEST(Policy, WithoutAnSpdNothingLeaves) {
  Gateway gateway(1);
  EXPECT_THAT(gateway.protect({inner_packet(IpFamily::kIpv4, 60)}), IsEmpty());
  EXPECT_EQ(gateway.engine.drops(DropReason::kNoPolicy), 1U);
}

TEST(Policy, AChangedSpdIsObeyedAtOnceAlsoForKnownFlows) {
  Peers peers;
  peers.install();
  const Bytes packet = inner_packet(IpFamily::kIpv4, 60);
  EXPECT_THAT(peers.a.protect({packet}), SizeIs(1));
  peers.a.set_policies({});
  EXPECT_THAT(peers.a.protect({packet}), IsEmpty());
  peers.a.set_policies({peers.connection_a});
  EXPECT_THAT(peers.a.protect({packet}), SizeIs(1));  // the tunnel was not touched
}

TEST(Acquire, AsksOnceAndSendsTheFirstPacketsWhenTheSaComes) {
  Peers peers;
  std::vector<Bytes> packets;
  for (std::size_t i = 0; i < 6; ++i) packets.push_back(inner_packet(IpFamily::kIpv4, 60 + i));
  EXPECT_THAT(peers.a.protect(packets), IsEmpty());
  const auto acquires = peers.a.events_of<Acquire>();
  ASSERT_THAT(acquires, SizeIs(1));
  EXPECT_EQ(acquires[0].connection->name, "a-to-b");
  EXPECT_EQ(acquires[0].child_index, 0U);
  EXPECT_EQ(acquires[0].packet.destination, test::ip("10.2.0.9"));
  EXPECT_EQ(peers.a.engine.drops(DropReason::kHoldFull), 2U);

  OutboundResult result;
  peers.a.engine.worker().poll(seconds(2), result);
  EXPECT_THAT(result.transmit, IsEmpty());
  peers.install();
  peers.a.engine.worker().poll(seconds(3), result);
  EXPECT_THAT(peers.b.unprotect(result.transmit),
              ElementsAre(packets[0], packets[1], packets[2], packets[3]));
}

TEST(Acquire, IsRepeatedAfterItsInterval) {
  Peers peers;
  for (int i = 0; i < 5; ++i) {
    peers.a.protect({inner_packet(IpFamily::kIpv4, 60)}, seconds(1) + std::chrono::milliseconds(400) * i);
  }
  EXPECT_THAT(peers.a.events_of<Acquire>(), SizeIs(2));
}

TEST(Acquire, HeldPacketsTimeOut) {
  Peers peers;
  peers.a.protect({inner_packet(IpFamily::kIpv4, 60)}, seconds(1));
  OutboundResult result;
  peers.a.engine.worker().poll(seconds(12), result);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kHoldTimeout), 1U);
  EXPECT_EQ(peers.a.pool.in_use(), 0U);
  peers.install();
  peers.a.engine.worker().poll(seconds(13), result);
  EXPECT_THAT(result.transmit, IsEmpty());
}

TEST(Acquire, IsNotRaisedForAChildThatOnlyAnswers) {
  SaSpec spec;
  spec.child.start = policy::StartMode::kWait;
  Peers peers(spec);
  peers.a.protect({inner_packet(IpFamily::kIpv4, 60)});
  EXPECT_THAT(peers.a.events(), IsEmpty());
  EXPECT_EQ(peers.a.engine.drops(DropReason::kNoSa), 1U);
}

// RFC 4301 5.1: an SA with narrowed selectors carries what they hold, no more.
TEST(SaChoice, NarrowedSelectorsAreRespected) {
  Peers peers;
  auto [sa_a, sa_b] = peers.make();
  sa_a->remote_ts = sa_b->local_ts = test::ts("10.2.0.0/24");
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.0.9")}), SizeIs(1));
  EXPECT_THAT(peers.a.protect({inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.1.9")}), IsEmpty());
  EXPECT_THAT(peers.a.events_of<Acquire>(), SizeIs(1));
}

TEST(SaChoice, SelectorsOfTheSaAreCheckedInbound) {
  Peers peers;
  auto [sa_a, sa_b] = peers.make();
  sa_b->local_ts = test::ts("10.2.0.0/24");  // the sender believes more than was agreed
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  const Bytes inner = inner_packet(IpFamily::kIpv4, 60, "10.1.0.1", "10.2.1.9");
  const auto packets = peers.a.protect({inner});
  EXPECT_THAT(peers.b.unprotect(packets), IsEmpty());
  EXPECT_EQ(peers.b.engine.drops(DropReason::kSelectorMismatch), 1U);
  const auto audits = peers.b.events_of<Audit>();
  ASSERT_THAT(audits, SizeIs(1));
  EXPECT_EQ(audits[0].reason, DropReason::kSelectorMismatch);
  EXPECT_EQ(audits[0].spi, sa_b->inbound_spi);
  EXPECT_EQ(audits[0].sequence, 1U);
  EXPECT_EQ(audits[0].source, peers.end_a());
  // RFC 7296 3.10.1: "the start of the offending packet"; the forwarding hop has not been counted yet.
  EXPECT_EQ(to_bytes(audits[0].packet.bytes()), to_bytes(ByteView(inner).first(60)));
}

// RFC 7296 2.8: old and new SA live side by side, and what is sent moves when the control side says so.
TEST(Rekey, LosesNothingInEitherDirection) {
  Peers peers;
  const policy::ChildSaId old_id = peers.install();
  const Bytes packet = inner_packet(IpFamily::kIpv4, 60);
  const auto before = peers.a.protect({packet});
  auto [sa_a, sa_b] = peers.make(false);
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  const auto between = peers.a.protect({packet});
  EXPECT_EQ(between.at(0)->meta.sa_id, old_id.value);

  auto moved = std::make_shared<policy::ChildSa>();
  moved->id = sa_a->id;
  moved->path = sa_a->path;
  moved->use_outbound = true;
  ASSERT_TRUE(peers.a.engine.update(moved));
  const auto after = peers.a.protect({packet});
  EXPECT_EQ(after.at(0)->meta.sa_id, sa_a->id.value);

  EXPECT_THAT(peers.b.unprotect(after), SizeIs(1));
  const auto firsts = peers.b.events_of<FirstInbound>();
  ASSERT_THAT(firsts, SizeIs(1));
  EXPECT_EQ(firsts[0].sa, sa_a->id);
  EXPECT_THAT(peers.b.unprotect(between), SizeIs(1));
  EXPECT_THAT(peers.b.unprotect(before), SizeIs(1));

  ASSERT_TRUE(peers.a.engine.remove(old_id));
  ASSERT_TRUE(peers.b.engine.remove(old_id));
  EXPECT_THAT(peers.b.unprotect(between), IsEmpty());
  EXPECT_EQ(peers.b.engine.drops(DropReason::kUnknownSpi), 1U);
  EXPECT_THAT(peers.b.unprotect(peers.a.protect({packet})), SizeIs(1));
  EXPECT_THAT(peers.a.engine.installed(), ElementsAre(sa_a->id));
}

// The path moves, the sequence numbers and the window stay: a second use of one would be a reused nonce.
TEST(PathChange, KeepsWhatChangesWithPackets) {
  Peers peers;
  auto [sa_a, sa_b] = peers.make();
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  const Bytes packet = inner_packet(IpFamily::kIpv4, 60);
  const auto before = peers.a.protect({packet, packet});
  EXPECT_THAT(peers.b.unprotect(before), SizeIs(2));

  sa_a->path.local = test::at("203.0.113.77", 40000);
  ASSERT_TRUE(peers.a.engine.update(sa_a));
  sa_b->path.remote = test::at("203.0.113.77", 40000);
  ASSERT_TRUE(peers.b.engine.update(sa_b));

  EXPECT_THAT(peers.b.unprotect(before), IsEmpty());
  EXPECT_EQ(peers.b.engine.drops(DropReason::kReplayed), 2U);
  const auto after = peers.a.protect({packet});
  EXPECT_EQ(after.at(0)->meta.source, test::at("203.0.113.77", 40000));
  EXPECT_EQ(wire::load_u32(after.at(0)->bytes(), 4), 3U);
  EXPECT_EQ(peers.a.engine.stats(sa_a->id)->outbound.packets, 3U);
  EXPECT_THAT(peers.b.unprotect(after), SizeIs(1));
  EXPECT_THAT(peers.b.events_of<PeerMoved>(), IsEmpty());
}

TEST(Control, RefusesWhatCannotBe) {
  Peers peers;
  auto [sa_a, sa_b] = peers.make();
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  EXPECT_EQ(peers.a.engine.install(sa_a).error().code, ErrorCode::kInvalidArgument);
  auto [other, unused] = peers.make();
  other->inbound_spi = sa_a->inbound_spi;
  EXPECT_EQ(peers.a.engine.install(other).error().code, ErrorCode::kInvalidArgument);
  other->inbound_spi = Spi{77};
  EXPECT_EQ(peers.a.engine.install(other).error().code, ErrorCode::kInvalidArgument);
  other->inbound_spi = Spi{7777};
  other->inbound.encryption = Secret(3);
  EXPECT_FALSE(peers.a.engine.install(other));
  other->child_index = 4;
  EXPECT_EQ(peers.a.engine.install(other).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(peers.a.engine.update(other).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(peers.a.engine.remove(other->id).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(peers.a.engine.stats(other->id));
  EXPECT_THAT(peers.a.engine.installed(), ElementsAre(sa_a->id));
}

TEST(Control, SpisThatOthersChoseWork) {
  Peers peers;
  auto [sa_a, sa_b] = peers.make();
  peers.b.engine.release_spi(sa_b->inbound_spi);
  sa_a->outbound_spi = sa_b->inbound_spi = Spi{0x12345678};
  ASSERT_TRUE(peers.a.engine.install(sa_a));
  ASSERT_TRUE(peers.b.engine.install(sa_b));
  const auto packets = peers.a.protect({inner_packet(IpFamily::kIpv4, 60)});
  EXPECT_THAT(peers.b.unprotect(packets), SizeIs(1));
  ASSERT_TRUE(peers.b.engine.remove(sa_b->id));
  EXPECT_THAT(peers.b.unprotect(packets), IsEmpty());
}

TEST(Control, NothingWaitsToBeFreedWhileTheWorkerIsIdle) {
  Peers peers;
  const policy::ChildSaId id = peers.install();
  peers.a.protect({inner_packet(IpFamily::kIpv4, 60)});
  ASSERT_TRUE(peers.a.engine.remove(id));
  EXPECT_EQ(peers.a.engine.reclaim(), 0U);
}

TEST(Pool, ExhaustionIsACountedDrop) {
  Peers peers;
  peers.install();
  packet::PacketList hoard;
  while (peers.a.pool.available() > 1) hoard.push_back(peers.a.pool.allocate());
  EXPECT_LE(peers.a.protect({inner_packet(IpFamily::kIpv4, 4000)}).size(), 1U);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kNoBuffer), 1U);
}

}  // namespace
}  // namespace merlon::esp
