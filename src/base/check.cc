#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace merlon {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "merlon: invariant broken: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace merlon
