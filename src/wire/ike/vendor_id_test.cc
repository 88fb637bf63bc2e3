#include "wire/ike/vendor_id.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

// RFC 7296 3.12
TEST(VendorId, IsOpaque) {
  EXPECT_EQ(VendorIdPayload::parse({})->data, Bytes{});
  EXPECT_EQ(VendorIdPayload::parse(hex("aabb"))->data, hex("aabb"));
}

TEST(VendorId, RefusesTruncations) {
  test::check_truncations<VendorIdPayload>(hex("aabb"), 0);
}

TEST(VendorId, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_vendor_id()); }));
}

}  // namespace
}  // namespace merlon::wire
