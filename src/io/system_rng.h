// The operating system's randomness: getrandom(2).
#pragma once

#include "base/rng.h"

namespace merlon::io {

// Safe to use from several threads at once. Blocks only until the kernel's generator was seeded, early at
// boot. Ends the process if the system gives no randomness: every key and nonce hangs on it.
class SystemRng final : public Rng {
 public:
  void fill(MutableByteView out) override;
};

}  // namespace merlon::io
