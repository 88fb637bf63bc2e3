// One data worker with real sockets and a real TUN device: what it makes of what the kernel hands over.
#include "daemon/data_worker.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon/mailbox.h"
#include "esp/test_peers.h"
#include "io/kernel_settings.h"
#include "io/system_rng.h"
#include "io/test_namespace.h"

namespace merlon::daemon {
namespace {

using io::test::ip;

constexpr std::size_t kInnerSize = 100;

// A worker whose Child SA has its other end in memory: esp::test::Peers' A.
struct Bench {
  Bench(std::size_t packets, std::size_t packet_size) : pool(packets, packet_size) {
    static_cast<void>(io::disable_ipv6_autoconfiguration(tun.name()));
    static_cast<void>(io::set_reverse_path_filter(tun.name(), io::ReversePathFilter::kOff));
    EXPECT_TRUE(tun.set_up(true));
    const auto [sa_a, sa_b] = peers.make();
    EXPECT_TRUE(peers.a.engine.install(sa_a));
    const std::vector<policy::ConnectionPtr> connections{peers.connection_b};
    data_plane.set_spd(std::make_shared<const policy::Spd>(policy::build_spd(connections)));
    EXPECT_TRUE(data_plane.install(sa_b));
    io::UdpSocketOptions options;
    options.local = {ip("127.0.0.1"), 0};
    sender.emplace(io::UdpSocket::open(options).value());
  }
  // After this, what waited is read.
  void start() {
    auto made =
        DataWorker::create({tun, sockets.workers.front(), *mailbox, pool, data_plane.worker(), "worker"}, {});
    ASSERT_TRUE(made) << made.error().message;
    worker = std::move(*made);
    worker->start();
  }

  // ESP packets of one size with these numbers inside.
  std::vector<Bytes> esp(std::initializer_list<std::uint8_t> numbers) {
    std::vector<Bytes> inner, out;
    for (const std::uint8_t number : numbers)
      inner.push_back(
          wire::build_udp_packet({ip("10.1.0.7"), 1111}, {ip("10.2.0.9"), 2222}, Bytes(kInnerSize, number)));
    for (const packet::PacketPtr& packet : peers.a.protect(inner)) out.push_back(to_bytes(packet->bytes()));
    return out;
  }
  // As one send, which UDP_GRO hands on in one receive.
  void send_train(const std::vector<Bytes>& datagrams) {
    Bytes all;
    for (const Bytes& one : datagrams) append(all, one);
    io::OutgoingDatagram train;
    train.payload = all;
    train.destination = {ip("127.0.0.1"), 4500};
    train.segment_size = static_cast<std::uint16_t>(datagrams.front().size());
    ASSERT_EQ(sender->send(train), io::SendOutcome::kSent);
    ASSERT_FALSE(sender->take_refusal());
  }
  [[nodiscard]] bool wait_for(const std::atomic<std::uint64_t> WorkerCounters::*counter,
                              std::uint64_t value) const {
    for (int i = 0; i < 1000; ++i) {
      if ((worker->counters().*counter).load() >= value) return (worker->counters().*counter).load() == value;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  esp::test::Peers peers;
  io::Tun tun = io::Tun::open({.name = "t0"}).value();
  std::vector<std::string> warnings;
  Sockets sockets = Sockets::open({}, 1, warnings).value();
  std::unique_ptr<Mailbox> mailbox = Mailbox::open().value();
  packet::PacketPool pool;
  io::SystemRng rng;
  esp::DataPlane data_plane{{}, pool, rng};
  std::optional<io::UdpSocket> sender;
  std::unique_ptr<DataWorker> worker;
};

// What the TUN device brings for 10.2.0.9:2222.
class InnerHost {
 public:
  InnerHost() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    io::test::shell("ip addr add 10.2.0.9/32 dev lo");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(2222);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  // The numbers in the next datagrams; fewer where no more come.
  [[nodiscard]] std::vector<int> take(std::size_t count) const {
    std::vector<int> out;
    std::array<std::uint8_t, kInnerSize> buffer{};
    while (out.size() < count && io::test::wait_for(socket_.get()))
      if (recv(socket_.get(), buffer.data(), buffer.size(), 0) == static_cast<ssize_t>(buffer.size()))
        out.push_back(buffer[0]);
    return out;
  }

 private:
  io::Fd socket_;
};

class DataWorkerTest : public io::test::NamespaceTest {};

constexpr std::size_t kPackets = 200, kPacketSize = 65575;

// Nothing is dropped without a name.
TEST_F(DataWorkerTest, WhatDoesNotFitIsCounted) {
  in_namespace([] {
    Bench bench(kPackets, 1000);
    bench.start();
    const Bytes large(2000, 0x11);
    io::OutgoingDatagram datagram;
    datagram.payload = large;
    datagram.destination = {ip("127.0.0.1"), 4500};
    ASSERT_EQ(bench.sender->send(datagram), io::SendOutcome::kSent);
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 1)) << "ESP in UDP";
    auto native = io::RawEspSocket::open({}).value();
    datagram.destination = {ip("127.0.0.1"), 0};
    ASSERT_EQ(native.send(datagram), io::SendOutcome::kSent);
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 2)) << "native ESP";
  });
}

