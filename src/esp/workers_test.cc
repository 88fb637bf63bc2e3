// Several worker threads on both sides, every packet at the wrong one, while SAs are rekeyed and policies replaced: meant for
// the thread sanitizer.
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "esp/steering.h"
#include "esp/test_workers.h"

namespace merlon::esp {
namespace {

using test::number_of;
using test::numbered_packet;
using test::seconds;
using test::WorkerPeers;

constexpr std::size_t kWorkers = 3, kChildren = 4;
constexpr std::uint16_t kFlows = 3;  // of each child

// A peer's replay window may have room for no more (RFC 4303 3.4.3: the least that must be supported).
constexpr std::uint32_t kLeastWindow = 32;

// The network between the gateways: a queue to each worker of B. What a peer would see of each SA is looked at here: the numbers in
// the order in which they were sent.
class Wire {
 public:
  void put(std::size_t worker, Bytes esp) {
    const std::lock_guard lock(mutex_);
    const auto header = wire::parse_esp_header(esp).value();
    std::uint32_t& highest = highest_[header.spi];
    if (header.sequence <= highest) ++not_rising_;
    if (header.sequence + kLeastWindow <= highest) ++behind_a_window_;
    highest = std::max(highest, header.sequence);
    queues_[worker].push_back(std::move(esp));
  }
  std::vector<Bytes> take(std::size_t worker) {
    const std::lock_guard lock(mutex_);
    std::vector<Bytes> out;
    for (auto& queue = queues_[worker]; !queue.empty() && out.size() < packet::kBurstCapacity;
         queue.pop_front())
      out.push_back(std::move(queue.front()));
    return out;
  }
  [[nodiscard]] std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const auto& queue : queues_) sum += queue.size();
    return sum;
  }
  [[nodiscard]] bool has_seen(Spi spi) {
    const std::lock_guard lock(mutex_);
    return highest_.contains(spi);
  }
  // Of the senders that have ended.
  [[nodiscard]] std::uint64_t not_rising() const { return not_rising_; }
  [[nodiscard]] std::uint64_t behind_a_window() const { return behind_a_window_; }
  [[nodiscard]] std::size_t sas() const { return highest_.size(); }

 private:
  std::mutex mutex_;
  std::array<std::deque<Bytes>, kWorkers> queues_;
  std::map<Spi, std::uint32_t> highest_;
  std::uint64_t not_rising_ = 0, behind_a_window_ = 0;
};

class Site {
 public:
  explicit Site(WorkerPeers& peers) : peers_(peers) {}

  // A's worker: its queue's flows in, ESP packets onto the wire, always to a socket that is not the owner's.
  void send(std::size_t self, const std::atomic<bool>& enough, const std::atomic<bool>& stop) {
    OutboundResult out;
    InboundResult unused;
    packet::Burst burst;
    std::map<std::pair<std::size_t, std::uint16_t>, std::uint32_t> numbers;
    Worker& worker = peers_.a.worker(self);
    while (!stop.load()) {
      worker.crossed(seconds(1), out, unused);
      transmit(out);
      if (enough.load() || wire.waiting() > 2000) {
        std::this_thread::yield();
        continue;
      }
      for (std::size_t child = 0; child < kChildren; ++child) {
        const auto flow = static_cast<std::uint16_t>(1 + (self + child) % kFlows + kFlows * self);
        for (int i = 0; i < 5; ++i) {
          auto packet = peers_.a.pool(self).copy_of(numbered_packet(child, flow, numbers[{child, flow}]));
          if (!packet) break;  // all on their way
          ++numbers[{child, flow}];
          burst.push(std::move(packet));
          sent.fetch_add(1);
        }
      }
      worker.outbound(seconds(1), burst, out);
      transmit(out);
    }
  }

  // B's worker.
  void receive(std::size_t self, const std::atomic<bool>& stop) {
    InboundResult in;
    OutboundResult unused;
    packet::Burst burst;
    Worker& worker = peers_.b.worker(self);
    while (!stop.load()) {
      worker.crossed(seconds(1), unused, in);
      deliver(self, in);
      if (peers_.b.pool(self).available() < 2 * packet::kBurstCapacity) continue;  // all on their way
      for (const Bytes& esp : wire.take(self)) {
        burst.push(peers_.b.pool(self).copy_of(esp));
        burst[burst.size() - 1]->meta.udp_encapsulated = true;
        burst[burst.size() - 1]->meta.source = test::at("192.0.2.1");
      }
      if (burst.empty()) std::this_thread::yield();
      worker.inbound(seconds(1), burst, in);
      deliver(self, in);
    }
  }

