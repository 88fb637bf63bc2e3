#include "crypto/message_cipher.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "crypto/integrity.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

std::vector<MessageCipherSuite> all_suites() {
  std::vector<MessageCipherSuite> out{{EncrId::kChacha20Poly1305, 256, IntegId::kNone},
                                      {EncrId::kChacha20Poly1305, 0, IntegId::kNone}};
  for (const unsigned bits : {128U, 192U, 256U}) {
    for (const EncrId id : {EncrId::kAesGcm8, EncrId::kAesGcm12, EncrId::kAesGcm16, EncrId::kAesCcm8,
                            EncrId::kAesCcm12, EncrId::kAesCcm16})
      out.push_back({id, bits, IntegId::kNone});
    for (const EncrId id : {EncrId::kAesCbc, EncrId::kAesCtr})
      for (const IntegId integ :
           {IntegId::kHmacSha1_96, IntegId::kAesXcbc96, IntegId::kAesCmac96, IntegId::kHmacSha2_256_128,
            IntegId::kHmacSha2_384_192, IntegId::kHmacSha2_512_256})
        out.push_back({id, bits, integ});
  }
  return out;
}

std::unique_ptr<MessageCipher> make(const MessageCipherSuite& suite, std::uint64_t first_iv = 0) {
  return MessageCipher::create(suite, Secret::copy_of(counting(encryption_key_size(suite), 0x80)),
                               Secret::copy_of(counting(integrity_key_size(suite), 0x10)), first_iv)
      .value();
}

TEST(MessageCipher, Rfc7634AppendixB) {
  const MessageCipherSuite suite{EncrId::kChacha20Poly1305, 256, IntegId::kNone};
  const auto cipher = make(suite, 0x1011121314151617U);
  const Bytes aad = hex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d7 2e202500000000090000004529000029");
  const Bytes plaintext = hex("0000000c000040010000000a00");
  const std::string sealed =
      "1011121314151617"
      "610394701f8d017f7c12924889"
      "6b71bfe25236efd7cdc67066906315b2";
  SeededRng rng(1);
  EXPECT_EQ(to_hex(*cipher->seal(aad, plaintext, rng)), sealed);
  EXPECT_EQ(*cipher->open(aad, *from_hex(sealed)), plaintext);
}

// RFC 3686 section 6, test vectors 1 to 9 without those of whole-block repetition; RFC 5930 uses the same
// counter block.
TEST(MessageCipher, AesCtrAsInRfc3686) {
  struct Case {
    std::string_view key;
    std::string_view nonce;
    std::uint64_t iv;
    Bytes plaintext;
    std::string_view ciphertext;
  };
  const Case cases[] = {
      {"ae6852f8121067cc4bf7a5765577f39e", "00000030", 0, to_bytes(as_bytes("Single block msg")),
       "e4095d4fb7a7b3792d6175a3261311b8"},
      {"7691be035e5020a8ac6e618529f9a0dc", "00e0017b", 0x27777f3f4a1786f0U, counting(36),
       "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"},
      {"f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884", "00faac24", 0xc1585ef15a43d875U,
       counting(32), "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"},
  };
  SeededRng rng(1);
  for (const Case& expected : cases) {
    const Bytes key = hex(expected.key);
    const Bytes auth = counting(32);
    const MessageCipherSuite suite{EncrId::kAesCtr, static_cast<unsigned>(8 * key.size()),
                                   IntegId::kHmacSha2_256_128};
    const auto cipher = MessageCipher::create(suite, Secret::copy_of(concat(key, hex(expected.nonce))),
                                              Secret::copy_of(auth), expected.iv)
                            .value();
    const Bytes aad = counting(40);
    const Bytes sealed = *cipher->seal(aad, expected.plaintext, rng);
    EXPECT_EQ(to_hex(ByteView(sealed).subspan(8, expected.plaintext.size())), expected.ciphertext);
    // RFC 7296 3.14: the ICV covers the message from its header on, the IV and the ciphertext.
    const ByteView covered = ByteView(sealed).first(sealed.size() - 16);
    EXPECT_EQ(to_hex(ByteView(sealed).last(16)),
              to_hex(Integrity::create(IntegId::kHmacSha2_256_128, auth)->compute({concat(aad, covered)})));
    EXPECT_EQ(*cipher->open(aad, sealed), expected.plaintext);
  }
}

// RFC 3602 section 4, cases 1 and 4.
TEST(MessageCipher, AesCbcAsInRfc3602) {
  const MessageCipherSuite suite{EncrId::kAesCbc, 128, IntegId::kHmacSha1_96};
  const auto seal = [&](std::string_view key, std::string_view iv, ByteView plaintext) {
    ScriptedRng rng(hex(iv));
    const auto cipher =
        MessageCipher::create(suite, Secret::copy_of(hex(key)), Secret::copy_of(counting(20))).value();
    const Bytes sealed = *cipher->seal({}, plaintext, rng);
    EXPECT_EQ(to_hex(ByteView(sealed).first(16)), to_hex(hex(iv)));
    return to_hex(ByteView(sealed).subspan(16, plaintext.size()));
  };
  EXPECT_EQ(seal("06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41",
                 as_bytes("Single block msg")),
            "e353779c1079aeb82708942dbe77181a");
  EXPECT_EQ(seal("56e47a38c5598974bc46903dba290349", "8ce82eefbea0da3c44699ed7db51b7d9", counting(64, 0xa0)),
            "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
            "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55");
}

