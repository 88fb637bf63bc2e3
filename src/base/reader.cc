#include "base/reader.h"

namespace merlon {

template <class T>
std::optional<T> ByteReader::integer() {
  if (rest_.size() < sizeof(T)) return std::nullopt;
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value << 8U);
    value = static_cast<T>(value | rest_[i]);
  }
  rest_ = rest_.subspan(sizeof(T));
  return value;
}

std::optional<std::uint8_t> ByteReader::u8() {
  return integer<std::uint8_t>();
}
std::optional<std::uint16_t> ByteReader::u16() {
  return integer<std::uint16_t>();
}
std::optional<std::uint32_t> ByteReader::u32() {
  return integer<std::uint32_t>();
}
std::optional<std::uint64_t> ByteReader::u64() {
  return integer<std::uint64_t>();
}

std::optional<ByteView> ByteReader::take(std::size_t size) {
  if (rest_.size() < size) return std::nullopt;
  const ByteView taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

bool ByteReader::skip(std::size_t size) {
  return take(size).has_value();
}

Result<> ByteReader::finish(std::string_view what) const {
  if (!rest_.empty()) return fail(ErrorCode::kMalformed, "{} has {} trailing bytes", what, rest_.size());
  return {};
}

tl::unexpected<Error> truncated(std::string_view what) {
  return fail(ErrorCode::kMalformed, "{} is cut short", what);
}

}  // namespace merlon
