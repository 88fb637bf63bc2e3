// Super-packets through the tunnel: what comes out stands for the very packets that went in, as if each had gone by
// itself.
#include <rapidcheck.h>

#include <map>

#include "esp/test_super_packets.h"

namespace merlon::esp {
namespace {

using namespace test;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SuperPacket : public ::testing::TestWithParam<std::tuple<IpFamily, IpProtocol>> {};
INSTANTIATE_TEST_SUITE_P(Kinds, SuperPacket,
                         ::testing::Combine(::testing::Values(IpFamily::kIpv4, IpFamily::kIpv6),
                                            ::testing::Values(IpProtocol::kTcp, IpProtocol::kUdp)));

TEST_P(SuperPacket, LeavesInFewSendsAndArrivesWhole) {
  Tunnel tunnel;
  const auto [family, protocol] = GetParam();
  FlowPacket flow = flow_of(family, protocol, 60000);
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow, 1300));
  const packet::PacketList trains = tunnel.protect(burst);
  ASSERT_THAT(trains, SizeIs(1));  // 47 segments
  EXPECT_LE(trains[0]->size(), 65507U);
  const std::vector<Bytes> expected = wire::test::segments_of(flow, 1300);
  EXPECT_THAT(cars_of(trains), SizeIs(expected.size()));
  EXPECT_EQ(tunnel.a.engine.stats({1})->outbound.packets, expected.size());

  const packet::PacketList arrived = tunnel.unprotect(trains);
  EXPECT_THAT(arrived, SizeIs(1));
  EXPECT_EQ(arrived[0]->meta.segment_size, 1300);
  EXPECT_THAT(stream_of(arrived), ElementsAreArray(expected));
  EXPECT_EQ(tunnel.b.engine.stats({1})->inbound.packets, expected.size());
}

TEST_P(SuperPacket, KeepsTheKernelsLimitsOfASend) {
  Tunnel tunnel;
  const auto [family, protocol] = GetParam();
  packet::Burst burst;
  std::size_t segments = 0;
  for (unsigned i = 0; i < 8; ++i) {
    const FlowPacket flow = flow_of(family, protocol, 64000, i);
    segments += wire::test::segments_of(flow, i % 2 == 0 ? 1280 : 100).size();
    burst.push(tunnel.from_tun(flow, i % 2 == 0 ? 1280 : 100));
  }
  const packet::PacketList trains = tunnel.protect(burst);
  EXPECT_THAT(cars_of(trains), SizeIs(segments));
  std::uint32_t sequence = 0;
  for (const Bytes& car : cars_of(trains)) EXPECT_EQ(wire::load_u32(car, 4), ++sequence);
  for (const auto& train : trains) {
    EXPECT_LE(train->size(), 65507U);
    if (train->meta.segment_size == 0) continue;
    EXPECT_LE(train->size(), std::size_t{64} * train->meta.segment_size);
  }
}

TEST_P(SuperPacket, EverySegmentCountsAgainstTheLifetimes) {
  SaSpec spec;
  spec.hard_packets = 10;
  Tunnel tunnel(spec);
  const auto [family, protocol] = GetParam();
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow_of(family, protocol, 30000), 1000));
  EXPECT_THAT(cars_of(tunnel.protect(burst)), SizeIs(10));
  EXPECT_EQ(tunnel.a.engine.drops(DropReason::kSaExpired), 20U);
  EXPECT_THAT(tunnel.a.events_of<HardExpired>(), SizeIs(1));
}

TEST_P(SuperPacket, SegmentsThatDoNotFitAreAnsweredLikePackets) {
  Tunnel tunnel;
  const auto [family, protocol] = GetParam();
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow_of(family, protocol, 20 * 1460), 1460));
  EXPECT_THAT(tunnel.protect(burst), IsEmpty());
  ASSERT_THAT(tunnel.a.answers, SizeIs(1));  // and one only
  EXPECT_EQ(tunnel.a.engine.drops(DropReason::kTooBig), 20U);
  const Bytes& answer = tunnel.a.answers[0];
  const unsigned inner_mtu = tunnel.a.engine.stats({1})->inner_mtu;
  EXPECT_EQ(family == IpFamily::kIpv4 ? wire::load_u16(answer, 26) : wire::load_u32(answer, 44), inner_mtu);
}

TEST(SuperPackets, MayBeFragmentedWhereTheirSenderLetsThem) {
  Tunnel tunnel;
  FlowPacket flow = flow_of(IpFamily::kIpv4, IpProtocol::kUdp, 2900);
  flow.dont_fragment = false;
  packet::Burst burst;
  burst.push(tunnel.from_tun(flow, 1460));
  const std::vector<Bytes> arrived = stream_of(tunnel.unprotect(tunnel.protect(burst)));
  EXPECT_THAT(arrived, SizeIs(4));  // two segments, two fragments each
  for (const Bytes& fragment : arrived) EXPECT_TRUE(wire::parse_packet(fragment).value().is_fragment);
}

