// policy/ can name more algorithms than crypto/ has: what a configuration asks for must exist before anything is negotiated.
#pragma once

#include "policy/connection.h"

namespace merlon::daemon {

// The error names the algorithm and the key of the configuration.
[[nodiscard]] Result<> check_supported(const policy::Connection& connection);

}  // namespace merlon::daemon
