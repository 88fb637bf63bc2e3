#include "sim/stream.h"

#include "sim/digest.h"

namespace merlon::sim {

std::uint64_t stream_seed(std::uint64_t seed, std::string_view purpose, std::uint64_t first,
                          std::uint64_t second) {
  Digest digest;
  digest.add(seed);
  digest.add(as_bytes(purpose));
  digest.add(first);
  digest.add(second);
  return digest.value();
}

}  // namespace merlon::sim
