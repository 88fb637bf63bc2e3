#include "ike/counters.h"

#include <gtest/gtest.h>

#include <set>

namespace merlon::ike {
namespace {

TEST(Counters, EveryCounterHasAnUnlikeName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kCounterCount; ++i) names.insert(name(static_cast<Counter>(i)));
  EXPECT_EQ(names.size(), kCounterCount);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(name(Counter::kMessagesSent), "messages_sent");
  EXPECT_EQ(name(Counter::kPeersMoved), "peers_moved");
  EXPECT_EQ(name(Counter::kDropBadIcv), "drop_bad_icv");
  EXPECT_EQ(name(Counter::kFragmentsDropped), "fragments_dropped");
  EXPECT_EQ(name(Counter::kLivenessFailures), "liveness_failures");

  std::set<std::string_view> paths;
  for (std::size_t i = 0; i < kRarePathCount; ++i) paths.insert(name(static_cast<RarePath>(i)));
  EXPECT_EQ(paths.size(), kRarePathCount);
  EXPECT_FALSE(paths.contains(""));
  EXPECT_EQ(name(RarePath::kInitSentAgain), "init_sent_again");
  EXPECT_EQ(name(RarePath::kTwinDeleted), "twin_deleted");
  EXPECT_EQ(name(RarePath::kFragmentsOutdated), "fragments_outdated");
}

TEST(Counters, AddsAndShowsWhatItCounts) {
  Counters counters;
  counters.add(Counter::kCookiesSent);
  counters.add(Counter::kCookiesSent, 4);
  counters.add(ExchangeKind::kIkeAuth, ExchangeRole::kResponder, ExchangeResult::kRefusedByUs);
  counters.add_notify_sent(24);
  counters.add_notify_received(16388);
  counters.add_collision(3);
  counters.add(RarePath::kTwinDeleted);
  EXPECT_EQ(counters.value(Counter::kCookiesSent), 5U);
  EXPECT_EQ(counters.value(ExchangeKind::kIkeAuth, ExchangeRole::kResponder, ExchangeResult::kRefusedByUs),
            1U);
  EXPECT_EQ(counters.value(ExchangeKind::kIkeAuth, ExchangeRole::kInitiator, ExchangeResult::kRefusedByUs),
            0U);

  Counters sum;
  sum.merge(counters);
  sum.merge(counters);
  EXPECT_EQ(sum.value(Counter::kCookiesSent), 10U);
  EXPECT_EQ(sum.notifies_sent(24), 2U);
  EXPECT_EQ(sum.notifies_received(16388), 2U);
  EXPECT_EQ(sum.collisions(3), 2U);
  EXPECT_EQ(sum.value(RarePath::kTwinDeleted), 2U);

  std::map<std::string, std::uint64_t> seen;
  sum.for_each([&](const CounterSample& sample) {
    std::string text(sample.metric);
    for (const auto& [key, value] : sample.labels) text += "," + std::string(key) + "=" + value;
    seen[text] = sample.value;
  });
  EXPECT_EQ(seen["ike_cookies_sent"], 10U);
  EXPECT_EQ(seen["ike_exchanges,kind=IKE_AUTH,role=responder,result=refused by us"], 2U);
  EXPECT_EQ(seen["ike_notifies,direction=sent,type=AUTHENTICATION_FAILED"], 2U);
  EXPECT_EQ(seen["ike_notifies,direction=received,type=NAT_DETECTION_SOURCE_IP"], 2U);
  EXPECT_EQ(seen["ike_collisions,row=3"], 2U);
  EXPECT_EQ(seen["ike_rare_paths,path=twin_deleted"], 2U);
}

TEST(Counters, APeerCannotGrowThemWithoutEnd) {
  Counters counters;
  for (unsigned type = 1; type < 65536; ++type)
    counters.add_notify_received(static_cast<std::uint16_t>(type));
  std::size_t types = 0;
  std::uint64_t total = 0;
  counters.for_each([&](const CounterSample& sample) {
    if (sample.metric != "ike_notifies") return;
    ++types;
    total += sample.value;
  });
  EXPECT_LE(types, 513U);
  EXPECT_EQ(total, 65535U);
  counters.add_collision(Counters::kMaxCollisionRows);
  EXPECT_EQ(counters.collisions(Counters::kMaxCollisionRows), 0U);
}

}  // namespace
}  // namespace merlon::ike
