// For tests only: super-packets, and what they stand for, written field by field from the RFCs, without the code that
// is tested.
#pragma once

#include <algorithm>
#include <vector>

#include "base/iana.h"
#include "base/ip_address.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"

namespace merlon::wire::test {

// One flow's header fields and payload: a packet, or a super-packet when the payload is longer than a segment.
struct FlowPacket {
  IpAddress source, destination;
  IpProtocol protocol = IpProtocol::kTcp;
  std::uint16_t source_port = 1111, destination_port = 2222;
  std::uint8_t tos = 0, ttl = 64;
  bool dont_fragment = true;
  std::uint16_t identification = 0;
  std::uint32_t sequence = 1, acknowledgment = 7;
  std::uint8_t flags = 0x10;  // ACK
  std::uint16_t window = 500;
  Bytes options{};  // TCP, whole words
  Bytes payload{};

  [[nodiscard]] std::size_t header_size() const {
    return (source.is_v4() ? 20U : 40U) + (protocol == IpProtocol::kTcp ? 20U + options.size() : 8U);
  }
};

// RFC 791 3.1, RFC 8200 3; RFC 9293 3.1, RFC 768. The transport checksum is whole.
inline Bytes packet_of(const FlowPacket& flow) {
  const bool v4 = flow.source.is_v4();
  const std::size_t upper = v4 ? 20 : 40;
  Bytes out(flow.header_size());
  append(out, flow.payload);
  const auto size = static_cast<std::uint16_t>(out.size());
  const auto length = static_cast<std::uint16_t>(size - upper);
  if (v4) {
    out[0] = 0x45;
    out[1] = flow.tos;
    store_u16(out, 2, size);
    store_u16(out, 4, flow.identification);
    out[6] = flow.dont_fragment ? 0x40 : 0;
    out[8] = flow.ttl;
    out[9] = static_cast<std::uint8_t>(flow.protocol);
    std::copy_n(flow.source.bytes().begin(), 4, &out[12]);
    std::copy_n(flow.destination.bytes().begin(), 4, &out[16]);
    store_u16(out, 10, internet_checksum(ByteView(out).first(20)));
  } else {
    store_u32(out, 0, 6U << 28U | static_cast<std::uint32_t>(flow.tos) << 20U | 0x12345U);
    store_u16(out, 4, length);
    out[6] = static_cast<std::uint8_t>(flow.protocol);
    out[7] = flow.ttl;
    std::copy_n(flow.source.bytes().begin(), 16, &out[8]);
    std::copy_n(flow.destination.bytes().begin(), 16, &out[24]);
  }
  store_u16(out, upper, flow.source_port);
  store_u16(out, upper + 2, flow.destination_port);
  std::size_t checksum = upper + 6;
  if (flow.protocol == IpProtocol::kTcp) {
    checksum = upper + 16;
    store_u32(out, upper + 4, flow.sequence);
    store_u32(out, upper + 8, flow.acknowledgment);
    out[upper + 12] = static_cast<std::uint8_t>((20 + flow.options.size()) / 4 << 4U);
    out[upper + 13] = flow.flags;
    store_u16(out, upper + 14, flow.window);
    std::copy(flow.options.begin(), flow.options.end(),
              out.begin() + static_cast<std::ptrdiff_t>(upper) + 20);
  } else {
    store_u16(out, upper + 4, length);
  }
  const std::uint16_t sum =
      transport_checksum(flow.source, flow.destination, flow.protocol, ByteView(out).subspan(upper));
  store_u16(out, checksum, sum == 0 && flow.protocol == IpProtocol::kUdp ? std::uint16_t{0xffff} : sum);
  return out;
}

// The packets that a super-packet of this flow stands for.
inline std::vector<Bytes> segments_of(const FlowPacket& whole, std::size_t segment_size) {
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < std::max<std::size_t>(whole.payload.size(), 1); at += segment_size) {
    const std::size_t size = std::min(segment_size, whole.payload.size() - at);
    FlowPacket one = whole;
    one.payload.assign(whole.payload.begin() + static_cast<std::ptrdiff_t>(at),
                       whole.payload.begin() + static_cast<std::ptrdiff_t>(at + size));
    one.identification = static_cast<std::uint16_t>(whole.identification + at / segment_size);
    one.sequence = whole.sequence + static_cast<std::uint32_t>(at);
    if (at != 0) one.flags = one.flags & 0x7f;                            // CWR on the first (RFC 3168 6.1.2)
    if (at + size != whole.payload.size()) one.flags = one.flags & 0xf6;  // PSH and FIN on the last
    out.push_back(packet_of(one));
  }
  return out;
}

// As the kernel hands a super-packet over: with the pseudo header's sum where the checksum will stand.
inline Bytes super_packet_of(const FlowPacket& whole) {
  Bytes out = packet_of(whole);
  const std::size_t upper = whole.source.is_v4() ? 20 : 40;
  const std::size_t field = upper + (whole.protocol == IpProtocol::kTcp ? 16 : 6);
  const std::uint16_t pseudo = pseudo_header_sum(whole.source, whole.destination, whole.protocol,
                                                 static_cast<std::uint32_t>(out.size() - upper))
                                   .checksum();
  store_u16(out, field, static_cast<std::uint16_t>(~pseudo));
  return out;
}

}  // namespace merlon::wire::test
