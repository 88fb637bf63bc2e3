//            IP header   TCP/UDP header   payload
//   super   [   IP     ][     L4       ][ s bytes ][ s bytes ][ s bytes ][ rest ]
//                |             |             |          `---------------------.
//   cut(0)  [  IP'0    ][     L4'0     ][ s bytes ]                           |
//   cut(1)  [  IP'1    ][     L4'1     ][ s bytes ]  <------------------------'
//            copied and patched          copied and summed in one pass
#include "wire/ip/segment.h"

#include <algorithm>

#include "base/check.h"
#include "wire/ip/byte_order.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::wire {
namespace {

// RFC 791 3.1
constexpr std::size_t kTotalLength = 2, kIdentification = 4, kIpv4Checksum = 10;
constexpr std::size_t kPayloadLength = 4;  // RFC 8200 3
// RFC 9293 3.1
constexpr std::size_t kTcpHeaderSize = 20, kSequence = 4, kFlagsWord = 12;
constexpr std::uint16_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;
constexpr std::size_t kUdpLength = 4;  // RFC 768

// The bytes without the given 16-bit fields.
ChecksumSum sum_without(ByteView bytes, std::initializer_list<std::size_t> fields) {
  ChecksumSum sum;
  sum.add(bytes);
  for (const std::size_t field : fields) sum.subtract_u16(load_u16(bytes, field));
  return sum;
}

std::uint16_t never_zero(std::uint16_t checksum) {
  return checksum == 0 ? std::uint16_t{0xffff} : checksum;
}

}  // namespace

bool finish_checksum(MutableByteView packet, std::size_t checksum_start, std::size_t checksum_offset) {
  if (checksum_start > packet.size() || packet.size() - checksum_start < checksum_offset + 2) return false;
  const MutableByteView covered = packet.subspan(checksum_start);
  store_u16(covered, checksum_offset, never_zero(internet_checksum(covered)));
  return true;
}

PacketResult<SegmentCutter> SegmentCutter::make(ByteView super, const PacketView& view,
                                                std::size_t segment_size) {
  const bool is_tcp = view.protocol == IpProtocol::kTcp;
  if (!is_tcp && view.protocol != IpProtocol::kUdp) return tl::unexpected(PacketError::kBadVersion);
  if (view.is_fragment) return tl::unexpected(PacketError::kBadFragment);
  if (segment_size == 0 || view.total_length > super.size() || view.upper != UpperFields::kPorts)
    return tl::unexpected(PacketError::kBadLength);
  const ByteView upper = super.first(view.total_length).subspan(view.upper_offset);
  if (upper.size() < (is_tcp ? kTcpHeaderSize : kUdpHeaderSize))
    return tl::unexpected(PacketError::kBadLength);
  const std::size_t upper_header = is_tcp ? (upper[kFlagsWord] >> 4U) * std::size_t{4} : kUdpHeaderSize;
  if (upper_header < (is_tcp ? kTcpHeaderSize : kUdpHeaderSize) || upper_header > upper.size())
    return tl::unexpected(PacketError::kBadLength);

  SegmentCutter cutter;
  cutter.super_ = super.first(view.total_length);
  cutter.segment_size_ = segment_size;
  cutter.upper_ = view.upper_offset;
  cutter.header_size_ = view.upper_offset + upper_header;
  cutter.payload_size_ = view.total_length - cutter.header_size_;
  cutter.count_ = std::max<std::size_t>((cutter.payload_size_ + segment_size - 1) / segment_size, 1);
  cutter.is_v4_ = view.family == IpFamily::kIpv4;
  cutter.is_tcp_ = is_tcp;
  if (cutter.is_v4_)
    cutter.ip_sum_ =
        sum_without(super.first(view.header_length), {kTotalLength, kIdentification, kIpv4Checksum});
  cutter.header_sum_ = pseudo_header_sum(view.source, view.destination, view.protocol, 0);
  const ByteView header = upper.first(upper_header);
  cutter.header_sum_.add(is_tcp
                             ? sum_without(header, {kSequence, kSequence + 2, kFlagsWord, kTcpChecksumOffset})
                             : sum_without(header, {kUdpLength, kUdpChecksumOffset}));
  return cutter;
}

void SegmentCutter::keep_zero_udp_checksum() {
  without_checksum_ = !is_tcp_ && load_u16(super_, upper_ + kUdpChecksumOffset) == 0;
}

