#include "wire/ip/fragment.h"

#include <algorithm>

#include "wire/ip/byte_order.h"
#include "wire/ip/checksum.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"

namespace merlon::wire {
namespace {

constexpr std::size_t kFragmentUnit = 8;
constexpr std::uint8_t kOptionCopied = 0x80;
constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNoOperation = 1;

// RFC 791 3.1: options whose "copied" bit is set go into every fragment, padded to 4 bytes. Malformed ones
// end the list.
Bytes copied_options(ByteView options) {
  Bytes copied;
  while (!options.empty() && options[0] != kOptionEnd) {
    std::size_t length = 1;
    if (options[0] != kOptionNoOperation) {
      if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) break;
      length = options[1];
      if ((options[0] & kOptionCopied) != 0) append(copied, options.first(length));
    }
    options = options.subspan(length);
  }
  copied.resize((copied.size() + 3) / 4 * 4, kOptionEnd);
  return copied;
}

// The header of one fragment, options included, with its checksum.
Bytes fragment_header_v4(const Ipv4Header& base, ByteView options, std::size_t data_size) {
  Ipv4Header header = base;
  header.total_length = static_cast<std::uint16_t>(kIpv4HeaderSize + options.size() + data_size);
  Bytes bytes(kIpv4HeaderSize);
  write_ipv4(bytes, header);
  append(bytes, options);
  bytes[0] = static_cast<std::uint8_t>(0x40U | bytes.size() / 4);
  store_u16(bytes, 10, 0);
  store_u16(bytes, 10, internet_checksum(bytes));
  return bytes;
}

std::size_t data_per_fragment(std::size_t mtu, std::size_t header_size) {
  return mtu < header_size ? 0 : (mtu - header_size) / kFragmentUnit * kFragmentUnit;
}

tl::unexpected<Error> mtu_too_small(std::size_t mtu) {
  return fail(ErrorCode::kInvalidArgument, "an MTU of {} bytes leaves no room for a fragment's data", mtu);
}

}  // namespace

Result<std::vector<Bytes>> fragment_ipv4(ByteView packet, std::size_t mtu) {
  const auto parsed = parse_ipv4(packet);
  if (!parsed)
    return fail(ErrorCode::kInvalidArgument, "no IPv4 packet to fragment: {}", name(parsed.error()));
  packet = packet.first(parsed->total_length);
  if (packet.size() <= mtu) return std::vector<Bytes>{to_bytes(packet)};
  const ByteView options = packet.first(parsed->header_length).subspan(kIpv4HeaderSize);
  const Bytes later_options = copied_options(options);
  ByteView data = packet.subspan(parsed->header_length);
  if (data.empty()) return mtu_too_small(mtu);
  std::vector<Bytes> fragments;
  Ipv4Header header = *parsed;
  header.dont_fragment = false;
  while (!data.empty()) {
    const ByteView own_options = fragments.empty() ? options : ByteView(later_options);
    const std::size_t room = data_per_fragment(mtu, kIpv4HeaderSize + own_options.size());
    if (room == 0) return mtu_too_small(mtu);
    const bool last = kIpv4HeaderSize + own_options.size() + data.size() <= mtu;
    const std::size_t size = last ? data.size() : room;
    header.more_fragments = !last || parsed->more_fragments;
    Bytes fragment = fragment_header_v4(header, own_options, size);
    append(fragment, data.first(size));
    fragments.push_back(std::move(fragment));
    header.fragment_offset = static_cast<std::uint16_t>(header.fragment_offset + size);
    data = data.subspan(size);
  }
  return fragments;
}

Result<std::vector<Bytes>> fragment_ipv6(ByteView packet, std::size_t mtu, std::uint32_t identification) {
  const auto header = parse_ipv6(packet);
  if (!header)
    return fail(ErrorCode::kInvalidArgument, "no IPv6 packet to fragment: {}", name(header.error()));
  packet = packet.first(header->total_length());
  if (packet.size() <= mtu) return std::vector<Bytes>{to_bytes(packet)};
  const auto upper = find_ipv6_upper(packet, *header);
  if (!upper) return fail(ErrorCode::kInvalidArgument, "no IPv6 packet to fragment: {}", name(upper.error()));
  if (upper->fragment) return fail(ErrorCode::kInvalidArgument, "the IPv6 packet is a fragment already");
  const std::size_t head_size = upper->unfragmentable_length;
  const std::size_t next_header_at = upper->unfragmentable_next_header_offset;
  const auto next_header = static_cast<IpProtocol>(packet[next_header_at]);
  const std::size_t room = data_per_fragment(mtu, head_size + kIpv6FragmentHeaderSize);
  if (room == 0) return mtu_too_small(mtu);
  // RFC 7112 5: the first fragment holds all the headers
  if (room < upper->offset - head_size) return mtu_too_small(mtu);
  ByteView data = packet.subspan(head_size);
  if (data.empty()) return mtu_too_small(mtu);
  std::vector<Bytes> fragments;
  std::size_t offset = 0;
  while (!data.empty()) {
    const bool last = head_size + kIpv6FragmentHeaderSize + data.size() <= mtu;
    const std::size_t size = last ? data.size() : room;
    Bytes fragment = to_bytes(packet.first(head_size));
    fragment[next_header_at] = static_cast<std::uint8_t>(IpProtocol::kFragment);
    fragment.resize(head_size + kIpv6FragmentHeaderSize);
    write_ipv6_fragment_header(MutableByteView(fragment).subspan(head_size),
                               {.next_header = next_header,
                                .fragment_offset = static_cast<std::uint16_t>(offset),
                                .more_fragments = !last,
                                .identification = identification});
    append(fragment, data.first(size));
    store_u16(fragment, 4, static_cast<std::uint16_t>(fragment.size() - kIpv6HeaderSize));
    fragments.push_back(std::move(fragment));
    offset += size;
    data = data.subspan(size);
  }
  return fragments;
}

}  // namespace merlon::wire
