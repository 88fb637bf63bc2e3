#include "crypto/integrity.h"

#include <array>

#include "crypto/mac.h"

namespace merlon::crypto {

bool is_supported(IntegId id) {
  return integrity_icv_size(id) != 0;
}

std::size_t integrity_key_size(IntegId id) {
  switch (id) {
    case IntegId::kHmacSha1_96:
      return 20;
    case IntegId::kAesXcbc96:
    case IntegId::kAesCmac96:
      return 16;
    case IntegId::kHmacSha2_256_128:
      return 32;
    case IntegId::kHmacSha2_384_192:
      return 48;
    case IntegId::kHmacSha2_512_256:
      return 64;
    default:
      return 0;
  }
}

std::size_t integrity_icv_size(IntegId id) {
  switch (id) {
    case IntegId::kHmacSha1_96:
    case IntegId::kAesXcbc96:
    case IntegId::kAesCmac96:
      return 12;
    case IntegId::kHmacSha2_256_128:
      return 16;
    case IntegId::kHmacSha2_384_192:
      return 24;
    case IntegId::kHmacSha2_512_256:
      return 32;
    default:
      return 0;
  }
}

Integrity::Integrity(std::unique_ptr<Mac> mac, std::size_t icv_size)
    : mac_(std::move(mac)), icv_size_(icv_size) {}
Integrity::Integrity(Integrity&&) noexcept = default;
Integrity& Integrity::operator=(Integrity&&) noexcept = default;
Integrity::~Integrity() = default;

Result<Integrity> Integrity::create(IntegId id, ByteView key) {
  MERLON_TRY(const MacAlgorithm algorithm, mac_algorithm(id));
  if (key.size() != integrity_key_size(id))
    return fail(ErrorCode::kInvalidArgument, "{} takes a key of {} bytes, not {}", name(id),
                integrity_key_size(id), key.size());
  MERLON_TRY(std::unique_ptr<Mac> mac, Mac::create(algorithm, key));
  return Integrity(std::move(mac), integrity_icv_size(id));
}

Bytes Integrity::compute(std::initializer_list<ByteView> parts) {
  for (const ByteView part : parts) mac_->update(part);
  std::array<std::uint8_t, kMaxMacSize> full{};
  mac_->finish(full.data());
  return to_bytes(ByteView(full).first(icv_size_));
}

bool Integrity::verify(std::initializer_list<ByteView> parts, ByteView icv) {
  return equal_constant_time(compute(parts), icv);
}

}  // namespace merlon::crypto
