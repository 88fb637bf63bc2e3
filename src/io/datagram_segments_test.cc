// Several UDP datagrams in one send and one receive.
#include <gmock/gmock.h>

#include <set>

#include "io/raw_esp_socket.h"
#include "io/test_namespace.h"
#include "io/udp_socket.h"

namespace merlon::io {
namespace {

using test::ip;
using test::Namespace;
using test::shell;

// 192.0.2.1 here, 192.0.2.2 far; the same in 2001:db8::/64.
struct Pair {
  Pair() {
    shell("ip link add v0 type veth peer name v1 netns " + far.path());
    shell("ip addr add 192.0.2.1/24 dev v0; ip -6 addr add 2001:db8::1/64 dev v0 nodad; ip link set v0 up");
    far.sh("ip addr add 192.0.2.2/24 dev v1; ip -6 addr add 2001:db8::2/64 dev v1 nodad; ip link set v1 up");
    far.run(test::links_settle);
    test::links_settle();
  }
  Namespace far;
};

class SegmentsTest : public test::NamespaceTest {};

UdpSocket udp(std::string_view address, bool receive_segments = false) {
  UdpSocketOptions options;
  options.local = {ip(address), 4500};
  options.receive_segments = receive_segments;
  options.accept_zero_checksum = true;
  auto socket = UdpSocket::open(options);
  EXPECT_TRUE(socket) << socket.error().message;
  return std::move(*socket);
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i / 7);
  return bytes;
}

struct Received {
  std::vector<Bytes> datagrams;
  std::size_t receives = 0;
};

// Everything up to `count` datagrams, taken apart.
Received receive(DatagramSocket& socket, std::size_t count) {
  Received out;
  std::vector<Bytes> buffers(4, Bytes(65536));
  std::vector<ReceivedDatagram> slots(buffers.size());
  while (out.datagrams.size() < count && test::wait_for(socket.fd())) {
    for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = {.buffer = buffers[i]};
    const auto filled = socket.receive_burst(slots);
    EXPECT_TRUE(filled);
    for (std::size_t i = 0; i < filled.value_or(0); ++i) {
      ++out.receives;
      EXPECT_FALSE(slots[i].truncated);
      const std::size_t size = slots[i].segment_size == 0 ? slots[i].payload.size() : slots[i].segment_size;
      for (ByteView rest = slots[i].payload; !rest.empty(); rest = rest.subspan(std::min(size, rest.size())))
        out.datagrams.push_back(to_bytes(rest.first(std::min(size, rest.size()))));
    }
  }
  return out;
}

std::vector<Bytes> slices(ByteView bytes, std::size_t size) {
  std::vector<Bytes> out;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(size, bytes.size())))
    out.push_back(to_bytes(bytes.first(std::min(size, bytes.size()))));
  return out;
}

TEST_F(SegmentsTest, OneSendAndOneReceiveForMany) {
  in_namespace([] {
    Pair pair;
    for (const bool v4 : {true, false}) {
      UdpSocket client = udp(v4 ? "0.0.0.0" : "::");
      std::optional<UdpSocket> server;
      pair.far.run([&] { server.emplace(udp(v4 ? "0.0.0.0" : "::", true)); });
      const Bytes bytes = pattern(1400 * 40 + 33);
      const OutgoingDatagram datagram{.payload = bytes,
                                      .destination = {ip(v4 ? "192.0.2.2" : "2001:db8::2"), 4500},
                                      .segment_size = 1400};
      ASSERT_EQ(client.send(datagram), SendOutcome::kSent);
      const Received received = receive(*server, 41);
      EXPECT_EQ(received.datagrams, slices(bytes, 1400));
      EXPECT_LT(received.receives, 5U);
      EXPECT_FALSE(client.take_refusal());
    }
  });
}

// What this kernel has is found at the start.
TEST_F(SegmentsTest, WhatTheKernelHasIsKnown) {
  in_namespace([] {
    EXPECT_EQ(udp("127.0.0.1", true).offloads(), (UdpOffloads{true, true}));
    EXPECT_EQ(udp("127.0.0.1", false).offloads(), (UdpOffloads{true, false})) << "not asked for";
  });
}