TEST_F(DataWorkerTest, AnEmptyPoolIsCounted) {
  in_namespace([] {
    Bench bench(2, kPacketSize);
    const InnerHost host;
    bench.start();
    for (const Bytes& one : bench.esp({1, 2, 3, 4, 5})) {
      io::OutgoingDatagram datagram;
      datagram.payload = one;
      datagram.destination = {ip("127.0.0.1"), 4500};
      ASSERT_EQ(bench.sender->send(datagram), io::SendOutcome::kSent);
    }
    EXPECT_EQ(host.take(5), (std::vector<int>{1, 2, 3, 4, 5}))
        << "what waits in the socket's queue comes later";
    EXPECT_GT(bench.worker->counters().buffers_exhausted.load(), 0U);
  });
}

// What UDP_GRO put together is taken apart again: RFC 3948 2.1 ESP, 2.2 IKE, 2.3 keepalives, and what is neither.
class TrainTest : public DataWorkerTest {
 protected:
  // An IKE message that is as long, behind its marker, as an ESP packet.
  static Bytes ike_of(std::size_t size, std::uint8_t number) {
    Bytes out(size, number);
    std::fill_n(out.begin(), 4, std::uint8_t{0});
    return out;
  }
  // What waits in a socket's queue first, in bytes, all datagrams of a train together.
  static std::size_t waiting(io::UdpSocket& socket) {
    EXPECT_TRUE(io::test::wait_for(socket.fd()));
    Bytes buffer(65536);
    const ssize_t size = recv(socket.fd(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    return size < 0 ? 0 : static_cast<std::size_t>(size);
  }
  // The numbers in IKE messages that were handed on.
  static std::vector<int> mail(Bench& bench, std::size_t count) {
    std::vector<int> out;
    while (out.size() < count && io::test::wait_for(bench.mailbox->fd()))
      for (const Mail& piece : bench.mailbox->take_all()) {
        const auto& message = std::get<IkeMessageArrived>(piece);
        EXPECT_TRUE(message.natt);
        EXPECT_EQ(message.local, (Endpoint{ip("127.0.0.1"), 4500}));
        EXPECT_EQ(message.remote, (Endpoint{ip("127.0.0.1"), bench.sender->port()}));
        out.push_back(message.payload.empty() ? -1 : message.payload[0]);
      }
    return out;
  }
};

TEST_F(TrainTest, IkeBesideEspInOneReceive) {
  in_namespace([] {
    Bench bench(kPackets, kPacketSize);
    const InnerHost host;
    const std::vector<Bytes> esp = bench.esp({1, 2});
    const std::size_t size = esp[0].size();
    ASSERT_EQ(esp[1].size(), size);
    bench.send_train({esp[0], ike_of(size, 77), esp[1]});
    ASSERT_EQ(waiting(*bench.sockets.workers.front().natt(IpFamily::kIpv4)), 3 * size) << "one receive";
    bench.start();
    EXPECT_EQ(host.take(2), (std::vector<int>{1, 2}));
    EXPECT_EQ(mail(bench, 1), std::vector<int>{77});
    EXPECT_EQ(bench.worker->counters().invalid_datagrams.load(), 0U);
    EXPECT_EQ(bench.worker->counters().keepalives.load(), 0U);
  });
}

// The kernel chooses the socket by the first of them.
TEST_F(TrainTest, EspBehindIke) {
  in_namespace([] {
    Bench bench(kPackets, kPacketSize);
    const InnerHost host;
    const std::vector<Bytes> esp = bench.esp({1, 2, 3});
    const std::size_t size = esp[0].size();
    bench.send_train({ike_of(size, 55), esp[0], ike_of(size, 66), esp[1], esp[2]});
    ASSERT_EQ(waiting(*bench.sockets.workers.front().natt_ike(IpFamily::kIpv4)), 5 * size) << "one receive";
    bench.start();
    EXPECT_EQ(host.take(3), (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(mail(bench, 2), (std::vector<int>{55, 66}));
  });
}

// The last of a train may be shorter than the others: a keepalive, a runt, an ESP packet behind larger IKE messages.
TEST_F(TrainTest, KeepalivesAndRuntsAmongThem) {
  in_namespace([] {
    Bench bench(kPackets, kPacketSize);
    const InnerHost host;
    bench.start();
    const std::vector<Bytes> esp = bench.esp({1, 2, 3, 4, 5});
    const std::size_t size = esp[0].size();
    const Bytes keepalive{0xff};
    bench.send_train({esp[0], ike_of(size, 11), esp[1], keepalive});
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::keepalives, 1));
    bench.send_train({esp[2], Bytes(5, 0x99)});  // shorter than an ESP header
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 1));
    bench.send_train({esp[3], ike_of(size, 22), Bytes(4, 0)});  // a marker and no message
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 2));
    bench.send_train({keepalive, keepalive, Bytes{0xfe}, keepalive});
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::keepalives, 4));
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 3));
    bench.send_train({Bytes(7, 0x99), Bytes(7, 0xff),
                      Bytes{0, 0, 0, 0, 0x33, 0x33, 0x33}});  // IKE's own affair: a runt there
    EXPECT_TRUE(bench.wait_for(&WorkerCounters::invalid_datagrams, 5));
    bench.send_train({ike_of(2 * size, 44), esp[4]});
    EXPECT_EQ(host.take(5), (std::vector<int>{1, 2, 3, 4, 5}));
    EXPECT_EQ(mail(bench, 4), (std::vector<int>{11, 22, 0x33, 44}));
    EXPECT_EQ(bench.worker->counters().invalid_datagrams.load(), 5U);
    EXPECT_EQ(bench.data_plane.drops(esp::DropReason::kRunt), 0U);
  });
}

// Joined datagrams that are all ESP stay together, be they of several SAs.
TEST_F(TrainTest, EspAlone) {
  in_namespace([] {
    Bench bench(kPackets, kPacketSize);
    const InnerHost host;
    const std::vector<Bytes> esp = bench.esp({1, 2, 3});
    Bytes foreign = esp[0];
    foreign[0] ^= 0x01U;  // nobody's SPI
    bench.send_train({esp[0], foreign, esp[1], esp[2]});
    ASSERT_EQ(waiting(*bench.sockets.workers.front().natt(IpFamily::kIpv4)), 4 * foreign.size());
    bench.start();
    EXPECT_EQ(host.take(3), (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(bench.data_plane.drops(esp::DropReason::kUnknownSpi), 1U);
    EXPECT_EQ(bench.worker->counters().invalid_datagrams.load(), 0U);
  });
}

}  // namespace
}  // namespace merlon::daemon