  Wire wire;
  std::atomic<std::uint64_t> sent{0}, received{0}, late{0};

 private:
  void transmit(OutboundResult& out) {
    for (const packet::PacketPtr& packet : out.transmit) {
      const Spi spi = wire::parse_esp_header(packet->bytes())->spi;
      wire.put((owner_of(spi, kWorkers).value + 1U) % kWorkers, to_bytes(packet->bytes()));
    }
    out.clear();
  }
  void deliver(std::size_t self, InboundResult& in) {
    for (const packet::PacketPtr& packet : in.to_tun) {
      const auto [child, flow, number] = number_of(packet->bytes());
      auto& newest = newest_[self][{child, flow}];
      if (number < newest) late.fetch_add(1);
      newest = number + 1;
      received.fetch_add(1);
    }
    in.clear();
  }

  WorkerPeers& peers_;
  // A flow's SAs all have one owner, so each worker's own map is enough.
  std::array<std::map<std::pair<std::size_t, std::uint16_t>, std::uint32_t>, kWorkers> newest_;
};

void expect_order_while_sas_are_replaced(unsigned replay_window) {
  EngineConfig config = test::Gateway::small();
  config.crossing_capacity = 1024;
  WorkerPeers peers(kWorkers, kWorkers, kChildren, config, 8192, replay_window);
  std::array<WorkerPeers::Sa, kChildren> current;
  for (std::size_t child = 0; child < kChildren; ++child) current[child] = peers.install(child);
  Site site(peers);
  std::atomic<bool> enough{false}, stop{false};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kWorkers; ++i) {
    threads.emplace_back([&, i] { site.send(i, enough, stop); });
    threads.emplace_back([&, i] { site.receive(i, stop); });
  }
  for (int round = 0; round < 60; ++round) {
    const auto child = static_cast<std::size_t>(round) % kChildren;
    const auto replaced = current[child];
    current[child] =
        peers.install(child, peers.a.engine.owner(replaced.to_a), peers.b.engine.owner(replaced.to_b));
    EXPECT_TRUE(peers.a.engine.remove(replaced.id));  // B keeps it: packets may be on their way
    if (round % 7 == 0) peers.set_policies();
    peers.a.engine.set_path_mtu(current[child].id, 1400);
    EXPECT_TRUE(peers.b.engine.stats(current[child].id));
    while (peers.a.engine.next_event() || peers.b.engine.next_event()) continue;
    // Each SA carries something before it is replaced, however the threads take turns.
    const std::uint64_t before = site.received.load();
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (site.received.load() < before + 50 || !site.wire.has_seen(current[child].to_b)) {
      std::this_thread::yield();
      if (std::chrono::steady_clock::now() > patience) {
        ADD_FAILURE() << "nothing more is received, or an SA is never used";
        break;
      }
    }
  }
  enough.store(true);
  const auto lost = [&] {
    std::uint64_t sum = 0;
    for (std::size_t reason = 0; reason < kDropReasons; ++reason)
      sum += peers.a.engine.drops(static_cast<DropReason>(reason)) +
             peers.b.engine.drops(static_cast<DropReason>(reason));
    return sum;
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (site.received.load() + lost() < site.sent.load() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  // A lane that was full is the only way to lose a packet here.
  EXPECT_EQ(lost(), peers.a.engine.drops(DropReason::kCrossingFull) +
                        peers.b.engine.drops(DropReason::kCrossingFull));
  EXPECT_EQ(site.received.load() + lost(), site.sent.load());
  EXPECT_EQ(site.late.load(), 0U);
  EXPECT_EQ(site.wire.not_rising(), 0U);
  EXPECT_EQ(site.wire.behind_a_window(), 0U);
  EXPECT_GE(site.wire.sas(), 60U);
  EXPECT_GT(site.received.load(), 3000U);
  EXPECT_EQ(peers.a.engine.reclaim(), 0U);
  EXPECT_EQ(peers.b.engine.reclaim(), 0U);
  EXPECT_EQ(peers.a.buffers_in_use() + peers.b.buffers_in_use(), 0U);
}

TEST(Workers, NothingIsLostAndFlowsStayInOrderWhileSasAreReplaced) {
  expect_order_while_sas_are_replaced(1024);
}
// What is lost to the window would be missed.
TEST(Workers, TheLeastReplayWindowIsEnough) {
  expect_order_while_sas_are_replaced(64);
}

}  // namespace
}  // namespace merlon::esp
