#include "ikev2/keys.h"

#include <gtest/gtest.h>

namespace merlon::ikev2 {
namespace {

// RFC 7296 has no vectors. The expected values were computed by an independent program in Python: hmac.new
// for the HMAC PRFs, cryptography's AES-ECB for AES-XCBC (RFC 3566, checked against that RFC's vector) and
// its CMAC for AES-CMAC, PRF keys as RFC 4434 and RFC 4615 say, and
//   plus(prf, k, s, n): t = b""; i = 1; repeat t = prf(k, t + s + bytes([i])), out += t, i += 1
//   IKE:    plus(prf, prf(Ni + Nr, g), Ni + Nr + SPIi + SPIr, n)      (AES PRFs: key Ni[:8] + Nr[:8])
//   rekey:  plus(new, old(SK_d, g + Ni + Nr), Ni + Nr + SPIi + SPIr, n)
//   child:  plus(prf, SK_d, [g +] Ni + Nr, n)
// over Ni = 00..1f, Nr = 20..3f, g[i] = 7 * i + 3 (64 bytes), SPIi = 0102030405060708, SPIr =
// 1112131415161718.

Bytes counted(std::size_t size, unsigned start, unsigned step = 1) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(start + step * i);
  return bytes;
}

const Bytes kNonceI = counted(32, 0), kNonceR = counted(32, 32);
const IkeSaId kSpis{{0x0102030405060708}, {0x1112131415161718}};
const KeySeed kSeed{kNonceI, kNonceR, kSpis};

Secret shared_secret() {
  return Secret::copy_of(counted(64, 3, 7));
}

// In the order of RFC 7296 2.14.
std::string joined(const IkeKeys& keys) {
  return to_hex(concat(keys.sk_d.bytes(), keys.sk_ai.bytes(), keys.sk_ar.bytes(), keys.sk_ei.bytes(),
                       keys.sk_er.bytes(), keys.sk_pi.bytes(), keys.sk_pr.bytes()));
}
// In the order of RFC 7296 2.17.
std::string joined(const ChildKeys& keys) {
  return to_hex(
      concat(keys.initiator_to_responder.encryption.bytes(), keys.initiator_to_responder.integrity.bytes(),
             keys.responder_to_initiator.encryption.bytes(), keys.responder_to_initiator.integrity.bytes()));
}

TEST(IkeKeys, HmacSha2AndAead) {
  const IkeAlgorithms algorithms{
      {EncrId::kAesGcm16, 256, IntegId::kNone}, PrfId::kHmacSha2_256, KeMethod::kCurve25519};
  const auto keys = derive_ike_keys(algorithms, kSeed, shared_secret());
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->sk_d.size(), 32U);
  EXPECT_EQ(keys->sk_ai.size(), 0U);
  EXPECT_EQ(keys->sk_ei.size(), 36U);
  EXPECT_EQ(keys->sk_pr.size(), 32U);
  EXPECT_EQ(joined(*keys),
            "c5a923c9b8f1f4890a0584b63630315581d26a20ee087aa413fe25e64e9a0d864db7a5c18226e4af9fa730b190698a54"
            "d1c83dcca7460c7c6ecc575b71b43214c4398fa38a95d92260c7e775396f89c699d35495f9d9fd19935e0f95a818f6d2"
            "80dc2a337a0bce27b4987af546bfd454122c0477a2550ffe10eb511f7ec813732c40f31ccc6b4c323ca941e008f17718"
            "b6ae7573beef924010c5995ecbe3769027eb9fa5e7bb0082");
  EXPECT_EQ(joined(keys->clone()), joined(*keys));
  EXPECT_EQ(describe(algorithms), "AES_GCM_16-256/HMAC_SHA2_256/CURVE25519");
}

TEST(IkeKeys, AesXcbcTakesHalfOfEachNonceAsKey) {
  const IkeAlgorithms algorithms{
      {EncrId::kAesCbc, 128, IntegId::kHmacSha1_96}, PrfId::kAes128Xcbc, KeMethod::kModp2048};
  const auto keys = derive_ike_keys(algorithms, kSeed, shared_secret());
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->sk_ai.size(), 20U);
  EXPECT_EQ(joined(*keys),
            "711b7b67804eb4d57823cf08bfba968687217c77f0fe8802551ccfb015fddd9b8581a1a73b9346bdcc51c636a48e87f4"
            "b1f459d6b58b56e19870016e6e09252a59acc75bf89f7f801a24e2de5234d21c4f39bba89e1eaa54c00989e490a119f3"
            "4c1e9f8135910234431c292541b4dc12a81d272d33d6bd69");
}

TEST(IkeKeys, AesCmacTakesHalfOfEachNonceAsKey) {
  const IkeAlgorithms algorithms{
      {EncrId::kAesCbc, 128, IntegId::kHmacSha1_96}, PrfId::kAes128Cmac, KeMethod::kModp2048};
  const auto keys = derive_ike_keys(algorithms, kSeed, shared_secret());
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(joined(*keys),
            "7269ee8be2165f5863881a1faca59fb2edab180ccb5e698edccb68766a97f22c39afed3c0ad455744dde3f30c7fcc295"
            "17678ed280fb831d55a21bf167680363633753f698ab887f9501328e167ec4a9c23aa054515b4ab57d1949b006a865b0"
            "696b420a4567517415ec2544e92ec6bbf988b9312356fb89");
}

