// The internet checksum (RFC 1071), its incremental update (RFC 1624), and the pseudo headers of TCP, UDP and
// ICMPv6 (RFC 793 3.1, RFC 768, RFC 8200 8.1).
#pragma once

#include "base/iana.h"
#include "base/ip_address.h"

namespace merlon::wire {

// A running one's complement sum of 16-bit words. Every piece but the last must have an even length.
class ChecksumSum {
 public:
  ChecksumSum& add(ByteView bytes);
  ChecksumSum& add(const ChecksumSum& piece) {
    sum_ += piece.sum_;
    return *this;
  }
  // add(from), and copies it to the start of `to` in the same pass. The two may overlap where `to` starts
  // first.
  ChecksumSum& add_copying(MutableByteView to, ByteView from);
  ChecksumSum& add_u16(std::uint16_t value) {
    sum_ += value;
    return *this;
  }
  ChecksumSum& add_u32(std::uint32_t value) {
    sum_ += (value >> 16U) + (value & 0xffffU);
    return *this;
  }
  // Takes a word out again.
  ChecksumSum& subtract_u16(std::uint16_t value) { return add_u16(static_cast<std::uint16_t>(~value)); }
  // The checksum field's value: the complement of the folded sum.
  [[nodiscard]] std::uint16_t checksum() const;

 private:
  std::uint64_t sum_ = 0;  // of words in network order
};

// Over `bytes` whose checksum field is zero: the field's value. Over bytes with the right checksum in them:
// 0.
[[nodiscard]] std::uint16_t internet_checksum(ByteView bytes);

// RFC 1624 equation 3: the checksum after one aligned 16-bit word of what it covers changed.
[[nodiscard]] std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t old_word,
                                             std::uint16_t new_word);

// The pseudo header's sum; `length` is that of the upper-layer header and data in bytes.
[[nodiscard]] ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination,
                                            IpProtocol protocol, std::uint32_t length);

// Over a TCP segment, UDP datagram or ICMPv6 message whose checksum field is zero: the field's value (for UDP
// the caller turns 0 into 0xffff). With the right checksum in it: 0.
[[nodiscard]] std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination,
                                               IpProtocol protocol, ByteView segment);

}  // namespace merlon::wire
