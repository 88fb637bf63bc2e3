#include "wire/ike/cp.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Cp, FollowsTheFigure) {
  // RFC 7296 3.15: a request with an empty INTERNAL_IP4_ADDRESS, the reserved bit set, and an
  // INTERNAL_IP4_DNS
  const auto cp = CpPayload::parse(hex("01 ffffff 8001 0000 0003 0004 0a000001"));
  ASSERT_TRUE(cp);
  EXPECT_EQ(cp->cfg_type, CfgType::kRequest);
  ASSERT_EQ(cp->attributes.size(), 2U);
  EXPECT_EQ(cp->attributes[0], (CfgAttribute{.type = CfgAttributeType::kInternalIp4Address, .value = {}}));
  EXPECT_EQ(cp->attributes[1],
            (CfgAttribute{.type = CfgAttributeType::kInternalIp4Dns, .value = hex("0a000001")}));
  EXPECT_EQ(to_hex(test::body_of(*cp)), "0100000000010000000300040a000001");
}

TEST(Cp, RefusesAttributesCutShort) {
  EXPECT_FALSE(CpPayload::parse(hex("01 000000 0003 0004 0a0000")));
  EXPECT_FALSE(CpPayload::parse(hex("01 000000 0003 00")));
  EXPECT_TRUE(CpPayload::parse(hex("01 000000")));
}

TEST(Cp, RefusesTruncations) {
  test::check_truncations<CpPayload>(hex("0100000000010000000300040a000001"), 4);
}

TEST(Cp, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_cp()); }));
}

}  // namespace
}  // namespace merlon::wire
