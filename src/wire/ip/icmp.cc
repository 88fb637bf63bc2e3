#include "wire/ip/icmp.h"

#include <algorithm>

#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"
#include "wire/udp_encap.h"

namespace merlon::wire {
namespace {

constexpr std::size_t kIcmpHeaderSize = 8;
constexpr std::size_t kChecksum = 2;
constexpr std::size_t kIcmpv4MaxPacket = 576;  // RFC 1812 4.3.2.3

// RFC 792
constexpr std::uint8_t kSourceQuench = 4;
constexpr std::uint8_t kRedirect = 5;
constexpr std::uint8_t kTimeExceeded = 11;
constexpr std::uint8_t kParameterProblem = 12;
// RFC 4443 2.1: error messages have types below 128
constexpr std::uint8_t kFirstInformationalV6 = 128;
constexpr std::uint8_t kRedirectV6 = 137;

bool is_v4_error(std::uint8_t type) {
  return type == kIcmpDestinationUnreachable || type == kSourceQuench || type == kRedirect ||
         type == kTimeExceeded || type == kParameterProblem;
}

bool is_one_host(const IpAddress& address) {
  if (address.is_unspecified() || address.is_multicast()) return false;
  // 127.0.0.0/8 and 240.0.0.0/4, limited broadcast among them
  if (address.is_v4()) return address.bytes()[0] != 127 && address.bytes()[0] < 240;
  return true;
}

// RFC 1122 3.2.2, RFC 1812 4.3.2.7; RFC 4443 2.4 (e)
bool may_answer(const PacketView& packet) {
  if (!is_one_host(packet.source)) return false;
  if (packet.family == IpFamily::kIpv4) {
    if (packet.is_non_first_fragment()) return false;
    if (packet.destination.is_multicast() || packet.destination == IpAddress::last(IpFamily::kIpv4))
      return false;
    return packet.upper != UpperFields::kIcmp || !is_v4_error(packet.icmp_type);
  }
  return packet.upper != UpperFields::kIcmp ||
         (packet.icmp_type >= kFirstInformationalV6 && packet.icmp_type != kRedirectV6);
}

Bytes build_v4(ByteView quote, const IpAddress& from, const IpAddress& to, std::uint32_t mtu) {
  Bytes packet(kIpv4HeaderSize + kIcmpHeaderSize);
  append(packet, quote);
  Ipv4Header header;
  header.total_length = static_cast<std::uint16_t>(packet.size());
  header.protocol = IpProtocol::kIcmp;
  header.source = from;
  header.destination = to;
  write_ipv4(packet, header);
  const MutableByteView icmp = MutableByteView(packet).subspan(kIpv4HeaderSize);
  icmp[0] = kIcmpDestinationUnreachable;
  icmp[1] = kIcmpFragmentationNeeded;
  store_u16(icmp, 6, static_cast<std::uint16_t>(std::min<std::uint32_t>(mtu, 65535)));  // RFC 1191 4
  store_u16(icmp, kChecksum, internet_checksum(icmp));
  return packet;
}

Bytes build_v6(ByteView quote, const IpAddress& from, const IpAddress& to, std::uint32_t mtu) {
  Bytes packet(kIpv6HeaderSize + kIcmpHeaderSize);
  append(packet, quote);
  Ipv6Header header;
  header.payload_length = static_cast<std::uint16_t>(packet.size() - kIpv6HeaderSize);
  header.next_header = IpProtocol::kIpv6Icmp;
  header.source = from;
  header.destination = to;
  write_ipv6(packet, header);
  const MutableByteView icmp = MutableByteView(packet).subspan(kIpv6HeaderSize);
  icmp[0] = kIcmpv6PacketTooBig;
  store_u32(icmp, 4, mtu);  // RFC 4443 3.2
  store_u16(icmp, kChecksum, transport_checksum(from, to, IpProtocol::kIpv6Icmp, icmp));
  return packet;
}

// What of the quoted packet's upper layer is of use: an SPI, or ports.
void read_quoted_upper(ByteView upper, IcmpError& error) {
  switch (error.protocol) {
    case IpProtocol::kEsp:
      if (upper.size() >= 4) error.spi = Spi{load_u32(upper, 0)};
      return;
    case IpProtocol::kAh:
      if (upper.size() >= 8) error.spi = Spi{load_u32(upper, 4)};  // RFC 4302 2
      return;
    case IpProtocol::kUdp:
      break;
    default:
      return;
  }
  if (upper.size() < 4) return;
  error.source_port = load_u16(upper, 0);
  error.destination_port = load_u16(upper, 2);
  const bool is_encapsulated =
      error.source_port == kNatTraversalPort || error.destination_port == kNatTraversalPort;
  if (!is_encapsulated || upper.size() < kUdpHeaderSize + 4) return;
  // RFC 3948 2.1: four zero bytes are the non-ESP marker
  if (const std::uint32_t spi = load_u32(upper, kUdpHeaderSize); spi != 0) error.spi = Spi{spi};
}

bool read_quoted_v4(ByteView quote, IcmpError& error) {
  const auto header = parse_quoted_ipv4(quote);
  if (!header) return false;
  error.source = header->source;
  error.destination = header->destination;
  error.protocol = header->protocol;
  error.quoted_total_length = header->total_length;
  if (header->fragment_offset == 0) read_quoted_upper(quote.subspan(header->header_length), error);
  return true;
}

bool read_quoted_v6(ByteView quote, IcmpError& error) {
  const auto header = parse_quoted_ipv6(quote);
  if (!header) return false;
  const auto upper = find_ipv6_upper(quote, *header);
  if (!upper) return false;
  error.source = header->source;
  error.destination = header->destination;
  error.protocol = upper->protocol;
  error.quoted_total_length = header->total_length();
  const bool starts_here = !upper->fragment || upper->fragment->fragment_offset == 0;
  if (starts_here) read_quoted_upper(quote.subspan(upper->offset), error);
  return true;
}

}  // namespace

std::optional<Bytes> build_packet_too_big(ByteView offending, const IpAddress& from, std::uint32_t mtu) {
  const auto view = parse_packet(offending);
  if (!view || view->family != from.family() || !may_answer(*view)) return std::nullopt;
  const bool v4 = view->family == IpFamily::kIpv4;
  const std::size_t limit = v4 ? kIcmpv4MaxPacket - kIpv4HeaderSize - kIcmpHeaderSize
                               : kIpv6MinimumMtu - kIpv6HeaderSize - kIcmpHeaderSize;
  const ByteView quote = offending.first(std::min(view->total_length, limit));
  return v4 ? build_v4(quote, from, view->source, mtu) : build_v6(quote, from, view->source, mtu);
}

std::optional<IcmpError> parse_icmp_error_message(IpFamily family, ByteView icmp) {
  if (icmp.size() < kIcmpHeaderSize) return std::nullopt;
  IcmpError error;
  error.family = family;
  error.type = icmp[0];
  error.code = icmp[1];
  const ByteView quote = icmp.subspan(kIcmpHeaderSize);
  if (family == IpFamily::kIpv4) {
    if (error.type != kIcmpDestinationUnreachable && error.type != kTimeExceeded &&
        error.type != kParameterProblem)
      return std::nullopt;
    error.is_packet_too_big =
        error.type == kIcmpDestinationUnreachable && error.code == kIcmpFragmentationNeeded;
    if (error.is_packet_too_big) error.mtu = load_u16(icmp, 6);
    return read_quoted_v4(quote, error) ? std::optional(error) : std::nullopt;
  }
  if (error.type >= kFirstInformationalV6) return std::nullopt;
  error.is_packet_too_big = error.type == kIcmpv6PacketTooBig;
  if (error.is_packet_too_big) error.mtu = load_u32(icmp, 4);
  return read_quoted_v6(quote, error) ? std::optional(error) : std::nullopt;
}

std::optional<IcmpError> parse_icmp_error(ByteView ip_packet) {
  const auto view = parse_packet(ip_packet);
  if (!view || view->upper != UpperFields::kIcmp || view->is_fragment) return std::nullopt;
  const ByteView icmp = ip_packet.first(view->total_length).subspan(view->upper_offset);
  const std::uint16_t remainder =
      view->family == IpFamily::kIpv4
          ? internet_checksum(icmp)
          : transport_checksum(view->source, view->destination, view->protocol, icmp);
  if (remainder != 0) return std::nullopt;
  return parse_icmp_error_message(view->family, icmp);
}

}  // namespace merlon::wire
