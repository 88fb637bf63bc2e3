// Feeds the parsers that see packets from the networks on both sides: the packet view, ICMP errors in and
// out, the MSS clamp, fragmentation, super-packets and their vnet headers, ESP trailers, port 4500.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "io/vnet_header.h"
#include "packet/pool.h"
#include "wire/esp.h"
#include "wire/ip/fragment.h"
#include "wire/ip/icmp.h"
#include "wire/ip/packet_view.h"
#include "wire/ip/segment.h"
#include "wire/ip/tcp_mss.h"
#include "wire/udp_encap.h"

namespace {

using merlon::Bytes;
using merlon::ByteView;
namespace wire = merlon::wire;

void fuzz_icmp(ByteView packet, const wire::PacketView& view) {
  const auto from = view.family == merlon::IpFamily::kIpv4 ? merlon::IpAddress::v4(0x0a090909)
                                                           : merlon::IpAddress::last(merlon::IpFamily::kIpv6);
  const auto error = wire::build_packet_too_big(packet, from, 1300);
  if (!error) return;
  // RFC 1812 4.3.2.3, RFC 4443 3.2
  MERLON_ASSERT(error->size() <= (view.family == merlon::IpFamily::kIpv4 ? 576U : 1280U));
  // Extension headers may fill the quote, so that what comes behind them is not in it.
  if (view.family == merlon::IpFamily::kIpv6 && view.upper_offset > 1232) return;
  const auto read = wire::parse_icmp_error(*error);
  MERLON_ASSERT(read.has_value() && read->is_packet_too_big && read->mtu == 1300);
  MERLON_ASSERT(read->source == view.source && read->quoted_total_length == view.total_length);
}

void fuzz_fragments(ByteView packet, const wire::PacketView& view, std::size_t mtu) {
  const auto fragments = view.family == merlon::IpFamily::kIpv4 ? wire::fragment_ipv4(packet, mtu)
                                                                : wire::fragment_ipv6(packet, mtu, 7);
  if (!fragments) return;
  MERLON_ASSERT(!fragments->empty());
  for (const auto& fragment : *fragments) {
    MERLON_ASSERT(fragment.size() <= mtu);
    MERLON_ASSERT(wire::parse_packet(fragment).has_value());
  }
}

void fuzz_packet(ByteView packet, std::size_t mtu) {
  const auto view = wire::parse_packet(packet);
  if (!view) return;
  MERLON_ASSERT(view->total_length <= packet.size());
  MERLON_ASSERT(view->upper_offset <= view->total_length);
  MERLON_ASSERT(!wire::describe(*view).empty());
  fuzz_icmp(packet, *view);
  fuzz_fragments(packet, *view, mtu);
  Bytes clamped = merlon::to_bytes(packet);
  if (wire::clamp_tcp_mss(clamped, *view, 536)) {
    MERLON_ASSERT(wire::parse_packet(clamped) == view);
    MERLON_ASSERT(!wire::clamp_tcp_mss(clamped, *view, 536));
  }
}

// A packet as TUN gives it: a vnet header, then the bytes. The kernel writes it, for anybody's packet.
void fuzz_vnet(ByteView input) {
  if (input.size() < merlon::io::kVnetHeaderSize) return;
  merlon::io::VnetHeader header;
  std::copy_n(input.begin(), header.size(), header.begin());
  merlon::packet::PacketPool pool(1, 4096);
  const auto packet = pool.copy_of(input.subspan(header.size()));
  if (!packet || !merlon::io::take_vnet_header(header, *packet)) return;
  const auto view = wire::parse_packet(packet->bytes());
  if (!view) return;
  static_cast<void>(merlon::io::vnet_header_of(*packet));
  if (packet->meta.segment_size == 0) {
    if (packet->meta.checksum_start == 0) return;
    MERLON_ASSERT(
        wire::finish_checksum(packet->bytes(), packet->meta.checksum_start, packet->meta.checksum_offset));
    return;
  }
  const auto whole = packet->bytes().first(view->total_length);
  const auto cutter = wire::SegmentCutter::make(whole, *view, packet->meta.segment_size);
  if (!cutter) return;
  std::size_t payload = 0;
  const auto upper_header = [](const wire::PacketView& one, ByteView bytes) {
    return one.protocol == merlon::IpProtocol::kTcp ? std::size_t{4} * (bytes[one.upper_offset + 12] >> 4U)
                                                    : std::size_t{8};
  };
  for (std::size_t i = 0; i < cutter->count(); ++i) {
    Bytes segment(cutter->size_of(i));
    MERLON_ASSERT(segment.size() <= cutter->largest());
    cutter->cut(i, segment);
    const auto one = wire::parse_packet(segment);
    MERLON_ASSERT(one && one->total_length == segment.size() && one->source == view->source);
    payload += segment.size() - one->upper_offset - upper_header(*one, segment);
  }
  MERLON_ASSERT(payload == whole.size() - view->upper_offset - upper_header(*view, whole));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  if (input.size() < 2) return 0;
  const ByteView packet = input.subspan(1);
  fuzz_packet(packet, std::size_t{input[0]} * 6);
  fuzz_vnet(packet);
  static_cast<void>(wire::parse_icmp_error(packet));
  static_cast<void>(wire::parse_icmp_error_message(merlon::IpFamily::kIpv4, packet));
  static_cast<void>(wire::parse_icmp_error_message(merlon::IpFamily::kIpv6, packet));
  static_cast<void>(wire::parse_esp_trailer(packet));
  static_cast<void>(wire::classify_udp_encap(packet));
  return 0;
}
