// The owner of a file descriptor.
#pragma once

#include <utility>

#include "base/result.h"

namespace merlon::io {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}  // takes ownership; negative: none
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  Fd& operator=(Fd&& from) noexcept {
    if (this != &from) reset(from.release());
    return *this;
  }
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

  // A second descriptor (close-on-exec) for the same open file.
  [[nodiscard]] Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

}  // namespace merlon::io
