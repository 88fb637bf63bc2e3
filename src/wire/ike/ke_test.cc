#include "wire/ike/ke.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Ke, FollowsTheFigure) {
  // RFC 7296 3.4
  const auto ke = KePayload::parse(hex("001f ffff aabbcc"));
  ASSERT_TRUE(ke);
  EXPECT_EQ(ke->method, KeMethod::kCurve25519);
  EXPECT_EQ(to_hex(ke->data), "aabbcc");
  EXPECT_EQ(to_hex(test::body_of(*ke)), "001f0000aabbcc");
}

TEST(Ke, RefusesTruncations) {
  test::check_truncations<KePayload>(hex("001f0000aabbcc"), 4);
}

TEST(Ke, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_ke()); }));
}

}  // namespace
}  // namespace merlon::wire
