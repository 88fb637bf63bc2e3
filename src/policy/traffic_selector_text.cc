// Traffic selectors as people write them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/nearest.h"
#include "policy/traffic_selector.h"

namespace merlon::policy {
namespace {

struct NamedProtocol {
  std::string_view name;
  std::uint8_t number;
};

// The first name of a number is the one that prints.
constexpr std::array kProtocols = std::to_array<NamedProtocol>(
    {{"icmp", 1},   {"igmp", 2},    {"ipip", 4},       {"ipv4", 4},  {"tcp", 6},
     {"udp", 17},   {"dccp", 33},   {"ipv6", 41},      {"gre", 47},  {"esp", 50},
     {"ah", 51},    {"icmpv6", 58}, {"ipv6-icmp", 58}, {"ospf", 89}, {"pim", 103},
     {"vrrp", 112}, {"l2tp", 115},  {"sctp", 132},     {"mh", 135},  {"udplite", 136}});

constexpr std::uint8_t kIcmpV4 = 1, kIcmpV6 = 58, kMobilityHeader = 135;

bool has_ports(std::uint8_t protocol) {
  return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}
// "Port" is a type and a code there (RFC 7296 3.13.1).
bool has_types(std::uint8_t protocol) {
  return protocol == kIcmpV4 || protocol == kIcmpV6 || protocol == kMobilityHeader;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<unsigned> number(std::string_view text, unsigned maximum) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > maximum) return std::nullopt;
  return value;
}

struct PortRange {
  std::uint16_t start = 0, end = 65535;
};

// "8" (every code) or "8/0".
Result<PortRange> parse_type(std::string_view text) {
  const auto slash = text.find('/');
  const auto type = number(text.substr(0, slash), 255);
  const auto code =
      slash == std::string_view::npos ? std::optional<unsigned>(0) : number(text.substr(slash + 1), 255);
  if (!type || !code)
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a type (0 to 255) or a type/code such as 8/0",
                text);
  const auto start = static_cast<std::uint16_t>(*type * 256 + *code);
  return PortRange{start, slash == std::string_view::npos ? static_cast<std::uint16_t>(start + 255) : start};
}

Result<PortRange> parse_one_port(std::string_view text) {
  const auto port = number(text, 65535);
  if (!port)
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is not a port (0 to 65535), a range such as 1000-2000, 'any' or 'opaque'", text);
  return PortRange{static_cast<std::uint16_t>(*port), static_cast<std::uint16_t>(*port)};
}

Result<PortRange> parse_ports(std::uint8_t protocol, std::string_view text) {
  if (text == "any") return PortRange{};
  if (text == "opaque") return PortRange{65535, 0};
  if (protocol != 0 && !has_ports(protocol) && !has_types(protocol))
    return fail(ErrorCode::kInvalidArgument,
                "protocol {} has neither ports nor types, so '{}' cannot be asked for", protocol, text);
  const auto parse_end = has_types(protocol) ? parse_type : parse_one_port;
  const auto dash = text.find('-');
  MERLON_TRY(const PortRange first, parse_end(text.substr(0, dash)));
  if (dash == std::string_view::npos) return first;
  MERLON_TRY(const PortRange last, parse_end(text.substr(dash + 1)));
  if (last.end < first.start) return fail(ErrorCode::kInvalidArgument, "'{}' ends before it starts", text);
  return PortRange{first.start, last.end};
}

Result<std::uint8_t> parse_protocol(std::string_view text) {
  if (text == "any") return std::uint8_t{0};
  for (const NamedProtocol& known : kProtocols)
    if (known.name == text) return known.number;
  const auto value = number(text, 255);
  if (value && *value != 0) return static_cast<std::uint8_t>(*value);
  std::vector<std::string_view> names;
  names.reserve(kProtocols.size());
  for (const NamedProtocol& known : kProtocols) names.push_back(known.name);
  const auto near = nearest(text, names);
  return fail(ErrorCode::kInvalidArgument,
              "'{}' is not a protocol: a name such as tcp, udp or icmp, or a number 1 to 255{}", text,
              near ? fmt::format("; did you mean '{}'?", *near) : "");
}

Result<TrafficSelector> parse_range(std::string_view text, std::size_t dash) {
  MERLON_TRY(const IpAddress first, IpAddress::parse(trimmed(text.substr(0, dash))));
  MERLON_TRY(const IpAddress last, IpAddress::parse(trimmed(text.substr(dash + 1))));
  if (first.family() != last.family())
    return fail(ErrorCode::kInvalidArgument, "the range '{}' begins with IPv{} and ends with IPv{}", text,
                first.is_v4() ? 4 : 6, last.is_v4() ? 4 : 6);
  if (last < first) return fail(ErrorCode::kInvalidArgument, "the range '{}' ends before it starts", text);
  return selector_for(first, last);
}

TrafficSelector everything(IpFamily family) {
  return selector_for(IpAddress::any(family), IpAddress::last(family));
}

