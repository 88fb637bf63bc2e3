// Several sockets and several TUN queues: the kernel chooses as it was told.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <set>

#include "io/flow_steering.h"
#include "io/kernel_settings.h"
#include "io/spi_steering.h"
#include "io/test_namespace.h"

namespace merlon::io {
namespace {

using test::ip;
using test::shell;

constexpr SpiSteering kSteering{6, 3, 3};
unsigned expected(std::uint8_t first_byte) {
  return (first_byte >> 2U) % 3U;
}
Bytes packet_with(std::uint8_t first_byte) {
  return {first_byte, 2, 3, 4, 0, 0, 0, 1, 9, 9, 9, 9};
}

// The first byte of everything that waits.
template <class Socket>
std::vector<std::uint8_t> first_bytes(Socket& socket) {
  std::vector<std::uint8_t> out;
  Bytes buffer(2048);
  for (;;) {
    std::array<ReceivedDatagram, 1> slot;
    slot[0].buffer = buffer;
    if (socket.receive_burst(slot).value_or(0) == 0) return out;
    out.push_back(slot[0].payload[0]);
  }
}

class Steering : public test::NamespaceTest {
 protected:
  static void check_udp(std::string_view address) {
    UdpSocketOptions options;
    options.local = {ip(address), 4500};
    options.reuse_port = true;
    std::vector<UdpSocket> sockets;
    for (unsigned i = 0; i <= kSteering.count; ++i) sockets.push_back(UdpSocket::open(options).value());
    ASSERT_TRUE(steer_by_spi(sockets[0], kSteering));
    options.local.port = 0;
    options.reuse_port = false;
    auto sender = UdpSocket::open(options).value();
    for (unsigned first = 0; first < 256; ++first) {
      const Bytes payload = packet_with(static_cast<std::uint8_t>(first));
      OutgoingDatagram datagram;
      datagram.payload = payload;
      datagram.destination = {ip(address), 4500};
      ASSERT_EQ(sender.send(datagram), SendOutcome::kSent);
    }
    check(sockets);
    // RFC 3948 2.2: IKE; 2.3: a keepalive, which any may have.
    for (const Bytes& payload : {Bytes{0, 0, 0, 0, 9, 9, 9, 9}, Bytes{0, 0, 0, 0}, Bytes{0xff}}) {
      OutgoingDatagram datagram;
      datagram.payload = payload;
      datagram.destination = {ip(address), 4500};
      ASSERT_EQ(sender.send(datagram), SendOutcome::kSent);
    }
    EXPECT_EQ(first_bytes(sockets[kSteering.ike]), (std::vector<std::uint8_t>{0, 0}));
    EXPECT_EQ(first_bytes(sockets[0]), (std::vector<std::uint8_t>{0xff}));
  }

  static void check_raw(std::string_view address) {
    RawEspSocketOptions options;
    options.local = ip(address);
    std::vector<RawEspSocket> sockets;
    for (unsigned i = 0; i < kSteering.count; ++i) {
      sockets.push_back(RawEspSocket::open(options).value());
      ASSERT_TRUE(keep_own_spis(sockets.back(), kSteering, i));
    }
    for (unsigned first = 0; first < 256; ++first) {
      const Bytes payload = packet_with(static_cast<std::uint8_t>(first));
      OutgoingDatagram datagram;
      datagram.payload = payload;
      datagram.destination = {ip(address), 0};
      ASSERT_EQ(sockets[0].send(datagram), SendOutcome::kSent);
    }
    check(sockets);
  }

  template <class Socket>
  static void check(std::vector<Socket>& sockets) {
    std::size_t all = 0;
    for (unsigned i = 0; i < sockets.size(); ++i) {
      const auto came = first_bytes(sockets[i]);
      all += came.size();
      for (const std::uint8_t first : came) EXPECT_EQ(expected(first), i) << unsigned{first};
    }
    EXPECT_EQ(all, 256U);
  }
};

TEST_F(Steering, UdpByTheSpi) {
  in_namespace([] { check_udp("127.0.0.1"); });
  in_namespace([] { check_udp("::1"); });
}

TEST_F(Steering, EveryRawSocketKeepsItsOwn) {
  in_namespace([] { check_raw("127.0.0.1"); });
  in_namespace([] { check_raw("::1"); });
}

// A port of this process alone refuses others, one that is shared does not.
TEST_F(Steering, OnlySharedPortsAreShared) {
  in_namespace([] {
    UdpSocketOptions options;
    options.local = {ip("127.0.0.1"), 4500};
    const auto alone = UdpSocket::open(options).value();
    options.reuse_port = true;
    EXPECT_FALSE(UdpSocket::open(options));
  });
}

class FlowSteering : public Steering {
 protected:
  static constexpr std::size_t kQueues = 3;

