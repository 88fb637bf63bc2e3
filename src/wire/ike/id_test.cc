#include "wire/ike/id.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Id, FollowsTheFigure) {
  // RFC 7296 3.5: ID_FQDN
  const auto id = IdiPayload::parse(hex("02 ffffff 67772e6578616d706c65"));
  ASSERT_TRUE(id);
  EXPECT_EQ(id->identity, *Identity::parse("gw.example"));
  EXPECT_EQ(to_hex(test::body_of(*id)), "0200000067772e6578616d706c65");
  EXPECT_EQ(test::body_of(*id), encode_id_body(id->identity));
}

TEST(Id, ChecksTheSizeOfAddresses) {
  EXPECT_TRUE(IdrPayload::parse(hex("01 000000 0a000001")));
  EXPECT_FALSE(IdrPayload::parse(hex("01 000000 0a0000")));
  EXPECT_FALSE(IdrPayload::parse(hex("01 000000 0a00000101")));
  EXPECT_FALSE(IdrPayload::parse(hex("05 000000 0a000001")));
  EXPECT_FALSE(IdrPayload::parse(hex("0d 000000 0a")));
  EXPECT_TRUE(IdrPayload::parse(hex("0d 000000")));
}

TEST(Id, RefusesTruncations) {
  test::check_truncations<IdiPayload>(hex("010000000a000001"), 8);
  test::check_truncations<IdiPayload>(hex("02000000676777"), 4);
}

TEST(Id, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_id<IdiPayload>()); }));
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_id<IdrPayload>()); }));
}

}  // namespace
}  // namespace merlon::wire
