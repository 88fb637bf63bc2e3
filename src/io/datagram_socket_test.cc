// UDP and raw ESP sockets between network namespaces.
#include <gmock/gmock.h>

#include <array>
#include <cerrno>

#include "io/raw_esp_socket.h"
#include "io/test_namespace.h"
#include "io/udp_socket.h"

namespace merlon::io {
namespace {

using test::ip;
using test::Namespace;
using test::shell;

// Receives one burst into buffers of its own.
struct Inbox {
  explicit Inbox(std::size_t slots = 8, std::size_t size = 4096)
      : buffers(slots, Bytes(size)), datagrams(slots) {
    for (std::size_t i = 0; i < slots; ++i) datagrams[i].buffer = buffers[i];
  }
  std::size_t receive(DatagramSocket& socket) {
    if (!test::wait_for(socket.fd())) return 0;
    const auto count = socket.receive_burst(datagrams);
    EXPECT_TRUE(count) << count.error().message;
    return count.value_or(0);
  }
  std::vector<Bytes> buffers;
  std::vector<ReceivedDatagram> datagrams;
};

UdpSocket udp(std::string_view address, std::uint16_t port, UdpSocketOptions options = {}) {
  options.local = {ip(address), port};
  auto socket = UdpSocket::open(options);
  EXPECT_TRUE(socket) << socket.error().message;
  return std::move(*socket);
}

RawEspSocket esp(std::string_view address) {
  RawEspSocketOptions options;
  options.local = ip(address);
  auto socket = RawEspSocket::open(options);
  EXPECT_TRUE(socket) << socket.error().message;
  return std::move(*socket);
}

// Waits for and takes the first entry of the error queue.
std::optional<SocketError> error_of(DatagramSocket& socket) {
  test::wait_for(socket.fd(), POLLERR);
  return socket.read_error();
}

// This namespace (a) and another one, joined by a link: 192.0.2.1 and .2 (beside .3 on the far end),
// 2001:db8::1 and ::2 (::3).
struct Pair {
  Pair() {
    shell("ip link add v0 type veth peer name v1 netns " + far.path());
    shell("ip addr add 192.0.2.1/24 dev v0; ip -6 addr add 2001:db8::1/64 dev v0 nodad; ip link set v0 up");
    far.sh(
        "ip addr add 192.0.2.2/24 dev v1; ip addr add 192.0.2.3/24 dev v1; ip link set v1 up;"
        "ip -6 addr add 2001:db8::2/64 dev v1 nodad; ip -6 addr add 2001:db8::3/64 dev v1 nodad");
    far.run(test::links_settle);
    test::links_settle();
  }
  Namespace far;
};

class DatagramSocketTest : public test::NamespaceTest {};

void expect_answer_from_addressed(std::string_view any, std::string_view near, std::string_view far_second,
                                  Pair& pair) {
  UdpSocket client = udp(any, 500);
  std::optional<UdpSocket> server;
  pair.far.run([&] { server.emplace(udp(any, 4500)); });
  // Addressed to the far end's second address, with DSCP 46 and ECT(0).
  ASSERT_EQ(
      client.send(
          {.payload = as_bytes("question"), .destination = {ip(far_second), 4500}, .traffic_class = 0xba}),
      SendOutcome::kSent);
  Inbox inbox;
  ASSERT_EQ(inbox.receive(*server), 1U);
  const ReceivedDatagram& question = inbox.datagrams[0];
  EXPECT_EQ(as_text(question.payload), "question");
  EXPECT_EQ(question.source, (Endpoint{ip(near), 500}));
  EXPECT_EQ(question.destination, (Endpoint{ip(far_second), 4500}));
  EXPECT_EQ(question.traffic_class, 0xba);
  EXPECT_NE(question.interface_index, 0U);
  EXPECT_FALSE(question.truncated);
  ASSERT_EQ(server->send({.head = as_bytes("an "),
                          .payload = as_bytes("answer"),
                          .source = question.destination.address,
                          .destination = question.source,
                          .traffic_class = 3}),
            SendOutcome::kSent);
  ASSERT_EQ(inbox.receive(client), 1U);
  EXPECT_EQ(as_text(inbox.datagrams[0].payload), "an answer");
  EXPECT_EQ(inbox.datagrams[0].source, (Endpoint{ip(far_second), 4500}))
      << "from the address that was addressed";
  EXPECT_EQ(inbox.datagrams[0].traffic_class, 3);
}

TEST_F(DatagramSocketTest, UdpAnswersFromTheAddressThatWasAddressed) {
  in_namespace([] {
    Pair pair;
    expect_answer_from_addressed("0.0.0.0", "192.0.2.1", "192.0.2.3", pair);
    expect_answer_from_addressed("::", "2001:db8::1", "2001:db8::3", pair);
  });
}

TEST_F(DatagramSocketTest, RawEspCarriesPacketsBothWays) {
  in_namespace([] {
    Pair pair;
    for (const auto& [any, near, far] :
         {std::tuple{"0.0.0.0", "192.0.2.1", "192.0.2.3"}, std::tuple{"::", "2001:db8::1", "2001:db8::3"}}) {
      RawEspSocket client = esp(any);
      std::optional<RawEspSocket> server;
      pair.far.run([&, name = any] { server.emplace(esp(name)); });
      EXPECT_EQ(client.port(), 0);
      const Bytes packet =
          concat(Bytes{0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1}, Bytes(64, 0xab));  // SPI, sequence number
      ASSERT_EQ(
          client.send(
              {.payload = packet, .source = ip(near), .destination = {ip(far), 0}, .traffic_class = 0x2e}),
          SendOutcome::kSent);
      Inbox inbox;
      ASSERT_EQ(inbox.receive(*server), 1U);
      const ReceivedDatagram& got = inbox.datagrams[0];
      EXPECT_EQ(to_bytes(got.payload), packet) << "from the SPI on, without the IP header";
      EXPECT_EQ(got.source, (Endpoint{ip(near), 0}));
      EXPECT_EQ(got.destination, (Endpoint{ip(far), 0}));
      EXPECT_EQ(got.traffic_class, 0x2e);
      ASSERT_EQ(
          server->send({.payload = packet, .source = got.destination.address, .destination = got.source}),
          SendOutcome::kSent);
      ASSERT_EQ(inbox.receive(client), 1U);
      EXPECT_EQ(inbox.datagrams[0].source.address, ip(far));
    }
  });
}

TEST_F(DatagramSocketTest, BurstsKeepOrderAndCount) {
  in_namespace([] {
    Pair pair;
    UdpSocket client = udp("0.0.0.0", 500);
    std::optional<UdpSocket> server;
    pair.far.run([&] { server.emplace(udp("0.0.0.0", 4500)); });
    constexpr std::size_t kCount = 150;  // more than one system call takes
    std::vector<Bytes> payloads;
    for (std::size_t i = 0; i < kCount; ++i) payloads.push_back(Bytes(1 + i, static_cast<std::uint8_t>(i)));
    std::vector<OutgoingDatagram> out(kCount);
    for (std::size_t i = 0; i < kCount; ++i) {
      out[i] = {.payload = payloads[i], .destination = {ip("192.0.2.2"), 4500}, .may_fragment = i % 10 == 3};
    }
    out[70].destination.address = ip("2001:db8::2");   // not this socket's family
    out[71].source = ip("203.0.113.77");               // not our address
    out[72].destination.address = ip("198.51.100.1");  // no route there
    std::vector<SendOutcome> outcomes(kCount);
    EXPECT_EQ(client.send_burst(out, outcomes), kCount - 3);
    EXPECT_EQ(outcomes[70], SendOutcome::kFailed);
    EXPECT_THAT(outcomes[71], testing::AnyOf(SendOutcome::kNoSourceAddress, SendOutcome::kUnreachable))
        << "newer kernels";
    EXPECT_EQ(outcomes[72], SendOutcome::kUnreachable);
    Inbox inbox(DatagramSocket::kMaxBurst);
    std::size_t expected = 0;
    while (expected < kCount) {
      const std::size_t count = inbox.receive(*server);
      ASSERT_GT(count, 0U);
      for (std::size_t i = 0; i < count; ++i, ++expected) {
        if (expected == 70) expected = 73;
        EXPECT_EQ(to_bytes(inbox.datagrams[i].payload), payloads[expected]);
      }
    }
    EXPECT_EQ(*server->receive_burst(inbox.datagrams), 0U);
  });
}

TEST_F(DatagramSocketTest, CutDatagramsAreTold) {
  in_namespace([] {
    UdpSocket socket = udp("127.0.0.1", 0);
    ASSERT_NE(socket.port(), 0);
    ASSERT_EQ(
        socket.send({.payload = as_bytes("0123456789"), .destination = {ip("127.0.0.1"), socket.port()}}),
        SendOutcome::kSent);
    Inbox inbox(1, 4);
    ASSERT_EQ(inbox.receive(socket), 1U);
    EXPECT_TRUE(inbox.datagrams[0].truncated);
    EXPECT_EQ(as_text(inbox.datagrams[0].payload), "0123");
  });
}

// Whatever comes is either received or counted.
TEST_F(DatagramSocketTest, WhatAFullBufferDropsIsCounted) {
  const auto check = [](DatagramSocket& socket, const Endpoint& to) {
    EXPECT_EQ(socket.dropped(), 0U);
    constexpr unsigned kCount = 200;
    const Bytes payload(1000, 7);
    for (unsigned i = 0; i < kCount; ++i)
      ASSERT_EQ(socket.send({.payload = payload, .destination = to}), SendOutcome::kSent);
    EXPECT_GT(socket.dropped(), 0U);
    unsigned received = 0;
    Inbox inbox(8, 2000);
    while (const std::size_t count = socket.receive_burst(inbox.datagrams).value_or(0))
      received += static_cast<unsigned>(count);
    EXPECT_GT(received, 0U);
    EXPECT_EQ(received + socket.dropped(), kCount);
  };
  in_namespace([&check] {
    for (const char* address : {"127.0.0.1", "::1"}) {
      UdpSocketOptions udp_options;
      udp_options.local = {ip(address), 4500};
      udp_options.receive_buffer = 20'000;
      UdpSocket udp_socket = UdpSocket::open(udp_options).value();
      check(udp_socket, {ip(address), 4500});
      RawEspSocketOptions raw_options;
      raw_options.local = ip(address);
      raw_options.receive_buffer = 20'000;
      RawEspSocket raw_socket = RawEspSocket::open(raw_options).value();
      check(raw_socket, {ip(address), 0});
    }
  });
}

TEST_F(DatagramSocketTest, RefusedPortsComeBackThroughTheErrorQueueAndHurtNobodyElse) {
  in_namespace([] {
    Pair pair;
    for (const auto& [any, far, other] :
         {std::tuple{"0.0.0.0", "192.0.2.2", "192.0.2.3"}, std::tuple{"::", "2001:db8::2", "2001:db8::3"}}) {
      UdpSocket client = udp(any, 0);
      EXPECT_FALSE(client.read_error());
      ASSERT_EQ(client.send({.payload = as_bytes("anybody there?"), .destination = {ip(far), 999}}),
                SendOutcome::kSent);
      ASSERT_TRUE(test::wait_for(client.fd(), POLLERR));
      // The error that waits on the socket is not this datagram's.
      std::optional<UdpSocket> server;
      pair.far.run([&, name = any] { server.emplace(udp(name, 4500)); });
      EXPECT_EQ(client.send({.payload = as_bytes("hello"), .destination = {ip(other), 4500}}),
                SendOutcome::kSent);
      Inbox inbox;
      EXPECT_EQ(inbox.receive(*server), 1U);
      const auto error = error_of(client);
      ASSERT_TRUE(error);
      const bool v4 = ip(any).is_v4();
      EXPECT_EQ(error->origin, v4 ? SocketError::Origin::kIcmp : SocketError::Origin::kIcmp6);
      EXPECT_EQ(error->destination, (Endpoint{ip(far), 999}));
      EXPECT_EQ(error->reporter, ip(far));
      EXPECT_EQ(error->error_number, ECONNREFUSED);
      EXPECT_EQ(error->icmp_type, v4 ? 3 : 1);
      EXPECT_EQ(error->icmp_code, v4 ? 3 : 4);
      EXPECT_EQ(error->mtu, 0U);
      EXPECT_EQ(as_text(error->quoted), "anybody there?");
      EXPECT_FALSE(client.read_error());
      EXPECT_EQ(*client.receive_burst(inbox.datagrams), 0U);
    }
  });
}

// near - router - end; the router's way on has an MTU of 1,280.
struct Path {
  Path() {
    shell("ip link add v0 type veth peer name r0 netns " + router.path());
    router.sh("ip link add r1 type veth peer name e0 netns " + end.path());
    shell(
        "ip addr add 192.0.2.1/24 dev v0; ip -6 addr add 2001:db8:1::1/64 dev v0 nodad; ip link set v0 up;"
        "ip route add default via 192.0.2.254; ip link set v0 up");
    router.sh(
        "ip addr add 192.0.2.254/24 dev r0; ip -6 addr add 2001:db8:1::ff/64 dev r0 nodad; ip link set r0 up;"
        "ip addr add 198.51.100.254/24 dev r1; ip -6 addr add 2001:db8:2::ff/64 dev r1 nodad;"
        "ip link set r1 mtu 1280 up; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    end.sh(
        "ip addr add 198.51.100.1/24 dev e0; ip -6 addr add 2001:db8:2::1/64 dev e0 nodad; ip link set e0 "
        "mtu 1280 up;"
        "ip route add default via 198.51.100.254; ip -6 route add default via 2001:db8:2::ff");
    shell("ip -6 route add default via 2001:db8:1::ff");
    end.run(test::links_settle);
    router.run(test::links_settle);
    test::links_settle();
  }
  Namespace router;
  Namespace end;
};

void expect_path_mtu_is_learnt(DatagramSocket& client, DatagramSocket& server, const Endpoint& destination) {
  const Bytes large = concat(Bytes{0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0, 7}, Bytes(1392, 0x55));
  ASSERT_EQ(client.send({.payload = large, .destination = destination}), SendOutcome::kSent)
      << "unknown to us so far";
  const auto error = error_of(client);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_number, EMSGSIZE);
  EXPECT_EQ(error->mtu, 1280U);
  EXPECT_EQ(error->destination, destination);
  const bool v4 = destination.address.is_v4();
  EXPECT_EQ(error->reporter, ip(v4 ? "192.0.2.254" : "2001:db8:1::ff"));
  EXPECT_EQ(error->icmp_type, v4 ? 3 : 2);
  EXPECT_EQ(error->icmp_code, v4 ? 4 : 0);
  ASSERT_GE(error->quoted.size(), 8U);
  EXPECT_TRUE(equal(ByteView(error->quoted).first(8), ByteView(large).first(8))) << to_hex(error->quoted);
  // Fragmented where it must be: arrives whole.
  ASSERT_EQ(client.send({.payload = large, .destination = destination, .may_fragment = true}),
            SendOutcome::kSent);
  Inbox inbox;
  ASSERT_EQ(inbox.receive(server), 1U);
  EXPECT_EQ(to_bytes(inbox.datagrams[0].payload), large);
  // kProbe: what was learnt does not bind us; the next one is told again. kDo: the kernel refuses by itself.
  EXPECT_EQ(client.send({.payload = large, .destination = destination}), SendOutcome::kSent);
  ASSERT_TRUE(client.set_path_mtu_mode(PathMtuMode::kDo));
  EXPECT_EQ(client.send({.payload = large, .destination = destination}), SendOutcome::kTooBig);
  ASSERT_EQ(client.send({.payload = large, .destination = destination, .may_fragment = true}),
            SendOutcome::kSent);
  EXPECT_EQ(inbox.receive(server), 1U);
  // Larger than the own interface.
  ASSERT_TRUE(client.set_path_mtu_mode(PathMtuMode::kProbe));
  const Bytes huge(3000, 1);
  EXPECT_EQ(client.send({.payload = huge, .destination = destination}), SendOutcome::kTooBig);
  ASSERT_EQ(client.send({.payload = huge, .destination = destination, .may_fragment = true}),
            SendOutcome::kSent);
  ASSERT_EQ(inbox.receive(server), 1U);
  EXPECT_EQ(inbox.datagrams[0].payload.size(), huge.size());
}

TEST_F(DatagramSocketTest, UdpLearnsThePathMtu) {
  in_namespace([] {
    Path path;
    for (const auto& [any, far] :
         {std::tuple{"0.0.0.0", "198.51.100.1"}, std::tuple{"::", "2001:db8:2::1"}}) {
      UdpSocket client = udp(any, 4500);
      std::optional<UdpSocket> server;
      path.end.run([&, name = any] { server.emplace(udp(name, 4500)); });
      expect_path_mtu_is_learnt(client, *server, {ip(far), 4500});
    }
  });
}

TEST_F(DatagramSocketTest, RawEspLearnsThePathMtu) {
  in_namespace([] {
    Path path;
    for (const auto& [any, far] :
         {std::tuple{"0.0.0.0", "198.51.100.1"}, std::tuple{"::", "2001:db8:2::1"}}) {
      RawEspSocket client = esp(any);
      std::optional<RawEspSocket> server;
      path.end.run([&, name = any] { server.emplace(esp(name)); });
      expect_path_mtu_is_learnt(client, *server, {ip(far), 0});
    }
  });
}

// What a router says about a packet of a socket that only sends reaches those that receive.
TEST_F(DatagramSocketTest, AnotherSocketHearsOfThePathMtuOfOneThatOnlySends) {
  in_namespace([] {
    Path path;
    for (const auto& [any, near, far] : {std::tuple{"0.0.0.0", "192.0.2.1", "198.51.100.1"},
                                         std::tuple{"::", "2001:db8:1::1", "2001:db8:2::1"}}) {
      RawEspSocket receiver = esp(any);
      RawEspSocketOptions options;
      options.local = ip(any);
      options.send_only = true;
      RawEspSocket sender = RawEspSocket::open(options).value();
      OutgoingDatagram datagram;
      const Bytes large(1400, 0x55);
      datagram.payload = large;
      datagram.source = ip(near);
      datagram.destination = {ip(far), 0};
      ASSERT_EQ(sender.send(datagram), SendOutcome::kSent);
      const auto error = error_of(receiver);
      ASSERT_TRUE(error);
      EXPECT_EQ(error->mtu, 1280U);
      EXPECT_EQ(error->destination, datagram.destination);
    }
  });
}

// A link that drops what is larger than 1,280 bytes, while the kernel at the near end believes in 1,500.
void expect_fragments_pass(DatagramSocket& client, DatagramSocket& server) {
  const Bytes small(1000, 0x55), large(1400, 0x56), huge(4000, 0x57), last(900, 0x58);
  OutgoingDatagram datagram;
  datagram.source = ip("2001:db8::1");
  datagram.destination = {ip("2001:db8::2"), server.port()};
  datagram.may_fragment = true;
  datagram.traffic_class = 0xb9;
  datagram.payload = large;
  static_cast<void>(client.send(datagram));  // lost: the kernel knows nothing of the path
  std::vector<OutgoingDatagram> burst;
  const std::vector<Bytes> payloads = {small, large, huge, last};
  for (const Bytes& payload : payloads) {
    datagram.payload = payload;
    datagram.path_mtu = 1280;
    burst.push_back(datagram);
  }
  std::vector<SendOutcome> outcomes(burst.size());
  EXPECT_EQ(client.send_burst(burst, outcomes), 4U);
  for (const Bytes& payload : payloads) {
    Inbox inbox(1, 8192);
    ASSERT_EQ(inbox.receive(server), 1U);
    EXPECT_EQ(to_bytes(inbox.datagrams[0].payload), payload);
    EXPECT_EQ(inbox.datagrams[0].source, (Endpoint{ip("2001:db8::1"), client.port()}));
    EXPECT_EQ(inbox.datagrams[0].traffic_class, 0xb9);
  }
}

TEST_F(DatagramSocketTest, FragmentsOfTheSizeThatWasAskedForPassABlackHole) {
  in_namespace([] {
    Pair pair;
    pair.far.sh("ip link set v1 mtu 1280");
    UdpSocket client = udp("::", 4500);
    std::optional<UdpSocket> server;
    pair.far.run([&] { server.emplace(udp("::", 4500)); });
    expect_fragments_pass(client, *server);
    RawEspSocket raw = esp("::");
    std::optional<RawEspSocket> raw_server;
    pair.far.run([&] { raw_server.emplace(esp("::")); });
    expect_fragments_pass(raw, *raw_server);
  });
}

TEST_F(DatagramSocketTest, MarkedPacketsTakeAnotherRoute) {
  in_namespace([] {
    Pair pair;
    shell(
        "ip rule add priority 100 not fwmark 0x4d table 7777; ip route add blackhole 192.0.2.2/32 table "
        "7777");
    UdpSocket plain = udp("0.0.0.0", 0);
    EXPECT_NE(plain.send({.payload = as_bytes("x"), .destination = {ip("192.0.2.2"), 4500}}),
              SendOutcome::kSent);
    UdpSocketOptions options;
    options.mark = 0x4d;
    UdpSocket marked = udp("0.0.0.0", 0, options);
    EXPECT_EQ(marked.send({.payload = as_bytes("x"), .destination = {ip("192.0.2.2"), 4500}}),
              SendOutcome::kSent);
  });
}

TEST_F(DatagramSocketTest, PortsInUseAreRefusedWithASentence) {
  in_namespace([] {
    const UdpSocket first = udp("0.0.0.0", 500);
    UdpSocketOptions options;
    options.local = {ip("0.0.0.0"), 500};
    const auto second = UdpSocket::open(options);
    ASSERT_FALSE(second);
    EXPECT_EQ(
        second.error().message,
        "cannot bind a UDP socket to 0.0.0.0:500: Address already in use (another program uses it already)");
    const UdpSocket other_family = udp("::", 500);  // V6ONLY
    options.local.port = 501;
    options.device = "no-such0";
    EXPECT_EQ(UdpSocket::open(options).error().code, ErrorCode::kNotFound);
    options.device = "lo";
    options.receive_buffer = 4 << 20;
    options.send_checksum = false;
    EXPECT_TRUE(UdpSocket::open(options));
  });
}

TEST_F(DatagramSocketTest, AFilterKeepsForeignSpisOut) {
  in_namespace([] {
    RawEspSocket socket = esp("127.0.0.1");
    // IPv4: the SPI stands behind the IP header (20 octets). Only 0x11223344 passes.
    const sock_filter program[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 20},
                                   {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x11223344},
                                   {BPF_RET | BPF_K, 0, 0, 0xffff},
                                   {BPF_RET | BPF_K, 0, 0, 0}};
    ASSERT_TRUE(socket.attach_filter(program));
    for (const std::uint8_t first : {std::uint8_t{0x10}, std::uint8_t{0x11}}) {
      const Bytes packet = {first, 0x22, 0x33, 0x44, 0, 0, 0, 1};
      ASSERT_EQ(socket.send({.payload = packet, .destination = {ip("127.0.0.1"), 0}}), SendOutcome::kSent);
    }
    Inbox inbox;
    ASSERT_EQ(inbox.receive(socket), 1U);
    EXPECT_EQ(inbox.datagrams[0].payload[0], 0x11);
  });
}

}  // namespace
}  // namespace merlon::io
