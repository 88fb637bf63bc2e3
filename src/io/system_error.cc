#include "io/system_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace merlon::io {

std::string errno_text(int error_number) {
  char buffer[128] = {};
  // The GNU form, which returns the text (not necessarily in the buffer).
  return strerror_r(error_number, buffer, sizeof buffer);
}

ErrorCode code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return ErrorCode::kNotFound;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return ErrorCode::kExhausted;
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case EAFNOSUPPORT:
    case ENOSYS:
      return ErrorCode::kUnsupported;
    default:
      return ErrorCode::kSystem;
  }
}

tl::unexpected<Error> fail_errno(int error_number, std::string_view attempt) {
  const char* hint = "";
  if (error_number == EADDRINUSE) hint = " (another program uses it already)";
  return fail(code_of_errno(error_number), "cannot {}: {}{}", attempt, errno_text(error_number), hint);
}

}  // namespace merlon::io
