// Network-order fields at fixed places, for the packet path. The caller has checked that they lie within the
// view.
#pragma once

#include "base/bytes.h"

namespace merlon::wire {

[[nodiscard]] inline std::uint16_t load_u16(ByteView bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(bytes[offset] << 8U | bytes[offset + 1]);
}
[[nodiscard]] inline std::uint32_t load_u32(ByteView bytes, std::size_t offset) {
  return static_cast<std::uint32_t>(load_u16(bytes, offset)) << 16U | load_u16(bytes, offset + 2);
}
inline void store_u16(MutableByteView bytes, std::size_t offset, std::uint16_t value) {
  bytes[offset] = static_cast<std::uint8_t>(value >> 8U);
  bytes[offset + 1] = static_cast<std::uint8_t>(value);
}
inline void store_u32(MutableByteView bytes, std::size_t offset, std::uint32_t value) {
  store_u16(bytes, offset, static_cast<std::uint16_t>(value >> 16U));
  store_u16(bytes, offset + 2, static_cast<std::uint16_t>(value));
}

}  // namespace merlon::wire
