// The CPUs that this process may run on.
#pragma once

namespace merlon::io {

// At least 1.
[[nodiscard]] unsigned usable_cpus();

}  // namespace merlon::io
