// The sockets of several data workers: an ESP packet reaches the one whose worker the packet engine calls the owner, or, native,
// to one of few readers.
#include "daemon/sockets.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "esp/steering.h"
#include "io/test_namespace.h"

namespace merlon::daemon {
namespace {

class SocketsTest : public io::test::NamespaceTest {
 protected:
  // Sends one packet with each first byte to the address, and says how many came to the workers that own or read them.
  static std::size_t right_ones(Sockets& sockets, bool natt, std::string_view address) {
    std::size_t right = 0;
    const IpAddress to = io::test::ip(address);
    for (std::uint32_t first = 1; first < 256; ++first) {
      const Spi spi{first << 24U | 0x1234U};
      const Bytes packet{static_cast<std::uint8_t>(first), 0, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0};
      io::OutgoingDatagram datagram;
      datagram.payload = packet;
      datagram.destination = {to, 4500};
      WorkerSockets& sender = sockets.workers.front();
      const auto send = [&] {
        return natt ? sender.natt(to.family())->send(datagram) : sender.esp(to.family())->send(datagram);
      };
      EXPECT_EQ(send(), io::SendOutcome::kSent);
      // Of native ESP an owner among the readers gets its own, and one of them what belongs to nobody there.
      const std::size_t count_of = sockets.workers.size();
      const std::size_t receivers = natt ? count_of : esp_readers(static_cast<unsigned>(count_of));
      const std::size_t owner = esp::owner_of(spi, receivers).value;
      for (std::size_t i = 0; i < sockets.workers.size(); ++i) {
        io::DatagramSocket* socket =
            natt ? static_cast<io::DatagramSocket*>(sockets.workers[i].natt(to.family()))
                 : sockets.workers[i].esp(to.family());
        // A busy kernel delivers a little later, and drops what all of its namespaces have too much of at that moment.
        for (int tries = 1; i == owner && tries < 10 && !io::test::wait_for(socket->fd(), POLLIN, 2'000);
             ++tries)
          EXPECT_EQ(send(), io::SendOutcome::kSent);
        const std::size_t came = count(*socket);
        EXPECT_EQ(came, i == owner ? 1U : 0U) << spi.value << " at worker " << i;
        if (i == owner) right += came;
      }
    }
    return right;
  }

  static std::size_t count(io::DatagramSocket& socket) {
    Bytes buffer(2048);
    std::array<io::ReceivedDatagram, 1> slot;
    slot[0].buffer = buffer;
    return socket.receive_burst(slot).value_or(0);
  }
};

TEST_F(SocketsTest, EachPacketReachesItsReaderAlone) {
  for (const unsigned workers : {1U, 2U, 3U, 5U})
    in_namespace([workers] {
      std::vector<std::string> warnings;
      auto sockets = Sockets::open({}, workers, warnings);
      ASSERT_TRUE(sockets) << sockets.error().message;
      EXPECT_TRUE(warnings.empty());
      for (const std::string_view address : {"127.0.0.1", "::1"}) {
        EXPECT_EQ(right_ones(*sockets, true, address), 255U) << workers << " workers, UDP to " << address;
        EXPECT_EQ(right_ones(*sockets, false, address), 255U) << workers << " workers, ESP to " << address;
      }
    });
}

// However much ESP waits, IKE beside it arrives.
TEST_F(SocketsTest, NoOverloadByEspKeepsIkeOut) {
  for (const unsigned workers : {1U, 3U})
    in_namespace([workers] {
      std::vector<std::string> warnings;
      auto sockets = Sockets::open({}, workers, warnings);
      ASSERT_TRUE(sockets) << sockets.error().message;
      io::UdpSocketOptions options;
      for (const std::string_view address : {"127.0.0.1", "::1"}) {
        const IpAddress to = io::test::ip(address);
        options.local = {to, 0};
        auto sender = io::UdpSocket::open(options).value();
        Bytes esp(1000, 0);
        esp[3] = 1;  // an SPI of worker 0
        WorkerSockets& first = sockets->workers.front();
        for (int i = 0; i < 50'000 && first.natt(to.family())->dropped() == 0; ++i)
          static_cast<void>(sender.send({.payload = esp, .destination = {to, 4500}}));
        ASSERT_GT(first.natt(to.family())->dropped(), 0U);
        const Bytes ike{0, 0, 0, 0, 1, 2, 3, 4};
        ASSERT_EQ(sender.send({.payload = ike, .destination = {to, 4500}}), io::SendOutcome::kSent);
        io::UdpSocket* const own = first.natt_ike(to.family());
        ASSERT_NE(own, nullptr);
        ASSERT_TRUE(io::test::wait_for(own->fd()));
        EXPECT_EQ(count(*own), 1U);
        EXPECT_EQ(own->dropped(), 0U);
        // What it sends comes from the port that the peer knows.
        EXPECT_EQ(sockets->natt(to.family())->port(), 4500);
      }
    });
}

// A port is not shared with strangers, be they of the same user.
TEST_F(SocketsTest, ThePortOfAnotherIsNotJoined) {
  in_namespace([] {
    io::UdpSocketOptions options;
    options.local = {IpAddress::any(IpFamily::kIpv4), 4500};
    options.reuse_port = true;
    auto other = io::UdpSocket::open(options).value();
    std::vector<std::string> warnings;
    auto sockets = Sockets::open({}, 1, warnings);
    ASSERT_TRUE(sockets) << "IPv6 is free";
    EXPECT_EQ(sockets->natt(IpFamily::kIpv4), nullptr);
    ASSERT_FALSE(warnings.empty());
    EXPECT_NE(warnings[0].find("4500"), std::string::npos) << warnings[0];
  });
}

// RFC 9611's Child SAs, one for each of two or four workers: those of the readers do not cross.
TEST_F(SocketsTest, AReaderGetsWhatItOwns) {
  for (const std::size_t workers : {2U, 4U, 16U, 64U})
    for (std::uint32_t high = 0; high < 64; ++high) {
      const Spi spi{high << 26U};
      const std::size_t owner = esp::owner_of(spi, workers).value;
      if (owner < kMostEspReaders) {
        EXPECT_EQ(esp::owner_of(spi, kMostEspReaders).value, owner);
      }
    }
}

// One more copy of every packet for each worker would be too much. Nothing reaches a worker that does not read even when its
// filter is taken off: the kernel passes over its socket before it copies.
TEST_F(SocketsTest, TheKernelCopiesForReadersAlone) {
  in_namespace([] {
    io::test::shell("ip addr add 192.0.2.1/32 dev lo; ip -6 addr add 2001:db8::1/128 dev lo nodad");
    std::vector<std::string> warnings;
    auto sockets = Sockets::open({}, 8, warnings);
    ASSERT_TRUE(sockets);
    for (const std::string_view address : {"192.0.2.1", "2001:db8::1"}) {
      const IpFamily family = io::test::ip(address).family();
      for (std::size_t i = kMostEspReaders; i < 8; ++i) {
        const int unused = 0;
        ASSERT_EQ(setsockopt(sockets->workers[i].esp(family)->fd(), SOL_SOCKET, SO_DETACH_FILTER, &unused,
                             sizeof unused),
                  0);
      }
      EXPECT_EQ(right_ones(*sockets, false, address), 255U) << address;
    }
  });
}

// Also from a worker that reads none.
TEST_F(SocketsTest, EveryWorkerSendsNativeEsp) {
  in_namespace([] {
    io::test::shell("ip addr add 192.0.2.1/32 dev lo; ip -6 addr add 2001:db8::1/128 dev lo nodad");
    std::vector<std::string> warnings;
    auto sockets = Sockets::open({}, 4, warnings);
    ASSERT_TRUE(sockets);
    for (const std::string_view address : {"192.0.2.1", "2001:db8::1"}) {
      const IpAddress own = io::test::ip(address);
      for (WorkerSockets& worker : sockets->workers) {
        const Bytes packet(12, 0x04);
        io::OutgoingDatagram datagram;
        datagram.payload = packet;
        datagram.source = own;
        datagram.destination = {own, 0};
        EXPECT_EQ(worker.esp(own.family())->send(datagram), io::SendOutcome::kSent);
        Bytes buffer(2048);
        std::array<io::ReceivedDatagram, 1> slot;
        slot[0].buffer = buffer;
        io::test::wait_for(sockets->workers[1].esp(own.family())->fd());
        ASSERT_EQ(sockets->workers[1].esp(own.family())->receive_burst(slot).value_or(0), 1U) << address;
        EXPECT_EQ(slot[0].source.address, own);
        EXPECT_EQ(to_bytes(slot[0].payload), packet);
      }
    }
  });
}

TEST_F(SocketsTest, ASecondDaemonTakesNothing) {
  in_namespace([] {
    std::vector<std::string> warnings;
    auto sockets = Sockets::open({}, 2, warnings);
    ASSERT_TRUE(sockets);
    EXPECT_FALSE(Sockets::open({}, 3, warnings));
    EXPECT_EQ(right_ones(*sockets, true, "127.0.0.1"), 255U);
  });
}

}  // namespace
}  // namespace merlon::daemon
