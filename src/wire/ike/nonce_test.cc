#include "wire/ike/nonce.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Nonce, HasSixteenTo256Bytes) {
  // RFC 7296 3.9
  EXPECT_FALSE(NoncePayload::parse(Bytes(15)));
  EXPECT_TRUE(NoncePayload::parse(Bytes(16)));
  EXPECT_TRUE(NoncePayload::parse(Bytes(256)));
  EXPECT_FALSE(NoncePayload::parse(Bytes(257)));
  EXPECT_EQ(to_hex(NoncePayload::parse(hex("000102030405060708090a0b0c0d0e0f"))->data),
            "000102030405060708090a0b0c0d0e0f");
}

TEST(Nonce, RefusesTruncations) {
  test::check_truncations<NoncePayload>(hex("000102030405060708090a0b0c0d0e0f"), 16);
}

TEST(Nonce, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_nonce()); }));
}

}  // namespace
}  // namespace merlon::wire
