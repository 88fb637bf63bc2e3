// Message authentication codes at their full size: what prf, integrity and the packet ciphers are made of.
// For crypto/.
#pragma once

#include <cstddef>
#include <memory>

#include "base/bytes.h"
#include "base/iana.h"

namespace merlon::crypto {

enum class MacAlgorithm : std::uint8_t {
  kHmacSha1,
  kHmacSha2_256,
  kHmacSha2_384,
  kHmacSha2_512,
  kAesXcbc,
  kAesCmac
};

inline constexpr std::size_t kMaxMacSize = 64;

// The MAC behind an integrity algorithm. Errors: kUnsupported.
[[nodiscard]] Result<MacAlgorithm> mac_algorithm(IntegId id);

class Mac {
 public:
  // HMAC takes any key; AES_XCBC (RFC 3566) and AES_CMAC (RFC 4493) 16 bytes. Errors: kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<Mac>> create(MacAlgorithm algorithm, ByteView key);
  Mac(const Mac&) = delete;
  Mac& operator=(const Mac&) = delete;
  virtual ~Mac() = default;

  [[nodiscard]] std::size_t output_size() const { return output_size_; }
  virtual void update(ByteView data) = 0;
  // Writes output_size() bytes and is ready for the next message.
  virtual void finish(std::uint8_t* out) = 0;

 protected:
  explicit Mac(std::size_t output_size) : output_size_(output_size) {}

 private:
  std::size_t output_size_;
};

}  // namespace merlon::crypto