TEST(SuperPackets, AnUnfinishedChecksumIsFinishedAndTheMssClampedAfterwards) {
  Tunnel tunnel;
  const Bytes whole = test::tcp_syn(IpFamily::kIpv4, 1460);
  packet::PacketPtr packet = tunnel.a.pool.copy_of(whole);
  const auto view = wire::parse_packet(whole).value();
  const std::uint16_t pseudo =
      wire::pseudo_header_sum(view.source, view.destination, view.protocol, 24).checksum();
  wire::store_u16(packet->bytes(), 36, static_cast<std::uint16_t>(~pseudo));
  packet->meta.checksum_start = 20;
  packet->meta.checksum_offset = 16;
  packet::Burst burst;
  burst.push(std::move(packet));
  const std::vector<Bytes> arrived = stream_of(tunnel.unprotect(tunnel.protect(burst)));
  ASSERT_THAT(arrived, SizeIs(1));
  EXPECT_LT(test::mss_of(arrived[0]), 1460);
  EXPECT_EQ(wire::transport_checksum(view.source, view.destination, view.protocol,
                                     ByteView(arrived[0]).subspan(20)),
            0);
}

TEST(SuperPackets, OnesThatCannotBeCutAreCounted) {
  Tunnel tunnel;
  packet::Burst burst;
  packet::PacketPtr icmp = tunnel.from_tun(flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 3000), 1000);
  icmp->bytes()[9] = 1;
  burst.push(std::move(icmp));
  EXPECT_THAT(tunnel.protect(burst), IsEmpty());
  EXPECT_EQ(tunnel.a.engine.drops(DropReason::kUnsupportedSegments), 1U);
}

TEST(SuperPackets, WaitForAnSaLikeOthers) {
  Peers peers(SaSpec{}, super_config(), kLargest);
  const FlowPacket flow = flow_of(IpFamily::kIpv4, IpProtocol::kTcp, 20000);
  packet::PacketPtr packet = peers.a.pool.copy_of(wire::test::super_packet_of(flow));
  packet->meta.segment_size = 1000;
  packet->meta.checksum_start = 20;
  packet->meta.checksum_offset = 16;
  packet::Burst burst;
  burst.push(std::move(packet));
  OutboundResult result;
  peers.a.engine.worker().outbound(seconds(1), burst, result);
  EXPECT_THAT(result.transmit, IsEmpty());
  peers.install();
  peers.a.engine.worker().poll(seconds(2), result);
  EXPECT_THAT(cars_of(result.transmit), SizeIs(20));
}

// ---- joining single packets

TEST(Joining, EqualPacketsOfOneSaShareASend) {
  Tunnel tunnel;
  std::vector<Bytes> packets;
  for (unsigned i = 0; i < 40; ++i) packets.push_back(test::inner_packet(IpFamily::kIpv4, 200));
  packets.push_back(test::inner_packet(IpFamily::kIpv4, 100));  // the last may be shorter
  packets.push_back(test::inner_packet(IpFamily::kIpv4, 200));  // and then nothing follows
  const packet::PacketList trains = tunnel.a.protect(packets);
  ASSERT_THAT(trains, SizeIs(2));
  EXPECT_EQ(trains[1]->meta.segment_size, 0);
  EXPECT_THAT(stream_of(tunnel.unprotect(trains)), ElementsAreArray(packets));
}

TEST(Joining, NeverTwoTosOrEcnValuesInOneSend) {
  Tunnel tunnel;
  std::vector<Bytes> packets;
  for (unsigned i = 0; i < 9; ++i)
    packets.push_back(
        test::with_tos(test::inner_packet(IpFamily::kIpv4, 200), static_cast<std::uint8_t>(i / 3)));
  const packet::PacketList trains = tunnel.a.protect(packets);
  ASSERT_THAT(trains, SizeIs(3));
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(trains[i]->meta.tos, i);
}

TEST(Joining, NativeEspIsNotJoined) {
  SaSpec spec;
  spec.udp = false;
  Tunnel tunnel(spec);
  const std::vector<Bytes> packets(5, test::inner_packet(IpFamily::kIpv4, 200));
  EXPECT_THAT(tunnel.a.protect(packets), SizeIs(5));
}

// ---- inbound: several in one

TEST(Received, TogetherAreTreatedOneByOne) {
  Tunnel tunnel;
  std::vector<Bytes> packets;
  for (unsigned i = 0; i < 6; ++i)
    packets.push_back(wire::test::packet_of(flow_of(IpFamily::kIpv4, IpProtocol::kUdp, 100, i)));
  packet::PacketList trains = tunnel.a.protect(packets);
  ASSERT_THAT(trains, SizeIs(1));
  const std::size_t size = trains[0]->meta.segment_size;
  const MutableByteView bytes = trains[0]->bytes();
  bytes[size + 30] ^= 1;                           // ICV
  std::copy_n(&bytes[0], size, &bytes[2 * size]);  // replay
  wire::store_u32(bytes, 3 * size, 0x7fffffff);    // unknown SPI
  trains[0]->trim_back(size - 7);                  // runt
  EXPECT_EQ(without_atomic_ids(stream_of(tunnel.unprotect(trains))),
            (std::vector<Bytes>{packets[0], packets[4]}));
  for (const DropReason reason :
       {DropReason::kIntegrity, DropReason::kReplayed, DropReason::kUnknownSpi, DropReason::kRunt})
    EXPECT_EQ(tunnel.b.engine.drops(reason), 1U) << name(reason);
}

