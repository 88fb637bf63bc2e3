#include "crypto/keys.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto/backends/openssl_util.h"
#include "crypto/signature.h"
#include "crypto/test_support.h"

namespace merlon::crypto {
namespace {

constexpr KeyKind kAllKinds[] = {KeyKind::kRsa,       KeyKind::kEcdsaP256, KeyKind::kEcdsaP384,
                                 KeyKind::kEcdsaP521, KeyKind::kEd25519,   KeyKind::kEd448};

PrivateKey generate(KeyKind kind) {
  return PrivateKey::generate(kind, kind == KeyKind::kRsa ? 2048 : 0).value();
}

Bytes spki_of(EVP_PKEY* key) {
  Bytes out(static_cast<std::size_t>(i2d_PUBKEY(key, nullptr)));
  unsigned char* cursor = out.data();
  i2d_PUBKEY(key, &cursor);
  return out;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

TEST(Keys, RoundTripInEveryForm) {
  for (const KeyKind kind : kAllKinds) {
    SCOPED_TRACE(name(kind));
    const PrivateKey key = generate(kind);
    EXPECT_EQ(key.kind(), kind);
    EXPECT_EQ(PrivateKey::from_pem(as_text(key.to_pem().bytes()))->public_key(), key.public_key());
    EXPECT_EQ(PrivateKey::from_der(key.to_pkcs8_der().bytes())->public_key(), key.public_key());
    EXPECT_EQ(PublicKey::from_pem(key.public_key().to_pem()).value(), key.public_key());
    EXPECT_EQ(PublicKey::from_spki_der(key.public_key().spki_der()).value(), key.public_key());
    EXPECT_FALSE(generate(kind).public_key() == key.public_key());
  }
  EXPECT_EQ(generate(KeyKind::kRsa).public_key().to_string(), "RSA 2048");
  EXPECT_EQ(generate(KeyKind::kEcdsaP521).public_key().bits(), 521U);
}

TEST(Keys, ThePublicKeyDoesNotHoldThePrivateOne) {
  const PrivateKey key = generate(KeyKind::kEd25519);
  std::size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_raw_private_key(key.native(), nullptr, &size), 1);
  Bytes buffer(64);
  size = buffer.size();
  EXPECT_NE(EVP_PKEY_get_raw_private_key(key.public_key().native(), buffer.data(), &size), 1);
}

TEST(Keys, TraditionalFormsAreRead) {
  for (const KeyKind kind : {KeyKind::kRsa, KeyKind::kEcdsaP256}) {
    const PrivateKey key = generate(kind);
    const BioPtr bio(BIO_new(BIO_s_mem()));
    ASSERT_EQ(
        PEM_write_bio_PrivateKey_traditional(bio.get(), key.native(), nullptr, nullptr, 0, nullptr, nullptr),
        1);
    EXPECT_NE(
        text_of(bio.get()).find(kind == KeyKind::kRsa ? "BEGIN RSA PRIVATE KEY" : "BEGIN EC PRIVATE KEY"),
        std::string::npos);
    EXPECT_EQ(PrivateKey::from_pem(text_of(bio.get()))->public_key(), key.public_key());
    Bytes der(static_cast<std::size_t>(i2d_PrivateKey(key.native(), nullptr)));
    unsigned char* cursor = der.data();
    i2d_PrivateKey(key.native(), &cursor);
    EXPECT_EQ(PrivateKey::from_der(der)->public_key(), key.public_key());
  }
}

TEST(Keys, PassphrasesAreNeverAskedFor) {
  const PrivateKey key = generate(KeyKind::kEd25519);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.native(), EVP_aes_256_cbc(), "swordfish", 9, nullptr,
                                          nullptr),
            1);
  const std::string pem = text_of(bio.get());
  EXPECT_EQ(PrivateKey::from_pem(pem, "swordfish")->public_key(), key.public_key());
  EXPECT_EQ(PrivateKey::from_pem(pem, "herring").error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PrivateKey::from_pem(pem).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PrivateKey::from_pem(pem, std::string(5000, 'x')).error().code, ErrorCode::kMalformed);
}

