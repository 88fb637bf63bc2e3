#include "io/fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "io/system_error.h"

namespace merlon::io {

void Fd::reset(int fd) {
  if (fd_ >= 0) close(fd_);  // Linux closes it even where close reports an error: never again
  fd_ = fd;
}

Result<Fd> Fd::duplicate() const {
  Fd copy(fcntl(fd_, F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno(errno, "duplicate a file descriptor");
  return copy;
}

}  // namespace merlon::io
