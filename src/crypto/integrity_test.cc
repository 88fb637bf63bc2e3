#include "crypto/integrity.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr IntegId kAll[] = {IntegId::kHmacSha1_96,      IntegId::kAesXcbc96,
                            IntegId::kAesCmac96,        IntegId::kHmacSha2_256_128,
                            IntegId::kHmacSha2_384_192, IntegId::kHmacSha2_512_256};

std::string icv_hex(IntegId id, ByteView key, ByteView data) {
  return to_hex(Integrity::create(id, key)->compute({data}));
}

TEST(Integrity, HmacSha2AsInRfc4868) {
  const ByteView data = as_bytes("Hi There");
  EXPECT_EQ(icv_hex(IntegId::kHmacSha2_256_128, Bytes(32, 0x0b), data), "198a607eb44bfbc69903a0f1cf2bbdc5");
  EXPECT_EQ(icv_hex(IntegId::kHmacSha2_384_192, Bytes(48, 0x0b), data),
            "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973");
  EXPECT_EQ(icv_hex(IntegId::kHmacSha2_512_256, Bytes(64, 0x0b), data),
            "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8");
}

TEST(Integrity, HmacSha1AsInRfc2202) {
  EXPECT_EQ(icv_hex(IntegId::kHmacSha1_96, Bytes(20, 0x0b), as_bytes("Hi There")),
            "b617318655057264e28bc0b6");
  EXPECT_EQ(icv_hex(IntegId::kHmacSha1_96, Bytes(20, 0x0c), as_bytes("Test With Truncation")),
            "4c1a03424b55e07fe7f27be1");
}

TEST(Integrity, AesXcbcAsInRfc3566) {
  EXPECT_EQ(icv_hex(IntegId::kAesXcbc96, counting(16), counting(20)), "47f51b4564966215b8985c63");
  EXPECT_EQ(icv_hex(IntegId::kAesXcbc96, counting(16), {}), "75f0251d528ac01c4573dfd5");
}

TEST(Integrity, AesCmacAsInRfc4494) {
  const Bytes key = hex("2b7e151628aed2a6abf7158809cf4f3c");
  const Bytes data =
      hex("6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411");
  EXPECT_EQ(icv_hex(IntegId::kAesCmac96, key, {}), "bb1d6929e95937287fa37d12");
  EXPECT_EQ(icv_hex(IntegId::kAesCmac96, key, ByteView(data).first(16)), "070a16b46b4d4144f79bdd9d");
  EXPECT_EQ(icv_hex(IntegId::kAesCmac96, key, data), "dfa66747de9ae63030ca3261");
}

TEST(Integrity, VerifyAcceptsItsOwnAndNothingElse) {
  EXPECT_TRUE(rc::check([](const Bytes& data, const Bytes& more, std::uint8_t flip, std::uint8_t where) {
    for (const IntegId id : kAll) {
      Integrity integrity = Integrity::create(id, counting(integrity_key_size(id))).value();
      Bytes icv = integrity.compute({data, more});
      RC_ASSERT(icv.size() == integrity_icv_size(id));
      RC_ASSERT(icv == integrity.compute({concat(data, more)}));
      RC_ASSERT(integrity.verify({data, more}, icv));
      RC_ASSERT(!integrity.verify({data, more}, ByteView(icv).first(icv.size() - 1)));
      icv[where % icv.size()] = static_cast<std::uint8_t>(icv[where % icv.size()] ^ (flip | 1U));
      RC_ASSERT(!integrity.verify({data, more}, icv));
    }
  }));
}

TEST(Integrity, RefusesWhatItDoesNotHave) {
  EXPECT_FALSE(is_supported(IntegId::kNone));
  EXPECT_FALSE(is_supported(IntegId::kHmacMd5_96));
  EXPECT_EQ(Integrity::create(IntegId::kHmacMd5_96, counting(16)).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(Integrity::create(IntegId::kNone, {}).error().code, ErrorCode::kUnsupported);
  for (const IntegId id : kAll) {
    EXPECT_TRUE(is_supported(id));
    EXPECT_EQ(Integrity::create(id, counting(integrity_key_size(id) + 1)).error().code,
              ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace merlon::crypto