TEST(Keys, NonsenseIsMalformed) {
  EXPECT_EQ(PublicKey::from_spki_der({}).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PublicKey::from_spki_der(Bytes(100, 0x30)).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PublicKey::from_pem("").error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").error().code,
            ErrorCode::kMalformed);
  EXPECT_EQ(PrivateKey::from_pem("hello").error().code, ErrorCode::kMalformed);
  EXPECT_EQ(PrivateKey::from_der(Bytes{1, 2, 3}).error().code, ErrorCode::kMalformed);
  const PrivateKey key = generate(KeyKind::kEcdsaP256);
  EXPECT_FALSE(PublicKey::from_spki_der(concat(key.public_key().spki_der(), Bytes{0})));
  EXPECT_FALSE(PrivateKey::from_der(concat(key.to_pkcs8_der().bytes(), Bytes{0})));
  // Every prefix of a key, and every single altered byte, is refused or read; nothing else happens.
  const Bytes& der = key.public_key().spki_der();
  for (std::size_t i = 0; i < der.size(); ++i) {
    EXPECT_FALSE(PublicKey::from_spki_der(ByteView(der).first(i)));
    Bytes altered = der;
    altered[i] = static_cast<std::uint8_t>(altered[i] ^ 0x55U);
    const auto read = PublicKey::from_spki_der(altered);
    if (read) static_cast<void>(check_key(*read));
  }
}

TEST(Keys, OtherAlgorithmsAndCurvesAreUnsupported) {
  const PkeyPtr koblitz(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"));
  EXPECT_EQ(PublicKey::from_spki_der(spki_of(koblitz.get())).error().code, ErrorCode::kUnsupported);
  const PkeyPtr x25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  EXPECT_EQ(PublicKey::from_spki_der(spki_of(x25519.get())).error().code, ErrorCode::kUnsupported);
}

TEST(Keys, CurvesMustBeNamed) {
  const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
  const auto read = PublicKey::from_spki_der(spki_of(key.get()));
  EXPECT_EQ(read.error().code, ErrorCode::kUnsupported);
}

TEST(Keys, CompressedAndUncompressedPointsAreOneKey) {
  const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const Bytes uncompressed = spki_of(key.get());
  ASSERT_EQ(
      EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"), 1);
  const Bytes compressed = spki_of(key.get());
  ASSERT_LT(compressed.size(), uncompressed.size());
  EXPECT_EQ(PublicKey::from_spki_der(compressed).value(), PublicKey::from_spki_der(uncompressed).value());
}

PublicKey from_decoded(ByteView spki) {
  const unsigned char* at = spki.data();
  const std::shared_ptr<EVP_PKEY> decoded(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())),
                                          EVP_PKEY_free);
  return PublicKey::from_decoded(decoded, spki).value();
}

TEST(Keys, WhatOpensslHasDecodedIsTheSameKey) {
  for (const KeyKind kind : {KeyKind::kRsa, KeyKind::kEcdsaP256, KeyKind::kEcdsaP384, KeyKind::kEcdsaP521,
                             KeyKind::kEd25519, KeyKind::kEd448}) {
    const PublicKey key = PrivateKey::generate(kind).value().public_key();
    const PublicKey again = from_decoded(key.spki_der());
    EXPECT_EQ(again, key);
    EXPECT_EQ(again.kind(), kind);
    EXPECT_EQ(again.bits(), key.bits());
    EXPECT_EQ(again.to_pem(), key.to_pem());
  }
  for (const char* form : {"compressed", "hybrid"}) {
    const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    const Bytes uncompressed = spki_of(key.get());
    ASSERT_EQ(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, form), 1);
    EXPECT_EQ(from_decoded(spki_of(key.get())).spki_der(), uncompressed) << form;
  }
}

}  // namespace
}  // namespace merlon::crypto
