// Strong types for the numbers that must not be mixed up.
#pragma once

#include <fmt/core.h>

#include <compare>
#include <cstdint>
#include <functional>

namespace merlon {

template <class Tag, class T>
struct StrongNumber {
  T value{};
  friend constexpr auto operator<=>(const StrongNumber&, const StrongNumber&) = default;
};

using Spi = StrongNumber<struct SpiTag, std::uint32_t>;        // ESP and AH (RFC 4303 2.1), host order
using IkeSpi = StrongNumber<struct IkeSpiTag, std::uint64_t>;  // RFC 7296 3.1, host order; 0 = none
using SequenceNumber = StrongNumber<struct SequenceNumberTag, std::uint64_t>;  // ESP, with its ESN high half
using MessageId = StrongNumber<struct MessageIdTag, std::uint32_t>;            // RFC 7296 2.2

struct IkeSaId {  // one IKE SA as both ends name it
  IkeSpi initiator;
  IkeSpi responder;
  friend constexpr auto operator<=>(const IkeSaId&, const IkeSaId&) = default;
};

}  // namespace merlon

template <class Tag, class T>
struct std::hash<merlon::StrongNumber<Tag, T>> {
  std::size_t operator()(const merlon::StrongNumber<Tag, T>& number) const {
    return std::hash<T>{}(number.value);
  }
};

// SPIs print as tshark and `ip xfrm` print them: fixed-width hexadecimal.
template <>
struct fmt::formatter<merlon::Spi> : fmt::formatter<std::string_view> {
  auto format(merlon::Spi spi, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "0x{:08x}", spi.value);
  }
};
template <>
struct fmt::formatter<merlon::IkeSpi> : fmt::formatter<std::string_view> {
  auto format(merlon::IkeSpi spi, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{:016x}", spi.value);
  }
};
