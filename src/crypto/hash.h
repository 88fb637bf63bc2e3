// One-shot hashes: NAT detection (RFC 7296 2.23), CERTREQ (3.7), fingerprints.
#pragma once

#include <array>
#include <initializer_list>

#include "base/bytes.h"
#include "base/iana.h"

namespace merlon::crypto {

// Each over parts[0] | parts[1] | ...
[[nodiscard]] std::array<std::uint8_t, 20> sha1(std::initializer_list<ByteView> parts);
[[nodiscard]] std::array<std::uint8_t, 32> sha2_256(std::initializer_list<ByteView> parts);
[[nodiscard]] std::array<std::uint8_t, 48> sha2_384(std::initializer_list<ByteView> parts);
[[nodiscard]] std::array<std::uint8_t, 64> sha2_512(std::initializer_list<ByteView> parts);

// By the number that IKE gives the hash. Errors: kUnsupported, also for Identity (RFC 8420), which hashes
// nothing.
[[nodiscard]] Result<Bytes> hash(HashId id, std::initializer_list<ByteView> parts);

}  // namespace merlon::crypto
