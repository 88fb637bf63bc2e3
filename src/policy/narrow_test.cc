#include "policy/narrow.h"

#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::any_selectors_now;
using test::one;
using test::ts;

ChildConfig child(const std::string& name, const std::vector<std::string>& local,
                  const std::vector<std::string>& remote) {
  ChildConfig out;
  out.name = name;
  out.local_ts = ts(local);
  out.remote_ts = ts(remote);
  return out;
}

Connection connection(std::vector<ChildConfig> children) {
  Connection out;
  out.name = "office";
  out.source = "office-a.toml:12";
  out.children = std::move(children);
  return out;
}

TEST(Narrow, WholeProposal) {
  const auto result =
      narrow(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}));
  EXPECT_EQ(result.verdict, NarrowVerdict::kAccepted);
  EXPECT_EQ(to_text(result.local_ts, result.remote_ts), "10.1.0.0/16 === 10.2.0.0/16");
  EXPECT_TRUE(result.holds_first);
  EXPECT_FALSE(result.additional_possible);
}

// RFC 7296 2.9's example: the initiator's packet is 198.51.100.43 TCP, our policy allows 192.0.1.0/24 there.
TEST(Narrow, KeepsThePacketThatTriggered) {
  const auto result =
      narrow(ts({"10.16.0.0/16"}), ts({"198.51.100.0/24"}), ts({"10.16.2.123[tcp/443]", "10.0.0.0/8"}),
             ts({"198.51.100.43[tcp/40000]", "198.51.0.0/16"}));
  EXPECT_EQ(result.verdict, NarrowVerdict::kAccepted);
  EXPECT_EQ(to_text(result.local_ts, result.remote_ts), "10.16.0.0/16 === 198.51.100.0/24");
  EXPECT_TRUE(result.holds_first);
}

TEST(Narrow, PacketOutsideThePolicy) {
  const auto result = narrow(ts({"10.16.0.0/16"}), ts({"198.51.100.0/24"}), ts({"10.17.0.1", "10.0.0.0/8"}),
                             ts({"198.51.100.43", "198.51.100.0/24"}));
  EXPECT_EQ(result.verdict, NarrowVerdict::kAccepted);
  EXPECT_FALSE(result.holds_first);
}

TEST(Narrow, Unacceptable) {
  EXPECT_EQ(
      narrow(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), ts({"10.1.0.0/24"}), ts({"10.9.0.0/16"})).verdict,
      NarrowVerdict::kTsUnacceptable);
  EXPECT_EQ(narrow(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), {}, ts({"10.2.0.0/16"})).verdict,
            NarrowVerdict::kTsUnacceptable);
  EXPECT_EQ(narrow({}, {}, ts({"10.1.0.0/24"}), ts({"10.9.0.0/16"})).verdict, NarrowVerdict::kTsUnacceptable);
  // Both lists overlap, but one accepts IPv4 only where the other accepts IPv6 only.
  EXPECT_EQ(narrow(ts({"any"}), ts({"any"}), ts({"10.0.0.0/8"}), ts({"2001:db8::/32"})).verdict,
            NarrowVerdict::kTsUnacceptable);
  EXPECT_EQ(narrow(ts({"any"}), ts({"any"}), ts({"10.0.0.0/8[tcp]"}), ts({"10.0.0.0/8[udp]"})).verdict,
            NarrowVerdict::kTsUnacceptable);
}