TEST_F(SegmentsTest, SinglesAndManyInOneBurstKeepTheirOrder) {
  in_namespace([] {
    Pair pair;
    UdpSocket client = udp("0.0.0.0");
    std::optional<UdpSocket> server;
    pair.far.run([&] { server.emplace(udp("0.0.0.0")); });  // without UDP_GRO: each by itself
    const Bytes many = pattern(100 * 9);
    const Endpoint to{ip("192.0.2.2"), 4500};
    const std::vector<OutgoingDatagram> out = {
        {.payload = as_bytes("first"), .destination = to},
        {.payload = many, .destination = to, .segment_size = 100},
        {.payload = as_bytes("second"), .destination = to, .segment_size = 100},  // shorter than a segment
        {.payload = many, .destination = to, .may_fragment = true, .segment_size = 100},
    };
    std::array<SendOutcome, 4> outcomes{};
    EXPECT_EQ(client.send_burst(out, outcomes), 4U);
    std::vector<Bytes> expected = {to_bytes(as_bytes("first"))};
    for (const Bytes& one : slices(many, 100)) expected.push_back(one);
    expected.push_back(to_bytes(as_bytes("second")));
    for (const Bytes& one : slices(many, 100)) expected.push_back(one);
    EXPECT_EQ(receive(*server, expected.size()).datagrams, expected);
  });
}

// The kernel refuses segments that are larger than the device's MTU, and then they go one by one.
TEST_F(SegmentsTest, ARefusalIsRememberedForTheDestinationAndToldOnce) {
  in_namespace([] {
    Pair pair;
    UdpSocket client = udp("0.0.0.0");
    std::optional<UdpSocket> server;
    pair.far.run([&] { server.emplace(udp("0.0.0.0")); });
    const Bytes bytes = pattern(2000 * 3 + 100);
    const OutgoingDatagram datagram{
        .payload = bytes, .destination = {ip("192.0.2.2"), 4500}, .may_fragment = true, .segment_size = 2000};
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(client.send(datagram), SendOutcome::kSent);
      EXPECT_EQ(receive(*server, 4).datagrams, slices(bytes, 2000));
      const auto refusal = client.take_refusal();
      EXPECT_EQ(refusal.has_value(), i == 0);
      if (refusal) {
        EXPECT_EQ(refusal->destination, datagram.destination);
      }
    }
    // What is too big by itself as well is no refusal of the many.
    OutgoingDatagram whole = datagram;
    whole.destination = {ip("192.0.2.9"), 4500};
    whole.may_fragment = false;
    EXPECT_EQ(client.send(whole), SendOutcome::kTooBig);
    EXPECT_FALSE(client.take_refusal());
  });
}

// One burst may go to many destinations.
TEST_F(SegmentsTest, EachOfSeveralRefusalsIsTold) {
  in_namespace([] {
    Pair pair;
    UdpSocket client = udp("0.0.0.0");
    const Bytes bytes = pattern(2000 * 3 + 100);
    std::vector<OutgoingDatagram> out;
    for (const char* to : {"192.0.2.2", "192.0.2.3", "192.0.2.4"})
      out.push_back(
          {.payload = bytes, .destination = {ip(to), 4500}, .may_fragment = true, .segment_size = 2000});
    std::vector<SendOutcome> outcomes(out.size());
    client.send_burst(out, outcomes);
    std::set<Endpoint> told;
    while (const auto refusal = client.take_refusal()) told.insert(refusal->destination);
    EXPECT_EQ(told.size(), 3U);
  });
}

TEST_F(SegmentsTest, RawSocketsSendThemOneByOne) {
  in_namespace([] {
    Pair pair;
    const auto open = [] {
      auto socket = RawEspSocket::open({});
      EXPECT_TRUE(socket);
      return std::move(*socket);
    };
    RawEspSocket client = open();
    std::optional<RawEspSocket> server;
    pair.far.run([&] { server.emplace(open()); });
    const Bytes bytes = pattern(1000 * 70);  // more than one system call takes
    ASSERT_EQ(client.send({.payload = bytes, .destination = {ip("192.0.2.2"), 0}, .segment_size = 1000}),
              SendOutcome::kSent);
    EXPECT_EQ(receive(*server, 70).datagrams, slices(bytes, 1000));
  });
}

// RFC 3948 2.1: ESP in UDP may come without a checksum.
TEST_F(SegmentsTest, ZeroChecksumsAreAccepted) {
  in_namespace([] {
    Pair pair;
    std::optional<UdpSocket> v4, v6;
    pair.far.run([&] {
      v4.emplace(udp("0.0.0.0", true));
      v6.emplace(udp("::", true));
    });
    shell(R"(python3 -c '
import socket
for family, to in ((socket.AF_INET, "192.0.2.2"), (socket.AF_INET6, "2001:db8::2")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_UDP, 101, 1)  # UDP_NO_CHECK6_TX
    s.sendto(b"unchecked", (to, 4500))
')");
    for (DatagramSocket* socket : {static_cast<DatagramSocket*>(&*v4), static_cast<DatagramSocket*>(&*v6)})
      EXPECT_EQ(receive(*socket, 1).datagrams, std::vector<Bytes>{to_bytes(as_bytes("unchecked"))});
  });
}

}  // namespace
}  // namespace merlon::io
