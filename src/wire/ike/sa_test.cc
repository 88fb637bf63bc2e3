#include "wire/ike/sa.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

// One ESP proposal by RFC 7296 3.3.1 and 3.3.2: AES_GCM_16 with a key of 256 bits, CURVE25519, 32-bit
// sequence numbers.
const char* const kEspProposal =
    "00 00 0028 01 03 04 03 c0ffee01"
    "03 00 000c 01 00 0014 800e 0100"
    "03 00 0008 04 00 001f"
    "00 00 0008 05 00 0000";

TEST(Sa, FollowsTheFigures) {
  const auto sa = SaPayload::parse(hex(kEspProposal));
  ASSERT_TRUE(sa) << sa.error().message;
  Proposal expected{.number = 1, .protocol = SecurityProtocol::kEsp, .spi = {}, .transforms = {}};
  expected.set_spi(Spi{0xc0ffee01});
  expected.transforms = {encr_transform(EncrId::kAesGcm16, 256), ke_transform(KeMethod::kCurve25519),
                         sn_transform(SnId::k32Bit)};
  ASSERT_EQ(sa->proposals.size(), 1U);
  EXPECT_EQ(sa->proposals[0], expected);
  EXPECT_EQ(sa->proposals[0].child_spi(), Spi{0xc0ffee01});
  EXPECT_EQ(to_hex(test::body_of(*sa)), to_hex(hex(kEspProposal)));
}

TEST(Sa, KeepsWhatItDoesNotKnow) {
  // Transform type 13 with id 0x1234, a long attribute 0x0011, a second Key Length, and a Key Length in the
  // long format.
  const auto sa =
      SaPayload::parse(hex("00 00 0024 01 63 00 01"
                           "00 00 001c 0d 00 1234 800e 0080 0011 0002 abcd 800e 0100 000e 0002 0080"));
  ASSERT_TRUE(sa) << sa.error().message;
  const Transform& transform = sa->proposals[0].transforms[0];
  EXPECT_EQ(static_cast<int>(transform.type), 13);
  EXPECT_EQ(transform.id, 0x1234);
  EXPECT_EQ(transform.key_length, 128);
  ASSERT_EQ(transform.unknown_attributes.size(), 3U);
  EXPECT_EQ(transform.unknown_attributes[0],
            (TransformAttribute{.type = 0x11, .short_format = false, .value = hex("abcd")}));
  EXPECT_EQ(transform.unknown_attributes[1],
            (TransformAttribute{.type = 14, .short_format = true, .value = hex("0100")}));
  EXPECT_EQ(transform.unknown_attributes[2],
            (TransformAttribute{.type = 14, .short_format = false, .value = hex("0080")}));
}

TEST(Sa, RefusesWhatContradictsItself) {
  EXPECT_FALSE(SaPayload::parse({}));
  const auto refused = [](std::size_t at, std::uint8_t value) {
    Bytes body = hex(kEspProposal);
    body[at] = value;
    return !SaPayload::parse(body).has_value();
  };
  EXPECT_TRUE(refused(0, 2));     // more proposals announced
  EXPECT_TRUE(refused(0, 1));     // no such marker
  EXPECT_TRUE(refused(3, 0x27));  // shorter than its transforms
  EXPECT_TRUE(refused(3, 0x29));  // longer than the payload
  EXPECT_TRUE(refused(3, 0x03));  // shorter than its header
  EXPECT_TRUE(refused(6, 8));     // ESP with an SPI of 8 bytes
  EXPECT_TRUE(refused(6, 0));
  EXPECT_TRUE(refused(7, 2));  // fewer transforms announced than there are
  EXPECT_TRUE(refused(7, 4));
  EXPECT_TRUE(refused(12, 0));     // the last marker too early
  EXPECT_TRUE(refused(15, 0x0b));  // an attribute of odd length
  EXPECT_TRUE(refused(15, 0x0d));
  EXPECT_FALSE(refused(1, 0xff));  // reserved fields are ignored
  EXPECT_FALSE(refused(13, 0xff));
}

TEST(Sa, RefusesAttributesThatRunOver) {
  const auto with_attribute = [](std::string_view transform_length, std::string_view attribute) {
    Bytes transform = concat(hex("00 00"), hex(transform_length), hex("01 00 0014"), hex(attribute));
    return SaPayload::parse(
        concat(Bytes{0, 0, 0, static_cast<std::uint8_t>(8 + transform.size()), 1, 1, 0, 1}, transform));
  };
  EXPECT_TRUE(with_attribute("000e", "0011 0002 abcd"));
  EXPECT_TRUE(with_attribute("000f", "0011 0003 abcdef"));  // of odd length, and all there
  EXPECT_TRUE(with_attribute("000c", "0011 0000"));
  EXPECT_FALSE(with_attribute("000e", "0011 0003 abcd"));
  EXPECT_FALSE(with_attribute("000e", "0011 ffff abcd"));
  EXPECT_FALSE(with_attribute("000b", "800e 01"));
  EXPECT_FALSE(with_attribute("000a", "800e"));
  EXPECT_FALSE(with_attribute("0009", "80"));
}

TEST(Sa, RefusesMoreThan255Proposals) {
  Bytes body;
  for (int i = 0; i < 254; ++i) append(body, hex("02 00 0008 01 01 00 00"));
  Bytes fits = body;
  append(fits, hex("00 00 0008 01 01 00 00"));
  EXPECT_TRUE(SaPayload::parse(fits));
  Bytes too_many = body;
  append(too_many, hex("02 00 0008 01 01 00 00 00 00 0008 01 01 00 00"));
  EXPECT_FALSE(SaPayload::parse(too_many));
}

TEST(Sa, RefusesEveryTruncation) {
  test::check_truncations<SaPayload>(hex(kEspProposal), hex(kEspProposal).size());
}

TEST(Sa, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_sa()); }));
}

TEST(Sa, NamesTransforms) {
  EXPECT_EQ(name(encr_transform(EncrId::kAesGcm16, 256)), "AES_GCM_16-256");
  EXPECT_EQ(name(prf_transform(PrfId::kHmacSha2_256)), "PRF_HMAC_SHA2_256");
  EXPECT_EQ(name(integ_transform(IntegId::kHmacSha2_256_128)), "HMAC_SHA2_256_128");
  EXPECT_EQ(name(Transform{.type = TransformType{13}, .id = 2, .key_length = {}, .unknown_attributes = {}}),
            "UNKNOWN(13:2)");
}

TEST(Sa, SpisComeInTwoSizes) {
  Proposal proposal;
  proposal.set_spi(IkeSpi{0x0123456789abcdef});
  EXPECT_EQ(to_hex(proposal.spi), "0123456789abcdef");
  EXPECT_EQ(proposal.ike_spi(), IkeSpi{0x0123456789abcdef});
  EXPECT_FALSE(proposal.child_spi());
}

}  // namespace
}  // namespace merlon::wire
