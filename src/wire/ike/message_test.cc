#include "wire/ike/message.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::hex;

const char* const kSpis = "0123456789abcdef fedcba9876543210";

// A message whose header names `first` and has the right length, and whose chain is `chain`.
Bytes message_of(std::string_view first, std::string_view chain, std::string_view version = "20") {
  Bytes message =
      hex(std::string(kSpis) + std::string(first) + std::string(version) + "25 08 00000000 00000000");
  append(message, hex(chain));
  message[27] = static_cast<std::uint8_t>(message.size());
  message[26] = static_cast<std::uint8_t>(message.size() >> 8U);
  return message;
}

Message sample() {
  Message message;
  message.header.initiator_spi = {1};
  message.header.exchange_type = ExchangeType::kIkeSaInit;
  message.header.flags.initiator = true;
  Proposal proposal{.number = 1, .protocol = SecurityProtocol::kIke, .spi = {}, .transforms = {}};
  proposal.transforms = {encr_transform(EncrId::kAesGcm16, 256), prf_transform(PrfId::kHmacSha2_256),
                         ke_transform(KeMethod::kCurve25519)};
  message.payloads = {SaPayload{.proposals = {proposal}},
                      KePayload{.method = KeMethod::kCurve25519, .data = Bytes(32, 1)},
                      NoncePayload{.data = Bytes(32, 2)},
                      NotifyPayload{.type = NotifyType::kIkev2FragmentationSupported, .spi = {}, .data = {}}};
  return message;
}

TEST(Message, AnEmptyInformational) {
  const auto message = parse_message(message_of("00", ""));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->payloads.empty());
  EXPECT_EQ(message->header.exchange_type, ExchangeType::kInformational);
}

TEST(Message, RefusesAnyOtherMajorVersion) {
  // RFC 7296 2.5
  for (const char* version : {"10", "30", "f0"}) {
    const auto message = parse_message(message_of("00", "", version));
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().notify, NotifyType::kInvalidMajorVersion);
  }
  EXPECT_TRUE(parse_message(message_of("00", "", "2f")));  // any minor version
}

// RFC 7296 3.2
TEST(Message, RefusesUnknownCriticalPayloads) {
  // RFC 7296 2.5: type 99, critical; the same not critical; a known type with the bit set
  const auto refused = parse_message(message_of("63", "00 80 0005 aa"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().notify, NotifyType::kUnsupportedCriticalPayload);
  EXPECT_EQ(refused.error().payload_type, PayloadType{99});
  EXPECT_EQ(Error(refused.error()).code, ErrorCode::kUnsupported);
  const auto kept = parse_message(message_of("63", "00 7f 0005 aa"));
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->payloads.front(), Payload(UnknownPayload{.type = PayloadType{99}, .body = hex("aa")}));
  const auto known = parse_message(message_of("2b", "00 80 0005 aa"));
  ASSERT_TRUE(known);
  EXPECT_TRUE(is_critical(known->payloads.front()));
}

TEST(Message, RefusesChainsThatContradictThemselves) {
  const auto notify_of = [](const Bytes& bytes) {
    const auto message = parse_message(bytes);
    return message ? NotifyType{0} : message.error().notify;
  };
  EXPECT_EQ(notify_of(message_of("2b", "")), NotifyType::kInvalidSyntax);            // announced, not there
  EXPECT_EQ(notify_of(message_of("00", "00 00 0004")), NotifyType::kInvalidSyntax);  // there, not announced
  EXPECT_EQ(notify_of(message_of("2b", "00 00 0003 aa")),
            NotifyType::kInvalidSyntax);  // shorter than its header
  EXPECT_EQ(notify_of(message_of("2b", "00 00 0006 aa")),
            NotifyType::kInvalidSyntax);  // longer than the message
  EXPECT_EQ(notify_of(message_of("2b", "2b 00 0005 aa")),
            NotifyType::kInvalidSyntax);  // a next one announced
  EXPECT_EQ(notify_of(message_of("28", "00 00 0005 aa")), NotifyType::kInvalidSyntax);  // a nonce of one byte
  Bytes longer = message_of("00", "");
  longer.push_back(0);
  EXPECT_EQ(notify_of(longer), NotifyType::kInvalidSyntax);
  Bytes shorter = message_of("2b", "00 00 0005 aa");
  shorter.pop_back();
  EXPECT_EQ(notify_of(shorter), NotifyType::kInvalidSyntax);
}

