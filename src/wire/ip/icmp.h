// ICMP and ICMPv6 errors about packet size: those we send into the inner network, and those that routers
// outside send about our packets (RFC 792, RFC 1191, RFC 4443, RFC 8201).
#pragma once

#include <optional>

#include "base/ids.h"
#include "wire/ip/packet_view.h"

namespace merlon::wire {

inline constexpr std::uint8_t kIcmpDestinationUnreachable = 3;
inline constexpr std::uint8_t kIcmpFragmentationNeeded = 4;  // code of the above
inline constexpr std::uint8_t kIcmpv6DestinationUnreachable = 1;
inline constexpr std::uint8_t kIcmpv6PacketTooBig = 2;

// A whole packet from `from` (of the packet's family) to the offending packet's source that says it was
// larger than `mtu` bytes: ICMPv4 "fragmentation needed and DF set" (RFC 1191 4) or ICMPv6 Packet Too Big
// (RFC 4443 3.2). Quotes as much as the limits of 576 bytes (RFC 1812 4.3.2.3) and 1,280 bytes (RFC 4443 3.2)
// let it. Nothing where no error may be sent (RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443 2.4): about ICMP
// errors, non-first fragments, to sources that are not one host, about IPv4 multicast or broadcast; and about
// what does not parse.
[[nodiscard]] std::optional<Bytes> build_packet_too_big(ByteView offending, const IpAddress& from,
                                                        std::uint32_t mtu);

// What an ICMP error says about one of our outer packets. Everything in it is unauthenticated (RFC
// 4301 8.2.1).
struct IcmpError {
  IpFamily family = IpFamily::kIpv4;  // of the ICMP message and so of the quoted packet
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  bool is_packet_too_big = false;
  std::uint32_t mtu = 0;  // with is_packet_too_big; 0 where an old router does not say (RFC 1191 3)

  // The packet that is quoted.
  IpAddress source;
  IpAddress destination;
  IpProtocol protocol = IpProtocol::kUdp;
  std::size_t quoted_total_length = 0;  // of the offending packet as its header says it
  std::optional<Spi> spi;         // ESP and AH; ESP in UDP where the quote is long enough, port 4500, not IKE
  std::uint16_t source_port = 0;  // UDP
  std::uint16_t destination_port = 0;  // UDP
};

// A whole IP packet that carries an ICMP error (type 3, 11, 12; ICMPv6 types below 128); nothing where it is
// something else, does not parse, or has a wrong checksum.
[[nodiscard]] std::optional<IcmpError> parse_icmp_error(ByteView ip_packet);

// The same for an ICMP message without its IP header, as ICMPv6 raw sockets deliver it; the checksum is not
// looked at, the kernel did.
[[nodiscard]] std::optional<IcmpError> parse_icmp_error_message(IpFamily family, ByteView icmp);

}  // namespace merlon::wire