TEST(IkeKeys, ARekeyTakesTheOldPrfForItsSeedAndTheNewOneForItsKeys) {
  const IkeAlgorithms algorithms{
      {EncrId::kChacha20Poly1305, 256, IntegId::kNone}, PrfId::kHmacSha2_512, KeMethod::kCurve25519};
  const Secret old_sk_d = Secret::copy_of(counted(20, 0x50));
  const auto keys = derive_rekeyed_ike_keys(PrfId::kHmacSha1, old_sk_d, algorithms, kSeed, shared_secret());
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(joined(*keys),
            "646d7a4e811e20a95fdf9078f0984e029ee39d3f941a2869528aa7c835b345f5b6537904961bbf41ba01221cebc718a0"
            "3d53c8c5f9a8e19f4307154ccf140d0f955371fe9e9904e1990b86a8c3b81accec1969b2f0773a010a7a2482fe447ff2"
            "70655c4017df56a0b04a99a55513a9a8c5acb3db033f522ba628c15a2e5b4dd4ab3e67bf5ab1cfa8bfdf88600362cc24"
            "61f522e87e1bf7515da7bf254bb08b0f4a8c5d977d2aa641184969d58f44948be2a80cf2f618f0c8df9651d0990f2f19"
            "67381f20a14f0b5021e2125a6d91a6454b1e1efb6c0530409d478ba236cb500e879893aa8a87c47ee905d43b42ace17e"
            "e08c18f413ba30bc8e252cf6cc505e814b489ce81eb86ed7");
}

TEST(ChildKeys, EncryptionBeforeIntegrityInitiatorBeforeResponder) {
  const Secret sk_d = Secret::copy_of(counted(32, 0x90));
  const policy::EspAlgorithms algorithms{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128, true};
  const auto keys = derive_child_keys(PrfId::kHmacSha2_256, sk_d, algorithms, kNonceI, kNonceR, nullptr);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->initiator_to_responder.encryption.size(), 32U);
  EXPECT_EQ(joined(*keys),
            "185b371d172b637ef2ec77aa97c5c2b1a2924542dad99ff46e855cfba5bfff6d5bb57b824b8202b39994d8e02efafb56"
            "7f92e687e7299922ad6aaa39c2f0c45f4053dcb9a60dd5c7e183817ddfaa494cd45e2a028878671dc231e52bc9567237"
            "092f5732848d8b842fbff25d2ff8a3fa47e96797725b8f0b75a855fe58d53e49");

  const Secret fresh = shared_secret();
  const auto with_pfs = derive_child_keys(PrfId::kHmacSha2_256, sk_d, algorithms, kNonceI, kNonceR, &fresh);
  ASSERT_TRUE(with_pfs) << with_pfs.error().message;
  EXPECT_EQ(joined(*with_pfs),
            "2a5064f7d0361075ede152160892a733c4b84f4d8ae270ac098107be6285d216d527ec604d5a2481886643b50a51d293"
            "9a3af9e7935da07c7062017d5bb17a6794ddf9943a2c7e162d7a05a4993912e3950e0662005ebd273138bf5696e744ef"
            "fb99f3948d31770b7cac1d21a94a8df9b1fb8f42cbe04346d31252863b776889");
}

TEST(ChildKeys, TheSaltStandsBehindTheKey) {
  const Secret sk_d = Secret::copy_of(counted(32, 0x90));
  const auto keys = derive_child_keys(
      PrfId::kHmacSha2_256, sk_d, {EncrId::kAesGcm16, 128, IntegId::kNone, true}, kNonceI, kNonceR, nullptr);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->responder_to_initiator.encryption.size(), 20U);
  EXPECT_EQ(joined(*keys),
            "185b371d172b637ef2ec77aa97c5c2b1a2924542dad99ff46e855cfba5bfff6d5bb57b824b8202b3");
}

TEST(Keys, WhatNobodyHasIsAnErrorAndNoCrash) {
  const IkeAlgorithms unknown{
      {static_cast<EncrId>(99), 128, IntegId::kNone}, static_cast<PrfId>(77), KeMethod::kNone};
  EXPECT_FALSE(derive_ike_keys(unknown, kSeed, shared_secret()));
  const IkeAlgorithms no_cipher{unknown.cipher, PrfId::kHmacSha2_256, KeMethod::kCurve25519};
  EXPECT_FALSE(derive_ike_keys(no_cipher, kSeed, shared_secret()));
  EXPECT_FALSE(derive_rekeyed_ike_keys(static_cast<PrfId>(77), Secret(32), unknown, kSeed, shared_secret()));
  EXPECT_FALSE(derive_child_keys(PrfId::kHmacSha2_256, Secret(32),
                                 {static_cast<EncrId>(99), 128, IntegId::kNone, false}, kNonceI, kNonceR,
                                 nullptr));
}

TEST(Nonces, AreAtLeast16BytesAndHalfThePrfKey) {
  EXPECT_FALSE(check_nonce_size(PrfId::kHmacSha2_256, 15));
  EXPECT_TRUE(check_nonce_size(PrfId::kHmacSha2_256, 16));
  EXPECT_FALSE(check_nonce_size(PrfId::kHmacSha2_512, 31));
  EXPECT_TRUE(check_nonce_size(PrfId::kHmacSha2_512, 32));
  EXPECT_TRUE(check_nonce_size(PrfId::kHmacSha2_256, 256));
  EXPECT_FALSE(check_nonce_size(PrfId::kHmacSha2_256, 257));
}

}  // namespace
}  // namespace merlon::ikev2
