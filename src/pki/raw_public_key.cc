#include "pki/raw_public_key.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "pki/certificate.h"

namespace merlon::pki {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

Result<crypto::PublicKey> raw_public_key_from_der(ByteView spki_der) {
  // RFC 7670 3: the Certificate Data field is the SubjectPublicKeyInfo, in DER.
  auto key = crypto::PublicKey::from_spki_der(spki_der);
  if (!key) return fail_in("raw public key", std::move(key).error());
  return key;
}

std::string raw_public_key_to_text(const crypto::PublicKey& key) {
  return to_base64(key.spki_der());
}

Result<crypto::PublicKey> raw_public_key_from_text(std::string_view text) {
  const std::string_view body = trim(text);
  if (body.starts_with("-----BEGIN")) return crypto::PublicKey::from_pem(body);
  const auto der = from_base64(body);
  if (!der)
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is no public key: base64 of a SubjectPublicKeyInfo was expected",
                printable(body.substr(0, 100)));
  return raw_public_key_from_der(*der);
}

std::string short_fingerprint(const crypto::PublicKey& key) {
  return short_fingerprint(key.spki_der());
}

std::string short_fingerprint(ByteView spki_der) {
  Sha256Hash hash{};
  const bool hashed =
      EVP_Digest(spki_der.data(), spki_der.size(), hash.data(), nullptr, EVP_sha256(), nullptr) == 1;
  MERLON_ASSERT(hashed);
  constexpr std::size_t kBytes = 10;
  std::string out;
  for (std::size_t i = 0; i < kBytes; i += 2)
    out += (i == 0 ? "" : "-") + to_hex(ByteView(hash).subspan(i, 2));
  return out;
}

}  // namespace merlon::pki
