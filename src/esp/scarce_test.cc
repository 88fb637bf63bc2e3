// What happens when buffers or places for SAs run out: packets are dropped for that reason, and nothing else suffers.
#include "esp/test_super_packets.h"

namespace merlon::esp {
namespace {

using namespace test;
using ::testing::IsEmpty;
using ::testing::SizeIs;

packet::PacketList all_of(packet::PacketPool& pool) {
  packet::PacketList taken;
  while (auto packet = pool.allocate()) taken.push_back(std::move(packet));
  return taken;
}

TEST(Scarce, BuffersForTheSegmentsOfASuperPacket) {
  Tunnel tunnel;
  const auto send = [&] {
    packet::Burst burst;
    burst.push(tunnel.from_tun(flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 6000), 1000));
    return burst;
  };
  auto burst = send();
  auto taken = all_of(tunnel.a.pool);
  EXPECT_THAT(tunnel.protect(burst), IsEmpty());
  EXPECT_EQ(tunnel.a.engine.drops(DropReason::kNoBuffer), 6U);
  taken.clear();
  burst = send();
  EXPECT_THAT(cars_of(tunnel.protect(burst)), SizeIs(6));
}

// Segments that do not fit the tunnel become packets first.
TEST(Scarce, BuffersForSegmentsThatAreFragmented) {
  Tunnel tunnel;
  FlowPacket flow = flow_of(IpFamily::kIpv4, IpProtocol::kUdp, 6000);
  flow.dont_fragment = false;
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow, 2000));
  const auto taken = all_of(tunnel.a.pool);
  EXPECT_THAT(tunnel.protect(burst), IsEmpty());
  EXPECT_EQ(tunnel.a.engine.drops(DropReason::kNoBuffer), 3U);
}

// A buffer that is full to its end has no room for trailer and ICV: in the first burst of an SA, in later ones, and alone.
TEST(Scarce, RoomBehindAPacketForItsTrailer) {
  Peers peers;
  const policy::ChildSaId id = peers.install();
  peers.a.engine.set_path_mtu(id, 65535);
  const auto ordinary = [&] { return peers.a.pool.copy_of(inner_packet(IpFamily::kIpv4, 100)); };
  const auto full = [&] {
    auto packet = ordinary();
    packet->extend(packet->tailroom());
    const MutableByteView bytes = packet->bytes();
    wire::store_u16(bytes, 2, static_cast<std::uint16_t>(bytes.size()));
    wire::store_u16(bytes, 24, static_cast<std::uint16_t>(bytes.size() - 20));  // UDP's length
    wire::store_u16(bytes, 10, 0);
    wire::store_u16(bytes, 10, wire::internet_checksum(bytes.first(20)));
    return packet;
  };
  std::uint64_t dropped = 0;
  const auto expect_loss_of = [&](bool with_others) {
    OutboundResult result;
    packet::Burst burst;
    if (with_others) burst.push(ordinary());
    burst.push(full());
    if (with_others) burst.push(ordinary());
    peers.a.engine.worker().outbound(seconds(1), burst, result);
    EXPECT_THAT(result.transmit, SizeIs(with_others ? 2 : 0));
    EXPECT_EQ(peers.a.engine.drops(DropReason::kNoBuffer), ++dropped);
  };
  for (int i = 0; i < 3; ++i) expect_loss_of(true);
  for (int i = 0; i < 3; ++i) expect_loss_of(false);
}

TEST(Scarce, PlacesForSas) {
  EngineConfig config = Gateway::small();
  config.sa_capacity = 64;
  Peers peers({}, config);
  for (std::uint32_t i = 0; i <= config.sa_capacity; ++i) {
    auto [sa_a, sa_b] = peers.make();
    // By SPIs that somebody else chose, which have no place in the table of ours.
    const Spi reserved = std::exchange(sa_a->inbound_spi, Spi{0xf0000000U + i});
    const auto done = peers.a.engine.install(sa_a);
    peers.a.engine.release_spi(reserved);
    peers.b.engine.release_spi(sa_b->inbound_spi);
    EXPECT_EQ(done.has_value(), i < config.sa_capacity) << i;
    if (!done) {
      EXPECT_EQ(done.error().code, ErrorCode::kExhausted);
    }
  }
}

}  // namespace
}  // namespace merlon::esp
