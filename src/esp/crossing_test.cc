// Packets that arrive at a worker that does not own their SA.
#include "esp/crossing.h"

#include <rapidcheck.h>

#include <numeric>
#include <set>

#include "esp/sa_table.h"
#include "esp/test_workers.h"

namespace merlon::esp {
namespace {

using test::number_of;
using test::numbered_packet;
using test::seconds;
using test::WorkerPeers;

TEST(Lane, KeepsTheOrderAndSaysWhatItTook) {
  EXPECT_TRUE(rc::check([] {
    Lane<int> lane(8);
    std::vector<int> numbers(200);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::size_t pushed = 0, popped = 0;
    for (int step = 0; step < 100 && popped < numbers.size(); ++step) {
      std::vector<int*> burst;
      for (int i = 0; i < *rc::gen::inRange(0, 12) && pushed + burst.size() < numbers.size(); ++i)
        burst.push_back(&numbers[pushed + burst.size()]);
      const std::size_t room = lane.capacity() - (pushed - popped);
      const std::size_t taken = lane.push(burst);
      RC_ASSERT(taken == std::min(room, burst.size()));
      pushed += taken;
      std::vector<int*> out(static_cast<std::size_t>(*rc::gen::inRange(0, 12)));
      const std::size_t count = lane.pop(out);
      RC_ASSERT(count == std::min(out.size(), pushed - popped));
      for (std::size_t i = 0; i < count; ++i) RC_ASSERT(*out[i] == static_cast<int>(popped + i));
      popped += count;
      RC_ASSERT(lane.empty() == (pushed == popped));
    }
  }));
}

TEST(Steering, SasAreSpreadEvenlyAndTheirSpisNameTheOwner) {
  for (const std::size_t workers : {1U, 2U, 3U, 5U, 16U, 64U}) {
    SeededRng rng(workers);
    Grace grace(workers);
    SaTable table(4096, grace, workers);
    std::vector<std::size_t> owned(workers);
    std::vector<Spi> spis;
    for (std::size_t i = 0; i < 10 * workers; ++i) {
      spis.push_back(table.allocate_spi(rng).value());
      ++owned[owner_of(spis.back(), workers).value];
    }
    for (const std::size_t count : owned) EXPECT_EQ(count, 10U) << workers;
    // Who lost SAs gets the next ones.
    for (const Spi spi : spis)
      if (owner_of(spi, workers).value == workers - 1) table.release_spi(spi);
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(owner_of(table.allocate_spi(rng).value(), workers).value, workers - 1);
    // And who is asked for.
    const WorkerIndex wanted{static_cast<std::uint8_t>(workers / 2)};
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(owner_of(table.allocate_spi(rng, wanted).value(), workers), wanted);
  }
}

class TwoWorkers : public testing::Test {
 protected:
  // Packets of one flow from TUN through a worker of A; the ESP packets that it sends itself.
  packet::PacketList outbound(std::size_t worker, std::size_t child, std::uint32_t number,
                              std::uint32_t count) {
    packet::Burst burst;
    for (std::uint32_t i = 0; i < count; ++i)
      burst.push(peers.a.pool(worker).copy_of(numbered_packet(child, 1000, number + i)));
    OutboundResult out;
    peers.a.worker(worker).outbound(seconds(1), burst, out);
    return std::move(out.transmit);
  }
  packet::PacketList crossed_outbound(std::size_t worker) {
    OutboundResult out;
    InboundResult in;
    peers.a.worker(worker).crossed(seconds(1), out, in);
    EXPECT_TRUE(in.to_tun.empty());
    return std::move(out.transmit);
  }
  // A buffer for a worker of B, as one receive gives it.
  packet::PacketPtr received(std::size_t worker, const std::vector<ByteView>& esp) {
    Bytes all;
    for (const ByteView one : esp) append(all, one);
    packet::PacketPtr packet = peers.b.pool(worker).copy_of(all);
    packet->meta.source = test::at("192.0.2.1");
    packet->meta.destination = test::at("198.51.100.2");
    packet->meta.udp_encapsulated = true;
    if (esp.size() > 1) packet->meta.segment_size = static_cast<std::uint16_t>(esp.front().size());
    return packet;
  }
  std::vector<std::uint32_t> numbers(const packet::PacketList& inner) {
    std::vector<std::uint32_t> out;
    for (const packet::PacketPtr& packet : inner) out.push_back(number_of(packet->bytes()).number);
    return out;
  }

