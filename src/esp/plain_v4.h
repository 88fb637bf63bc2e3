// Most packets: IPv4 without options and fragments, with TCP, UDP or ICMP inside. What the engine asks them for, in registers: a
// wire::PacketView would be ninety bytes of stores for each packet, of which hardly any are read.
#pragma once

#include <cstdint>

#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/packet_view.h"

namespace merlon::esp {

struct PlainV4 {
  std::uint64_t addresses = 0;       // source << 32 | destination
  std::uint32_t upper_selector = 0;  // source port << 16 | destination port, or ICMP's type << 8 | code
  std::uint32_t total_length = 0;    // bytes; what was read may be longer
  wire::UpperFields upper = wire::UpperFields::kNone;
  IpProtocol protocol = IpProtocol::kNoNext;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  bool is_syn = false;  // TCP's flag: only such a packet says a maximum segment size

  // As wire::parse_packet() would. False, and then nothing is said, for all other packets, malformed ones among them.
  [[nodiscard]] bool read(ByteView packet);
};

inline bool PlainV4::read(ByteView packet) {
  // The first eight bytes of an upper-layer header hold its ports or its type.
  constexpr std::size_t kUpper = wire::kIpv4HeaderSize, kLeast = kUpper + 8, kTcpFlags = kUpper + 13;
  constexpr std::uint8_t kSyn = 0x02;
  if (packet.size() < kLeast || packet[0] != 0x45) return false;
  total_length = wire::load_u16(packet, 2);
  const std::uint16_t fragment = wire::load_u16(packet, 6);
  // Neither "more fragments" nor an offset.
  if (total_length > packet.size() || total_length < kLeast || (fragment & 0x3fffU) != 0) return false;
  tos = packet[1];
  protocol = IpProtocol{packet[9]};
  dont_fragment = (fragment & 0x4000U) != 0;
  addresses = std::uint64_t{wire::load_u32(packet, 12)} << 32U | wire::load_u32(packet, 16);
  upper_selector = wire::load_u32(packet, kUpper);
  upper = wire::UpperFields::kPorts;
  is_syn = false;
  if (protocol == IpProtocol::kTcp) {
    is_syn = total_length > kTcpFlags && (packet[kTcpFlags] & kSyn) != 0;
  } else if (protocol == IpProtocol::kIcmp) {
    upper = wire::UpperFields::kIcmp;
    upper_selector >>= 16U;
  } else if (protocol != IpProtocol::kUdp) {
    return false;
  }
  return true;
}

}  // namespace merlon::esp
