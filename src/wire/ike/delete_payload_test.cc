#include "wire/ike/delete_payload.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Delete, FollowsTheFigure) {
  // RFC 7296 3.11
  const auto payload = DeletePayload::parse(hex("03 04 0002 c0ffee01 c0ffee02"));
  ASSERT_TRUE(payload);
  EXPECT_EQ(payload->protocol, SecurityProtocol::kEsp);
  EXPECT_EQ(payload->spis, (std::vector<Spi>{{0xc0ffee01}, {0xc0ffee02}}));
  EXPECT_EQ(to_hex(test::body_of(DeletePayload{.protocol = SecurityProtocol::kIke, .spis = {}})), "01000000");
}

TEST(Delete, RefusesWrongSpiSizesAndCounts) {
  EXPECT_FALSE(DeletePayload::parse(hex("03 08 0001 c0ffee01c0ffee02")));
  EXPECT_FALSE(DeletePayload::parse(hex("03 00 0000")));
  EXPECT_FALSE(DeletePayload::parse(hex("01 08 0001 c0ffee01c0ffee02")));
  EXPECT_FALSE(DeletePayload::parse(hex("01 00 0001")));
  EXPECT_FALSE(DeletePayload::parse(hex("09 04 0000")));
  EXPECT_FALSE(DeletePayload::parse(hex("03 04 ffff c0ffee01")));
  EXPECT_FALSE(DeletePayload::parse(hex("03 04 0001 c0ffee01 00")));
  EXPECT_TRUE(DeletePayload::parse(hex("01 00 0000")));
}

TEST(Delete, RefusesTruncations) {
  test::check_truncations<DeletePayload>(hex("03040002c0ffee01c0ffee02"), 12);
}

TEST(Delete, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_delete()); }));
}

}  // namespace
}  // namespace merlon::wire
