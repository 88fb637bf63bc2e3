// The control side at work while a worker carries packets: meant for the thread sanitizer.
#include <atomic>
#include <thread>

#include "esp/test_peers.h"

namespace merlon::esp {
namespace {

using test::inner_packet;
using test::Peers;
using test::seconds;

TEST(Concurrency, PublishesWhileTheWorkerRuns) {
  Peers peers;
  peers.install();
  // Made before the threads start, so that the second gateway's pool stays with one thread.
  std::vector<std::pair<std::shared_ptr<policy::ChildSa>, std::shared_ptr<policy::ChildSa>>> sas;
  for (int i = 0; i < 200; ++i) sas.push_back(peers.make());

  std::atomic<bool> running{false}, stop{false};
  std::uint64_t sent = 0, received = 0;
  std::thread worker([&] {
    const std::vector<Bytes> packets(16, inner_packet(IpFamily::kIpv4, 100));
    while (!stop.load()) {
      const auto protected_packets = peers.a.protect(packets);
      sent += protected_packets.size();
      received += peers.b.unprotect(protected_packets).size();
      running.store(true);
    }
  });
  while (!running.load()) std::this_thread::yield();
  std::vector<policy::ChildSaId> alive;
  for (auto& [sa_a, sa_b] : sas) {
    EXPECT_TRUE(peers.b.engine.install(sa_b));
    EXPECT_TRUE(peers.a.engine.install(sa_a));
    sa_a->path.local.port = 5000;
    EXPECT_TRUE(peers.a.engine.update(sa_a));
    peers.a.engine.set_path_mtu(sa_a->id, 1400);
    alive.push_back(sa_a->id);
    if (alive.size() > 3) {
      EXPECT_TRUE(peers.a.engine.remove(alive.front()));
      EXPECT_TRUE(peers.b.engine.remove(alive.front()));
      alive.erase(alive.begin());
    }
    if (sa_a->id.value % 10 == 0) peers.a.set_policies({peers.connection_a});
    EXPECT_TRUE(peers.a.engine.stats(sa_a->id));
    while (peers.a.engine.next_event()) continue;
    while (peers.b.engine.next_event()) continue;
    std::this_thread::yield();
  }
  stop.store(true);
  worker.join();
  EXPECT_GT(sent, 0U);
  // Only packets in flight while their SA was removed may be lost.
  std::uint64_t dropped = peers.b.engine.drops(DropReason::kUnknownSpi);
  EXPECT_EQ(received + dropped, sent);
  EXPECT_EQ(peers.a.engine.reclaim(), 0U);
  EXPECT_EQ(peers.b.engine.reclaim(), 0U);
}

}  // namespace
}  // namespace merlon::esp
