// How the ladder shows a datagram.
#include <fmt/format.h>

#include "base/reader.h"
#include "sim/network.h"
#include "wire/esp.h"
#include "wire/ike/header.h"
#include "wire/ike/sk.h"
#include "wire/udp_encap.h"

namespace merlon::sim {
namespace {

std::string_view brief_name(wire::ExchangeType type) {
  switch (type) {
    case wire::ExchangeType::kIkeSaInit:
      return "INIT";
    case wire::ExchangeType::kIkeAuth:
      return "AUTH";
    case wire::ExchangeType::kCreateChildSa:
      return "CHILD";
    case wire::ExchangeType::kInformational:
      return "INFO";
    default:
      return "IKE";
  }
}

// RFC 7383 2.5: of a message in fragments, which one of how many.
std::string fragment_text(const wire::IkeHeader& header, ByteView message) {
  if (header.next_payload != wire::PayloadType::kSkf) return {};
  ByteReader reader(message);
  static_cast<void>(reader.take(wire::kIkeHeaderSize + wire::kGenericHeaderSize));
  const auto number = reader.u16(), total = reader.u16();
  return number && total ? fmt::format(", fragment {} of {}", *number, *total) : std::string();
}

}  // namespace

Sight sight_of(const WireDatagram& datagram) {
  Sight made;
  made.digest = digest_of(datagram.payload);
  if (const ByteView esp = esp_packet_of(datagram); !esp.empty()) {
    const auto header = wire::parse_esp_header(esp);
    made.label = made.brief = "ESP";
    made.esp = header.has_value();
    made.about = header ? fmt::format("SPI {}", header->spi) : fmt::format("a runt of {} bytes", esp.size());
    made.sequence = header ? header->sequence : 0;
    return made;
  }
  const ByteView message = ike_message_of(datagram);
  const auto header = wire::IkeHeader::parse(message);
  if (message.empty() || !header) {
    const bool keepalive = equal(datagram.payload, wire::kNatKeepalive);
    made.label = keepalive ? "NAT keepalive" : "no IKE message";
    made.brief = keepalive ? "alive" : "?";
    made.about = fmt::format("{} bytes", datagram.payload.size());
    return made;
  }
  const std::string_view who = header->flags.response ? "response" : "request";
  made.label = fmt::format("{} {} {}", wire::name(header->exchange_type), who, header->message_id.value);
  made.brief = fmt::format("{} {} {}", brief_name(header->exchange_type),
                           header->flags.response ? "resp" : "req", header->message_id.value);
  made.about = fmt::format("IKE SA {:08x}, {} bytes{}", header->initiator_spi.value >> 32U, message.size(),
                           fragment_text(*header, message));
  return made;
}

}  // namespace merlon::sim
