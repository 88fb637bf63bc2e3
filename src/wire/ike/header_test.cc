#include "wire/ike/header.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(IkeHeader, FollowsTheFigure) {
  // RFC 7296 3.1
  const auto header =
      IkeHeader::parse(hex("0123456789abcdef fedcba9876543210 21 20 22 08 00000001 000001bc"));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->initiator_spi, IkeSpi{0x0123456789abcdef});
  EXPECT_EQ(header->responder_spi, IkeSpi{0xfedcba9876543210});
  EXPECT_EQ(header->next_payload, PayloadType::kSa);
  EXPECT_EQ(header->major, 2);
  EXPECT_EQ(header->minor, 0);
  EXPECT_EQ(header->exchange_type, ExchangeType::kIkeSaInit);
  EXPECT_TRUE(header->flags.initiator);
  EXPECT_FALSE(header->flags.response);
  EXPECT_EQ(header->message_id, MessageId{1});
  EXPECT_EQ(header->length, 444U);
}

TEST(IkeHeader, IgnoresReservedFlagsAndReadsIkev1) {
  const auto header =
      IkeHeader::parse(hex("0123456789abcdef 0000000000000000 01 10 02 c7 00000000 0000001c"));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->major, 1);
  EXPECT_EQ(header->exchange_type, ExchangeType::kV1IdentityProtection);
  EXPECT_EQ(header->flags, IkeFlags{});
}

TEST(IkeHeader, RefusesTruncationsAndImpossibleLengths) {
  const Bytes bytes = hex("0123456789abcdef fedcba9876543210 21 20 22 08 00000001 0000001c");
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(IkeHeader::parse(test::prefix(bytes, size)));
  EXPECT_FALSE(IkeHeader::parse(hex("0123456789abcdef fedcba9876543210 21 20 22 08 00000001 0000001b")));
}

TEST(IkeHeader, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    IkeHeader header = test::any_header();
    header.major = *rc::gen::inRange<std::uint8_t>(0, 16);
    header.next_payload = static_cast<PayloadType>(test::number<std::uint8_t>());
    header.length = *rc::gen::inRange<std::uint32_t>(28, 100000);
    const auto parsed = IkeHeader::parse(test::body_of(header));
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == header);
  }));
}

TEST(IkeNames, MirrorIana) {
  EXPECT_EQ(name(ExchangeType::kIkeSaInit), "IKE_SA_INIT");
  EXPECT_EQ(name(ExchangeType::kIkeFollowupKe), "IKE_FOLLOWUP_KE");
  EXPECT_EQ(name(ExchangeType{99}), "UNKNOWN(99)");
  EXPECT_EQ(name(PayloadType::kSkf), "SKF");
  EXPECT_EQ(name(PayloadType{99}), "UNKNOWN(99)");
  EXPECT_EQ(name(NotifyType::kNoProposalChosen), "NO_PROPOSAL_CHOSEN");
  EXPECT_EQ(name(NotifyType::kIkev2FragmentationSupported), "IKEV2_FRAGMENTATION_SUPPORTED");
  EXPECT_EQ(name(NotifyType::kAdditionalIp4Address), "ADDITIONAL_IP4_ADDRESS");
  EXPECT_EQ(name(NotifyType::kUseAssignedHoa), "USE_ASSIGNED_HoA");
  EXPECT_EQ(name(NotifyType{8192}), "ERROR(8192)");
  EXPECT_EQ(name(NotifyType{50000}), "STATUS(50000)");
  EXPECT_TRUE(is_error(NotifyType{16383}));
  EXPECT_FALSE(is_error(NotifyType{16384}));
}

}  // namespace
}  // namespace merlon::wire
