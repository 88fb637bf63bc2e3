// The least that a handshake can cost one side: the public-key operations, PRFs and message ciphers that RFC 7296 asks for, by bare
// OpenSSL, without a message parsed, an SA kept, a timer set or a Child SA installed.
#pragma once

#include "bench/handshake/world.h"

namespace merlon::bench {

// CPU seconds of one side's operations, the mean of `count`. Both sides do the same ones.
[[nodiscard]] double floor_s(const Kind& kind, std::size_t count);

}  // namespace merlon::bench