  static std::vector<Tun> open_queues() {
    TunOptions options;
    options.multi_queue = true;
    std::vector<Tun> queues;
    for (std::size_t i = 0; i < kQueues; ++i) {
      queues.push_back(Tun::open(options).value());
      options.name = queues.back().name();
    }
    EXPECT_TRUE(disable_ipv6_autoconfiguration(options.name));
    EXPECT_TRUE(queues[0].set_up(true));
    shell("ip addr add 10.9.0.1/24 dev merlon0; ip -6 addr add fd09::1/64 dev merlon0 nodad");
    return queues;
  }
  // UDP to an address behind the device, from a port of its own.
  static void send_from(std::uint16_t port, bool v6) {
    UdpSocketOptions options;
    options.local = {IpAddress::any(v6 ? IpFamily::kIpv6 : IpFamily::kIpv4), port};
    auto socket = UdpSocket::open(options).value();
    const Bytes payload(20);
    OutgoingDatagram datagram;
    datagram.payload = payload;
    datagram.destination = {ip(v6 ? "fd09::2" : "10.9.0.2"), 7};
    ASSERT_EQ(socket.send(datagram), SendOutcome::kSent);
  }
  // Ports of what waits in a queue.
  static std::vector<std::uint16_t> ports_in(Tun& queue, bool v6) {
    std::vector<std::uint16_t> out;
    Bytes buffer(2048);
    while (const std::size_t length = queue.read(buffer).value_or(0)) {
      const std::size_t at = v6 ? 40 : 20;
      if (length > at + 4 && buffer[0] >> 4U == (v6 ? 6 : 4))
        out.push_back(static_cast<std::uint16_t>(buffer[at] << 8U | buffer[at + 1]));
    }
    return out;
  }
  // The answer to what send_from() sends: UDP from 10.9.0.2:7.
  static Bytes answer_to(std::uint16_t port) {
    Bytes packet = {0x45, 0, 0,  28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 9,
                    0,    2, 10, 9,  0, 1, 0, 7, 0,  0,  0, 8, 0,  0};
    packet[22] = static_cast<std::uint8_t>(port >> 8U);
    packet[23] = static_cast<std::uint8_t>(port);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2)
      sum += static_cast<std::uint32_t>(packet[i] << 8U | packet[i + 1]);
    while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
    packet[10] = static_cast<std::uint8_t>(~sum >> 8U);
    packet[11] = static_cast<std::uint8_t>(~sum);
    return packet;
  }

  static void check_flows(bool v6) {
    auto queues = open_queues();
    if (const auto steered = keep_flows_in_their_queue(queues[0]); !steered)
      GTEST_SKIP() << steered.error().message;
    std::map<std::uint16_t, std::size_t> queue_of;
    for (int round = 0; round < 4; ++round) {
      for (std::uint16_t port = 20000; port < 20060; ++port) send_from(port, v6);
      std::size_t came = 0;
      for (std::size_t i = 0; i < queues.size(); ++i)
        for (const std::uint16_t port : ports_in(queues[i], v6)) {
          ++came;
          EXPECT_EQ(queue_of.emplace(port, i).first->second, i) << "port " << port << " in round " << round;
        }
      EXPECT_EQ(came, 60U);
      // Answers through another queue, which would draw the flow there without the program.
      for (const auto& [port, queue] : queue_of)
        if (!v6) {
          EXPECT_EQ(queues[(queue + 1) % kQueues].write(answer_to(port)), SendOutcome::kSent);
        }
      for (Tun& queue : queues) ports_in(queue, v6);  // ICMP about closed ports
    }
    std::map<std::size_t, int> flows;
    for (const auto& [port, queue] : queue_of) ++flows[queue];
    for (std::size_t i = 0; i < kQueues; ++i) EXPECT_GE(flows[i], 8) << "flows in queue " << i;
  }
};

TEST_F(FlowSteering, AFlowStaysInItsQueueIpv4) {
  in_namespace([] { check_flows(false); });
}
TEST_F(FlowSteering, AFlowStaysInItsQueueIpv6) {
  in_namespace([] { check_flows(true); });
}

}  // namespace
}  // namespace merlon::io
