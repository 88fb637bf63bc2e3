#include "crypto/key_exchange.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr KeMethod kAll[] = {KeMethod::kModp1024, KeMethod::kModp1536,   KeMethod::kModp2048,
                             KeMethod::kModp3072, KeMethod::kModp4096,   KeMethod::kModp6144,
                             KeMethod::kModp8192, KeMethod::kEcp256,     KeMethod::kEcp384,
                             KeMethod::kEcp521,   KeMethod::kCurve25519, KeMethod::kCurve448};

std::unique_ptr<KeyExchange> with_private(KeMethod method, Bytes private_value) {
  ScriptedRng rng(std::move(private_value));
  return KeyExchange::generate(method, rng).value();
}

std::string sha(ByteView bytes) {
  return to_hex(sha2_256({bytes}));
}

struct Agreement {
  KeMethod method;
  std::string_view initiator;
  std::string_view initiator_public;
  std::string_view responder;
  std::string_view responder_public;
  std::string_view shared;
};

void expect_agreement(const Agreement& expected) {
  const auto initiator = with_private(expected.method, hex(expected.initiator));
  const auto responder = with_private(expected.method, hex(expected.responder));
  EXPECT_EQ(to_hex(initiator->public_value()), to_hex(hex(expected.initiator_public)));
  EXPECT_EQ(to_hex(responder->public_value()), to_hex(hex(expected.responder_public)));
  EXPECT_EQ(to_hex(initiator->derive(responder->public_value())->bytes()), to_hex(hex(expected.shared)));
  EXPECT_EQ(to_hex(responder->derive(initiator->public_value())->bytes()), to_hex(hex(expected.shared)));
}

TEST(KeyExchange, Ecp256AsInRfc5903) {
  expect_agreement({KeMethod::kEcp256, "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
                    "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
                    "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
                    "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
                    "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
                    "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
                    "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"});
}

TEST(KeyExchange, Ecp384AsInRfc5903) {
  expect_agreement(
      {KeMethod::kEcp384,
       "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
       "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA"
       "9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
       "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
       "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571"
       "DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
       "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746"});
}

TEST(KeyExchange, Ecp521AsInRfc5903) {
  expect_agreement({KeMethod::kEcp521,
                    "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A0"
                    "95AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52",
                    "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBE"
                    "E1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E"
                    "017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10A"
                    "D8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F9582",
                    "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E"
                    "9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9",
                    "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A21"
                    "9B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F"
                    "015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87"
                    "220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0FC56A",
                    "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04"
                    "D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA"});
}

