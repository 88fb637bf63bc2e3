#include "crypto/prf.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "crypto/mac.h"

namespace merlon::crypto {
namespace {

constexpr std::size_t kAesKeySize = 16;

struct PrfFacts {
  MacAlgorithm mac;
  std::size_t output_size;
};

std::optional<PrfFacts> facts(PrfId id) {
  switch (id) {
    case PrfId::kHmacSha1:
      return PrfFacts{MacAlgorithm::kHmacSha1, 20};
    case PrfId::kHmacSha2_256:
      return PrfFacts{MacAlgorithm::kHmacSha2_256, 32};
    case PrfId::kHmacSha2_384:
      return PrfFacts{MacAlgorithm::kHmacSha2_384, 48};
    case PrfId::kHmacSha2_512:
      return PrfFacts{MacAlgorithm::kHmacSha2_512, 64};
    case PrfId::kAes128Xcbc:
      return PrfFacts{MacAlgorithm::kAesXcbc, 16};
    case PrfId::kAes128Cmac:
      return PrfFacts{MacAlgorithm::kAesCmac, 16};
    default:
      return std::nullopt;
  }
}

bool is_aes(MacAlgorithm mac) {
  return mac == MacAlgorithm::kAesXcbc || mac == MacAlgorithm::kAesCmac;
}

// The key that the AES-based functions run under, for a key of any length.
Result<Secret> aes_prf_key(MacAlgorithm algorithm, ByteView key) {
  if (key.size() == kAesKeySize) return Secret::copy_of(key);
  Secret out(kAesKeySize);
  // RFC 4434 2: a shorter key is padded with zeros; a longer one is shortened by the function itself under a
  // key of zeros. RFC 4615 3 shortens and stretches alike.
  if (algorithm == MacAlgorithm::kAesXcbc && key.size() < kAesKeySize) {
    std::copy(key.begin(), key.end(), out.mutable_bytes().begin());
    return out;
  }
  constexpr std::array<std::uint8_t, kAesKeySize> kZeroKey{};
  MERLON_TRY(const std::unique_ptr<Mac> mac, Mac::create(algorithm, kZeroKey));
  mac->update(key);
  mac->finish(out.mutable_bytes().data());
  return out;
}

Result<std::unique_ptr<Mac>> keyed_mac(PrfId id, ByteView key) {
  const auto known = facts(id);
  if (!known) return fail(ErrorCode::kUnsupported, "pseudo-random function {} is not supported", name(id));
  if (!is_aes(known->mac)) return Mac::create(known->mac, key);
  MERLON_TRY(const Secret aes_key, aes_prf_key(known->mac, key));
  return Mac::create(known->mac, aes_key.bytes());
}

}  // namespace

bool is_supported(PrfId id) {
  return facts(id).has_value();
}

std::size_t prf_output_size(PrfId id) {
  const auto known = facts(id);
  return known ? known->output_size : 0;
}

// RFC 7296 2.13: HMAC prefers a key as long as its output; the AES functions one of 128 bits, which is their
// output too.
std::size_t prf_key_size(PrfId id) {
  return prf_output_size(id);
}

std::size_t prf_skeyseed_nonce_bytes(PrfId id) {
  const auto known = facts(id);
  return known && is_aes(known->mac) ? 8 : std::numeric_limits<std::size_t>::max();
}

Result<Secret> prf(PrfId id, ByteView key, std::span<const ByteView> data) {
  MERLON_TRY(const std::unique_ptr<Mac> mac, keyed_mac(id, key));
  for (const ByteView part : data) mac->update(part);
  Secret out(mac->output_size());
  mac->finish(out.mutable_bytes().data());
  return out;
}

Result<Secret> prf_plus(PrfId id, ByteView key, ByteView seed, std::size_t length) {
  MERLON_TRY(const std::unique_ptr<Mac> mac, keyed_mac(id, key));
  const std::size_t block_size = mac->output_size();
  // RFC 7296 2.13: the block number is a single octet.
  if (length > 255 * block_size)
    return fail(ErrorCode::kInvalidArgument, "prf+ gives at most {} bytes with {}, not {}", 255 * block_size,
                name(id), length);
  Secret out(length);
  Secret block(block_size);
  std::uint8_t number = 1;
  for (std::size_t done = 0; done < length; ++number) {
    if (number > 1) mac->update(block.bytes());
    mac->update(seed);
    mac->update({&number, 1});
    mac->finish(block.mutable_bytes().data());
    const std::size_t taken = std::min(block_size, length - done);
    std::copy_n(block.bytes().begin(), taken, out.mutable_bytes().subspan(done).begin());
    done += taken;
  }
  return out;
}

}  // namespace merlon::crypto
