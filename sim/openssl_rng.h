// OpenSSL's own randomness (the nonces of ECDSA, the salts of RSASSA-PSS, key generation) follows an injected Rng while one of these
// lives, on its thread. Only the simulator and fuzzers may do this (docs/start-here.md): the daemon never does.
#pragma once

#include "base/rng.h"

namespace merlon::sim {

class OpensslRngScope {
 public:
  explicit OpensslRngScope(Rng& rng);
  OpensslRngScope(const OpensslRngScope&) = delete;
  OpensslRngScope& operator=(const OpensslRngScope&) = delete;
  ~OpensslRngScope();

 private:
  Rng* before_;
};

}  // namespace merlon::sim
