#include "wire/udp_encap.h"

#include <algorithm>

#include "wire/esp.h"

namespace merlon::wire {

UdpEncapDatagram classify_udp_encap(ByteView datagram) {
  // RFC 3948 2.3
  if (std::ranges::equal(datagram, kNatKeepalive))
    return {.kind = UdpEncapKind::kKeepalive, .payload = datagram};
  // RFC 3948 2.2: an ESP packet's SPI is never zero, so four zero bytes announce IKE
  if (datagram.size() > kNonEspMarker.size() &&
      std::ranges::equal(datagram.first(kNonEspMarker.size()), kNonEspMarker))
    return {.kind = UdpEncapKind::kIke, .payload = datagram.subspan(kNonEspMarker.size())};
  const auto header = parse_esp_header(datagram);
  if (!header || header->spi.value == 0) return {.kind = UdpEncapKind::kInvalid, .payload = datagram};
  return {.kind = UdpEncapKind::kEsp, .payload = datagram};
}

Bytes with_non_esp_marker(ByteView message) {
  return concat(kNonEspMarker, message);
}

}  // namespace merlon::wire
