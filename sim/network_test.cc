// The simulator's own parts: time, and what the network does to datagrams.
#include "sim/network.h"

#include <gtest/gtest.h>

#include "sim/event_queue.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

TEST(EventQueue, RunsInTheOrderOfTimeAndThenOfEntry) {
  EventQueue queue;
  std::string order;
  queue.after(2s, [&] { order += 'c'; });
  queue.after(1s, [&] {
    order += 'a';
    queue.after(0s, [&] { order += 'b'; });
  });
  queue.after(2s, [&] { order += 'd'; });
  while (queue.run_next(kStart + 10s)) {
  }
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(queue.elapsed(), Duration(10s));
  EXPECT_EQ(queue.now().wall, kFirstDay + 10s);
}

class Wire : public testing::Test {
 protected:
  Wire() {
    network_.attach("A", IpAddress::v4(1), std::nullopt,
                    [this](const WireDatagram& d) { at_a_.push_back(d); });
    network_.attach("B", IpAddress::v4(2), IpAddress::v4(3),
                    [this](const WireDatagram& d) { at_b_.push_back(d); });
  }
  void send(std::size_t from, Endpoint source, Endpoint destination, Carrier carrier = Carrier::kUdp) {
    network_.send(from, {carrier, source, destination, 0, Bytes{0, 0, 0, 0, 1}});
  }
  void run(Duration duration) {
    const Instant end = queue_.now().monotonic + duration;
    while (queue_.run_next(end)) {
    }
  }

  EventQueue queue_;
  Trace trace_;
  Network network_{queue_, trace_, 1};
  std::vector<WireDatagram> at_a_, at_b_;
};

TEST_F(Wire, ANatHidesItsHostAndForgets) {
  send(0, {IpAddress::v4(1), 4500}, {IpAddress::v4(3), 4500});
  run(1s);
  EXPECT_TRUE(at_b_.empty()) << "nobody inside has sent anything yet";
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  ASSERT_EQ(at_a_.size(), 1U);
  EXPECT_EQ(at_a_[0].source.address, IpAddress::v4(3));
  const Endpoint mapped = at_a_[0].source;
  send(0, {IpAddress::v4(1), 4500}, mapped);
  run(1s);
  ASSERT_EQ(at_b_.size(), 1U);
  EXPECT_EQ(at_b_[0].destination, (Endpoint{IpAddress::v4(2), 4500}));
  network_.rebind(1);
  send(0, {IpAddress::v4(1), 4500}, mapped);
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  send(1, {IpAddress::v4(2), 0}, {IpAddress::v4(1), 0}, Carrier::kEsp);
  run(1s);
  EXPECT_EQ(at_b_.size(), 1U);
  ASSERT_EQ(at_a_.size(), 2U) << "native ESP does not pass";
  EXPECT_NE(at_a_[1].source, mapped);
}

TEST_F(Wire, RatesAndCuts) {
  LinkFaults faults;
  faults.loss = 500;
  faults.duplicate = 200;
  network_.set_link(1, 0, faults);
  for (int i = 0; i < 1000; ++i) send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(10s);
  EXPECT_GT(at_a_.size(), 500U);
  EXPECT_LT(at_a_.size(), 700U);
  network_.heal();
  at_a_.clear();
  network_.block(1, 0, queue_.now().monotonic + 5s);
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(6s);
  EXPECT_TRUE(at_a_.empty());
  for (int i = 0; i < 100; ++i) send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  EXPECT_EQ(at_a_.size(), 100U);
}

TEST_F(Wire, LossComesInBursts) {
  LinkFaults faults;
  faults.burst_begins = 10;
  faults.burst_ends = 50;
  faults.burst_loss = 1000;
  network_.set_link(0, 1, faults);
  network_.set_link(1, 0, faults);
  for (int i = 0; i < 5000; ++i) send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(10s);
  // One datagram of 100 begins a burst, one of 20 in it ends it: a sixth is lost, in some 40 bursts.
  EXPECT_GT(at_a_.size(), 3700U);
  EXPECT_LT(at_a_.size(), 4600U);
}

