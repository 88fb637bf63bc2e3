#include "ikev2/keys.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/writer.h"
#include "crypto/packet_cipher.h"
#include "crypto/prf.h"

namespace merlon::ikev2 {

namespace {

// Cuts keying material into keys, one behind the other.
class KeyCutter {
 public:
  explicit KeyCutter(const Secret& material) : material_(material) {}
  Secret take(std::size_t size) {
    MERLON_ASSERT(offset_ + size <= material_.size());
    Secret key = material_.slice(offset_, size);
    offset_ += size;
    return key;
  }

 private:
  const Secret& material_;
  std::size_t offset_ = 0;
};

Secret join(std::initializer_list<ByteView> parts) {
  std::size_t size = 0;
  for (const auto& part : parts) size += part.size();
  Secret joined(size);
  auto out = joined.mutable_bytes().begin();
  for (const auto& part : parts) out = std::copy(part.begin(), part.end(), out);
  return joined;
}

std::array<std::uint8_t, 16> spi_bytes(const IkeSaId& spis) {
  ByteWriter writer;
  writer.u64(spis.initiator.value);
  writer.u64(spis.responder.value);
  std::array<std::uint8_t, 16> bytes{};
  std::copy(writer.view().begin(), writer.view().end(), bytes.begin());
  return bytes;
}

// RFC 7296 2.14: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi |
// SPIr)
Result<IkeKeys> expand(const IkeAlgorithms& algorithms, const KeySeed& seed, const Secret& skeyseed) {
  const std::size_t prf_size = crypto::prf_key_size(algorithms.prf);
  const std::size_t encr_size = crypto::encryption_key_size(algorithms.cipher);
  const std::size_t integ_size = crypto::integrity_key_size(algorithms.cipher);
  if (prf_size == 0 || encr_size == 0)
    return fail(ErrorCode::kUnsupported, "no keys can be made for {}", describe(algorithms));

  const auto spis = spi_bytes(seed.spis);
  const Bytes prf_seed = concat(seed.nonce_i, seed.nonce_r, spis);
  MERLON_TRY(const Secret material, crypto::prf_plus(algorithms.prf, skeyseed.bytes(), prf_seed,
                                                     3 * prf_size + 2 * integ_size + 2 * encr_size));
  KeyCutter cutter(material);
  IkeKeys keys;
  keys.sk_d = cutter.take(prf_size);
  keys.sk_ai = cutter.take(integ_size);
  keys.sk_ar = cutter.take(integ_size);
  keys.sk_ei = cutter.take(encr_size);
  keys.sk_er = cutter.take(encr_size);
  keys.sk_pi = cutter.take(prf_size);
  keys.sk_pr = cutter.take(prf_size);
  return keys;
}

}  // namespace

std::string describe(const IkeAlgorithms& algorithms) {
  std::string text = name(algorithms.cipher.encr, algorithms.cipher.key_bits);
  if (algorithms.cipher.integ != IntegId::kNone) text += "/" + name(algorithms.cipher.integ);
  return fmt::format("{}/{}/{}", text, name(algorithms.prf), name(algorithms.ke));
}

IkeKeys IkeKeys::clone() const {
  IkeKeys copy;
  copy.sk_d = sk_d.clone();
  copy.sk_ai = sk_ai.clone();
  copy.sk_ar = sk_ar.clone();
  copy.sk_ei = sk_ei.clone();
  copy.sk_er = sk_er.clone();
  copy.sk_pi = sk_pi.clone();
  copy.sk_pr = sk_pr.clone();
  return copy;
}

Result<IkeKeys> derive_ike_keys(const IkeAlgorithms& algorithms, const KeySeed& seed,
                                const Secret& shared_secret) {
  // RFC 7296 2.14: a PRF with a key of fixed size takes the first bytes of each nonce as its key here, and
  // only here.
  const std::size_t take = crypto::prf_skeyseed_nonce_bytes(algorithms.prf);
  const ByteView nonce_i = seed.nonce_i.first(std::min(take, seed.nonce_i.size()));
  const ByteView nonce_r = seed.nonce_r.first(std::min(take, seed.nonce_r.size()));
  const Bytes key = concat(nonce_i, nonce_r);
  MERLON_TRY(const Secret skeyseed, crypto::prf(algorithms.prf, key, {shared_secret.bytes()}));
  return expand(algorithms, seed, skeyseed);
}

Result<IkeKeys> derive_rekeyed_ike_keys(PrfId old_prf, const Secret& old_sk_d,
                                        const IkeAlgorithms& algorithms, const KeySeed& seed,
                                        const Secret& shared_secret) {
  MERLON_TRY(const Secret skeyseed,
             crypto::prf(old_prf, old_sk_d.bytes(), {shared_secret.bytes(), seed.nonce_i, seed.nonce_r}));
  return expand(algorithms, seed, skeyseed);
}

Result<ChildKeys> derive_child_keys(PrfId prf, const Secret& sk_d, const policy::EspAlgorithms& algorithms,
                                    ByteView nonce_i, ByteView nonce_r, const Secret* shared_secret) {
  MERLON_TRY(const auto sizes,
             crypto::esp_key_sizes({algorithms.encr, algorithms.key_bits, algorithms.integ}));
  const Secret seed =
      join({shared_secret != nullptr ? shared_secret->bytes() : ByteView{}, nonce_i, nonce_r});
  MERLON_TRY(const Secret material,
             crypto::prf_plus(prf, sk_d.bytes(), seed.bytes(), 2 * (sizes.encr + sizes.integ)));
  KeyCutter cutter(material);
  ChildKeys keys;
  keys.initiator_to_responder.encryption = cutter.take(sizes.encr);
  keys.initiator_to_responder.integrity = cutter.take(sizes.integ);
  keys.responder_to_initiator.encryption = cutter.take(sizes.encr);
  keys.responder_to_initiator.integrity = cutter.take(sizes.integ);
  return keys;
}

Result<> check_nonce_size(PrfId prf, std::size_t size) {
  const std::size_t at_least = std::max<std::size_t>(16, (crypto::prf_key_size(prf) + 1) / 2);
  // RFC 7296 2.10 and 3.9
  if (size < at_least || size > 256)
    return fail(ErrorCode::kMalformed, "a nonce has {} bytes, expected {} to 256", size, at_least);
  return {};
}

}  // namespace merlon::ikev2
