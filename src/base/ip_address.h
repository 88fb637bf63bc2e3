// IP addresses, prefixes, ranges and UDP endpoints of either family.
#pragma once

#include <fmt/core.h>

#include <array>
#include <bit>
#include <compare>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace merlon {

enum class IpFamily : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

// An IPv4 or IPv6 address in network order. Ordered by family, then as an unsigned number.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  [[nodiscard]] static IpAddress v4(std::uint32_t host_order);
  // The 4 or 16 bytes in network order that stand at `from`. For the packet path: one store of 16 bytes, since narrower
  // ones would be waited for when the address is copied or compared a moment later.
  [[nodiscard]] static IpAddress read_v4(const std::uint8_t* from) {
    IpAddress out;
    out.assign_v4(from);
    return out;
  }
  // The same in place.
  void assign_v4(const std::uint8_t* from) {
    using Words = std::uint32_t __attribute__((vector_size(16)));
    Words words{};
    std::uint32_t first = 0;
    std::memcpy(&first, from, sizeof first);
    words[0] = first;
    family_ = IpFamily::kIpv4;
    std::memcpy(bytes_.data(), &words, sizeof words);
  }
  [[nodiscard]] static IpAddress read_v6(const std::uint8_t* from) {
    IpAddress out;
    out.family_ = IpFamily::kIpv6;
    std::memcpy(out.bytes_.data(), from, 16);
    return out;
  }
  [[nodiscard]] static IpAddress any(IpFamily family);                        // 0.0.0.0 or ::
  [[nodiscard]] static IpAddress last(IpFamily family);                       // all bits set
  [[nodiscard]] static Result<IpAddress> from_bytes(ByteView network_order);  // 4 or 16 bytes
  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] IpFamily family() const { return family_; }
  [[nodiscard]] bool is_v4() const { return family_ == IpFamily::kIpv4; }
  [[nodiscard]] bool is_v6() const { return family_ == IpFamily::kIpv6; }
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_link_local() const;
  [[nodiscard]] unsigned bit_width() const { return is_v4() ? 32 : 128; }
  [[nodiscard]] ByteView bytes() const { return ByteView(bytes_).first(is_v4() ? 4 : 16); }
  [[nodiscard]] std::uint32_t v4_host_order() const;  // only for IPv4
  // As one number of 128 bits, the upper half first: IPv4 in the topmost 32 bits, and zeros behind it.
  [[nodiscard]] std::array<std::uint64_t, 2> words() const {
    std::array<std::uint64_t, 2> out{};
    std::memcpy(out.data(), bytes_.data(), sizeof out);
    if constexpr (std::endian::native == std::endian::little)
      for (std::uint64_t& word : out) word = __builtin_bswap64(word);
    return out;
  }
  [[nodiscard]] std::string to_string() const;

  // The address with all but the first `length` bits cleared, or set.
  [[nodiscard]] IpAddress masked(unsigned length) const;
  [[nodiscard]] IpAddress filled(unsigned length) const;
  // The neighbour by number; wraps at the ends of the family's space.
  [[nodiscard]] IpAddress next() const;
  [[nodiscard]] IpAddress previous() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  IpFamily family_ = IpFamily::kIpv4;
  std::array<std::uint8_t, 16> bytes_{};  // IPv4 in the first four
};

struct IpPrefix {
  IpAddress address;  // masked
  unsigned length = 0;

  [[nodiscard]] static Result<IpPrefix> parse(
      std::string_view text);  // "10.0.0.0/8"; a bare address is a host
  [[nodiscard]] bool contains(const IpAddress& candidate) const;
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

// The fewest prefixes that cover first..last exactly (both of one family, first <= last).
[[nodiscard]] std::vector<IpPrefix> prefixes_of_range(const IpAddress& first, const IpAddress& last);

struct Endpoint {  // address and UDP port
  IpAddress address;
  std::uint16_t port = 0;

  [[nodiscard]] std::string to_string() const;  // 192.0.2.1:500, [2001:db8::1]:500
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

}  // namespace merlon

template <class T>
requires std::same_as<T, merlon::IpAddress> || std::same_as<T, merlon::IpPrefix> ||
    std::same_as<T, merlon::Endpoint>
struct fmt::formatter<T> : fmt::formatter<std::string_view> {
  auto format(const T& value, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}", value.to_string());
  }
};

template <>
struct std::hash<merlon::IpAddress> {
  std::size_t operator()(const merlon::IpAddress& address) const {
    return std::hash<std::string_view>{}(merlon::as_text(address.bytes()));
  }
};
template <>
struct std::hash<merlon::Endpoint> {
  std::size_t operator()(const merlon::Endpoint& endpoint) const {
    return std::hash<merlon::IpAddress>{}(endpoint.address) * 31 + endpoint.port;
  }
};
