#include "wire/ip/checksum.h"

#include "wire/ip/byte_order.h"

namespace merlon::wire {
namespace {

std::uint16_t fold(std::uint64_t sum) {
  while (sum > 0xffffU) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

ChecksumSum& ChecksumSum::add(ByteView bytes) {
  // 32 bits at a time: a 64-bit sum of them cannot overflow for anything that fits a packet, and folds to the
  // same (RFC 1071 2, "parallel summation").
  while (bytes.size() >= 4) {
    sum_ += load_u32(bytes, 0);
    bytes = bytes.subspan(4);
  }
  if (bytes.size() >= 2) {
    sum_ += load_u16(bytes, 0);
    bytes = bytes.subspan(2);
  }
  if (!bytes.empty()) sum_ += static_cast<std::uint64_t>(bytes[0]) << 8U;
  return *this;
}

std::uint16_t ChecksumSum::checksum() const {
  return static_cast<std::uint16_t>(~fold(sum_));
}

std::uint16_t internet_checksum(ByteView bytes) {
  return ChecksumSum().add(bytes).checksum();
}

std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
  // RFC 1624 3, equation 3: HC' = ~(~HC + ~m + m')
  const std::uint64_t sum = static_cast<std::uint64_t>(static_cast<std::uint16_t>(~checksum)) +
                            static_cast<std::uint16_t>(~old_word) + new_word;
  return static_cast<std::uint16_t>(~fold(sum));
}

ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                              std::uint32_t length) {
  return ChecksumSum()
      .add(source.bytes())
      .add(destination.bytes())
      .add_u32(length)
      .add_u16(static_cast<std::uint16_t>(protocol));
}

std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                                 ByteView segment) {
  return pseudo_header_sum(source, destination, protocol, static_cast<std::uint32_t>(segment.size()))
      .add(segment)
      .checksum();
}

}  // namespace merlon::wire