TEST(Received, SeveralSasInOne) {
  Tunnel tunnel;
  const std::vector<Bytes> first(3, test::inner_packet(IpFamily::kIpv4, 100));
  const packet::PacketList old_train = tunnel.a.protect(first);
  tunnel.install();
  const packet::PacketList new_train = tunnel.a.protect(first);
  packet::PacketPtr both = tunnel.a.pool.allocate();
  for (std::size_t i = 0; i < 3; ++i)
    for (const auto* train : {&old_train, &new_train}) {
      const std::size_t size = (*train)[0]->meta.segment_size;
      const MutableByteView place = both->extend(size);
      std::copy_n(&(*train)[0]->bytes()[i * size], size, place.begin());
    }
  both->meta = old_train[0]->meta;
  packet::PacketList received;
  received.push_back(std::move(both));
  EXPECT_THAT(tunnel.unprotect(received), SizeIs(6));
}

// ---- everything at once, against the packets as they would have gone one by one

struct Source {
  FlowPacket flow;
  void advance() {
    flow.sequence += static_cast<std::uint32_t>(flow.payload.size());
    flow.identification = static_cast<std::uint16_t>(flow.identification + 64);
  }
};

std::vector<Source> any_sources() {
  std::vector<Source> sources;
  for (unsigned i = 0; i < 4; ++i) {
    Source source{flow_of(i % 2 == 0 ? IpFamily::kIpv4 : IpFamily::kIpv6,
                          i < 3 ? IpProtocol::kTcp : IpProtocol::kUdp, 0)};
    source.flow.source_port = static_cast<std::uint16_t>(1000 + i);
    source.flow.dont_fragment = *rc::gen::arbitrary<bool>();
    source.flow.sequence = *rc::gen::arbitrary<std::uint32_t>();
    sources.push_back(source);
  }
  return sources;
}

using Streams = std::map<std::uint16_t, std::vector<Bytes>>;  // by source port
Streams by_flow(const std::vector<Bytes>& packets) {
  Streams streams;
  for (const Bytes& packet : packets)
    streams[wire::parse_packet(packet).value().source_port].push_back(packet);
  return streams;
}

TEST(SuperPackets, CutEncryptedAndJoinedAgainAreTheSamePackets) {
  EXPECT_TRUE(rc::check([] {
    SaSpec spec;
    spec.udp = *rc::gen::arbitrary<bool>();
    spec.algorithms =
        *rc::gen::element(policy::EspAlgorithms{EncrId::kAesGcm16, 128, IntegId::kNone, true},
                          policy::EspAlgorithms{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128, false},
                          policy::EspAlgorithms{EncrId::kChacha20Poly1305, 0, IntegId::kNone, true});
    EngineConfig config = super_config();
    config.max_joined = *rc::gen::element(1U, 2U, 64U);
    config.coalesce_tcp = *rc::gen::arbitrary<bool>();
    config.coalesce_udp = *rc::gen::arbitrary<bool>();
    Tunnel tunnel(spec, config);
    std::vector<Source> sources = any_sources();
    std::vector<Bytes> expected;
    packet::Burst burst;
    const auto count = *rc::gen::inRange<std::size_t>(1, 30);
    for (std::size_t i = 0; i < count; ++i) {
      Source& source = sources[*rc::gen::inRange<std::size_t>(0, sources.size())];
      FlowPacket& flow = source.flow;
      flow.flags =
          *rc::gen::weightedElement<std::uint8_t>({{8, 0x10}, {4, 0x18}, {1, 0x11}, {1, 0x98}, {1, 0x50}});
      flow.tos = *rc::gen::weightedElement<std::uint8_t>({{8, 0}, {1, 2}, {1, 3}, {1, 0x20}});
      const auto segment_size = *rc::gen::element<std::size_t>(1, 100, 1000, 1300);
      flow.payload =
          pattern(*rc::gen::inRange<std::size_t>(0, std::min<std::size_t>(segment_size * 20, 9000)),
                  static_cast<unsigned>(i));
      if (flow.payload.size() > segment_size) {
        for (Bytes& one : wire::test::segments_of(flow, segment_size)) expected.push_back(std::move(one));
        burst.push(tunnel.from_tun(flow, segment_size));
      } else {
        expected.push_back(wire::test::packet_of(flow));
        burst.push(tunnel.a.pool.copy_of(expected.back()));
      }
      source.advance();
    }
    packet::PacketList trains = tunnel.protect(burst);
    RC_ASSERT(cars_of(trains).size() == expected.size());
    const std::vector<Bytes> arrived = stream_of(tunnel.unprotect(trains));
    RC_ASSERT(by_flow(without_atomic_ids(arrived)) == by_flow(without_atomic_ids(expected)));
  }));
}

}  // namespace
}  // namespace merlon::esp
