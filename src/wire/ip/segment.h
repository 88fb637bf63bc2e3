// Super-packets: one IP packet whose TCP or UDP payload stands for several segments, as the kernel hands them
// over (TSO, USO) and takes them. Here they are cut into the packets they stand for, and packets that were put
// together get the headers of a super-packet.
#pragma once

#include "wire/ip/checksum.h"
#include "wire/ip/packet_view.h"

namespace merlon::wire {

// Where the checksum field stands in the transport header.
inline constexpr std::size_t kTcpChecksumOffset = 16;
inline constexpr std::size_t kUdpChecksumOffset = 6;

// The kernel's pseudo header sum in the checksum field becomes the checksum of everything from
// `checksum_start` on (what a network card does for it). False where the places do not lie within the packet.
bool finish_checksum(MutableByteView packet, std::size_t checksum_start, std::size_t checksum_offset);

// Cuts a super-packet. Made once for it; cut() then does one pass over each segment: copy and checksum.
class SegmentCutter {
 public:
  // `super`: the whole packet, of which `view` is parse_packet's; it is read by cut() and must stay. Errors:
  // kBadLength (headers cut short, no segment size), kBadFragment (a fragment), kBadVersion (neither TCP nor
  // UDP).
  [[nodiscard]] static PacketResult<SegmentCutter> make(ByteView super, const PacketView& view,
                                                        std::size_t segment_size);

  [[nodiscard]] std::size_t count() const { return count_; }        // at least 1
  [[nodiscard]] std::size_t largest() const { return size_of(0); }  // bytes of the largest packet
  // Bytes of the IP packet that the segment becomes.
  [[nodiscard]] std::size_t size_of(std::size_t index) const;

  // Writes segment `index` as a whole IP packet into `out`, which has size_of(index) bytes. As the kernel would
  // cut it: IPv4 identification counts up, TCP sequence numbers go on, CWR stays on the first segment, FIN and
  // PSH on the last; lengths and checksums are those of the segment (RFC 791, RFC 9293 3.1, RFC 768, RFC 3168
  // 6.1.2). A UDP checksum of zero (none) stays zero where `keep_zero_udp_checksum()` was called.
  void cut(std::size_t index, MutableByteView out) const;
  void keep_zero_udp_checksum();

 private:
  SegmentCutter() = default;
  void write_ip(std::size_t index, MutableByteView out) const;

  ByteView super_;
  std::size_t segment_size_ = 0, header_size_ = 0, upper_ = 0, payload_size_ = 0, count_ = 0;
  bool is_v4_ = true, is_tcp_ = true, without_checksum_ = false;
  ChecksumSum ip_sum_;      // IPv4 header without total length, identification and checksum
  ChecksumSum header_sum_;  // pseudo header and transport header without what differs between segments
};

// `packet` holds the headers of a first segment and, behind them, the payload of several. Writes the lengths of
// the whole into them, the IPv4 header's checksum, and the pseudo header's sum into the transport's checksum
// field. `view` is parse_packet's of the first segment; TCP and UDP, at most 65,535 bytes.
void write_super_headers(MutableByteView packet, const PacketView& view);

// Whether a whole, unfragmented TCP or UDP packet has right checksums: transport, and IPv4's header. A UDP
// checksum of zero is not right here.
[[nodiscard]] bool are_checksums_right(ByteView packet, const PacketView& view);

}  // namespace merlon::wire
