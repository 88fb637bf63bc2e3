// The sockets of several data workers: an ESP packet reaches the one whose worker the packet engine calls the owner.
#include "daemon/sockets.h"

#include <gtest/gtest.h>

#include "esp/steering.h"
#include "io/test_namespace.h"

namespace merlon::daemon {
namespace {

class SocketsTest : public io::test::NamespaceTest {
 protected:
  // Sends one packet with each first byte to the address, and says how many came to the workers that own them.
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
      const auto sent =
          natt ? sender.natt(to.family())->send(datagram) : sender.esp(to.family())->send(datagram);
      EXPECT_EQ(sent, io::SendOutcome::kSent);
      const std::size_t owner = esp::owner_of(spi, sockets.workers.size()).value;
      for (std::size_t i = 0; i < sockets.workers.size(); ++i) {
        io::DatagramSocket* socket =
            natt ? static_cast<io::DatagramSocket*>(sockets.workers[i].natt(to.family()))
                 : sockets.workers[i].esp(to.family());
        const std::size_t came = count(*socket);
        EXPECT_EQ(came, i == owner ? 1U : 0U) << spi.value << " at worker " << i;
        if (i == owner) right += came;
      }
    }
    return right;
  }

 private:
  static std::size_t count(io::DatagramSocket& socket) {
    Bytes buffer(2048);
    std::array<io::ReceivedDatagram, 1> slot;
    slot[0].buffer = buffer;
    return socket.receive_burst(slot).value_or(0);
  }
};

TEST_F(SocketsTest, EachPacketReachesTheOwnerAlone) {
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
