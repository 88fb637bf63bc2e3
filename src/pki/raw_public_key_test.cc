#include "pki/raw_public_key.h"

#include <gtest/gtest.h>

#include "pki/test_support.h"

namespace merlon::pki {
namespace {

TEST(RawPublicKey, TextAndDerRoundTripForEveryKind) {
  for (const std::string_view kind : key_kinds()) {
    if (kind.starts_with("rsa") && kind != "rsa-2048") continue;
    const auto key = value_or_die(generate_key(kind));
    const std::string text = raw_public_key_to_text(key.public_key());
    EXPECT_EQ(*raw_public_key_from_text(text), key.public_key());
    EXPECT_EQ(*raw_public_key_from_text("  " + text + "\n"), key.public_key());
    EXPECT_EQ(*raw_public_key_from_text(key.public_key().to_pem()), key.public_key());
    EXPECT_EQ(*raw_public_key_from_der(key.public_key().spki_der()), key.public_key());
    EXPECT_FALSE(raw_public_key_from_der(concat(key.public_key().spki_der(), Bytes{0})));
  }
}

// The Ed25519 public key of RFC 8410 10.1; its fingerprint by `base64 -d | sha256sum`.
TEST(RawPublicKey, Rfc8410Example) {
  constexpr std::string_view kText = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
  const auto key = raw_public_key_from_text(kText);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->kind(), crypto::KeyKind::kEd25519);
  EXPECT_EQ(to_hex(ByteView(key->spki_der()).last(32)),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
  EXPECT_EQ(raw_public_key_to_text(*key), kText);
  EXPECT_EQ(short_fingerprint(*key), "a1e9-1560-54e0-4fac-899a");
}

TEST(RawPublicKey, RefusesOtherThings) {
  for (const char* text : {"", "nonsense!", "MCow", "gw.example.com", "-----BEGIN PUBLIC KEY-----"})
    EXPECT_FALSE(raw_public_key_from_text(text)) << text;
  EXPECT_FALSE(raw_public_key_from_der({}));
}

}  // namespace
}  // namespace merlon::pki
