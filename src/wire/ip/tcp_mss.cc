#include "wire/ip/tcp_mss.h"

#include <algorithm>
#include <optional>

#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"

namespace merlon::wire {
namespace {

// RFC 9293 3.1, 3.2
constexpr std::size_t kTcpHeaderSize = 20;
constexpr std::size_t kDataOffset = 12;
constexpr std::size_t kFlags = 13;
constexpr std::size_t kChecksum = 16;
constexpr std::uint8_t kSynFlag = 0x02;
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kMaximumSegmentSize = 2;

// Where the MSS option's value stands in the TCP header; nothing where there is none, or the options are
// malformed.
std::optional<std::size_t> find_mss(ByteView header) {
  std::size_t at = kTcpHeaderSize;
  while (at < header.size()) {
    if (header[at] == kEndOfOptions) return std::nullopt;
    if (header[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 1 >= header.size()) return std::nullopt;
    const std::size_t length = header[at + 1];
    if (length < 2 || at + length > header.size()) return std::nullopt;
    if (header[at] == kMaximumSegmentSize) return length == 4 ? std::optional(at + 2) : std::nullopt;
    at += length;
  }
  return std::nullopt;
}

// Sums run over 16-bit words from the start of the TCP header; at an odd place, the two bytes belong to two
// words, and their sum is that of the bytes swapped (RFC 1071 2, "byte order independence").
std::uint16_t as_summed(std::uint16_t value, std::size_t offset) {
  return offset % 2 == 0 ? value : static_cast<std::uint16_t>(value << 8U | value >> 8U);
}

}  // namespace

std::uint16_t mss_for_mtu(IpFamily family, std::size_t inner_mtu) {
  const std::size_t headers =
      (family == IpFamily::kIpv4 ? kIpv4HeaderSize : kIpv6HeaderSize) + kTcpHeaderSize;
  if (inner_mtu <= headers) return 0;
  return static_cast<std::uint16_t>(std::min<std::size_t>(inner_mtu - headers, 65535));
}

bool clamp_tcp_mss(MutableByteView packet, const PacketView& view, std::uint16_t maximum) {
  if (view.protocol != IpProtocol::kTcp || view.upper != UpperFields::kPorts ||
      view.total_length > packet.size())
    return false;
  const MutableByteView segment = packet.first(view.total_length).subspan(view.upper_offset);
  if (segment.size() < kTcpHeaderSize || (segment[kFlags] & kSynFlag) == 0) return false;
  const std::size_t header_length = (segment[kDataOffset] >> 4U) * std::size_t{4};
  if (header_length < kTcpHeaderSize || header_length > segment.size()) return false;
  const auto place = find_mss(segment.first(header_length));
  if (!place) return false;
  const std::uint16_t announced = load_u16(segment, *place);
  if (announced <= maximum) return false;
  store_u16(segment, *place, maximum);
  store_u16(segment, kChecksum,
            updated_checksum(load_u16(segment, kChecksum), as_summed(announced, *place),
                             as_summed(maximum, *place)));
  return true;
}

}  // namespace merlon::wire