  WorkerPeers peers{2, 2, 2};
  const WorkerIndex first{0}, second{1};
};

TEST_F(TwoWorkers, OutboundPacketsCrossToTheOwner) {
  peers.install(0, second, first);
  EXPECT_TRUE(outbound(0, 0, 0, 3).empty());
  EXPECT_EQ(peers.a.worker(0).take_sent_to(), 2U);  // worker 1
  EXPECT_EQ(peers.a.worker(0).take_sent_to(), 0U);
  EXPECT_FALSE(peers.a.worker(0).has_crossed());
  EXPECT_TRUE(peers.a.worker(1).has_crossed());
  const auto esp = crossed_outbound(1);
  EXPECT_FALSE(peers.a.worker(1).has_crossed());
  ASSERT_EQ(esp.size(), 3U);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(wire::parse_esp_header(esp[i]->bytes())->sequence, i + 1);
  EXPECT_EQ(peers.a.engine.worker_count(), 2U);
  EXPECT_EQ(peers.a.engine.worker_stats(first).crossed_out, 3U);
  EXPECT_EQ(peers.a.engine.worker_stats(second).crossed_in, 3U);
}

TEST_F(TwoWorkers, OwnPacketsDoNotCross) {
  peers.install(0, first, second);
  const auto esp = outbound(0, 0, 0, 3);
  ASSERT_EQ(esp.size(), 3U);
  EXPECT_EQ(peers.a.worker(0).take_sent_to(), 0U);
  packet::Burst burst;
  for (const auto& one : esp) burst.push(received(1, {one->bytes()}));
  InboundResult in;
  peers.b.worker(1).inbound(seconds(1), burst, in);
  EXPECT_EQ(numbers(in.to_tun), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(peers.b.worker(1).take_sent_to(), 0U);
}

TEST_F(TwoWorkers, WhatOneReceiveHoldsGoesToItsOwners) {
  peers.install(0, first, first);
  peers.install(1, first, second);
  const auto esp0 = outbound(0, 0, 0, 3), esp1 = outbound(0, 1, 10, 3);
  packet::Burst burst;
  burst.push(received(0, {esp0[0]->bytes(), esp1[0]->bytes(), esp1[1]->bytes(), esp0[1]->bytes()}));
  burst.push(received(0, {esp1[2]->bytes()}));
  burst.push(
      received(0, {ByteView(esp0[2]->bytes()).first(3), ByteView(esp0[2]->bytes())}));  // no SPI: stays
  InboundResult in;
  OutboundResult out;
  peers.b.worker(0).inbound(seconds(1), burst, in);
  EXPECT_EQ(numbers(in.to_tun), (std::vector<std::uint32_t>{0, 1}));
  in.clear();
  peers.b.worker(1).crossed(seconds(1), out, in);
  EXPECT_EQ(numbers(in.to_tun), (std::vector<std::uint32_t>{10, 11, 12}));
  EXPECT_GE(peers.b.engine.drops(DropReason::kRunt), 1U);
  EXPECT_EQ(peers.b.engine.drops(DropReason::kReplayed), 0U);
}

TEST_F(TwoWorkers, WithoutABufferTheOthersPartIsDroppedAndTheOwnArrives) {
  peers.install(0, first, first);
  peers.install(1, first, second);
  const auto esp0 = outbound(0, 0, 0, 1), esp1 = outbound(0, 1, 10, 1);
  packet::Burst burst;
  burst.push(received(0, {esp0[0]->bytes(), esp1[0]->bytes()}));
  packet::PacketList taken;
  while (auto packet = peers.b.pool(0).allocate()) taken.push_back(std::move(packet));
  InboundResult in;
  peers.b.worker(0).inbound(seconds(1), burst, in);
  EXPECT_EQ(numbers(in.to_tun), (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(peers.b.engine.drops(DropReason::kNoBuffer), 1U);
  EXPECT_FALSE(peers.b.worker(1).has_crossed());
}

TEST_F(TwoWorkers, HeldPacketsCrossWhenTheirSaComes) {
  EXPECT_TRUE(outbound(0, 0, 0, 2).empty());
  const auto event = peers.a.engine.next_event();
  ASSERT_TRUE(event && std::holds_alternative<Acquire>(*event));
  peers.install(0, second, first);
  EXPECT_TRUE(outbound(0, 0, 2, 1).empty());
  const auto esp = crossed_outbound(1);
  ASSERT_EQ(esp.size(), 3U);
  packet::Burst burst;
  for (const auto& one : esp) burst.push(received(0, {one->bytes()}));
  InboundResult in;
  peers.b.worker(0).inbound(seconds(1), burst, in);
  EXPECT_EQ(numbers(in.to_tun), (std::vector<std::uint32_t>{0, 1, 2}));
}

TEST_F(TwoWorkers, APacketGoesOnWhereItsSaWasReplacedMeanwhile) {
  const auto before = peers.install(0, second, first);
  EXPECT_TRUE(outbound(0, 0, 0, 1).empty());
  peers.install(0, first, first);
  EXPECT_TRUE(peers.a.engine.remove(before.id));
  EXPECT_TRUE(crossed_outbound(1).empty());
  EXPECT_EQ(crossed_outbound(0).size(), 1U);
}

TEST_F(TwoWorkers, AFullLaneDropsAtTheEdgeAndIsCounted) {
  peers.install(0, second, first);
  std::uint64_t sent = 0;
  while (peers.a.engine.drops(DropReason::kCrossingFull) == 0) {
    ASSERT_LT(sent, 1000U);
    EXPECT_TRUE(outbound(0, 0, static_cast<std::uint32_t>(sent), 16).empty());
    sent += 16;
  }
  EXPECT_EQ(peers.a.engine.worker_stats(first).crossing_refused,
            peers.a.engine.drops(DropReason::kCrossingFull));
  // An owner that stands still leaves the others at least half of their buffers.
  EXPECT_GE(peers.a.pool(0).available(), 256U);
  std::uint64_t came = 0;
  while (peers.a.worker(1).has_crossed()) came += crossed_outbound(1).size();
  EXPECT_EQ(came + peers.a.engine.drops(DropReason::kCrossingFull), sent);
  EXPECT_TRUE(outbound(0, 0, 0, 1).empty());
  EXPECT_EQ(crossed_outbound(1).size(), 1U);
}

// As many workers as there are on a large machine: an owner that sleeps takes a few bursts, whoever sends them. And all lanes of a
// worker together leave it half of its buffers.
TEST(ManyWorkers, LanesTakeBurstsHoweverManyThereAre) {
  constexpr std::size_t kWorkers = 16, kBuffers = 2048;  // the daemon's
  WorkerPeers peers(kWorkers, 1, kWorkers, test::Gateway::small(), kBuffers);
  for (std::size_t child = 0; child < kWorkers; ++child)
    peers.install(child, WorkerIndex{static_cast<std::uint8_t>(child)}, WorkerIndex{0});
  const auto burst_for = [&](std::size_t child) {
    packet::Burst burst;
    while (!burst.full()) burst.push(peers.a.pool(0).copy_of(numbered_packet(child, 100, 0)));
    OutboundResult out;
    peers.a.worker(0).outbound(seconds(1), burst, out);
  };
  for (int i = 0; i < 3; ++i) burst_for(1);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kCrossingFull), 0U);
  for (int i = 0; i < 3; ++i)
    for (std::size_t child = 2; child < kWorkers; ++child) burst_for(child);
  EXPECT_GT(peers.a.engine.drops(DropReason::kCrossingFull), 0U);
  EXPECT_EQ(peers.a.pool(0).available(), kBuffers / 2);
  // What it gave away comes home, and it can send again.
  OutboundResult out;
  InboundResult in;
  for (std::size_t worker = 1; worker < kWorkers; ++worker)
    while (peers.a.worker(worker).has_crossed()) peers.a.worker(worker).crossed(seconds(1), out, in);
  out.clear();
  const auto dropped = peers.a.engine.drops(DropReason::kCrossingFull);
  burst_for(1);  // collects
  for (int i = 0; i < 3; ++i) burst_for(2);
  EXPECT_EQ(peers.a.engine.drops(DropReason::kCrossingFull), dropped);
}

// What is made of super-packets has to fit into the pool: the owner takes no more at once than whoever reads them.
TEST_F(TwoWorkers, TakesSuperPacketsByBytes) {
  peers.install(0, second, first);
  constexpr std::size_t kSize = 8900;
  const Bytes large =
      wire::build_udp_packet({test::ip("10.1.0.7"), 1000}, {test::ip("10.2.0.9"), 1000}, Bytes(kSize - 28));
  packet::Burst burst;
  for (int i = 0; i < 40; ++i) burst.push(peers.a.pool(0).copy_of(large));
  OutboundResult out;
  InboundResult in;
  peers.a.worker(0).outbound(seconds(1), burst, out);
  peers.a.worker(1).crossed(seconds(1), out, in);
  const auto taken = peers.a.engine.worker_stats(second).crossed_in;
  EXPECT_GE(taken * kSize, CrossingEnd::kMostBytes);
  EXPECT_LT(taken * kSize, CrossingEnd::kMostBytes + kSize);
  EXPECT_TRUE(peers.a.worker(1).has_crossed());
  while (peers.a.worker(1).has_crossed()) peers.a.worker(1).crossed(seconds(1), out, in);
  EXPECT_EQ(peers.a.engine.worker_stats(second).crossed_in, 40U);
}

// Buffers move between the pools, and come back: none is lost, none is in two places.
TEST_F(TwoWorkers, BuffersComeHome) {
  peers.install(0, second, first);
  for (std::uint32_t round = 0; round < 200; ++round) {
    outbound(0, 0, round * 32, 32);
    EXPECT_EQ(crossed_outbound(1).size(), 32U);
    ASSERT_EQ(peers.a.buffers_in_use(), 0U);
  }
  outbound(0, 0, 9999, 1);  // collects what came home last
  crossed_outbound(1);
  outbound(0, 0, 9999, 1);
  crossed_outbound(1);
  EXPECT_GE(peers.a.pool(0).size(), 512U - 64);
  EXPECT_LE(peers.a.pool(1).size(), 512U + 64);
}

TEST_F(TwoWorkers, RemovalWaitsForEveryWorker) {
  const auto sa = peers.install(0, second, first);
  outbound(0, 0, 0, 1);
  EXPECT_TRUE(peers.a.engine.remove(sa.id));
  EXPECT_EQ(peers.a.engine.reclaim(), 0U);
  EXPECT_TRUE(crossed_outbound(1).empty());  // no SA: held
  EXPECT_EQ(peers.a.engine.worker_stats(second).sas, 0U);
}

TEST(Grace, WaitsForTheSlowestReader) {
  Grace grace(2);
  auto object = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = object;
  {
    const Grace::Section slow(grace, grace.reader(1));
    grace.published(std::move(object));
    {
      const Grace::Section quick(grace, grace.reader(0));
      EXPECT_EQ(grace.reclaim(), 1U);
    }
    EXPECT_EQ(grace.reclaim(), 1U);
    EXPECT_FALSE(watched.expired());
  }
  {
    const Grace::Section later(grace, grace.reader(0));
    EXPECT_EQ(grace.reclaim(), 0U);  // entered after it was taken back
  }
  EXPECT_TRUE(watched.expired());
}

// --- RFC 9611: several SAs for the same selectors

TEST_F(TwoWorkers, AWorkerPrefersTheSaThatIsBoundToIt) {
  peers.install(0, first, first);  // for all
  EXPECT_TRUE(outbound(1, 0, 0, 1).empty());
  EXPECT_EQ(crossed_outbound(0).size(), 1U);
  const auto bound = peers.install(0, second, second, 1U);
  const auto own = outbound(1, 0, 1, 1);
  ASSERT_EQ(own.size(), 1U);
  EXPECT_EQ(wire::parse_esp_header(own[0]->bytes())->spi, bound.to_b);
  const auto fallback = outbound(0, 0, 2, 1);  // newer, but another worker's
  ASSERT_EQ(fallback.size(), 1U);
  EXPECT_NE(wire::parse_esp_header(fallback[0]->bytes())->spi, bound.to_b);
}

TEST_F(TwoWorkers, ABoundSaCarriesWhatNoOtherDoes) {
  const auto bound = peers.install(0, second, second, 1U);
  EXPECT_TRUE(outbound(0, 0, 0, 1).empty());
  const auto esp = crossed_outbound(1);
  ASSERT_EQ(esp.size(), 1U);
  EXPECT_EQ(wire::parse_esp_header(esp[0]->bytes())->spi, bound.to_b);
}

TEST_F(TwoWorkers, ABoundSaNeedsAnSpiOfItsWorker) {
  policy::ChildSa sa;
  SeededRng rng(5);
  const auto other = peers.install(0, first, first);
  static_cast<void>(other);
  sa.id = {77};
  sa.connection = test::connection_of({}, "x", false);
  sa.inbound_spi = peers.a.engine.allocate_spi(rng, first).value();
  sa.outbound_spi = {4711};
  sa.resource = 1;
  const auto refused = peers.a.engine.install(std::make_shared<policy::ChildSa>(std::move(sa)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace merlon::esp