TEST(Message, TheEncryptedPayloadComesLast) {
  // RFC 7296 3.14: a vendor ID in the clear, then SK whose first payload inside is IDi
  const auto message = parse_message(message_of("2b",
                                                "2e 00 0005 aa"
                                                "23 00 0008 01020304"));
  ASSERT_TRUE(message);
  ASSERT_EQ(message->payloads.size(), 2U);
  const auto* sk = find<SkPayload>(message->payloads);
  ASSERT_NE(sk, nullptr);
  EXPECT_EQ(sk->first_payload, PayloadType::kIdi);
  EXPECT_EQ(sk->offset, 33U);
  EXPECT_EQ(sk->aad_size(), 37U);
  EXPECT_EQ(to_hex(sk->body), "01020304");
  EXPECT_FALSE(parse_message(message_of("2e", "2b 00 0008 01020304 00 00 0005 aa")));
}

TEST(Message, FragmentsSayWhereTheyStand) {
  const auto message = parse_message(message_of("35", "23 00 000c 0001 0003 01020304"));
  ASSERT_TRUE(message);
  const auto* skf = find<SkfPayload>(message->payloads);
  ASSERT_NE(skf, nullptr);
  EXPECT_EQ(skf->first_payload, PayloadType::kIdi);
  EXPECT_EQ(skf->fragment_number, 1);
  EXPECT_EQ(skf->total_fragments, 3);
  EXPECT_EQ(skf->aad_size(), 36U);
}

TEST(Message, NothingIsEncryptedTwice) {
  EXPECT_FALSE(parse_payloads(PayloadType::kSk, hex("00 00 0008 01020304")));
  EXPECT_FALSE(parse_payloads(PayloadType::kSkf, hex("00 00 000a 0001 0001 0102")));
  EXPECT_TRUE(parse_payloads(PayloadType::kNone, {}));
}

TEST(Message, EveryTruncationIsRefused) {
  const auto bytes = encode_message(sample());
  ASSERT_TRUE(bytes);
  ASSERT_TRUE(parse_message(*bytes));
  for (std::size_t size = 0; size < bytes->size(); ++size) {
    Bytes cut = test::prefix(*bytes, size);
    EXPECT_FALSE(parse_message(cut)) << size;
    if (size < kIkeHeaderSize) continue;
    // With a header that agrees, the chain is what gives it away.
    cut[26] = static_cast<std::uint8_t>(size >> 8U);
    cut[27] = static_cast<std::uint8_t>(size);
    EXPECT_FALSE(parse_message(cut)) << size;
  }
}

TEST(Message, AnyChangedByteIsSurvived) {
  const auto bytes = encode_message(sample());
  ASSERT_TRUE(bytes);
  for (std::size_t at = 0; at < bytes->size(); ++at)
    for (const unsigned value : {0x00U, 0x01U, 0x7fU, 0x80U, 0xffU}) {
      Bytes changed = *bytes;
      changed[at] = static_cast<std::uint8_t>(value);
      if (const auto message = parse_message(changed)) {
        EXPECT_TRUE(encode_message(*message));
      }
    }
}

TEST(Message, RoundTrips) {
  EXPECT_TRUE(rc::check([] {
    Message message{.header = test::any_header(), .payloads = test::any_plain_payloads()};
    switch (*rc::gen::inRange(0, 3)) {
      case 0:
        message.payloads.emplace_back(test::any_sk());
        break;
      case 1:
        message.payloads.emplace_back(test::any_skf());
        break;
      default:
        break;
    }
    const auto bytes = encode_message(message);
    RC_ASSERT(bytes.has_value());
    const auto parsed = parse_message(*bytes);
    if (!parsed) RC_FAIL(parsed.error().error.message);
    RC_ASSERT(parsed->payloads == message.payloads);
    message.header.next_payload = parsed->header.next_payload;
    message.header.length = static_cast<std::uint32_t>(bytes->size());
    RC_ASSERT(parsed->header == message.header);
    RC_ASSERT(encode_message(*parsed) == *bytes);
  }));
}

TEST(Message, DecryptedChainsRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    const auto payloads = test::any_plain_payloads();
    const auto encoded = encode_payloads(payloads);
    RC_ASSERT(encoded.has_value());
    const auto parsed = parse_payloads(encoded->first, encoded->bytes);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == payloads);
  }));
}

