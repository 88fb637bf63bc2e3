// RAND_set_rand_method is deprecated in favour of a RAND provider, but it is the one hook that also reaches what libcrypto draws in its
// default library context, and it needs no provider to be written.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sim/openssl_rng.h"

#include <openssl/rand.h>

namespace merlon::sim {
namespace {

thread_local Rng* current = nullptr;

int fill(unsigned char* out, int size) {
  if (current == nullptr) return RAND_OpenSSL()->bytes(out, size);
  current->fill({out, static_cast<std::size_t>(size)});
  return 1;
}
int status() {
  return 1;
}

const RAND_METHOD kFollows = {nullptr, fill, nullptr, nullptr, fill, status};

}  // namespace

OpensslRngScope::OpensslRngScope(Rng& rng) : before_(current) {
  current = &rng;
  RAND_set_rand_method(&kFollows);
}

OpensslRngScope::~OpensslRngScope() {
  current = before_;
  if (before_ == nullptr) RAND_set_rand_method(nullptr);  // back to the default
}

}  // namespace merlon::sim
