#include "base/identity.h"

#include <algorithm>

#include "base/ip_address.h"

namespace merlon {
namespace {

char lower(std::uint8_t byte) {
  return static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
}

bool equal_ignoring_case(ByteView a, ByteView b) {
  return std::ranges::equal(a, b, [](std::uint8_t x, std::uint8_t y) { return lower(x) == lower(y); });
}

std::string printable(ByteView bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
      out.push_back(static_cast<char>(byte));
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

Identity of_text(IdType type, std::string_view text) {
  return {type, to_bytes(as_bytes(text))};
}

}  // namespace

Result<Identity> Identity::parse(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::kInvalidArgument, "an identity must not be empty");
  if (const auto address = IpAddress::parse(text))
    return Identity{address->is_v4() ? IdType::kIpv4Addr : IdType::kIpv6Addr, to_bytes(address->bytes())};
  if (text.starts_with("keyid:")) {
    const std::string_view rest = text.substr(6);
    if (rest.empty()) return fail(ErrorCode::kInvalidArgument, "'keyid:' needs a value");
    if (auto bytes = from_hex(rest)) return Identity{IdType::kKeyId, std::move(*bytes)};
    return of_text(IdType::kKeyId, rest);
  }
  if (text.find('=') != std::string_view::npos)
    return fail(ErrorCode::kUnsupported, "'{}' looks like a distinguished name, which is not understood here",
                text);
  if (text.starts_with('@')) text.remove_prefix(1);
  if (text.empty() || text.find_first_of(" \t/\\\"'") != std::string_view::npos)
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is not an address, a host name, a mailbox, a distinguished name or 'keyid:...'", text);
  return of_text(text.find('@') == std::string_view::npos ? IdType::kFqdn : IdType::kRfc822Addr, text);
}

std::string Identity::to_string() const {
  switch (type) {
    case IdType::kIpv4Addr:
    case IdType::kIpv6Addr:
      if (const auto address = IpAddress::from_bytes(data)) return address->to_string();
      break;
    case IdType::kFqdn:
    case IdType::kRfc822Addr:
      return printable(data);
    case IdType::kDerAsn1Dn:
      return "DN:" + to_hex(data);
    case IdType::kKeyId:
      return "keyid:" + printable(data);
    case IdType::kNull:
      return "(anonymous)";
    default:
      break;
  }
  return fmt::format("{}:{}", name(type), to_hex(data));
}

bool operator==(const Identity& a, const Identity& b) {
  if (a.type != b.type) return false;
  if (a.type == IdType::kFqdn) return equal_ignoring_case(a.data, b.data);
  if (a.type == IdType::kRfc822Addr) {
    const auto at_a = std::ranges::find(a.data, std::uint8_t{'@'}) - a.data.begin();
    const auto at_b = std::ranges::find(b.data, std::uint8_t{'@'}) - b.data.begin();
    if (at_a != at_b) return false;
    const auto split = static_cast<std::size_t>(at_a);
    return equal(ByteView(a.data).first(split), ByteView(b.data).first(split)) &&
           equal_ignoring_case(ByteView(a.data).subspan(split), ByteView(b.data).subspan(split));
  }
  return a.data == b.data;
}

}  // namespace merlon