TEST(KeyExchange, X25519AsInRfc7748) {
  expect_agreement({KeMethod::kCurve25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
                    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
                    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"});
}

TEST(KeyExchange, X448AsInRfc7748) {
  expect_agreement({KeMethod::kCurve448,
                    "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a9419744897391006382a6"
                    "f127ab1d9ac2d8c0a598726b",
                    "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d953d40c5b12da"
                    "88120d53177f80e532c41fa0",
                    "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120bb5ee8972b0d3e21374c9c92"
                    "1b09d1b0366f10b65173992d",
                    "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb4232a13ca706dcb5"
                    "7aec3dae07bdc1c67bf33609",
                    "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c2440"
                    "3085d59a449a5037514a879d"});
}

// SHA2-256 of values that Python computed: the primes from the formula of RFC 2409 and RFC 3526 with pi, then
// pow().
struct ModpCase {
  KeMethod method;
  std::size_t modulus_bytes;
  std::size_t exponent_bytes;
  std::string_view public_value;
  std::string_view shared;
  std::string_view prime_minus_1;
};
constexpr ModpCase kModp[] = {
    {KeMethod::kModp1024, 128, 32, "9e32ccbc23f45c52dff77810c4bd9e2a9b90eceb7ad59edbe54aa2c6485aaae3",
     "fb340d171ad61a2c68bf9ab115f9ddaba8ebc0303b57c319861d37e97983b108",
     "56c2239dd65c38c57156f58a48242fd707a87cb0ea705b546635cec4930c5d9f"},
    {KeMethod::kModp1536, 192, 32, "e704583413eb1db0d556b38a6de94cb0742e451b339a4d44cb45c9fe985070b9",
     "553cb3da53b8c297422c70cd73b92357c6fbd2280ef63c25c088182e4460d051",
     "7cc43adb7f9807db50dd554cd1fb58064e30478c00a35485ff869772859ffbf4"},
    {KeMethod::kModp2048, 256, 40, "71fe64a03ed65476629d5edfb0adc65ca2a545b5d8981c732c8e278289f5da38",
     "c4bc603dc75c1a415753657dcf7fad8503e010655f91677504654f10bcb01948",
     "dc72350c57962eec151d0d46c7e26f6f428c3a0a0e53e1cb23ee69dceebca742"},
    {KeMethod::kModp3072, 384, 53, "a7cdddfea11cc76081038f2dd68fecbeb0b3df332a8078e6c670c08423872eb5",
     "5cbab42cfb8cb566a5c53e4cd270c05e9e63a6e7657766c0484d9036a2427406",
     "701f9dfac3a4a05cc0d1ee670797da130b9f0dcddb719171658a5933b14cfa2d"},
    {KeMethod::kModp4096, 512, 60, "056e130045dcc4e19242160019fc2498b5b449117ea071c4da5f5762c446f4e6",
     "051b94289469d037b966975b180fc54c31daea4352f4539c2bce4177a2dbaa7d",
     "d69adcceb311212368a216a5ae0be0e9223c178779075024e9e26f2be94b37ed"},
    {KeMethod::kModp6144, 768, 68, "b35e1072c133d428114883bd999fdcbd61faa9a35d1a4c19c1d1c0eeb0681f77",
     "3ffccf60e23c270a51e227ea76b9b19a004bda5efc9119752ae69244b19a4dca",
     "cde54321a54ad1d38fbd05b5d4545493b62bb1624a98816dcb8ead01a5bd13a4"},
    {KeMethod::kModp8192, 1024, 78, "f95888b4e0183c135adf48367d92afd18ef07ea6658cc2688c4db1a989f33899",
     "45b36a9c7fda7afdc6f264a502974aae00a50743b6402627688b51bd44f25a91",
     "8ffd4d70c91af4371bcede63b938c0abe190109d1bb5f479f5f795ab565d9625"},
};

Bytes steps(std::size_t size, std::size_t factor, std::size_t offset) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(factor * i + offset);
  return out;
}

TEST(KeyExchange, ModpAgreesWithIndependentArithmetic) {
  for (const ModpCase& expected : kModp) {
    SCOPED_TRACE(name(expected.method));
    const auto initiator = with_private(expected.method, steps(expected.exponent_bytes, 7, 1));
    const auto responder = with_private(expected.method, steps(expected.exponent_bytes, 11, 3));
    EXPECT_EQ(initiator->public_value().size(), expected.modulus_bytes);
    EXPECT_EQ(sha(initiator->public_value()), expected.public_value);
    const Secret shared = responder->derive(initiator->public_value()).value();
    EXPECT_EQ(shared.size(), expected.modulus_bytes);
    EXPECT_EQ(sha(shared.bytes()), expected.shared);
    EXPECT_EQ(*initiator->derive(responder->public_value()), shared);
  }
}

// RFC 6989 2.1
TEST(KeyExchange, ModpRefusesValuesOutsideOfRfc6989) {
  for (const ModpCase& group : kModp) {
    SCOPED_TRACE(name(group.method));
    const auto exchange = with_private(group.method, steps(group.exponent_bytes, 7, 1));
    Bytes value(group.modulus_bytes, 0);
    EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kAuthentication);
    value.back() = 1;
    EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kAuthentication);
    value.back() = 2;
    EXPECT_TRUE(exchange->derive(value));
    EXPECT_EQ(exchange->derive(Bytes(group.modulus_bytes, 0xff)).error().code, ErrorCode::kAuthentication);
    EXPECT_EQ(exchange->derive(Bytes(group.modulus_bytes - 1, 0x77)).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(exchange->derive(Bytes(group.modulus_bytes + 1, 0x00)).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(exchange->derive({}).error().code, ErrorCode::kMalformed);
  }
}

TEST(KeyExchange, ModpRefusesExactlyFromPMinus1) {
  // RFC 3526 3: the last 64 bits of each prime are ones, so p - 1 and p - 2 differ from p in the last byte
  // only. Group 14.
  const Bytes p =
      hex("FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74 020BBEA6 3B139B22 "
          "514A0879 8E3404DD"
          "EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A637ED6B "
          "0BFF5CB6 F406B7ED"
          "EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D C2007CB8 A163BF05 98DA4836 1C55D39A "
          "69163FA8 FD24CF5F"
          "83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D 670C354E 4ABC9804 F1746C08 CA18217C "
          "32905E46 2E36CE3B"
          "E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9 DE2BCBF6 95581718 3995497C EA956AE5 "
          "15D22618 98FA0510"
          "15728E5A 8AACAA68 FFFFFFFF FFFFFFFF");
  Bytes value = p;
  const auto exchange = with_private(KeMethod::kModp2048, counting(40, 1));
  EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kAuthentication);
  value.back() = 0xfe;  // p - 1
  EXPECT_EQ(sha(value), kModp[2].prime_minus_1);
  EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kAuthentication);
  value.back() = 0xfd;
  EXPECT_TRUE(exchange->derive(value));
}

