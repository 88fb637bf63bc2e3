// A secret: not copyable, not printable, wiped on destruction, compared in constant time.
#pragma once

#include <memory>

#include "base/bytes.h"

namespace merlon {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size);
  // Takes the bytes and wipes nothing of the source: use for literals and parsed files, and wipe those
  // yourself.
  [[nodiscard]] static Secret copy_of(ByteView bytes);

  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

  // For cryptographic operations only; a log line must never be made of it.
  [[nodiscard]] ByteView bytes() const { return bytes_; }
  [[nodiscard]] MutableByteView mutable_bytes() { return bytes_; }

  // A second owner, on purpose and visible in the code.
  [[nodiscard]] Secret clone() const { return copy_of(bytes_); }
  // A part of this secret as a secret of its own; offset + length must lie within it.
  [[nodiscard]] Secret slice(std::size_t offset, std::size_t length) const;

  // The one escape through which a key may be written down: `merlon trace --keys`, for root, on request.
  [[nodiscard]] std::string reveal_hex_for_key_file() const { return to_hex(bytes_); }

  friend bool operator==(const Secret& a, const Secret& b) { return equal_constant_time(a.bytes_, b.bytes_); }

 private:
  void wipe();
  Bytes bytes_;
};

// A secret that several owners may hold, such as a pre-shared key in a configuration; equal when its bytes
// are.
class SharedSecret {
 public:
  SharedSecret() = default;
  explicit SharedSecret(Secret secret) : secret_(std::make_shared<const Secret>(std::move(secret))) {}

  [[nodiscard]] bool empty() const { return secret_ == nullptr || secret_->empty(); }
  [[nodiscard]] ByteView bytes() const { return secret_ == nullptr ? ByteView() : secret_->bytes(); }
  friend bool operator==(const SharedSecret& a, const SharedSecret& b) {
    return equal_constant_time(a.bytes(), b.bytes());
  }

 private:
  std::shared_ptr<const Secret> secret_;
};

// Overwrites memory in a way the compiler may not remove.
void wipe(MutableByteView bytes);

}  // namespace merlon
