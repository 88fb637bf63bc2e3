#include "crypto/prf.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "crypto/hash.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

std::string prf_hex(PrfId id, ByteView key, ByteView data) {
  return to_hex(prf(id, key, {data})->bytes());
}

TEST(Prf, HmacSha1AsInRfc2202) {
  EXPECT_EQ(prf_hex(PrfId::kHmacSha1, Bytes(20, 0x0b), as_bytes("Hi There")),
            "b617318655057264e28bc0b6fb378c8ef146be00");
  EXPECT_EQ(prf_hex(PrfId::kHmacSha1, as_bytes("Jefe"), as_bytes("what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

TEST(Prf, HmacSha2AsInRfc4231) {
  const Bytes key(20, 0x0b);
  const ByteView data = as_bytes("Hi There");
  EXPECT_EQ(prf_hex(PrfId::kHmacSha2_256, key, data),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(
      prf_hex(PrfId::kHmacSha2_384, key, data),
      "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6");
  EXPECT_EQ(prf_hex(PrfId::kHmacSha2_512, key, data),
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4"
            "be9d914eeb61f1702e"
            "696c203a126854");
  // Case 6: a key longer than the block.
  EXPECT_EQ(prf_hex(PrfId::kHmacSha2_256, Bytes(131, 0xaa),
                    as_bytes("Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Prf, HmacTakesAnEmptyKey) {
  // Widely published: HMAC-SHA-256 of nothing under an empty key.
  EXPECT_EQ(prf_hex(PrfId::kHmacSha2_256, {}, {}),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Prf, AesXcbcAsInRfc3566) {
  const Bytes key = counting(16);
  const auto xcbc = [&](const Bytes& data) { return prf_hex(PrfId::kAes128Xcbc, key, data); };
  EXPECT_EQ(xcbc({}), "75f0251d528ac01c4573dfd584d79f29");
  EXPECT_EQ(xcbc(counting(3)), "5b376580ae2f19afe7219ceef172756f");
  EXPECT_EQ(xcbc(counting(16)), "d2a246fa349b68a79998a4394ff7a263");
  EXPECT_EQ(xcbc(counting(20)), "47f51b4564966215b8985c63055ed308");
  EXPECT_EQ(xcbc(counting(32)), "f54f0ec8d2b9f3d36807734bd5283fd4");
  EXPECT_EQ(xcbc(counting(34)), "becbb3bccdb518a30677d5481fb6b4d8");
  EXPECT_EQ(xcbc(Bytes(1000, 0)), "f0dafee895db30253761103b5d84528f");
}

// RFC 4434 2
TEST(Prf, AesXcbcKeyLengthsAsInRfc4434) {
  const Bytes data = counting(20);
  EXPECT_EQ(prf_hex(PrfId::kAes128Xcbc, counting(10), data), "0fa087af7d866e7653434e602fdde835");
  EXPECT_EQ(prf_hex(PrfId::kAes128Xcbc, hex("000102030405060708090a0b0c0d0e0fedcb"), data),
            "8cd3c93ae598a9803006ffb67c40e9e4");
}

// RFC 4615 3
TEST(Prf, AesCmacKeyLengthsAsInRfc4615) {
  const Bytes data = counting(20);
  EXPECT_EQ(prf_hex(PrfId::kAes128Cmac, hex("000102030405060708090a0b0c0d0e0fedcb"), data),
            "84a348a4a45d235babfffc0d2b4da09a");
  EXPECT_EQ(prf_hex(PrfId::kAes128Cmac, counting(16), data), "980ae87b5f4c9c5214f5b6a8455e4c2d");
  EXPECT_EQ(prf_hex(PrfId::kAes128Cmac, counting(10), data), "290d9e112edb09ee141fcf64c0b72f3d");
}

TEST(Prf, SizesAreThoseOfRfc7296AndTheAesRfcs) {
  EXPECT_EQ(prf_key_size(PrfId::kHmacSha1), 20U);
  EXPECT_EQ(prf_key_size(PrfId::kHmacSha2_256), 32U);
  EXPECT_EQ(prf_output_size(PrfId::kHmacSha2_384), 48U);
  EXPECT_EQ(prf_output_size(PrfId::kHmacSha2_512), 64U);
  EXPECT_EQ(prf_key_size(PrfId::kAes128Xcbc), 16U);
  EXPECT_EQ(prf_key_size(PrfId::kAes128Cmac), 16U);
  EXPECT_EQ(prf_skeyseed_nonce_bytes(PrfId::kAes128Cmac), 8U);
  EXPECT_GT(prf_skeyseed_nonce_bytes(PrfId::kHmacSha2_256), 256U);
  EXPECT_FALSE(is_supported(PrfId::kHmacMd5));
  EXPECT_FALSE(is_supported(static_cast<PrfId>(4711)));
  EXPECT_EQ(prf_output_size(PrfId::kHmacMd5), 0U);
  EXPECT_EQ(prf(PrfId::kHmacMd5, {}, {}).error().code, ErrorCode::kUnsupported);
}

TEST(Prf, PartsAreOneMessage) {
  EXPECT_TRUE(rc::check([](const Bytes& key, const Bytes& data, const Bytes& more) {
    for (const PrfId id : {PrfId::kHmacSha2_256, PrfId::kAes128Xcbc, PrfId::kAes128Cmac})
      RC_ASSERT(*prf(id, key, {data, more}) == *prf(id, key, {concat(data, more)}));
  }));
}

// Expected values: Python's hmac module and the definition in RFC 7296 2.13.
TEST(PrfPlus, FollowsItsDefinition) {
  struct Case {
    PrfId id;
    std::string_view first_100;
    std::string_view sha2_256_of_all;
  };
  const Case cases[] = {
      {PrfId::kHmacSha1,
       "9ff0352a8197cb51b89efb9ca9fc6c198a788344d0767fd79b59d06933a2345746581912e501f2bc4295033f10bebd5be1ace"
       "f859d74bbaa72"
       "fa1144fea4763dbc87516f9d348816116492ff5702fb0c4c481ca15d297447149d3701a7168c919cbd2c44",
       "4e804dbe0798b63465d178270e95b5a5e1d529c26a93afaa26d1a0d327f4266f"},
      {PrfId::kHmacSha2_256,
       "dc9b15991806e7effbe418fc6db98886598a7a4c6fe55cd6eb710fa8a0c55f049b7cc0482de3e16b088150df50ae1703789d4"
       "f142cee750ffc"
       "8132cb62d062835934b2993f0733b07ec47928dc6cc6381fa23c7b59114f7f619ddec4b961a2e5dea0b139",
       "d55eab5ca117e016b3ce6af524e2ae6ed1bff821c52690cb68cdc1840324a626"},
      {PrfId::kHmacSha2_384,
       "01c8631a87361328105406bd6af760d3c062e4820c0b5515c1d7d69029882b33a4e94c96c26e475cfbacd437fec2cb182bd61"
       "488618120f9c4"
       "6021c5cd8c114bf1e262456e41ca6782468ced427d92af39574eee6b87bda891c10a59973dc25432398c5c",
       "6fac542ca1e5498a6b1450bb17872039347e9aade70039bf42bea5aaca07ed71"},
      {PrfId::kHmacSha2_512,
       "17ce935095749faa69078db88a65acf6b048803e776bc960183165571b0d9939cecaf683d5de56df66566c0b75cfa5579d6c2"
       "b0c5dd58e086d"
       "49956657ec22fc182e1f99eb669469808927b34536e464028b3945a1c8f3ee95a5c68512dd01dd875b9d6d",
       "3be17eab2327e12052f7adc12564b0d9ab58b63b3dc652b95cbabd89f1f63bce"},
  };
  const Bytes key = counting(32);
  const Bytes seed = counting(80, 100);
  for (const Case& expected : cases) {
    EXPECT_EQ(to_hex(prf_plus(expected.id, key, seed, 100)->bytes()), expected.first_100);
    const std::size_t most = 255 * prf_output_size(expected.id);
    EXPECT_EQ(to_hex(sha2_256({prf_plus(expected.id, key, seed, most)->bytes()})), expected.sha2_256_of_all);
    EXPECT_EQ(prf_plus(expected.id, key, seed, most + 1).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(PrfPlus, OfNoLengthIsEmpty) {
  EXPECT_TRUE(prf_plus(PrfId::kHmacSha2_256, counting(32), {}, 0)->empty());
}

TEST(Hash, KnownDigests) {
  // FIPS 180-4's "abc".
  EXPECT_EQ(to_hex(sha1({as_bytes("a"), as_bytes("bc")})), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(to_hex(sha2_256({as_bytes("abc")})),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      to_hex(sha2_384({as_bytes("abc")})),
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(to_hex(sha2_512({as_bytes("abc")})),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
            "454d4423643ce80e2a"
            "9ac94fa54ca49f");
  EXPECT_EQ(hash(HashId::kSha1, {as_bytes("abc")})->size(), 20U);
  EXPECT_EQ(hash(HashId::kIdentity, {}).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace merlon::crypto
