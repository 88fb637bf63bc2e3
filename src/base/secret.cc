#include "base/secret.h"

#include <cstring>

#include "base/check.h"

namespace merlon {

void wipe(MutableByteView bytes) {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
}

Secret::Secret(std::size_t size) : bytes_(size) {}

Secret Secret::copy_of(ByteView bytes) {
  Secret secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

Secret::Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) {
  other.bytes_.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

Secret::~Secret() {
  wipe();
}

void Secret::wipe() {
  ::merlon::wipe(bytes_);
}

Secret Secret::slice(std::size_t offset, std::size_t length) const {
  MERLON_ASSERT(offset <= bytes_.size() && length <= bytes_.size() - offset);
  return copy_of(ByteView(bytes_).subspan(offset, length));
}

}  // namespace merlon
