#include "wire/ike/ts.h"

#include <fmt/format.h>

#include "base/reader.h"

namespace merlon::wire {
namespace {

constexpr std::size_t kSelectorHeaderSize = 4;

Result<TrafficSelector> parse_range(TsType type, std::uint8_t protocol, ByteView body) {
  const std::size_t address_size = type == TsType::kIpv4AddrRange ? 4 : 16;
  ByteReader reader(body);
  const auto start_port = reader.u16();
  const auto end_port = reader.u16();
  const auto start_bytes = reader.take(address_size);
  const auto end_bytes = reader.take(address_size);
  if (!start_port || !end_port || !start_bytes || !end_bytes) return truncated("a traffic selector");
  MERLON_TRY_VOID(reader.finish("a traffic selector"));
  MERLON_TRY(const IpAddress start, IpAddress::from_bytes(*start_bytes));
  MERLON_TRY(const IpAddress end, IpAddress::from_bytes(*end_bytes));
  const TrafficSelector selector{.protocol = protocol,
                                 .start_port = *start_port,
                                 .end_port = *end_port,
                                 .start_address = start,
                                 .end_address = end};
  if (start > end)
    return fail(ErrorCode::kMalformed, "a traffic selector's address range {} to {} is empty", start, end);
  // RFC 7296 3.13.1: start 65535 with end 0 is OPAQUE; no other range runs backwards
  if (*start_port > *end_port && !selector.is_opaque_port())
    return fail(ErrorCode::kMalformed, "a traffic selector's port range {} to {} is empty", *start_port,
                *end_port);
  return selector;
}

void encode_selector(const TrafficSelector& selector, ByteWriter& out) {
  MERLON_ASSERT(selector.start_address.family() == selector.end_address.family());
  const bool v4 = selector.start_address.is_v4();
  out.u8(static_cast<std::uint8_t>(v4 ? TsType::kIpv4AddrRange : TsType::kIpv6AddrRange));
  out.u8(selector.protocol);
  out.u16(v4 ? 16 : 40);
  out.u16(selector.start_port);
  out.u16(selector.end_port);
  out.bytes(selector.start_address.bytes());
  out.bytes(selector.end_address.bytes());
}

std::string protocol_text(std::uint8_t protocol) {
  switch (static_cast<IpProtocol>(protocol)) {
    case IpProtocol::kIcmp:
      return "ICMP";
    case IpProtocol::kTcp:
      return "TCP";
    case IpProtocol::kUdp:
      return "UDP";
    case IpProtocol::kGre:
      return "GRE";
    case IpProtocol::kIpv6Icmp:
      return "ICMPv6";
    case IpProtocol::kOspf:
      return "OSPF";
    case IpProtocol::kSctp:
      return "SCTP";
    default:
      return fmt::format("protocol {}", protocol);
  }
}

}  // namespace

std::string TrafficSelector::to_string() const {
  std::string text = start_address.to_string();
  if (start_address != end_address) text += "-" + end_address.to_string();
  if (protocol == 0 && is_any_port()) return text;
  text += " " + (protocol == 0 ? std::string("any") : protocol_text(protocol));
  if (is_opaque_port()) return text + "/OPAQUE";
  if (is_any_port()) return text;
  if (start_port == end_port) return fmt::format("{}/{}", text, start_port);
  return fmt::format("{}/{}-{}", text, start_port, end_port);
}

template <PayloadType type>
Result<TsPayload<type>> TsPayload<type>::parse(ByteView body) {
  ByteReader reader(body);
  const auto count = reader.u8();
  if (!count || !reader.skip(3)) return truncated("the Traffic Selector payload");
  if (*count == 0) return fail(ErrorCode::kMalformed, "the Traffic Selector payload has no selector");
  TsPayload payload;
  for (unsigned i = 0; i < *count; ++i) {
    const auto ts_type = reader.u8();
    const auto protocol = reader.u8();
    const auto length = reader.u16();
    if (!ts_type || !protocol || !length || *length < kSelectorHeaderSize)
      return truncated("a traffic selector");
    const auto selector = reader.take(*length - kSelectorHeaderSize);
    if (!selector) return truncated("a traffic selector");
    const auto known = static_cast<TsType>(*ts_type);
    if (known == TsType::kIpv4AddrRange || known == TsType::kIpv6AddrRange) {
      MERLON_TRY(const TrafficSelector range, parse_range(known, *protocol, *selector));
      payload.selectors.push_back(range);
    } else {
      payload.unknown.push_back({.type = known, .body = to_bytes(*selector)});
    }
  }
  MERLON_TRY_VOID(reader.finish("the Traffic Selector payload"));
  return payload;
}

template <PayloadType type>
void TsPayload<type>::encode(ByteWriter& out) const {
  out.u8(static_cast<std::uint8_t>(selectors.size() + unknown.size()));
  out.zeros(3);
  for (const auto& selector : selectors) encode_selector(selector, out);
  for (const auto& selector : unknown) {
    out.u8(static_cast<std::uint8_t>(selector.type));
    out.u8(0);
    out.u16(static_cast<std::uint16_t>(kSelectorHeaderSize + selector.body.size()));
    out.bytes(selector.body);
  }
}

template struct TsPayload<PayloadType::kTsi>;
template struct TsPayload<PayloadType::kTsr>;

}  // namespace merlon::wire