TEST_F(Wire, DamageAndTruncationChangeThePayload) {
  LinkFaults faults;
  faults.corrupt = 500;
  faults.truncate = 500;
  network_.set_link(1, 0, faults);
  for (int i = 0; i < 400; ++i) send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  ASSERT_EQ(at_a_.size(), 400U);
  const Bytes whole{0, 0, 0, 0, 1};
  std::size_t same = 0, shorter = 0;
  for (const WireDatagram& datagram : at_a_) {
    if (datagram.payload == whole) ++same;
    if (datagram.payload.size() < whole.size()) ++shorter;
  }
  EXPECT_LT(same, 150U);
  EXPECT_GT(shorter, 100U);
  network_.heal();
  at_a_.clear();
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  EXPECT_EQ(at_a_.front().payload, whole);
}

TEST_F(Wire, OldDatagramsComeAgainAlsoFromElsewhere) {
  network_.replay({10ms, 16, 500, 0});
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(10s);
  ASSERT_GT(at_a_.size(), 100U);
  EXPECT_EQ(network_.replayed() + 1, at_a_.size());
  std::size_t foreign = 0;
  for (const WireDatagram& datagram : at_a_)
    if (is_nobodys(datagram.source.address)) ++foreign;
  EXPECT_GT(foreign, 10U);
  network_.heal();
  at_a_.clear();
  run(10s);
  EXPECT_TRUE(at_a_.empty());
}

TEST_F(Wire, ANatThatStartsAgainHasAnotherAddress) {
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  const Endpoint before = at_a_.at(0).source;
  network_.rebind(1, IpAddress::v4(30));
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  const Endpoint after = at_a_.at(1).source;
  EXPECT_EQ(after.address, IpAddress::v4(30));
  send(0, {IpAddress::v4(1), 4500}, before);
  send(0, {IpAddress::v4(1), 4500}, after);
  run(1s);
  EXPECT_EQ(at_b_.size(), 1U);
}

TEST_F(Wire, TwoHostsShareANat) {
  std::vector<WireDatagram> at_c;
  network_.attach("C", IpAddress::v4(5), IpAddress::v4(3), [&](const WireDatagram& d) { at_c.push_back(d); });
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  send(2, {IpAddress::v4(5), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  ASSERT_EQ(at_a_.size(), 2U);
  EXPECT_EQ(at_a_[0].source.address, at_a_[1].source.address);
  EXPECT_NE(at_a_[0].source.port, at_a_[1].source.port);
  for (const WireDatagram& datagram : std::vector(at_a_)) send(0, {IpAddress::v4(1), 4500}, datagram.source);
  run(1s);
  EXPECT_EQ(at_b_.size(), 1U);
  EXPECT_EQ(at_c.size(), 1U);
}

TEST_F(Wire, WhoMovesIsFoundAtTheNewAddressOnly) {
  network_.move(0, IpAddress::v4(9));
  send(0, {IpAddress::v4(1), 4500}, {IpAddress::v4(3), 4500});
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  EXPECT_TRUE(at_a_.empty());
  EXPECT_TRUE(at_b_.empty());
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(9), 4500});
  run(1s);
  EXPECT_EQ(at_a_.size(), 1U);
}

TEST_F(Wire, AnIsolatedHostNeitherSendsNorReceives) {
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  network_.isolate(0, queue_.now().monotonic + 5s);
  run(1s);
  EXPECT_TRUE(at_a_.empty());
  run(5s);
  send(1, {IpAddress::v4(2), 4500}, {IpAddress::v4(1), 4500});
  run(1s);
  EXPECT_EQ(at_a_.size(), 1U);
}

}  // namespace
}  // namespace merlon::sim
