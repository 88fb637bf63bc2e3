// Integrity algorithms (IKEv2 transform type 3): a keyed checksum, cut to the size of the wire's ICV.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>

#include "base/bytes.h"
#include "base/iana.h"

namespace merlon::crypto {

class Mac;

// HMAC_SHA1_96 (RFC 2404), HMAC_SHA2_256_128, HMAC_SHA2_384_192, HMAC_SHA2_512_256 (RFC 4868), AES_XCBC_96
// (RFC 3566), AES_CMAC_96 (RFC 4494). Neither NONE nor HMAC_MD5_96.
[[nodiscard]] bool is_supported(IntegId id);
[[nodiscard]] std::size_t integrity_key_size(
    IntegId id);  // bytes of SK_a or of ESP's key; 0 for NONE and unknown ones
[[nodiscard]] std::size_t integrity_icv_size(IntegId id);  // bytes on the wire; 0 for NONE and unknown ones

// One key's calculator. Not for two threads at a time.
class Integrity {
 public:
  // Errors: kUnsupported; kInvalidArgument where the key is not integrity_key_size(id) bytes long.
  [[nodiscard]] static Result<Integrity> create(IntegId id, ByteView key);
  Integrity(Integrity&&) noexcept;
  Integrity& operator=(Integrity&&) noexcept;
  ~Integrity();

  [[nodiscard]] std::size_t icv_size() const { return icv_size_; }

  // The ICV over parts[0] | parts[1] | ...
  [[nodiscard]] Bytes compute(std::initializer_list<ByteView> parts);
  // Whether `icv` has the right size and content; in constant time.
  [[nodiscard]] bool verify(std::initializer_list<ByteView> parts, ByteView icv);

 private:
  Integrity(std::unique_ptr<Mac> mac, std::size_t icv_size);
  std::unique_ptr<Mac> mac_;
  std::size_t icv_size_ = 0;
};

}  // namespace merlon::crypto
