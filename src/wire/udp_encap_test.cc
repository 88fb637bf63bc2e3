#include "wire/udp_encap.h"

#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

UdpEncapKind kind_of(std::string_view text) {
  return classify_udp_encap(hex(text)).kind;
}

// RFC 3948 2.2, 2.3: the Non-ESP Marker, the keepalive.
TEST(UdpEncap, TellsApartWhatSharesThePort) {
  EXPECT_EQ(kind_of("ff"), UdpEncapKind::kKeepalive);
  EXPECT_EQ(kind_of("c0ffee0100000001aabb"), UdpEncapKind::kEsp);
  EXPECT_EQ(kind_of("ffffffff00000001aabb"), UdpEncapKind::kEsp);
  EXPECT_EQ(kind_of("00000000aa"), UdpEncapKind::kIke);
  EXPECT_EQ(kind_of(""), UdpEncapKind::kInvalid);
  EXPECT_EQ(kind_of("fe"), UdpEncapKind::kInvalid);
  EXPECT_EQ(kind_of("ffff"), UdpEncapKind::kInvalid);
  EXPECT_EQ(kind_of("00000000"), UdpEncapKind::kInvalid);
  EXPECT_EQ(kind_of("c0ffee01000000"), UdpEncapKind::kInvalid);
}

TEST(UdpEncap, StripsTheMarkerItPutOn) {
  EXPECT_TRUE(rc::check([] {
    const Bytes message = test::bytes_between(1, 60);
    const Bytes datagram = with_non_esp_marker(message);
    const auto classified = classify_udp_encap(datagram);
    RC_ASSERT(classified.kind == UdpEncapKind::kIke);
    RC_ASSERT(equal(classified.payload, message));
  }));
}

}  // namespace
}  // namespace merlon::wire
