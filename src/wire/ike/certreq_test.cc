#include "wire/ike/certreq.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Certreq, HoldsAuthorityHashes) {
  // RFC 7296 3.7
  AuthorityHash first{};
  AuthorityHash second{};
  first.fill(1);
  second.fill(2);
  const auto payload = CertreqPayload::of(CertEncoding::kX509Signature, {first, second});
  EXPECT_EQ(payload.authority_hashes(), (std::vector<AuthorityHash>{first, second}));
  EXPECT_EQ(test::body_of(payload).size(), 41U);
  auto odd = payload;
  odd.authorities.pop_back();
  EXPECT_TRUE(odd.authority_hashes().empty());
}

TEST(Certreq, RefusesTruncations) {
  test::check_truncations<CertreqPayload>(hex("04000102030405060708090a0b0c0d0e0f10111213"), 1);
}

TEST(Certreq, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_certreq()); }));
}

}  // namespace
}  // namespace merlon::wire
