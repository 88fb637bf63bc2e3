#include "wire/ike/notify.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Notify, FollowsTheFigure) {
  // RFC 7296 3.10: REKEY_SA for ESP
  const auto notify = NotifyPayload::parse(hex("03 04 4009 c0ffee01 aa"));
  ASSERT_TRUE(notify);
  EXPECT_EQ(notify->protocol, SecurityProtocol::kEsp);
  EXPECT_EQ(notify->type, NotifyType::kRekeySa);
  EXPECT_EQ(to_hex(notify->spi), "c0ffee01");
  EXPECT_EQ(to_hex(notify->data), "aa");
}

TEST(Notify, RefusesTruncations) {
  test::check_truncations<NotifyPayload>(hex("03044009c0ffee01"), 8);
}

TEST(Notify, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_notify()); }));
}

}  // namespace
}  // namespace merlon::wire