TEST(Message, BeginsEncryptedMessages) {
  EXPECT_TRUE(rc::check([] {
    const auto header = test::any_header();
    const auto outer = test::any_plain_payloads();
    const Bytes body = test::bytes_between(0, 100);
    auto bytes = begin_encrypted_message(header, outer, PayloadType::kIdi, body.size());
    RC_ASSERT(bytes.has_value());
    const std::size_t aad_size = bytes->size();
    append(*bytes, body);
    const auto parsed = parse_message(*bytes);
    if (!parsed) RC_FAIL(parsed.error().error.message);
    const auto* sk = find<SkPayload>(parsed->payloads);
    RC_ASSERT(sk != nullptr);
    RC_ASSERT(sk->first_payload == PayloadType::kIdi);
    RC_ASSERT(sk->body == body);
    RC_ASSERT(sk->aad_size() == aad_size);
    RC_ASSERT(parsed->payloads.size() == outer.size() + 1);
  }));
}

TEST(Message, BeginsEncryptedFragments) {
  EXPECT_TRUE(rc::check([] {
    const Bytes body = test::bytes_between(0, 100);
    auto bytes = begin_encrypted_fragment(test::any_header(), {}, PayloadType::kNone, 2, 5, body.size());
    RC_ASSERT(bytes.has_value());
    const std::size_t aad_size = bytes->size();
    append(*bytes, body);
    const auto parsed = parse_message(*bytes);
    if (!parsed) RC_FAIL(parsed.error().error.message);
    const auto* skf = find<SkfPayload>(parsed->payloads);
    RC_ASSERT(skf != nullptr);
    RC_ASSERT(skf->fragment_number == 2);
    RC_ASSERT(skf->total_fragments == 5);
    RC_ASSERT(skf->body == body);
    RC_ASSERT(skf->aad_size() == aad_size);
  }));
}

TEST(Message, RefusesToEncodeWhatDoesNotFit) {
  Message message = sample();
  message.payloads = {CertPayload{.data = Bytes(65536)}};
  EXPECT_FALSE(encode_message(message));
  message.payloads = {SkPayload{.body = {}}, VendorIdPayload{.data = {}}};
  EXPECT_FALSE(encode_message(message));
  message.payloads = {TsiPayload{}};
  EXPECT_FALSE(encode_message(message));
  TsiPayload many;
  many.selectors.resize(256);
  message.payloads = {many};
  EXPECT_FALSE(encode_message(message));
  message.payloads = {SaPayload{}};
  EXPECT_FALSE(encode_message(message));
  message.payloads = {UnknownPayload{}};
  EXPECT_FALSE(encode_message(message));
  EXPECT_FALSE(begin_encrypted_message(message.header, {}, PayloadType::kNone, 65532));
  EXPECT_TRUE(begin_encrypted_message(message.header, {}, PayloadType::kNone, 65531));
}

TEST(Message, FindsPayloads) {
  const Message message = sample();
  ASSERT_NE(find<KePayload>(message.payloads), nullptr);
  EXPECT_EQ(find<KePayload>(message.payloads)->method, KeMethod::kCurve25519);
  EXPECT_EQ(find<AuthPayload>(message.payloads), nullptr);
  EXPECT_EQ(find_all<NotifyPayload>(message.payloads).size(), 1U);
  EXPECT_NE(find_notify(message.payloads, NotifyType::kIkev2FragmentationSupported), nullptr);
  EXPECT_EQ(find_notify(message.payloads, NotifyType::kCookie), nullptr);
  EXPECT_EQ(find_all_notify(message.payloads, NotifyType::kIkev2FragmentationSupported).size(), 1U);
  EXPECT_EQ(find_error_notify(message.payloads), nullptr);
  EXPECT_EQ(type_of(message.payloads[2]), PayloadType::kNonce);
}

TEST(Message, SurvivesAnything) {
  EXPECT_TRUE(rc::check([] {
    const auto first = static_cast<PayloadType>(*rc::gen::inRange<int>(33, 55));
    const Bytes body = test::bytes_between(0, 200);
    if (const auto payloads = parse_payloads(first, body)) RC_ASSERT(encode_payloads(*payloads).has_value());
  }));
}

// RFC 7296 3.10: the size of the SPI has one byte.
TEST(Message, ANotificationWithAnSpiThatDoesNotFit) {
  NotifyPayload notify;
  notify.type = NotifyType::kInvalidSyntax;
  notify.spi = Bytes(255);
  EXPECT_TRUE(encode_payloads(std::vector<Payload>{notify}));
  notify.spi = Bytes(256);
  EXPECT_FALSE(encode_payloads(std::vector<Payload>{notify}));
}

}  // namespace
}  // namespace merlon::wire