TEST(Narrow, MixedFamilies) {
  const auto result = narrow(ts({"10.1.0.0/16", "2001:db8:1::/48"}), ts({"10.2.0.0/16"}),
                             ts({"0.0.0.0/0", "::/0"}), ts({"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(to_text(result.local_ts, result.remote_ts), "10.1.0.0/16 === 10.2.0.0/16");
  const auto both = narrow(ts({"10.1.0.0/16", "2001:db8:1::/48"}), ts({"10.2.0.0/16", "2001:db8:2::/48"}),
                           ts({"::/0", "0.0.0.0/0"}), ts({"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(to_text(both.local_ts, both.remote_ts),
            "2001:db8:1::/48, 10.1.0.0/16 === 10.2.0.0/16, 2001:db8:2::/48");
}

TEST(Narrow, SinglePair) {
  const NarrowOptions options{.single_pair_required = true};
  const auto wide =
      narrow(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), options);
  EXPECT_EQ(wide.verdict, NarrowVerdict::kSinglePairRequired);
  EXPECT_TRUE(wide.local_ts.empty());
  const auto packet =
      narrow(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), ts({"10.1.0.7[tcp/443]", "10.1.0.0/16"}),
             ts({"10.2.0.9", "10.2.0.0/16"}), options);
  EXPECT_EQ(packet.verdict, NarrowVerdict::kAccepted);
  EXPECT_EQ(to_text(packet.local_ts, packet.remote_ts), "10.1.0.7/32[tcp/443] === 10.2.0.9/32");
  EXPECT_TRUE(packet.additional_possible);
  const auto hosts =
      narrow(ts({"10.1.0.7"}), ts({"10.2.0.9"}), ts({"0.0.0.0/0"}), ts({"0.0.0.0/0"}), options);
  EXPECT_EQ(hosts.verdict, NarrowVerdict::kAccepted);
}

// RFC 7296 3.13: the number of selectors is one byte.
TEST(Narrow, AtMost255) {
  TrafficSelectors many;
  for (std::uint32_t i = 0; i < 300; ++i)
    many.push_back(selector_for(IpAddress::v4(0x0a000000U + 2 * i), IpAddress::v4(0x0a000000U + 2 * i)));
  const auto result = narrow(many, ts({"0.0.0.0/0"}), ts({"0.0.0.0/0"}), ts({"0.0.0.0/0"}));
  EXPECT_EQ(result.verdict, NarrowVerdict::kAccepted);
  EXPECT_EQ(result.local_ts.size(), 255U);
  EXPECT_TRUE(result.additional_possible);
  EXPECT_EQ(selectors_to_propose(many, one("10.0.0.9[tcp/1]")).size(), 255U);
}

TEST(Narrow, Properties) {
  EXPECT_TRUE(rc::check("subset of both, first kept, symmetric, idempotent", [] {
    const auto local = any_selectors_now(4), remote = any_selectors_now(4);
    const auto proposed_local = any_selectors_now(4), proposed_remote = any_selectors_now(4);
    const auto result = narrow(local, remote, proposed_local, proposed_remote);
    // The other end of the same negotiation sees the same with the sides swapped.
    const auto mirrored = narrow(remote, local, proposed_remote, proposed_local);
    RC_ASSERT(mirrored.verdict == result.verdict);
    RC_ASSERT(mirrored.local_ts == result.remote_ts && mirrored.remote_ts == result.local_ts);
    if (result.verdict != NarrowVerdict::kAccepted) {
      // Then no packet's selectors could have been accepted: some pair would share a family and protocol.
      for (const auto& l : intersect(local, proposed_local))
        for (const auto& r : intersect(remote, proposed_remote))
          RC_ASSERT(l.start_address.family() != r.start_address.family() ||
                    (l.protocol != 0 && r.protocol != 0 && l.protocol != r.protocol));
      return;
    }
    RC_ASSERT(contains(local, result.local_ts) && contains(remote, result.remote_ts));
    RC_ASSERT(
        verify_narrowed(proposed_local, proposed_remote, result.local_ts, result.remote_ts).has_value());
    // RFC 7296 2.9: what the policy accepts of the first selectors is kept.
    const SelectorView first_local = SelectorView(proposed_local).first(1),
                       first_remote = SelectorView(proposed_remote).first(1);
    const bool first_pairs =
        narrow(first_local, first_remote, first_local, first_remote).verdict == NarrowVerdict::kAccepted;
    if (first_pairs && contains(local, first_local) && contains(remote, first_remote))
      RC_ASSERT(result.holds_first);
    const auto again = narrow(local, remote, result.local_ts, result.remote_ts);
    RC_ASSERT(again.verdict == NarrowVerdict::kAccepted);
    RC_ASSERT(again.local_ts == result.local_ts && again.remote_ts == result.remote_ts);
  }));
}

TEST(VerifyNarrowed, RefusesMoreThanProposed) {
  const auto l = ts({"10.1.0.0/16"}), r = ts({"10.2.0.0/16"});
  EXPECT_TRUE(verify_narrowed(l, r, ts({"10.1.0.0/24"}), r).has_value());
  EXPECT_TRUE(verify_narrowed(l, r, ts({"10.1.0.0/17", "10.1.128.0/17"}), r).has_value());
  EXPECT_FALSE(verify_narrowed(l, r, ts({"10.0.0.0/8"}), r).has_value());
  EXPECT_FALSE(verify_narrowed(l, r, l, ts({"10.2.0.0/16", "10.3.0.0/32"})).has_value());
  EXPECT_FALSE(verify_narrowed(l, r, {}, r).has_value());
  EXPECT_FALSE(verify_narrowed(l, r, l, {}).has_value());
}

TEST(ChooseChild, TheOneThePacketIsFor) {
  const auto office = connection(
      {child("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"}), child("voice", {"10.5.0.0/16"}, {"10.6.0.0/16"})});
  const auto choice = choose_child(office, ts({"10.6.0.3[udp/5060]", "10.0.0.0/8"}),
                                   ts({"10.5.0.1[udp/5060]", "10.0.0.0/8"}));
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->child_index, 1U);
  EXPECT_TRUE(choice->narrowed.holds_first);
  // RFC 7296 2.9: two subsets were acceptable, their union is not.
  EXPECT_TRUE(choice->narrowed.additional_possible);
  EXPECT_EQ(to_text(choice->narrowed.local_ts, choice->narrowed.remote_ts), "10.5.0.0/16 === 10.6.0.0/16");
  EXPECT_FALSE(choose_child(office, ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"}))->narrowed.additional_possible);
  EXPECT_EQ(choose_child(office, ts({"172.16.0.0/12"}), ts({"10.1.0.0/16"})), std::nullopt);
}

TEST(ChooseChild, ExactBeforeWide) {
  const auto office = connection(
      {child("all", {"0.0.0.0/0"}, {"0.0.0.0/0"}), child("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"})});
  EXPECT_EQ(choose_child(office, ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"}))->child_index, 1U);
  EXPECT_EQ(choose_child(office, ts({"0.0.0.0/0"}), ts({"0.0.0.0/0"}))->child_index, 0U);
  EXPECT_EQ(choose_child(office, ts({"10.9.0.0/16"}), ts({"10.1.0.0/16"}))->child_index, 0U);
}

TEST(ChooseChild, OnlyProtectCounts) {
  ChildConfig bypass = child("bypass", {"10.1.0.0/16"}, {"10.2.0.0/16"});
  bypass.action = ChildAction::kBypass;
  const auto office = connection({bypass});
  EXPECT_EQ(choose_child(office, ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"})), std::nullopt);
  EXPECT_NE(explain_ts_mismatch(office, ts({"10.2.0.0/16"}), ts({"10.1.0.0/16"})).find("protects nothing"),
            std::string::npos);
}

TEST(Propose, PacketFirst) {
  EXPECT_EQ(to_text(selectors_to_propose(ts({"10.1.0.0/16", "10.1.0.0/24"}), one("10.1.0.7[tcp/80]"))),
            "10.1.0.7/32[tcp/80], 10.1.0.0/16");
  EXPECT_EQ(to_text(selectors_to_propose(ts({"10.1.0.7"}), one("10.1.0.7"))), "10.1.0.7/32");
  EXPECT_EQ(to_text(selectors_to_propose(ts({"10.1.0.0/16"}), std::nullopt)), "10.1.0.0/16");
}

TEST(ExplainTs, NamesBothListsAndTheLineToChange) {
  EXPECT_EQ(explain_ts_mismatch(ts({"10.1.0.0/16"}), ts({"10.2.0.0/16"}), "office-a.toml:12",
                                ts({"10.1.0.0/24"}), ts({"10.9.0.0/16"})),
            "traffic selectors do not overlap: we protect 10.1.0.0/16 === 10.2.0.0/16 (office-a.toml:12), "
            "the peer proposed 10.1.0.0/24 === "
            "10.9.0.0/16; change remote_ts on this side to include 10.9.0.0/16, or local_ts on the peer's "
            "side to lie within 10.2.0.0/16");
  const auto office = connection(
      {child("voice", {"10.5.0.0/16"}, {"10.6.0.0/16"}), child("lan", {"10.1.0.0/16"}, {"10.2.0.0/16"})});
  const std::string nearest = explain_ts_mismatch(office, ts({"10.9.0.0/16"}), ts({"10.1.0.0/24"}));
  EXPECT_NE(nearest.find("we protect 10.1.0.0/16 === 10.2.0.0/16 (office.lan, office-a.toml:12)"),
            std::string::npos)
      << nearest;
  const std::string refused = explain_ts_refused(office, office.children[1]);
  EXPECT_NE(refused.find("local_ts must overlap 10.2.0.0/16"), std::string::npos) << refused;
  const std::string families =
      explain_ts_mismatch(ts({"any"}), ts({"any"}), "", ts({"10.0.0.0/8"}), ts({"::/0"}));
  EXPECT_NE(families.find("do not pair up"), std::string::npos) << families;
}

}  // namespace
}  // namespace merlon::policy
