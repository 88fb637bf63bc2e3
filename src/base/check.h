// Assertions on our own invariants, in every build. Never on a peer's data: no byte from the network may end
// the process.
#pragma once

namespace merlon {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define MERLON_ASSERT(condition)                       \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::merlon::assertion_failed(#condition, __FILE__, __LINE__))
