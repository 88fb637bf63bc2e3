#include "wire/ike/cert.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Cert, FollowsTheFigure) {
  // RFC 7296 3.6
  const auto cert = CertPayload::parse(hex("04 30820001"));
  ASSERT_TRUE(cert);
  EXPECT_EQ(cert->encoding, CertEncoding::kX509Signature);
  EXPECT_EQ(to_hex(cert->data), "30820001");
}

TEST(Cert, RefusesTruncations) {
  test::check_truncations<CertPayload>(hex("0430820001"), 1);
}

TEST(Cert, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_cert()); }));
}

}  // namespace
}  // namespace merlon::wire
