#include "io/system_rng.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace merlon::io {

void SystemRng::fill(MutableByteView out) {
  while (!out.empty()) {
    const ssize_t drawn = getrandom(out.data(), out.size(), 0);
    if (drawn < 0 && errno == EINTR) continue;
    MERLON_ASSERT(drawn > 0);  // no randomness, no keys: there is no safe way on
    out = out.subspan(static_cast<std::size_t>(drawn));
  }
}

}  // namespace merlon::io
