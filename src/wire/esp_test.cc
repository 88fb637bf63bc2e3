#include "wire/esp.h"

#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

TEST(Esp, HeaderRoundTrips) {
  Bytes out(8);
  write_esp_header(out, {.spi = {0xc0ffee01}, .sequence = 7});
  EXPECT_EQ(to_hex(out), "c0ffee0100000007");
  EXPECT_EQ(parse_esp_header(out), (EspHeader{.spi = {0xc0ffee01}, .sequence = 7}));
  EXPECT_FALSE(parse_esp_header(ByteView(out).first(7)));
}

TEST(Esp, TrailerPadsWithCountingBytes) {
  // RFC 4303 2.4
  Bytes out(5);
  write_esp_trailer(out, 3, IpProtocol::kIpv4);
  EXPECT_EQ(to_hex(out), "0102030304");
}

TEST(Esp, PaddingFillsBlocksAndWords) {
  EXPECT_EQ(esp_pad_length(0, 1), 2U);
  EXPECT_EQ(esp_pad_length(2, 1), 0U);
  EXPECT_EQ(esp_pad_length(84, 16), 10U);
  EXPECT_EQ(esp_pad_length(14, 16), 0U);
  EXPECT_EQ(esp_pad_length(15, 16), 15U);
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(0, 2000);
    const auto block = *rc::gen::element<std::size_t>(1, 4, 8, 16);
    const auto pad = esp_pad_length(size, block);
    RC_ASSERT(pad < std::max<std::size_t>(block, 4));
    RC_ASSERT((size + pad + 2) % std::max<std::size_t>(block, 4) == 0U);
  }));
}

// RFC 4303 2.4: 1, 2, 3, ...; every byte of it counts, whatever the length, and nothing in front of it.
TEST(Esp, EachWrongPaddingByteIsSeen) {
  for (const std::size_t size : {0U, 1U, 3U, 4U, 5U, 64U}) {
    for (std::size_t pad = 0; pad <= 20; ++pad) {
      Bytes plaintext(size + pad + kEspTrailerSize, 0xa5);
      write_esp_trailer(MutableByteView(plaintext).subspan(size), pad, IpProtocol::kIpv4);
      ASSERT_TRUE(parse_esp_trailer(plaintext)) << size << " " << pad;
      for (std::size_t at = 0; at < pad; ++at) {
        Bytes wrong = plaintext;
        wrong[size + at] ^= 4;
        EXPECT_EQ(parse_esp_trailer(wrong).error(), PacketError::kBadPadding)
            << size << " " << pad << " " << at;
      }
    }
  }
}

TEST(Esp, TrailerIsTakenApartAgain) {
  EXPECT_TRUE(rc::check([] {
    Bytes plaintext = test::bytes_between(0, 100);
    const std::size_t size = plaintext.size();
    const auto pad = *rc::gen::inRange<std::size_t>(0, 256);
    plaintext.resize(size + pad + 2);
    write_esp_trailer(MutableByteView(plaintext).subspan(size), pad, IpProtocol::kIpv6);
    const auto trailer = parse_esp_trailer(plaintext);
    RC_ASSERT(trailer.has_value());
    RC_ASSERT(trailer->payload_size == size);
    RC_ASSERT(trailer->next_header == IpProtocol::kIpv6);
  }));
}

TEST(Esp, RefusesPaddingThatIsNotThereOrNotRight) {
  EXPECT_EQ(parse_esp_trailer(hex("04")).error(), PacketError::kTruncated);
  EXPECT_EQ(parse_esp_trailer(hex("010304")).error(), PacketError::kBadLength);
  EXPECT_EQ(parse_esp_trailer(hex("01020404 0304")).error(), PacketError::kBadPadding);
  EXPECT_EQ(parse_esp_trailer(hex("00000000 0404")).error(), PacketError::kBadPadding);
}

}  // namespace
}  // namespace merlon::wire
