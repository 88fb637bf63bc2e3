#include "wire/ike/ts.h"

#include "wire/ike/generators.h"

namespace merlon::wire {
namespace {

using test::address;
using test::hex;

// RFC 7296 3.13.1: 10.1.0.0 to 10.1.255.255, and TCP from port 80 to 81 at 2001:db8::1
const char* const kTwo =
    "02 000000"
    "07 00 0010 0000 ffff 0a010000 0a01ffff"
    "08 06 0028 0050 0051 20010db8000000000000000000000001 20010db8000000000000000000000001";

TEST(Ts, FollowsTheFigures) {
  const auto ts = TsiPayload::parse(hex(kTwo));
  ASSERT_TRUE(ts) << ts.error().message;
  ASSERT_EQ(ts->selectors.size(), 2U);
  EXPECT_EQ(ts->selectors[0], (TrafficSelector{.protocol = 0,
                                               .start_port = 0,
                                               .end_port = 65535,
                                               .start_address = address("10.1.0.0"),
                                               .end_address = address("10.1.255.255")}));
  EXPECT_EQ(ts->selectors[0].to_string(), "10.1.0.0-10.1.255.255");
  EXPECT_EQ(ts->selectors[1].to_string(), "2001:db8::1 TCP/80-81");
  EXPECT_EQ(to_hex(test::body_of(*ts)), to_hex(hex(kTwo)));
}

TEST(Ts, RefusesEmptyRangesAndLists) {
  EXPECT_FALSE(TsiPayload::parse(hex("00 000000")));
  EXPECT_FALSE(TsiPayload::parse(hex("01 000000 07 00 0010 0000 ffff 0a020000 0a01ffff")));
  EXPECT_FALSE(TsiPayload::parse(hex("01 000000 07 06 0010 0051 0050 0a010000 0a01ffff")));
  // RFC 7296 3.13.1: OPAQUE is no empty range
  const auto opaque = TsiPayload::parse(hex("01 000000 07 06 0010 ffff 0000 0a010000 0a01ffff"));
  ASSERT_TRUE(opaque);
  EXPECT_TRUE(opaque->selectors[0].is_opaque_port());
  EXPECT_EQ(opaque->selectors[0].to_string(), "10.1.0.0-10.1.255.255 TCP/OPAQUE");
}

TEST(Ts, RefusesWrongLengthsAndCounts) {
  const auto refused = [](std::size_t at, std::uint8_t value) {
    Bytes body = hex(kTwo);
    body[at] = value;
    return !TsiPayload::parse(body).has_value();
  };
  EXPECT_TRUE(refused(0, 1));
  EXPECT_TRUE(refused(0, 3));
  EXPECT_TRUE(refused(4, 8));     // an IPv6 range of 16 bytes
  EXPECT_TRUE(refused(7, 0x03));  // shorter than its header
  EXPECT_TRUE(refused(7, 0x0f));
  EXPECT_FALSE(refused(1, 0xff));  // reserved
}

TEST(Ts, KeepsUnknownTypes) {
  const auto ts =
      TsrPayload::parse(hex("02 000000 0a 00 0008 61626364 07 00 0010 0000 ffff 0a010000 0a01ffff"));
  ASSERT_TRUE(ts);
  EXPECT_EQ(ts->selectors.size(), 1U);
  ASSERT_EQ(ts->unknown.size(), 1U);
  EXPECT_EQ(ts->unknown[0], (UnknownTrafficSelector{.type = TsType::kSecLabel, .body = hex("61626364")}));
}

TEST(Ts, RefusesEveryTruncation) {
  test::check_truncations<TsiPayload>(hex(kTwo), hex(kTwo).size());
}

TEST(Ts, RoundTrips) {
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_ts<TsiPayload>()); }));
  EXPECT_TRUE(rc::check([] { test::check_round_trip(test::any_ts<TsrPayload>()); }));
}

TEST(Ts, NamesTheProtocolsThatPeopleKnow) {
  const auto text = [](std::uint8_t protocol) {
    return TrafficSelector{.protocol = protocol,
                           .start_port = 0,
                           .end_port = 65535,
                           .start_address = address("10.1.0.1"),
                           .end_address = address("10.1.0.1")}
        .to_string();
  };
  EXPECT_EQ(text(1), "10.1.0.1 ICMP");
  EXPECT_EQ(text(17), "10.1.0.1 UDP");
  EXPECT_EQ(text(47), "10.1.0.1 GRE");
  EXPECT_EQ(text(58), "10.1.0.1 ICMPv6");
  EXPECT_EQ(text(89), "10.1.0.1 OSPF");
  EXPECT_EQ(text(132), "10.1.0.1 SCTP");
  EXPECT_EQ(text(99), "10.1.0.1 protocol 99");
}

}  // namespace
}  // namespace merlon::wire
