#include "wire/ip/checksum.h"

#include "wire/ip/byte_order.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

// RFC 1071 2: complement of the sum of the words.
TEST(Checksum, Rfc1071Example) {
  // RFC 1071 3: the words sum to ddf2
  EXPECT_EQ(internet_checksum(hex("0001f203f4f5f6f7")), 0xffff - 0xddf2);
}

// RFC 1624 3
TEST(Checksum, Rfc1624Example) {
  // RFC 1624 4: the case in which the older equation gives 0xffff
  EXPECT_EQ(updated_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(Checksum, CountsAnOddByteAsTheUpperHalfOfAWord) {
  EXPECT_EQ(internet_checksum(hex("010203")), internet_checksum(hex("01020300")));
  EXPECT_EQ(internet_checksum({}), 0xffff);
}

TEST(Checksum, IsTheSumOfItsWords) {
  EXPECT_TRUE(rc::check([] {
    const Bytes bytes = test::bytes_between(0, 300);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8U : 0U);
      sum = (sum & 0xffffU) + (sum >> 16U);
    }
    RC_ASSERT(internet_checksum(bytes) == static_cast<std::uint16_t>(~sum));
  }));
}

TEST(Checksum, CopyingIsSummingAlsoWhereThePlacesOverlap) {
  EXPECT_TRUE(rc::check([] {
    const Bytes bytes = test::bytes_between(0, 700);
    const auto shift = *rc::gen::inRange<std::size_t>(0, 100);
    Bytes place(shift);
    append(place, bytes);
    const std::uint16_t copied = ChecksumSum().add_copying(place, ByteView(place).subspan(shift)).checksum();
    RC_ASSERT(copied == internet_checksum(bytes));
    place.resize(bytes.size());
    RC_ASSERT(place == bytes);
  }));
}

TEST(Checksum, UpdateIsTheSameAsSummingAgain) {
  EXPECT_TRUE(rc::check([] {
    Bytes bytes = test::bytes_between(6, 64);
    if (bytes.size() % 2 != 0) bytes.pop_back();
    bytes[0] |= 1;  // a sum of zero words only has two representations of zero
    store_u16(bytes, 2, 0);
    const std::uint16_t before = internet_checksum(bytes);
    const std::uint16_t old_word = load_u16(bytes, 4);
    const auto new_word = test::number<std::uint16_t>();
    store_u16(bytes, 4, new_word);
    RC_ASSERT(updated_checksum(before, old_word, new_word) == internet_checksum(bytes));
  }));
}

}  // namespace
}  // namespace merlon::wire
