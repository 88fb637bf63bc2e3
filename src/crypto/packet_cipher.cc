#include "crypto/packet_cipher.h"

#include <algorithm>

#include "crypto/backends/packet_backends.h"
#include "crypto/cipher.h"
#include "crypto/integrity.h"

namespace merlon::crypto {
namespace {

// RFC 4303 2.4: pad length and next header end on a 4-byte boundary, whatever the cipher.
constexpr std::size_t kEspAlignment = 4;

Result<> check(const EspTransform& transform, ByteView keymat_encr, ByteView keymat_integ) {
  MERLON_TRY(const EspKeySizes sizes, esp_key_sizes(transform));
  if (keymat_encr.size() == sizes.encr && keymat_integ.size() == sizes.integ) return {};
  return fail(ErrorCode::kInvalidArgument, "{} with {} takes {} and {} bytes of key material, not {} and {}",
              name(transform.encr, transform.key_bits), name(transform.integ), sizes.encr, sizes.integ,
              keymat_encr.size(), keymat_integ.size());
}

}  // namespace

bool is_supported(const EspTransform& transform) {
  if (!encr_facts(transform.encr, transform.key_bits)) return false;
  // RFC 4303 3.2.2 and RFC 8221 4: encryption alone is not offered, nor NULL with no integrity.
  return is_aead(transform.encr) ? transform.integ == IntegId::kNone : is_supported(transform.integ);
}

Result<EspKeySizes> esp_key_sizes(const EspTransform& transform) {
  if (!is_supported(transform))
    return fail(ErrorCode::kUnsupported, "{} with {} cannot protect ESP packets",
                name(transform.encr, transform.key_bits), name(transform.integ));
  const auto facts = encr_facts(transform.encr, transform.key_bits);
  return EspKeySizes{.encr = facts->key + facts->salt, .integ = integrity_key_size(transform.integ)};
}

Result<EspSizes> esp_sizes(const EspTransform& transform) {
  MERLON_TRY_VOID(esp_key_sizes(transform));
  const auto facts = encr_facts(transform.encr, transform.key_bits);
  return EspSizes{.iv = static_cast<std::uint8_t>(facts->iv),
                  .icv = static_cast<std::uint8_t>(facts->icv + integrity_icv_size(transform.integ)),
                  .block = static_cast<std::uint8_t>(std::max(facts->block, kEspAlignment))};
}

std::string name(PacketBackend backend) {
  switch (backend) {
    case PacketBackend::kVaes:
      return "VAES";
    case PacketBackend::kIpsecMb:
      return "intel-ipsec-mb";
    case PacketBackend::kOpenssl:
      break;
  }
  return "OpenSSL";
}

Result<std::unique_ptr<PacketCipher>> PacketCipher::create(const EspTransform& transform, bool esn,
                                                           ByteView keymat_encr, ByteView keymat_integ,
                                                           PacketBackend fastest) {
  for (const PacketBackend backend : {PacketBackend::kVaes, PacketBackend::kIpsecMb}) {
    if (backend < fastest) continue;
    auto made = create_with_backend(backend, transform, esn, keymat_encr, keymat_integ);
    if (made || made.error().code != ErrorCode::kUnsupported) return made;
  }
  return create_with_backend(PacketBackend::kOpenssl, transform, esn, keymat_encr, keymat_integ);
}

Result<std::unique_ptr<PacketCipher>> PacketCipher::create_with_backend(PacketBackend backend,
                                                                        const EspTransform& transform,
                                                                        bool esn, ByteView keymat_encr,
                                                                        ByteView keymat_integ) {
  MERLON_TRY_VOID(check(transform, keymat_encr, keymat_integ));
  switch (backend) {
    case PacketBackend::kVaes:
      return make_vaes_cipher(transform, esn, keymat_encr);
    case PacketBackend::kIpsecMb:
      return make_ipsec_mb_cipher(transform, esn, keymat_encr, keymat_integ);
    case PacketBackend::kOpenssl:
      break;
  }
  return make_openssl_cipher(transform, esn, keymat_encr, keymat_integ);
}

void PacketCipher::seal_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) {
  for (std::size_t i = 0; i < jobs.size(); ++i) ciphers[i]->seal(jobs.subspan(i, 1));
}
void PacketCipher::open_mixed(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) {
  for (std::size_t i = 0; i < jobs.size(); ++i) ciphers[i]->open(jobs.subspan(i, 1));
}

// One call a stretch of packets that one call can take.
void PacketCipher::run_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers, Mixed mixed,
                           Single single) {
  MERLON_ASSERT(jobs.size() == ciphers.size());
  for (std::size_t first = 0; first < jobs.size();) {
    PacketCipher* const cipher = ciphers[first];
    std::size_t last = first + 1;
    while (last < jobs.size() && ciphers[last] == cipher) ++last;
    if (cipher->kind_ == Kind::kAlone || last == jobs.size()) {
      (cipher->*single)(jobs.subspan(first, last - first));
    } else {
      while (last < jobs.size() && ciphers[last]->kind_ == cipher->kind_) ++last;
      (cipher->*mixed)(jobs.subspan(first, last - first), ciphers.subspan(first, last - first));
    }
    first = last;
  }
}

void PacketCipher::seal_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) {
  run_all(jobs, ciphers, &PacketCipher::seal_mixed, &PacketCipher::seal);
}
void PacketCipher::open_all(std::span<PacketJob> jobs, std::span<PacketCipher* const> ciphers) {
  run_all(jobs, ciphers, &PacketCipher::open_mixed, &PacketCipher::open);
}

}  // namespace merlon::crypto