// RFC 6989 2.3
TEST(KeyExchange, EcpRefusesWhatIsNotOnTheCurve) {
  for (const KeMethod method : {KeMethod::kEcp256, KeMethod::kEcp384, KeMethod::kEcp521}) {
    SCOPED_TRACE(name(method));
    SeededRng rng(1);
    const auto exchange = KeyExchange::generate(method, rng).value();
    Bytes value = to_bytes(exchange->public_value());
    value.back() = static_cast<std::uint8_t>(value.back() ^ 1U);
    EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kAuthentication);
    EXPECT_EQ(exchange->derive(Bytes(value.size(), 0)).error().code, ErrorCode::kAuthentication);
    EXPECT_EQ(exchange->derive(Bytes(value.size(), 0xff)).error().code, ErrorCode::kAuthentication);
    value.pop_back();
    EXPECT_EQ(exchange->derive(value).error().code, ErrorCode::kMalformed);
  }
}

TEST(KeyExchange, EcpDrawsAgainWhenTheValueIsOutOfRange) {
  // 2^256 - 1 lies above P-256's order; the next draw is taken.
  const Bytes good = hex("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433");
  const auto exchange = with_private(KeMethod::kEcp256, concat(Bytes(32, 0xff), Bytes(32, 0), good));
  EXPECT_EQ(to_hex(exchange->public_value().first(32)),
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180");
}

TEST(KeyExchange, ABrokenRngIsAnErrorNotALoop) {
  for (const KeMethod method : {KeMethod::kModp2048, KeMethod::kEcp256, KeMethod::kEcp521}) {
    ScriptedRng zeros({});
    EXPECT_EQ(KeyExchange::generate(method, zeros).error().code, ErrorCode::kExhausted);
  }
}

// RFC 8031 3.2: an all-zero result.
TEST(KeyExchange, CurvesRefuseSmallOrder) {
  SeededRng rng(1);
  const auto x25519 = KeyExchange::generate(KeMethod::kCurve25519, rng).value();
  Bytes value(32, 0);
  EXPECT_EQ(x25519->derive(value).error().code, ErrorCode::kAuthentication);
  value[0] = 1;
  EXPECT_EQ(x25519->derive(value).error().code, ErrorCode::kAuthentication);
  EXPECT_EQ(x25519->derive(Bytes(31, 9)).error().code, ErrorCode::kMalformed);
  const auto x448 = KeyExchange::generate(KeMethod::kCurve448, rng).value();
  EXPECT_EQ(x448->derive(Bytes(56, 0)).error().code, ErrorCode::kAuthentication);
  EXPECT_EQ(x448->derive(Bytes(57, 5)).error().code, ErrorCode::kMalformed);
}

TEST(KeyExchange, EveryMethodAgreesWithItselfAndFollowsTheRng) {
  for (const KeMethod method : kAll) {
    SCOPED_TRACE(name(method));
    SeededRng rng(7);
    SeededRng same(7);
    const auto initiator = KeyExchange::generate(method, rng).value();
    const auto responder = KeyExchange::generate(method, rng).value();
    EXPECT_TRUE(is_supported(method));
    EXPECT_EQ(initiator->method(), method);
    EXPECT_EQ(initiator->public_value().size(), public_value_size(method));
    EXPECT_FALSE(equal(initiator->public_value(), responder->public_value()));
    EXPECT_TRUE(
        equal(initiator->public_value(), KeyExchange::generate(method, same).value()->public_value()));
    EXPECT_EQ(initiator->derive(responder->public_value()).value(),
              responder->derive(initiator->public_value()).value());
  }
}

TEST(KeyExchange, OnlyTheOldGroupsAreWeak) {
  for (const KeMethod method : kAll)
    EXPECT_EQ(is_weak(method), method == KeMethod::kModp1024 || method == KeMethod::kModp1536);
  SeededRng rng(1);
  for (const KeMethod method :
       {KeMethod::kNone, KeMethod::kModp768, KeMethod::kMlKem768, static_cast<KeMethod>(999)}) {
    EXPECT_FALSE(is_supported(method));
    EXPECT_EQ(public_value_size(method), 0U);
    EXPECT_EQ(KeyExchange::generate(method, rng).error().code, ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace merlon::crypto
