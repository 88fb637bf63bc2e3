// Signs what certificate_fuzzer made up with keys that are trusted, so that everything behind the signature is reached:
// an authority that errs, or means harm.
#pragma once

#include <openssl/x509.h>

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "crypto/keys.h"

namespace merlon::fuzz {

template <class T, void (*free)(T*)>
struct OpensslDeleter {
  void operator()(T* object) const { free(object); }
};
template <class T, void (*free)(T*)>
using Openssl = std::unique_ptr<T, OpensslDeleter<T, free>>;

template <class T, class Encode>
Bytes der_of(T* object, Encode encode) {
  std::uint8_t* out = nullptr;
  const int size = encode(object, &out);
  if (size <= 0) return {};
  Bytes bytes(out, out + size);
  OPENSSL_free(out);
  return bytes;
}

// The certificate, issued by `issuer_dn` with this key; for `subject_key` where it is given. Nothing where OpenSSL
// makes nothing of the bytes.
inline std::optional<Bytes> signed_certificate(ByteView der, ByteView issuer_dn,
                                               const crypto::PrivateKey& issuer,
                                               const crypto::PublicKey* subject_key) {
  const std::uint8_t* at = der.data();
  const Openssl<X509, X509_free> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  const std::uint8_t* name_at = issuer_dn.data();
  const Openssl<X509_NAME, X509_NAME_free> name(
      d2i_X509_NAME(nullptr, &name_at, static_cast<long>(issuer_dn.size())));
  if (!certificate || !name || X509_set_issuer_name(certificate.get(), name.get()) != 1) return std::nullopt;
  if (subject_key != nullptr && X509_set_pubkey(certificate.get(), subject_key->native()) != 1)
    return std::nullopt;
  if (X509_sign(certificate.get(), issuer.native(), nullptr) <= 0) return std::nullopt;
  return der_of(certificate.get(), i2d_X509);
}

inline std::optional<Bytes> signed_crl(ByteView der, ByteView issuer_dn, const crypto::PrivateKey& issuer) {
  const std::uint8_t* at = der.data();
  const Openssl<X509_CRL, X509_CRL_free> crl(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  const std::uint8_t* name_at = issuer_dn.data();
  const Openssl<X509_NAME, X509_NAME_free> name(
      d2i_X509_NAME(nullptr, &name_at, static_cast<long>(issuer_dn.size())));
  if (!crl || !name || X509_CRL_set_issuer_name(crl.get(), name.get()) != 1) return std::nullopt;
  if (X509_CRL_sign(crl.get(), issuer.native(), nullptr) <= 0) return std::nullopt;
  return der_of(crl.get(), i2d_X509_CRL);
}

// A request for this key, with its proof of possession.
inline std::optional<Bytes> signed_request(ByteView der, const crypto::PrivateKey& key) {
  const std::uint8_t* at = der.data();
  const Openssl<X509_REQ, X509_REQ_free> request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!request || X509_REQ_set_pubkey(request.get(), key.native()) != 1) return std::nullopt;
  if (X509_REQ_sign(request.get(), key.native(), nullptr) <= 0) return std::nullopt;
  return der_of(request.get(), i2d_X509_REQ);
}

}  // namespace merlon::fuzz
