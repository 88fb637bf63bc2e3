// Messages in words, one line a payload, for `merlon trace` and for logs. Nonces, AUTH data, public values,
// certificates and ciphertext show their size only. What a peer chose (names, vendor IDs) is escaped.
#pragma once

#include <string>

#include "wire/ike/message.h"

namespace merlon::wire {

// "SA: 1 ESP AES_GCM_16-256 / CURVE25519 / 32_BIT, SPI 0xc0ffee01", "N(NAT_DETECTION_SOURCE_IP)",
// "TSi 10.1.0.0-10.1.255.255".
[[nodiscard]] std::string describe(const Payload& payload);
// "IKE_SA_INIT request 0, SPIs 0123456789abcdef 0000000000000000, 428 bytes".
[[nodiscard]] std::string describe(const IkeHeader& header);
// The header's line, then each payload's behind two blanks; lines end in '\n'.
[[nodiscard]] std::string describe(const Message& message);

}  // namespace merlon::wire