std::size_t SegmentCutter::size_of(std::size_t index) const {
  return header_size_ + std::min(segment_size_, payload_size_ - index * segment_size_);
}

void SegmentCutter::write_ip(std::size_t index, MutableByteView out) const {
  if (!is_v4_) {
    store_u16(out, kPayloadLength, static_cast<std::uint16_t>(out.size() - kIpv6HeaderSize));
    return;
  }
  const auto total_length = static_cast<std::uint16_t>(out.size());
  const auto identification = static_cast<std::uint16_t>(load_u16(super_, kIdentification) + index);
  store_u16(out, kTotalLength, total_length);
  store_u16(out, kIdentification, identification);
  store_u16(out, kIpv4Checksum,
            ChecksumSum(ip_sum_).add_u16(total_length).add_u16(identification).checksum());
}

void SegmentCutter::cut(std::size_t index, MutableByteView out) const {
  MERLON_ASSERT(index < count_ && out.size() == size_of(index));
  std::copy_n(super_.begin(), header_size_, out.begin());
  write_ip(index, out);
  const MutableByteView upper = out.subspan(upper_);
  ChecksumSum sum = header_sum_;
  sum.add_u16(static_cast<std::uint16_t>(upper.size()));  // the pseudo header's
  if (is_tcp_) {
    const std::uint32_t sequence =
        load_u32(upper, kSequence) + static_cast<std::uint32_t>(index * segment_size_);
    std::uint16_t flags = load_u16(upper, kFlagsWord);
    if (index != 0) flags = static_cast<std::uint16_t>(flags & ~kCwr);
    if (index + 1 != count_) flags = static_cast<std::uint16_t>(flags & ~(kFin | kPsh));
    store_u32(upper, kSequence, sequence);
    store_u16(upper, kFlagsWord, flags);
    sum.add_u32(sequence).add_u16(flags);
  } else {
    const auto length = static_cast<std::uint16_t>(upper.size());
    store_u16(upper, kUdpLength, length);
    sum.add_u16(length);
  }
  const std::size_t size = out.size() - header_size_;
  sum.add_copying(out.subspan(header_size_), super_.subspan(header_size_ + index * segment_size_, size));
  const std::size_t field = is_tcp_ ? kTcpChecksumOffset : kUdpChecksumOffset;
  const std::uint16_t checksum = sum.checksum();
  store_u16(upper, field, without_checksum_ ? std::uint16_t{0} : is_tcp_ ? checksum : never_zero(checksum));
}

void write_super_headers(MutableByteView packet, const PacketView& view) {
  MERLON_ASSERT(packet.size() <= 65535 + kIpv6HeaderSize);
  const MutableByteView upper = packet.subspan(view.upper_offset);
  if (view.family == IpFamily::kIpv4) {
    store_u16(packet, kTotalLength, static_cast<std::uint16_t>(packet.size()));
    store_u16(packet, kIpv4Checksum, 0);
    store_u16(packet, kIpv4Checksum, internet_checksum(packet.first(view.header_length)));
  } else {
    store_u16(packet, kPayloadLength, static_cast<std::uint16_t>(packet.size() - kIpv6HeaderSize));
  }
  const bool is_tcp = view.protocol == IpProtocol::kTcp;
  if (!is_tcp) store_u16(upper, kUdpLength, static_cast<std::uint16_t>(upper.size()));
  const ChecksumSum pseudo = pseudo_header_sum(view.source, view.destination, view.protocol,
                                               static_cast<std::uint32_t>(upper.size()));
  store_u16(upper, is_tcp ? kTcpChecksumOffset : kUdpChecksumOffset,
            static_cast<std::uint16_t>(~pseudo.checksum()));
}

bool are_checksums_right(ByteView packet, const PacketView& view) {
  if (view.family == IpFamily::kIpv4 && internet_checksum(packet.first(view.header_length)) != 0)
    return false;
  const ByteView upper = packet.first(view.total_length).subspan(view.upper_offset);
  if (view.protocol == IpProtocol::kUdp) {
    // RFC 768: the length field says what the checksum covers; another than the packet's is odd.
    if (upper.size() < kUdpHeaderSize || load_u16(upper, kUdpLength) != upper.size() ||
        load_u16(upper, kUdpChecksumOffset) == 0)
      return false;
  }
  return transport_checksum(view.source, view.destination, view.protocol, upper) == 0;
}

}  // namespace merlon::wire
