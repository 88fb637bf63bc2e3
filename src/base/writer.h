// Writes network-order fields into an owned buffer.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

namespace merlon {

class ByteWriter {
 public:
  void u8(std::uint8_t value) { out_.push_back(value); }
  void u16(std::uint16_t value) { integer(value); }
  void u32(std::uint32_t value) { integer(value); }
  void u64(std::uint64_t value) { integer(value); }
  void bytes(ByteView view) { append(out_, view); }
  void zeros(std::size_t count) { out_.insert(out_.end(), count, 0); }

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  // Overwrites a field written before, such as a length known only at the end.
  void patch_u8(std::size_t offset, std::uint8_t value) {
    MERLON_ASSERT(offset < out_.size());
    out_[offset] = value;
  }
  void patch_u16(std::size_t offset, std::uint16_t value) {
    patch_u8(offset, static_cast<std::uint8_t>(value >> 8U));
    patch_u8(offset + 1, static_cast<std::uint8_t>(value));
  }
  void patch_u32(std::size_t offset, std::uint32_t value) {
    patch_u16(offset, static_cast<std::uint16_t>(value >> 16U));
    patch_u16(offset + 2, static_cast<std::uint16_t>(value));
  }

  [[nodiscard]] ByteView view() const { return out_; }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  template <class T>
  void integer(T value) {
    for (std::size_t i = sizeof(T); i-- > 0;) out_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  Bytes out_;
};

}  // namespace merlon
