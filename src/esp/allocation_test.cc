// Nothing is allocated on a packet's path: once the pools and lists have the size that they need, bursts go through both
// engines without one call of malloc.
#include <stdlib.h>

#include <atomic>
#include <cerrno>

#include "esp/test_super_packets.h"
#include "esp/test_workers.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MERLON_SANITIZER_ALLOCATES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MERLON_SANITIZER_ALLOCATES 1
#endif
#endif
#if !defined(MERLON_SANITIZER_ALLOCATES) && defined(__GLIBC__)
#define MERLON_COUNTS_ALLOCATIONS 1
#endif

namespace merlon::esp {
namespace {
std::atomic<bool> counts{false};
std::atomic<std::uint64_t> allocations{0};

#ifdef MERLON_COUNTS_ALLOCATIONS
void note_allocation() {
  if (counts.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}
#endif
}  // namespace
}  // namespace merlon::esp

// In front of glibc's, for the whole program: new, and what libraries in C ask for, end here.
#ifdef MERLON_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  merlon::esp::note_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  merlon::esp::note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  merlon::esp::note_allocation();
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  merlon::esp::note_allocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  merlon::esp::note_allocation();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif

namespace merlon::esp {
namespace {

using namespace test;

constexpr int kWarmUp = 30, kRounds = 50;

// How often something was allocated in `round` after it has been gone through some times.
template <class Round>
std::uint64_t allocations_of(Round round) {
  for (int i = 0; i < kWarmUp; ++i) round();
  allocations = 0;
  counts = true;
  for (int i = 0; i < kRounds; ++i) round();
  counts = false;
  return allocations;
}

// Into another gateway's pool, as its socket would read it.
void carry(const packet::PacketList& from, packet::PacketPool& pool, packet::Burst& to) {
  for (const auto& one : from) {
    to.push(pool.copy_of(one->bytes()));
    to[to.size() - 1]->meta = one->meta;
  }
}

class Allocation : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef MERLON_COUNTS_ALLOCATIONS
    GTEST_SKIP() << "a sanitizer, or another C library, has an allocator of its own";
#endif
  }
};

TEST_F(Allocation, IsSeenByTheTest) {
  Bytes kept;
  EXPECT_GE(allocations_of([&] { kept = Bytes(100); }), std::uint64_t{kRounds});
}

struct Traffic {
  bool udp = true;  // ESP in UDP: then what one send takes arrives in one buffer, as UDP_GRO brings it
  IpFamily family = IpFamily::kIpv4;
  IpProtocol protocol = IpProtocol::kUdp;
  std::size_t segment_size = 0;  // 0: single packets
  policy::EspAlgorithms algorithms{EncrId::kAesGcm16, 128, IntegId::kNone, true};
};

std::vector<Traffic> all_traffic() {
  std::vector<Traffic> all;
  for (const bool udp : {false, true})
    for (const IpFamily family : {IpFamily::kIpv4, IpFamily::kIpv6})
      for (const IpProtocol protocol : {IpProtocol::kTcp, IpProtocol::kUdp})
        for (const std::size_t segment_size : {std::size_t{0}, std::size_t{1000}})
          all.push_back({udp, family, protocol, segment_size});
  all.push_back({.algorithms = {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128, true}});
  all.push_back({.algorithms = {EncrId::kChacha20Poly1305, 256, IntegId::kNone, true}});
  all.push_back({.algorithms = {EncrId::kAesCcm16, 128, IntegId::kNone, true}});  // OpenSSL's
  return all;
}

TEST_F(Allocation, IsNoneInBurstsBothWays) {
  for (const Traffic& traffic : all_traffic()) {
    SaSpec spec;
    spec.udp = traffic.udp;
    spec.algorithms = traffic.algorithms;
    Tunnel tunnel(spec);
    FlowPacket flow = flow_of(traffic.family, traffic.protocol, traffic.segment_size == 0 ? 300 : 20000);
    const Bytes single = wire::test::packet_of(flow), super = wire::test::super_packet_of(flow);
    packet::Burst burst;
    OutboundResult out;
    InboundResult in;
    std::size_t arrived = 0;
    EXPECT_EQ(allocations_of([&] {
                for (int i = 0; i < (traffic.segment_size == 0 ? 64 : 3); ++i) {
                  packet::PacketPtr packet =
                      tunnel.a.pool.copy_of(traffic.segment_size == 0 ? single : super);
                  if (traffic.segment_size != 0) {
                    packet->meta.segment_size = static_cast<std::uint16_t>(traffic.segment_size);
                    packet->meta.checksum_start = traffic.family == IpFamily::kIpv4 ? 20 : 40;
                    packet->meta.checksum_offset = traffic.protocol == IpProtocol::kTcp ? 16 : 6;
                  }
                  burst.push(std::move(packet));
                }
                tunnel.a.engine.worker().outbound(seconds(1), burst, out);
                carry(out.transmit, tunnel.b.pool, burst);
                out.clear();
                tunnel.b.engine.worker().inbound(seconds(1), burst, in);
                arrived += in.to_tun.size();
                in.clear();
              }),
              0U)
        << "udp " << traffic.udp << ", v4 " << (traffic.family == IpFamily::kIpv4) << ", tcp "
        << (traffic.protocol == IpProtocol::kTcp) << ", segments of " << traffic.segment_size;
    EXPECT_GT(arrived, 0U);
    EXPECT_EQ(tunnel.b.engine.drops(DropReason::kIntegrity), 0U);
  }
}

// Every packet at the wrong worker, on both sides.
TEST_F(Allocation, IsNoneOnTheWayToAnotherWorker) {
  WorkerPeers peers(2, 2, 1, super_config());
  const auto sa = peers.install(0);
  const std::size_t owner_a = peers.a.engine.owner(sa.to_a).value,
                    owner_b = peers.b.engine.owner(sa.to_b).value;
  FlowPacket super = flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 5000);
  super.source = ip("10.1.0.7");
  super.destination = ip("10.2.0.9");
  const Bytes single = numbered_packet(0, 1, 1), large = wire::test::super_packet_of(super);
  packet::Burst burst;
  OutboundResult out, no_out;
  InboundResult in, no_in;
  std::size_t arrived = 0;
  EXPECT_EQ(allocations_of([&] {
              for (int i = 0; i < 40; ++i) {
                packet::PacketPtr packet = peers.a.pool(1 - owner_a).copy_of(i % 10 == 0 ? large : single);
                if (i % 10 == 0) {
                  packet->meta.segment_size = 1000;
                  packet->meta.checksum_start = 20;
                  packet->meta.checksum_offset = 16;
                }
                burst.push(std::move(packet));
              }
              peers.a.worker(1 - owner_a).outbound(seconds(1), burst, out);
              peers.a.worker(owner_a).crossed(seconds(1), out, no_in);
              carry(out.transmit, peers.b.pool(1 - owner_b), burst);
              out.clear();
              peers.a.worker(1 - owner_a).crossed(seconds(1), no_out, no_in);  // its buffers come home
              peers.b.worker(1 - owner_b).inbound(seconds(1), burst, in);
              peers.b.worker(owner_b).crossed(seconds(1), no_out, in);
              arrived += in.to_tun.size();
              in.clear();
              peers.b.worker(1 - owner_b).crossed(seconds(1), no_out, no_in);
            }),
            0U);
  EXPECT_GT(arrived, 0U);
  EXPECT_EQ(peers.b.engine.stats(sa.id)->inbound.packets, (kWarmUp + kRounds) * (36U + 4U * 5U));
}

}  // namespace
}  // namespace merlon::esp
