#include "wire/ike/auth.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Auth, FollowsTheFigure) {
  // RFC 7296 3.8
  const auto auth = AuthPayload::parse(hex("0e ffffff aabb"));
  ASSERT_TRUE(auth);
  EXPECT_EQ(auth->method, AuthMethod::kDigitalSignature);
  EXPECT_EQ(to_hex(auth->data), "aabb");
  EXPECT_EQ(to_hex(test::body_of(*auth)), "0e000000aabb");
}

TEST(Auth, RefusesTruncations) {
  test::check_truncations<AuthPayload>(hex("0e000000aabb"), 4);
}

TEST(Auth, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_auth()); }));
}

}  // namespace
}  // namespace merlon::wire
