#include "wire/ike/describe.h"

#include "wire/ike/generators.h"
#include "wire/ike/notify_data.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Describe, ProposalsInWords) {
  Proposal proposal{.number = 1, .protocol = SecurityProtocol::kEsp, .spi = {}, .transforms = {}};
  proposal.transforms = {encr_transform(EncrId::kAesGcm16, 256), encr_transform(EncrId::kAesGcm16, 128),
                         ke_transform(KeMethod::kCurve25519), sn_transform(SnId::k32Bit)};
  proposal.set_spi(Spi{0xc0ffee01});
  EXPECT_EQ(describe(SaPayload{.proposals = {proposal}}),
            "SA: 1 ESP AES_GCM_16-256|AES_GCM_16-128 / CURVE25519 / 32_BIT, SPI 0xc0ffee01");
}

TEST(Describe, SelectorsAndNotifications) {
  TsiPayload ts;
  ts.selectors = {{.start_address = test::address("10.1.0.0"), .end_address = test::address("10.1.255.255")}};
  EXPECT_EQ(describe(ts), "TSi 10.1.0.0-10.1.255.255");
  EXPECT_EQ(describe(make_nat_detection(NotifyType::kNatDetectionSourceIp, {})),
            "N(NAT_DETECTION_SOURCE_IP)");
  EXPECT_EQ(describe(make_invalid_ke_payload(KeMethod::kEcp384)), "N(INVALID_KE_PAYLOAD): wants ECP_384");
  EXPECT_EQ(describe(make_rekey_sa({.protocol = SecurityProtocol::kEsp, .spi = {1}})),
            "N(REKEY_SA): ESP 0x00000001");
  EXPECT_EQ(describe(make_notify(NotifyType::kNoProposalChosen)), "N(NO_PROPOSAL_CHOSEN)");
  EXPECT_EQ(describe(DeletePayload{.protocol = SecurityProtocol::kEsp, .spis = {{1}, {2}}}),
            "D: ESP 0x00000001 0x00000002");
}

TEST(Describe, NeverShowsWhatIsSecretOrLong) {
  const Bytes marked(24, 0xab);
  for (const Payload& payload : {Payload(AuthPayload{.data = marked}), Payload(NoncePayload{.data = marked}),
                                 Payload(KePayload{.data = marked}), Payload(CertPayload{.data = marked}),
                                 Payload(SkPayload{.body = marked}), Payload(SkfPayload{.body = marked}),
                                 Payload(EapPayload{.message = marked}), Payload(make_cookie(marked))})
    EXPECT_EQ(describe(payload).find("abab"), std::string::npos) << describe(payload);
  EXPECT_LT(describe(VendorIdPayload{.data = Bytes(5000, 'x')}).size(), 100U);
}

TEST(Describe, EscapesWhatAPeerChose) {
  EXPECT_EQ(describe(VendorIdPayload{.data = to_bytes(as_bytes("merlon"))}), "V: \"merlon\"");
  EXPECT_EQ(describe(VendorIdPayload{.data = hex("0a1b")}), "V: 0a1b");
}

TEST(Describe, OneLineAPayload) {
  EXPECT_TRUE(rc::check([] {
    const Payload payload = test::any_plain_payload();
    const std::string text = describe(payload);
    RC_ASSERT(!text.empty());
    for (const char c : text) RC_ASSERT(c >= 0x20 && c < 0x7f);
  }));
  Message message;
  message.header.exchange_type = ExchangeType::kInformational;
  message.payloads = {make_notify(NotifyType::kInitialContact)};
  EXPECT_EQ(describe(message),
            "INFORMATIONAL request 0, SPIs 0000000000000000 0000000000000000\n  N(INITIAL_CONTACT)\n");
  message.header.length = 36;
  EXPECT_EQ(describe(message.header),
            "INFORMATIONAL request 0, SPIs 0000000000000000 0000000000000000, 36 bytes");
}

TEST(Describe, WhatAnErrorIsAbout) {
  EXPECT_EQ(describe(make_invalid_spi(Spi{0xc0ffee01})), "N(INVALID_SPI): 0xc0ffee01");
  EXPECT_EQ(describe(make_invalid_message_id(MessageId{7})), "N(INVALID_MESSAGE_ID): 7");
  EXPECT_EQ(describe(make_notify(NotifyType::kInvalidMessageId, Bytes(3))), "N(INVALID_MESSAGE_ID): 3 bytes");
}

}  // namespace
}  // namespace merlon::wire