Result<TrafficSelectors> parse_addresses(std::string_view text, std::uint8_t protocol) {
  if (text.empty() || text == "any") {
    TrafficSelectors out;
    if (protocol != kIcmpV6 && protocol != kMobilityHeader) out.push_back(everything(IpFamily::kIpv4));
    if (protocol != kIcmpV4) out.push_back(everything(IpFamily::kIpv6));
    return out;
  }
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    MERLON_TRY(const TrafficSelector range, parse_range(text, dash));
    return TrafficSelectors{range};
  }
  MERLON_TRY(const IpPrefix prefix, IpPrefix::parse(text));
  return TrafficSelectors{selector_for(prefix)};
}

// RFC 4443, RFC 792: each ICMP belongs to one family.
Result<> check_family(const TrafficSelector& selector) {
  const bool is_v4 = selector.start_address.is_v4();
  if (selector.protocol == kIcmpV4 && !is_v4)
    return fail(ErrorCode::kInvalidArgument, "icmp belongs to IPv4; for {} write icmpv6",
                selector.start_address);
  if ((selector.protocol == kIcmpV6 || selector.protocol == kMobilityHeader) && is_v4)
    return fail(ErrorCode::kInvalidArgument, "{} belongs to IPv6, {} is IPv4",
                selector.protocol == kIcmpV6 ? "icmpv6" : "mh", selector.start_address);
  return {};
}

Result<TrafficSelectors> parse_inner(std::string_view text) {
  std::uint8_t protocol = 0;
  PortRange ports;
  const auto open = text.find('[');
  if (open != std::string_view::npos) {
    if (text.back() != ']') return fail(ErrorCode::kInvalidArgument, "the ']' is missing at the end");
    const std::string_view inside = text.substr(open + 1, text.size() - open - 2);
    const auto slash = inside.find('/');
    MERLON_TRY(protocol, parse_protocol(trimmed(inside.substr(0, slash))));
    if (slash != std::string_view::npos) {
      MERLON_TRY(ports, parse_ports(protocol, trimmed(inside.substr(slash + 1))));
    }
  }
  MERLON_TRY(TrafficSelectors out, parse_addresses(trimmed(text.substr(0, open)), protocol));
  for (TrafficSelector& selector : out) {
    selector.protocol = protocol;
    selector.start_port = ports.start;
    selector.end_port = ports.end;
    MERLON_TRY_VOID(check_family(selector));
  }
  return out;
}

std::optional<unsigned> prefix_length(const TrafficSelector& selector) {
  if (is_empty(selector)) return std::nullopt;
  for (unsigned length = 0; length <= selector.start_address.bit_width(); ++length)
    if (selector.start_address.masked(length) == selector.start_address &&
        selector.start_address.filled(length) == selector.end_address)
      return length;
  return std::nullopt;
}

std::string ports_to_text(const TrafficSelector& selector) {
  const auto [start, end] = std::pair(selector.start_port, selector.end_port);
  if (selector.is_opaque_port()) return "opaque";
  if (has_types(selector.protocol)) {
    if (start % 256 == 0 && end - start == 255) return fmt::format("{}", start / 256);
    if (start == end) return fmt::format("{}/{}", start / 256, start % 256);
    return fmt::format("{}/{}-{}/{}", start / 256, start % 256, end / 256, end % 256);
  }
  return start == end ? fmt::format("{}", start) : fmt::format("{}-{}", start, end);
}

std::string protocol_to_text(std::uint8_t protocol) {
  if (protocol == 0) return "any";
  for (const NamedProtocol& known : kProtocols)
    if (known.number == protocol) return std::string(known.name);
  return fmt::format("{}", protocol);
}

}  // namespace

Result<TrafficSelectors> parse_traffic_selectors(std::string_view text) {
  const std::string_view inner = trimmed(text);
  if (inner.empty()) return fail(ErrorCode::kInvalidArgument, "a traffic selector must not be empty");
  auto out = parse_inner(inner);
  if (!out) return fail_in(fmt::format("traffic selector '{}'", text), std::move(out).error());
  return out;
}

Result<TrafficSelector> parse_traffic_selector(std::string_view text) {
  MERLON_TRY(const TrafficSelectors selectors, parse_traffic_selectors(text));
  if (selectors.size() != 1)
    return fail(ErrorCode::kInvalidArgument,
                "traffic selector '{}' means both IPv4 and IPv6 where one is wanted", text);
  return selectors.front();
}

std::string to_text(const TrafficSelector& selector) {
  const auto length = prefix_length(selector);
  std::string out = length ? fmt::format("{}/{}", selector.start_address, *length)
                           : fmt::format("{}-{}", selector.start_address, selector.end_address);
  if (selector.protocol == 0 && selector.is_any_port()) return out;
  out += "[" + protocol_to_text(selector.protocol);
  if (!selector.is_any_port()) out += "/" + ports_to_text(selector);
  return out + "]";
}

std::string to_text(SelectorView selectors) {
  if (selectors.empty()) return "nothing";
  std::string out;
  for (const TrafficSelector& selector : selectors) out += (out.empty() ? "" : ", ") + to_text(selector);
  return out;
}

std::string to_text(SelectorView local, SelectorView remote) {
  return to_text(local) + " === " + to_text(remote);
}

}  // namespace merlon::policy
