// For tests only: gateways whose surroundings take super-packets, and what these stand for, read back field by field.
#pragma once

#include "esp/test_peers.h"
#include "wire/test_segments.h"

namespace merlon::esp::test {

using wire::test::FlowPacket;

inline constexpr std::size_t kLargest = 65600;

inline EngineConfig super_config() {
  EngineConfig config = Gateway::small();
  config.max_joined = 64;
  config.coalesce_tcp = config.coalesce_udp = true;
  return config;
}

inline Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + seed);
  return bytes;
}

inline FlowPacket flow_of(IpFamily family, IpProtocol protocol, std::size_t payload, unsigned seed = 0) {
  const bool v4 = family == IpFamily::kIpv4;
  FlowPacket flow;
  flow.source = ip(v4 ? "10.1.0.7" : "2001:db8:1::7");
  flow.destination = ip(v4 ? "10.2.0.9" : "2001:db8:2::9");
  flow.protocol = protocol;
  flow.payload = pattern(payload, seed);
  return flow;
}

// Both gateways, with buffers for super-packets.
struct Tunnel : Peers {
  explicit Tunnel(SaSpec sa_spec = {}, const EngineConfig& config = super_config())
      : Peers(std::move(sa_spec), config, kLargest) {
    install();
  }

  packet::PacketPtr from_tun(const FlowPacket& flow, std::size_t segment_size) {
    packet::PacketPtr packet = a.pool.copy_of(wire::test::super_packet_of(flow));
    packet->meta.segment_size = static_cast<std::uint16_t>(segment_size);
    packet->meta.checksum_start = flow.source.is_v4() ? 20 : 40;
    packet->meta.checksum_offset = flow.protocol == IpProtocol::kTcp ? 16 : 6;
    return packet;
  }

  packet::PacketList protect(packet::Burst& burst) {
    OutboundResult result;
    a.engine.worker().outbound(seconds(1), burst, result);
    for (const auto& answer : result.to_tun) a.answers.push_back(to_bytes(answer->bytes()));
    return std::move(result.transmit);
  }

  // What the wire brings, into B; buffers as the kernel's UDP_GRO would fill them.
  packet::PacketList unprotect(const packet::PacketList& trains) {
    InboundResult result;
    packet::Burst burst;
    for (const auto& train : trains) {
      burst.push(b.pool.copy_of(train->bytes()));
      burst[burst.size() - 1]->meta = train->meta;
      if (burst.full()) b.engine.worker().inbound(seconds(1), burst, result);
    }
    b.engine.worker().inbound(seconds(1), burst, result);
    return std::move(result.to_tun);
  }
};

// ESP packets of a list, each for itself.
inline std::vector<Bytes> cars_of(const packet::PacketList& trains) {
  std::vector<Bytes> out;
  for (const auto& train : trains) {
    const std::size_t size = train->meta.segment_size == 0 ? train->size() : train->meta.segment_size;
    for (ByteView rest = train->bytes(); !rest.empty(); rest = rest.subspan(std::min(size, rest.size())))
      out.push_back(to_bytes(rest.first(std::min(size, rest.size()))));
  }
  return out;
}

// The packets that the kernel makes of what is written to TUN, read back field by field.
inline std::vector<Bytes> stream_of(const packet::PacketList& packets) {
  std::vector<Bytes> out;
  for (const auto& packet : packets) {
    Bytes bytes = to_bytes(packet->bytes());
    if (packet->meta.segment_size == 0) {
      EXPECT_EQ(packet->meta.checksum_start, 0);
      out.push_back(bytes);
      continue;
    }
    const bool v4 = bytes[0] >> 4U == 4;
    const std::size_t upper = v4 ? 20 : 40;
    EXPECT_EQ(packet->meta.checksum_start, upper);
    FlowPacket flow;
    const auto view = wire::parse_packet(bytes).value();
    EXPECT_EQ(view.total_length, bytes.size());
    flow.source = view.source;
    flow.destination = view.destination;
    flow.protocol = view.protocol;
    flow.source_port = view.source_port;
    flow.destination_port = view.destination_port;
    flow.tos = view.tos;
    flow.ttl = view.ttl;
    flow.dont_fragment = view.dont_fragment;
    if (v4) flow.identification = wire::load_u16(bytes, 4);
    std::size_t header = upper + 8;
    if (flow.protocol == IpProtocol::kTcp) {
      header = upper + static_cast<std::size_t>(bytes[upper + 12] >> 4U) * 4;
      flow.sequence = wire::load_u32(bytes, upper + 4);
      flow.acknowledgment = wire::load_u32(bytes, upper + 8);
      flow.flags = bytes[upper + 13];
      flow.window = wire::load_u16(bytes, upper + 14);
      flow.options.assign(bytes.begin() + static_cast<std::ptrdiff_t>(upper) + 20,
                          bytes.begin() + static_cast<std::ptrdiff_t>(header));
      EXPECT_EQ(packet->meta.checksum_offset, 16);
    } else {
      EXPECT_EQ(packet->meta.checksum_offset, 6);
    }
    flow.payload.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
    EXPECT_EQ(bytes, wire::test::super_packet_of(flow)) << "lengths and the pseudo header's sum";
    EXPECT_GT(flow.payload.size(), packet->meta.segment_size);
    for (Bytes& segment : wire::test::segments_of(flow, packet->meta.segment_size))
      out.push_back(std::move(segment));
  }
  return out;
}

// RFC 6864 4.1: with DF set, the identification has no meaning.
inline std::vector<Bytes> without_atomic_ids(std::vector<Bytes> packets) {
  for (Bytes& packet : packets) {
    if (packet[0] >> 4U != 4 || (packet[6] & 0x40U) == 0) continue;
    wire::store_u16(packet, 4, 0);
    wire::store_u16(packet, 10, 0);
    wire::store_u16(packet, 10, wire::internet_checksum(ByteView(packet).first(20)));
  }
  return packets;
}

}  // namespace merlon::esp::test
