#include "wire/ike/eap.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Eap, ChecksTheLengthInside) {
  // RFC 7296 3.16
  EXPECT_TRUE(EapPayload::parse(hex("01 01 0005 01")));
  EXPECT_FALSE(EapPayload::parse(hex("01 01 0006 01")));
  EXPECT_FALSE(EapPayload::parse(hex("01 01 0004 01")));
}

TEST(Eap, RefusesTruncations) {
  test::check_truncations<EapPayload>(hex("010100050d"), 5);
}

TEST(Eap, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_eap()); }));
}

}  // namespace
}  // namespace merlon::wire
