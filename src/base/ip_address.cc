#include "base/ip_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace merlon {

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress out;
  for (unsigned i = 0; i < 4; ++i) out.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24U - 8U * i));
  return out;
}

IpAddress IpAddress::any(IpFamily family) {
  IpAddress out;
  out.family_ = family;
  return out;
}

IpAddress IpAddress::last(IpFamily family) {
  return any(family).filled(0);
}

Result<IpAddress> IpAddress::from_bytes(ByteView network_order) {
  if (network_order.size() != 4 && network_order.size() != 16)
    return fail(ErrorCode::kMalformed, "an IP address has 4 or 16 bytes, not {}", network_order.size());
  IpAddress out;
  out.family_ = network_order.size() == 4 ? IpFamily::kIpv4 : IpFamily::kIpv6;
  std::ranges::copy(network_order, out.bytes_.begin());
  return out;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress out;
  if (inet_pton(AF_INET, terminated.c_str(), out.bytes_.data()) == 1) return out;
  out.family_ = IpFamily::kIpv6;
  if (inet_pton(AF_INET6, terminated.c_str(), out.bytes_.data()) == 1) return out;
  return fail(ErrorCode::kInvalidArgument, "'{}' is not an IPv4 or IPv6 address", text);
}

bool IpAddress::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xf0U) == 0xe0U : bytes_[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes_[0] == 169 && bytes_[1] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0U) == 0x80U;
}

std::uint32_t IpAddress::v4_host_order() const {
  MERLON_ASSERT(is_v4());
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes()) value = value << 8U | byte;
  return value;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

IpAddress IpAddress::masked(unsigned length) const {
  IpAddress out = *this;
  for (unsigned bit = length; bit < bit_width(); ++bit)
    out.bytes_[bit / 8] = static_cast<std::uint8_t>(out.bytes_[bit / 8] & ~(0x80U >> (bit % 8)));
  return out;
}

IpAddress IpAddress::filled(unsigned length) const {
  IpAddress out = *this;
  for (unsigned bit = length; bit < bit_width(); ++bit)
    out.bytes_[bit / 8] = static_cast<std::uint8_t>(out.bytes_[bit / 8] | (0x80U >> (bit % 8)));
  return out;
}

IpAddress IpAddress::next() const {
  IpAddress out = *this;
  for (std::size_t i = bytes().size(); i-- > 0;)
    if (++out.bytes_[i] != 0) break;
  return out;
}

IpAddress IpAddress::previous() const {
  IpAddress out = *this;
  for (std::size_t i = bytes().size(); i-- > 0;)
    if (out.bytes_[i]-- != 0) break;
  return out;
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  MERLON_TRY(const IpAddress address, IpAddress::parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return IpPrefix{address, address.bit_width()};
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size() || length > address.bit_width())
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a prefix length of 0 to {}", digits,
                address.bit_width());
  if (address.masked(length) != address)
    return fail(ErrorCode::kInvalidArgument, "'{}' has bits set behind its prefix; did you mean {}/{}?", text,
                address.masked(length), length);
  return IpPrefix{address, length};
}

bool IpPrefix::contains(const IpAddress& candidate) const {
  return candidate.family() == address.family() && candidate.masked(length) == address;
}

std::string IpPrefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length);
}

std::vector<IpPrefix> prefixes_of_range(const IpAddress& first, const IpAddress& last) {
  MERLON_ASSERT(first.family() == last.family() && first <= last);
  std::vector<IpPrefix> out;
  for (IpAddress at = first;;) {
    unsigned length = at.bit_width();
    while (length > 0 && at.masked(length - 1) == at && at.filled(length - 1) <= last) --length;
    out.push_back({at, length});
    const IpAddress end = at.filled(length);
    if (end == last) return out;
    at = end.next();
  }
}

std::string Endpoint::to_string() const {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                         : fmt::format("[{}]:{}", address.to_string(), port);
}

}  // namespace merlon
