// A bounded reader of network-order fields. It never reads past its end, and finish() refuses trailing bytes.
#pragma once

#include <optional>

#include "base/bytes.h"

namespace merlon {

class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  [[nodiscard]] std::size_t remaining() const { return rest_.size(); }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] ByteView rest() const { return rest_; }

  [[nodiscard]] std::optional<std::uint8_t> u8();
  [[nodiscard]] std::optional<std::uint16_t> u16();
  [[nodiscard]] std::optional<std::uint32_t> u32();
  [[nodiscard]] std::optional<std::uint64_t> u64();
  [[nodiscard]] std::optional<ByteView> take(std::size_t size);
  [[nodiscard]] bool skip(std::size_t size);

  // Ok only when everything was read; `what` names the structure in the error.
  [[nodiscard]] Result<> finish(std::string_view what) const;

 private:
  template <class T>
  std::optional<T> integer();
  ByteView rest_;
};

[[nodiscard]] tl::unexpected<Error> truncated(std::string_view what);

}  // namespace merlon
