#include "wire/ip/tcp_mss.h"

#include "wire/ip/byte_order.h"
#include "wire/test_support.h"

namespace merlon::wire {
namespace {

using test::hex;

struct Case {
  const char* before;  // MSS 1460
  const char* after;   // MSS 1300, by scapy
};
const Case kCases[] = {
    {"4500003400010000400666c10a0000010a0000029c400050000000070000000080022000997f0000020405b4040203030700000"
     "0",
     "4500003400010000400666c10a0000010a0000029c4000500000000700000000800220009a1f000002040514040203030700000"
     "0"},
    // The option at an odd place.
    {"4500003000010000400666c50a0000010a0000029c4000500000000700000000701220000527000001020405b4010101",
     "4500003000010000400666c50a0000010a0000029c400050000000070000000070122000a52700000102040514010101"},
    {"600000000018064020010db800000000000000000000000120010db80000000000000000000000029c400050000000070000000"
     "060022000801a0000020405b4",
     "600000000018064020010db800000000000000000000000120010db80000000000000000000000029c400050000000070000000"
     "06002200080ba000002040514"},
};

bool clamp(Bytes& packet, std::uint16_t maximum) {
  const auto view = parse_packet(packet);
  return view && clamp_tcp_mss(packet, *view, maximum);
}

TEST(TcpMss, LowersAsScapyWouldHaveWrittenIt) {
  for (const auto& one : kCases) {
    Bytes packet = hex(one.before);
    EXPECT_TRUE(clamp(packet, 1300));
    EXPECT_EQ(to_hex(packet), to_hex(hex(one.after)));
  }
}

TEST(TcpMss, LeavesTheRestAlone) {
  Bytes small = hex(kCases[0].before);
  const Bytes original = small;
  EXPECT_FALSE(clamp(small, 1460));
  EXPECT_EQ(small, original);
  Bytes no_syn = original;
  no_syn[33] = 0x10;
  EXPECT_FALSE(clamp(no_syn, 1300));
  Bytes later_fragment = original;
  store_u16(later_fragment, 6, 1);
  EXPECT_FALSE(clamp(later_fragment, 1300));
  Bytes endless = original;
  endless[40] = 254;  // an option of length 0
  endless[41] = 0;
  EXPECT_FALSE(clamp(endless, 1300));
  Bytes long_header = original;
  long_header[32] = 0xf0;
  EXPECT_FALSE(clamp(long_header, 1300));
  Bytes udp = original;
  udp[9] = 17;
  EXPECT_FALSE(clamp(udp, 1300));
}

TEST(TcpMss, LeavesRoomForTheHeaders) {
  EXPECT_EQ(mss_for_mtu(IpFamily::kIpv4, 1400), 1360);
  EXPECT_EQ(mss_for_mtu(IpFamily::kIpv6, 1400), 1340);
  EXPECT_EQ(mss_for_mtu(IpFamily::kIpv4, 40), 0);
  EXPECT_EQ(mss_for_mtu(IpFamily::kIpv6, 10), 0);
}

TEST(TcpMss, SurvivesAnyOptions) {
  EXPECT_TRUE(rc::check([] {
    Bytes packet = hex(kCases[0].before);
    packet.resize(40);
    append(packet, test::bytes_between(0, 40));
    store_u16(packet, 2, static_cast<std::uint16_t>(packet.size()));
    packet[32] = static_cast<std::uint8_t>(*rc::gen::inRange(0, 16) << 4U);
    const std::size_t size = packet.size();
    clamp(packet, 536);
    RC_ASSERT(packet.size() == size);
  }));
}

}  // namespace
}  // namespace merlon::wire