TEST(MessageCipher, RoundTripsAndRefusesEveryAlteration) {
  for (const MessageCipherSuite& suite : all_suites()) {
    SCOPED_TRACE(name(suite.encr, suite.key_bits) + " " + name(suite.integ));
    ASSERT_TRUE(is_supported(suite));
    const auto cipher = make(suite);
    EXPECT_TRUE(rc::check(
        [&](const Bytes& aad, Bytes plaintext, std::uint32_t where, std::uint8_t flip, std::uint64_t seed) {
          plaintext.resize((plaintext.size() + cipher->block_size()) / cipher->block_size() *
                           cipher->block_size());
          SeededRng rng(seed);
          const Bytes sealed = *cipher->seal(aad, plaintext, rng);
          RC_ASSERT(sealed.size() == cipher->sealed_size(plaintext.size()));
          RC_ASSERT(*cipher->open(aad, sealed) == plaintext);
          Bytes altered = sealed;
          altered[where % altered.size()] =
              static_cast<std::uint8_t>(altered[where % altered.size()] ^ (flip | 1U));
          RC_ASSERT(cipher->open(aad, altered).error().code == ErrorCode::kAuthentication);
          RC_ASSERT(!cipher->open(concat(aad, Bytes{0}), sealed));
          RC_ASSERT(!cipher->open(aad, ByteView(sealed).first(where % sealed.size())));
          RC_ASSERT(*cipher->open(aad, sealed) == plaintext);  // failures leave no trace
        }));
  }
}

TEST(MessageCipher, CounterIvsNeverRepeatAndEnd) {
  const MessageCipherSuite suite{EncrId::kAesGcm16, 128, IntegId::kNone};
  const auto cipher = make(suite, std::numeric_limits<std::uint64_t>::max() - 1);
  SeededRng rng(1);
  EXPECT_EQ(to_hex(ByteView(*cipher->seal({}, counting(3), rng)).first(8)), "fffffffffffffffe");
  EXPECT_EQ(to_hex(ByteView(*cipher->seal({}, counting(3), rng)).first(8)), "ffffffffffffffff");
  EXPECT_EQ(cipher->seal({}, counting(3), rng).error().code, ErrorCode::kExhausted);
  EXPECT_EQ(cipher->seal({}, counting(3), rng).error().code, ErrorCode::kExhausted);
}

TEST(MessageCipher, CbcDrawsItsIvFromTheRng) {
  const MessageCipherSuite suite{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128};
  const auto cipher = make(suite);
  ScriptedRng rng(counting(32, 1));
  EXPECT_EQ(to_hex(ByteView(*cipher->seal({}, counting(16), rng)).first(16)), to_hex(counting(16, 1)));
  EXPECT_EQ(to_hex(ByteView(*cipher->seal({}, counting(16), rng)).first(16)), to_hex(counting(16, 17)));
}

TEST(MessageCipher, CbcWantsWholeBlocks) {
  const MessageCipherSuite suite{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128};
  const auto cipher = make(suite);
  SeededRng rng(1);
  EXPECT_EQ(cipher->seal({}, counting(15), rng).error().code, ErrorCode::kInvalidArgument);
  // Authentic, but not whole blocks: a peer that has the key can still send nonsense.
  Bytes sealed = counting(16 + 17);
  append(sealed, Integrity::create(suite.integ, counting(32, 0x10))->compute({sealed}));
  EXPECT_EQ(cipher->open({}, sealed).error().code, ErrorCode::kMalformed);
}

TEST(MessageCipher, KeySizesCarryTheSalts) {
  EXPECT_EQ(encryption_key_size(EncrId::kAesGcm16, 256), 36U);
  EXPECT_EQ(encryption_key_size(EncrId::kAesGcm8, 128), 20U);
  EXPECT_EQ(encryption_key_size(EncrId::kAesCcm12, 192), 27U);
  EXPECT_EQ(encryption_key_size(EncrId::kChacha20Poly1305, 256), 36U);
  EXPECT_EQ(encryption_key_size(EncrId::kAesCtr, 256), 36U);
  EXPECT_EQ(encryption_key_size(EncrId::kAesCbc, 256), 32U);
  EXPECT_EQ(encryption_key_size(EncrId::kAesCbc, 100), 0U);
  EXPECT_EQ(encryption_key_size(EncrId::kDes3, 0), 0U);
  EXPECT_EQ(integrity_key_size(MessageCipherSuite{EncrId::kAesGcm16, 256, IntegId::kNone}), 0U);
  EXPECT_EQ(integrity_key_size(MessageCipherSuite{EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256}), 64U);
}

TEST(MessageCipher, RefusesUnsafeSuites) {
  const MessageCipherSuite refused[] = {
      {EncrId::kNull, 0, IntegId::kHmacSha2_256_128},
      {EncrId::kNullAuthAesGmac, 256, IntegId::kNone},
      {EncrId::kAesCbc, 256, IntegId::kNone},
      {EncrId::kAesCtr, 256, IntegId::kHmacMd5_96},
      {EncrId::kAesGcm16, 256, IntegId::kHmacSha2_256_128},
      {EncrId::kAesGcm16, 0, IntegId::kNone},
      {EncrId::kChacha20Poly1305, 128, IntegId::kNone},
      {EncrId::kDes3, 0, IntegId::kHmacSha1_96},
      {static_cast<EncrId>(777), 256, IntegId::kNone},
  };
  for (const MessageCipherSuite& suite : refused) {
    EXPECT_FALSE(is_supported(suite));
    EXPECT_EQ(MessageCipher::create(suite, Secret(36), Secret(32)).error().code, ErrorCode::kUnsupported);
  }
  const MessageCipherSuite gcm{EncrId::kAesGcm16, 256, IntegId::kNone};
  EXPECT_EQ(MessageCipher::create(gcm, Secret(32), {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(MessageCipher::create(gcm, Secret(36), Secret(32)).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace merlon::crypto
