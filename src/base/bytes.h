// Byte strings: views on the hot path, owned values elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace merlon {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(ByteView view) {
  return {view.begin(), view.end()};
}
inline void append(Bytes& to, ByteView bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <class... Views>
[[nodiscard]] Bytes concat(const Views&... views) {
  Bytes out;
  (append(out, ByteView(views)), ...);
  return out;
}

[[nodiscard]] bool equal(ByteView a, ByteView b);
// Compares without a branch on the content; the lengths are public.
[[nodiscard]] bool equal_constant_time(ByteView a, ByteView b);

[[nodiscard]] std::string to_hex(ByteView bytes);
// Accepts an even number of hexadecimal digits, nothing else.
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);
[[nodiscard]] std::string to_base64(ByteView bytes);
// Standard alphabet with padding (RFC 4648 section 4); refuses anything else.
[[nodiscard]] Result<Bytes> from_base64(std::string_view text);

}  // namespace merlon
