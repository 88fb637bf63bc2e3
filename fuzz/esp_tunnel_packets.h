// Inner packets for esp_tunnel_fuzzer: made, cut as the kernel would cut them, and compared.
#pragma once

#include <set>
#include <vector>

#include "fuzz/input.h"
#include "packet/packet.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/packet_view.h"
#include "wire/test_segments.h"

namespace merlon::fuzz {

using wire::test::FlowPacket;

// Flows that policies speak of differently: see Network::connection() in the target. The last byte of the addresses and
// the ports may differ.
inline FlowPacket flow_of(std::uint8_t which, bool towards_b) {
  struct Ends {
    const char *a, *b;
    IpProtocol protocol;
    std::uint16_t port;
  };
  static constexpr Ends kFlows[] = {
      {"10.1.0.7", "10.2.0.9", IpProtocol::kTcp, 443},           // net
      {"10.1.0.7", "10.2.0.9", IpProtocol::kUdp, 53},            // net
      {"2001:db8:1::7", "2001:db8:2::9", IpProtocol::kTcp, 80},  // net
      {"2001:db8:1::7", "2001:db8:2::9", IpProtocol::kUdp, 53},  // net
      {"10.1.5.7", "10.2.0.9", IpProtocol::kTcp, 80},            // web, or net without it
      {"10.1.0.7", "10.2.9.9", IpProtocol::kUdp, 53},            // net, or bypass
      {"10.1.0.7", "10.3.0.9", IpProtocol::kUdp, 53},            // nobody's
      {"fe80::7", "fe80::9", IpProtocol::kUdp, 53},              // stays on the link
  };
  const Ends& ends = kFlows[which % std::size(kFlows)];
  FlowPacket flow;
  flow.source = value(IpAddress::parse(towards_b ? ends.a : ends.b));
  flow.destination = value(IpAddress::parse(towards_b ? ends.b : ends.a));
  flow.protocol = ends.protocol;
  flow.source_port = towards_b ? 1000 : ends.port;
  flow.destination_port = towards_b ? ends.port : 1000;
  return flow;
}

// What the kernel makes of a packet that is written to TUN: itself, or the segments of a super-packet.
inline std::vector<Bytes> packets_of(const packet::Packet& packet) {
  const auto view = wire::parse_packet(packet.bytes());
  require(view && view->total_length == packet.size(), "what goes to TUN is a whole packet");
  const auto& meta = packet.meta;
  if (meta.segment_size == 0) {
    require(meta.checksum_start == 0, "a single packet's checksum is finished");
    return {to_bytes(packet.bytes())};
  }
  const bool v4 = view->family == IpFamily::kIpv4, tcp = view->protocol == IpProtocol::kTcp;
  require(tcp || view->protocol == IpProtocol::kUdp, "a super-packet is TCP or UDP");
  const std::size_t upper = view->upper_offset, field = upper + (tcp ? 16 : 6);
  require(meta.checksum_start == upper && meta.checksum_offset == field - upper,
          "a super-packet says where its checksum is");
  require(packet.size() >= upper + (tcp ? 20 : 8), "a super-packet has its headers");
  const ByteView bytes = packet.bytes();
  const std::size_t head = upper + (tcp ? std::size_t{4} * (bytes[upper + 12] >> 4U) : 8);
  require(packet.size() > head + meta.segment_size, "a super-packet has two segments");
  const auto pseudo = wire::pseudo_header_sum(view->source, view->destination, view->protocol,
                                              static_cast<std::uint32_t>(packet.size() - upper));
  require(wire::load_u16(bytes, field) == static_cast<std::uint16_t>(~pseudo.checksum()),
          "a super-packet holds the pseudo header's sum");
  std::vector<Bytes> out;
  for (std::size_t at = head; at < bytes.size(); at += meta.segment_size) {
    const std::size_t size = std::min<std::size_t>(meta.segment_size, bytes.size() - at);
    Bytes one = concat(bytes.first(head), bytes.subspan(at, size));
    const auto length = static_cast<std::uint16_t>(one.size() - upper);
    if (v4) {
      wire::store_u16(one, 2, static_cast<std::uint16_t>(one.size()));
      wire::store_u16(one, 4, static_cast<std::uint16_t>(wire::load_u16(bytes, 4) + out.size()));
    } else {
      wire::store_u16(one, 4, static_cast<std::uint16_t>(one.size() - 40));
    }
    if (tcp) {
      wire::store_u32(one, upper + 4,
                      wire::load_u32(bytes, upper + 4) + static_cast<std::uint32_t>(at - head));
      if (at != head) one[upper + 13] &= 0x7fU;                 // CWR on the first (RFC 3168 6.1.2)
      if (at + size != bytes.size()) one[upper + 13] &= 0xf6U;  // PSH and FIN on the last
    } else {
      wire::store_u16(one, upper + 4, length);
    }
    wire::store_u16(one, field, 0);
    const auto sum = wire::transport_checksum(view->source, view->destination, view->protocol,
                                              ByteView(one).subspan(upper));
    wire::store_u16(one, field, sum == 0 && !tcp ? std::uint16_t{0xffff} : sum);
    out.push_back(std::move(one));
  }
  return out;
}

// A packet without what the tunnel or the kernel may change: ECN (RFC 6040 4.2), with it IPv4's checksum, the
// identification of an atomic packet (RFC 6864 4.1), and, where it is clamped, all that goes with TCP's MSS.
inline Bytes essence_of(Bytes packet, bool clamped) {
  const auto view = wire::parse_packet(packet);
  require(view.has_value(), "only whole packets are compared");
  packet.resize(view->total_length);
  if (view->family == IpFamily::kIpv4) {
    packet[1] &= 0xfcU;
    wire::store_u16(packet, 10, 0);
    if (view->dont_fragment && !view->is_fragment) wire::store_u16(packet, 4, 0);
  } else {
    packet[1] &= 0xcfU;
  }
  const std::size_t tcp = view->upper_offset;
  if (clamped && view->protocol == IpProtocol::kTcp && packet.size() >= tcp + 20) {
    wire::store_u16(packet, tcp + 16, 0);
    const std::size_t end = std::min(packet.size(), tcp + std::size_t{4} * (packet[tcp + 12] >> 4U));
    for (std::size_t i = tcp + 20; i < end; ++i) packet[i] = 0;
  }
  return packet;
}

// ESP packets that stand back to back in a buffer.
inline std::vector<ByteView> cars_of(const packet::PacketMeta& meta, ByteView rest) {
  std::vector<ByteView> out;
  const std::size_t size = meta.segment_size == 0 ? rest.size() : meta.segment_size;
  if (rest.empty() && meta.segment_size == 0) out.push_back(rest);
  for (; !rest.empty(); rest = rest.subspan(out.back().size()))
    out.push_back(rest.first(std::min(size, rest.size())));
  return out;
}

}  // namespace merlon::fuzz
