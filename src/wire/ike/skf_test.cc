#include "wire/ike/skf.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Skf, FollowsTheFigure) {
  // RFC 7383 2.5
  const auto skf = SkfPayload::parse(hex("0002 0005 aabbcc"));
  ASSERT_TRUE(skf);
  EXPECT_EQ(skf->fragment_number, 2);
  EXPECT_EQ(skf->total_fragments, 5);
  EXPECT_EQ(to_hex(skf->body), "aabbcc");
}

TEST(Skf, RefusesImpossibleNumbers) {
  // RFC 7383 2.6
  EXPECT_FALSE(SkfPayload::parse(hex("0000 0005 aa")));
  EXPECT_FALSE(SkfPayload::parse(hex("0006 0005 aa")));
  EXPECT_FALSE(SkfPayload::parse(hex("0001 0000 aa")));
  EXPECT_TRUE(SkfPayload::parse(hex("0001 0001 aa")));
}

TEST(Skf, RefusesTruncations) {
  test::check_truncations<SkfPayload>(hex("00010001aabb"), 4);
}

}  // namespace
}  // namespace merlon::wire
