#include "base/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/reader.h"
#include "base/secret.h"
#include "base/writer.h"

namespace merlon {
namespace {

// RFC 4648 4, with the vectors of its section 10.
TEST(Base64, Rfc4648Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base64(as_bytes(plain)), encoded);
    const auto back = from_base64(encoded);
    ASSERT_TRUE(back) << encoded;
    EXPECT_EQ(as_text(*back), plain);
  }
}

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* bad :
       {"Z", "Zg=", "Zg", "Zg=a", "Z===", "Zh==", "Zm9v Zg==", "Zm9=", "====", "Zg==Zg==", "Zm\n9v"})
    EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(Bytes, HexAndBase64RoundTrip) {
  EXPECT_TRUE(rc::check([](const Bytes& bytes) {
    RC_ASSERT(from_hex(to_hex(bytes)).value() == bytes);
    RC_ASSERT(from_base64(to_base64(bytes)).value() == bytes);
  }));
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("0g"));
}

TEST(Bytes, ConstantTimeEqualityAgreesWithEquality) {
  EXPECT_TRUE(rc::check([](const Bytes& a, const Bytes& b) {
    RC_ASSERT(equal_constant_time(a, a));
    RC_ASSERT(equal_constant_time(a, b) == (a == b));
  }));
}

TEST(ByteReader, NeverReadsPastTheEndAndRefusesTrailingBytes) {
  const Bytes bytes{1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.u32(), 0x01020304U);
  EXPECT_FALSE(reader.finish("x"));
  EXPECT_EQ(reader.u16(), std::nullopt);
  EXPECT_EQ(reader.remaining(), 1U);  // a failed read takes nothing
  EXPECT_EQ(reader.u8(), 5U);
  EXPECT_TRUE(reader.finish("x"));
  EXPECT_EQ(reader.take(1), std::nullopt);
}

TEST(ByteWriter, WritesWhatTheReaderReads) {
  EXPECT_TRUE(rc::check([](std::uint8_t a, std::uint16_t b, std::uint32_t c, std::uint64_t d) {
    ByteWriter writer;
    writer.u8(a);
    writer.u16(b);
    writer.u32(c);
    writer.u64(d);
    const Bytes bytes = writer.take();
    ByteReader reader(bytes);
    RC_ASSERT(reader.u8() == a);
    RC_ASSERT(reader.u16() == b);
    RC_ASSERT(reader.u32() == c);
    RC_ASSERT(reader.u64() == d);
    RC_ASSERT(reader.empty());
  }));
}

TEST(Secret, IsWipedWhenItGoes) {
  alignas(Secret) std::byte storage[sizeof(Secret)];
  auto* secret = new (storage) Secret(64);
  for (auto& byte : secret->mutable_bytes()) byte = 0xa5;
  Secret other(64);
  const Secret moved = std::move(*secret);
  EXPECT_TRUE(secret->empty());  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(moved.size(), 64U);
  EXPECT_FALSE(moved == other);
  secret->~Secret();
}

TEST(Secret, ComparesByContent) {
  EXPECT_TRUE(Secret::copy_of(as_bytes("abc")) == Secret::copy_of(as_bytes("abc")));
  EXPECT_FALSE(Secret::copy_of(as_bytes("abc")) == Secret::copy_of(as_bytes("abcd")));
  EXPECT_TRUE(SharedSecret(Secret::copy_of(as_bytes("abc"))) ==
              SharedSecret(Secret::copy_of(as_bytes("abc"))));
  EXPECT_TRUE(SharedSecret() == SharedSecret());
}

}  // namespace
}  // namespace merlon
