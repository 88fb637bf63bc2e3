#include "wire/ip/udp.h"

#include <algorithm>

#include "base/check.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"

namespace merlon::wire {

PacketResult<UdpHeader> parse_udp(ByteView datagram) {
  if (datagram.size() < kUdpHeaderSize) return tl::unexpected(PacketError::kTruncated);
  const UdpHeader header{.source_port = load_u16(datagram, 0),
                         .destination_port = load_u16(datagram, 2),
                         .length = load_u16(datagram, 4),
                         .checksum = load_u16(datagram, 6)};
  if (header.length < kUdpHeaderSize || header.length > datagram.size())
    return tl::unexpected(PacketError::kBadLength);
  return header;
}

void write_udp(MutableByteView out, const UdpHeader& header) {
  MERLON_ASSERT(out.size() >= kUdpHeaderSize);
  store_u16(out, 0, header.source_port);
  store_u16(out, 2, header.destination_port);
  store_u16(out, 4, header.length);
  store_u16(out, 6, header.checksum);
}

std::uint16_t udp_checksum(const IpAddress& source, const IpAddress& destination, ByteView datagram) {
  const std::uint16_t checksum = transport_checksum(source, destination, IpProtocol::kUdp, datagram);
  // RFC 768: 0 on the wire says that there is none
  return checksum == 0 ? 0xffff : checksum;
}

Bytes build_udp_packet(const Endpoint& source, const Endpoint& destination, ByteView payload) {
  MERLON_ASSERT(payload.size() <= kUdpMaxPayload && source.address.family() == destination.address.family());
  const bool v4 = source.address.is_v4();
  const std::size_t ip_size = v4 ? kIpv4HeaderSize : kIpv6HeaderSize;
  const auto udp_length = static_cast<std::uint16_t>(kUdpHeaderSize + payload.size());
  Bytes packet(ip_size + udp_length);
  const MutableByteView out(packet);
  if (v4) {
    Ipv4Header header;
    header.total_length = static_cast<std::uint16_t>(packet.size());
    header.source = source.address;
    header.destination = destination.address;
    write_ipv4(out, header);
  } else {
    Ipv6Header header;
    header.payload_length = udp_length;
    header.next_header = IpProtocol::kUdp;
    header.source = source.address;
    header.destination = destination.address;
    write_ipv6(out, header);
  }
  const MutableByteView datagram = out.subspan(ip_size);
  UdpHeader header{
      .source_port = source.port, .destination_port = destination.port, .length = udp_length, .checksum = 0};
  write_udp(datagram, header);
  std::ranges::copy(payload, datagram.subspan(kUdpHeaderSize).begin());
  header.checksum = udp_checksum(source.address, destination.address, datagram);
  write_udp(datagram, header);
  return packet;
}

}  // namespace merlon::wire
