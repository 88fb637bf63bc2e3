// Errors of the operating system as merlon::Error: what was attempted, then the system's own words.
#pragma once

#include <string>

#include "base/result.h"

namespace merlon::io {

// The text of an errno value, such as "Permission denied".
[[nodiscard]] std::string errno_text(int error_number);

// kNotFound for ENOENT, ESRCH, ENODEV, ENXIO; kExhausted for EMFILE, ENFILE, ENOMEM, ENOBUFS; kUnsupported
// for EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT, ENOSYS; kSystem for the rest.
[[nodiscard]] ErrorCode code_of_errno(int error_number);

// "cannot <attempt>: <errno text>".
[[nodiscard]] tl::unexpected<Error> fail_errno(int error_number, std::string_view attempt);

}  // namespace merlon::io
