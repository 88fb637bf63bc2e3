#include "io/tun.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "io/kernel_settings.h"
#include "io/netlink.h"
#include "io/test_namespace.h"
#include "io/vnet_header.h"

namespace merlon::io {
namespace {

using test::shell;

class TunTest : public test::NamespaceTest {};

// The IPv4 header checksum (RFC 791 3.1).
void set_checksum(Bytes& packet) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<std::uint32_t>(packet[i] << 8U | packet[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  packet[10] = static_cast<std::uint8_t>(~sum >> 8U);
  packet[11] = static_cast<std::uint8_t>(~sum);
}

// UDP from 10.2.0.7:4000 to 10.9.0.1:5000 without a UDP checksum.
Bytes udp_packet(std::string_view text) {
  Bytes packet = {0x45, 0, 0,  0, 0, 1, 0,    0,    64,   17,   0, 0, 10, 2,
                  0,    7, 10, 9, 0, 1, 0x0f, 0xa0, 0x13, 0x88, 0, 0, 0,  0};
  append(packet, as_bytes(text));
  packet[3] = static_cast<std::uint8_t>(packet.size());
  packet[25] = static_cast<std::uint8_t>(packet.size() - 20);
  set_checksum(packet);
  return packet;
}

Fd udp_socket_on(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST_F(TunTest, CarriesPacketsBothWays) {
  in_namespace([] {
    auto tun = Tun::open({});
    ASSERT_TRUE(tun) << tun.error().message;
    EXPECT_EQ(tun->name(), "merlon0");
    ASSERT_TRUE(disable_ipv6_autoconfiguration(tun->name()));
    ASSERT_TRUE(tun->set_mtu(1390));
    EXPECT_EQ(*tun->mtu(), 1390U);
    ASSERT_TRUE(tun->set_up(true));
    shell("ip addr add 10.9.0.1/32 dev merlon0; ip route add 10.2.0.0/16 dev merlon0");

    const Fd udp = udp_socket_on(5000);
    Bytes buffer(2048);
    EXPECT_EQ(*tun->read(buffer), 0U);
    const std::vector<Bytes> packets = {udp_packet("one"), udp_packet("two"), udp_packet("three")};
    const std::vector<ByteView> views(packets.begin(), packets.end());
    std::array<SendOutcome, 3> outcomes{};
    EXPECT_EQ(tun->write_burst(views, outcomes), 3U);
    for (const char* expected : {"one", "two", "three"}) {
      ASSERT_TRUE(test::wait_for(udp.get()));
      char text[16];
      const ssize_t length = recv(udp.get(), text, sizeof text, 0);
      EXPECT_EQ(std::string_view(text, static_cast<std::size_t>(length)), expected);
    }
    EXPECT_EQ(tun->write(as_bytes("xx: no IP packet")), SendOutcome::kFailed);

    sockaddr_in far{};
    far.sin_family = AF_INET;
    far.sin_port = htons(4000);
    inet_pton(AF_INET, "10.2.0.7", &far.sin_addr);
    for (int i = 0; i < 3; ++i)
      ASSERT_EQ(sendto(udp.get(), "answer", 6, 0, reinterpret_cast<const sockaddr*>(&far), sizeof far), 6);
    std::vector<Bytes> buffers(8, Bytes(2048));
    std::vector<TunSlot> slots(buffers.size());
    for (std::size_t i = 0; i < slots.size(); ++i) slots[i].buffer = buffers[i];
    ASSERT_TRUE(test::wait_for(tun->fd()));
    const auto count = tun->read_burst(slots);
    ASSERT_TRUE(count) << count.error().message;
    ASSERT_EQ(*count, 3U);
    EXPECT_EQ(slots[0].length, 20U + 8U + 6U);
    EXPECT_EQ(as_text(slots[2].buffer.subspan(28, 6)), "answer");
    EXPECT_EQ(*tun->read_burst(slots), 0U);
  });
}

// Whatever the kernel hands to the device is either read or counted.
TEST_F(TunTest, WhatItsFullQueueDropsIsCounted) {
  in_namespace([] {
    auto tun = Tun::open({.name = "t0"});
    ASSERT_TRUE(tun) << tun.error().message;
    ASSERT_TRUE(disable_ipv6_autoconfiguration("t0"));
    ASSERT_TRUE(tun->set_up(true));
    shell("ip addr add 10.9.0.1/24 dev t0");
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    EXPECT_EQ(netlink->dropped_by_link(tun->index()).value(), 0U);
    const Fd sender = udp_socket_on(5000);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(5000);
    inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
    constexpr unsigned kCount = 2000;  // the queue holds 500
    unsigned sent = 0;
    for (unsigned i = 0; i < kCount; ++i)
      if (sendto(sender.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 1) ++sent;
    unsigned came = 0;
    Bytes buffer(2000);
    while (tun->read(buffer).value_or(0) != 0) ++came;
    const std::uint64_t dropped = netlink->dropped_by_link(tun->index()).value();
    EXPECT_GT(dropped, 0U);
    EXPECT_EQ(came + dropped, sent);
    EXPECT_EQ(netlink->dropped_by_link(4711).error().code, ErrorCode::kNotFound);
  });
}

TEST_F(TunTest, VanishesWithItsOwnerAndNamesAreExclusive) {
  in_namespace([] {
    {
      const auto tun = Tun::open({.name = "office"});
      ASSERT_TRUE(tun);
      const auto second = Tun::open({.name = "office"});
      ASSERT_FALSE(second);
      EXPECT_EQ(second.error().message, "cannot create the TUN device 'office': Device or resource busy");
    }
    EXPECT_EQ(link_mtu("office").error().code, ErrorCode::kNotFound);
    EXPECT_TRUE(Tun::open({.name = "office"}));
    EXPECT_EQ(Tun::open({.name = "a-name-that-is-too-long"}).error().code, ErrorCode::kInvalidArgument);
  });
}

TEST_F(TunTest, WritingToADeviceThatIsDownIsToldApart) {
  in_namespace([] {
    auto tun = Tun::open({});
    const Bytes packet = udp_packet("x");
    EXPECT_EQ(tun->write(packet), SendOutcome::kDeviceDown);
  });
}

TEST_F(TunTest, VnetHeaderAndSeveralQueues) {
  in_namespace([] {
    auto first = Tun::open({.name = "t0", .vnet_header = true, .multi_queue = true});
    ASSERT_TRUE(first) << first.error().message;
    const auto second = Tun::open({.name = "t0", .vnet_header = true, .multi_queue = true});
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_EQ(first->index(), second->index());
    ASSERT_TRUE(first->set_up(true));
    shell(
        "ip addr add 10.9.0.1/32 dev t0; ip route add 10.2.0.0/16 dev t0; sysctl -qw "
        "net.ipv4.conf.all.rp_filter=0");
    const Fd udp = udp_socket_on(5000);
    const Bytes packet = concat(Bytes(kVnetHeaderSize), udp_packet("framed"));
    ASSERT_EQ(first->write(packet), SendOutcome::kSent);
    ASSERT_TRUE(test::wait_for(udp.get()));
    char text[16];
    EXPECT_EQ(recv(udp.get(), text, sizeof text, 0), 6);
  });
}

}  // namespace
}  // namespace merlon::io
