// PKCS#10 requests (RFC 2986).
#include "pki/builder_internal.h"

namespace merlon::pki {
namespace {

using ExtensionsOwner =
    std::unique_ptr<STACK_OF(X509_EXTENSION), decltype([](STACK_OF(X509_EXTENSION) * extensions) {
                      sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
                    })>;

Result<SubjectAltNames> requested_names(X509_REQ* request) {
  const ExtensionsOwner extensions(X509_REQ_get_extensions(request));
  if (!extensions) return SubjectAltNames{};
  int critical = -1;
  const GeneralNamesOwner names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &critical, nullptr)));
  if (names) return to_subject_alt_names(names.get());
  if (critical != -1)
    return fail(ErrorCode::kMalformed, "certificate request whose subjectAltName does not parse");
  return SubjectAltNames{};
}

Result<> request_names(X509_REQ* request, const SubjectAltNames& names) {
  const GeneralNamesOwner general = to_general_names(names);
  const ExtensionsOwner extensions(sk_X509_EXTENSION_new_null());
  X509ExtensionOwner extension(general ? X509V3_EXT_i2d(NID_subject_alt_name, 0, general.get()) : nullptr);
  if (!extensions || !extension || sk_X509_EXTENSION_push(extensions.get(), extension.get()) <= 0)
    return fail(ErrorCode::kSystem, "certificate request: OpenSSL failed ({})", openssl_reason());
  static_cast<void>(extension.release());  // the stack's now
  if (X509_REQ_add_extensions(request, extensions.get()) != 1)
    return fail(ErrorCode::kSystem, "certificate request: OpenSSL failed ({})", openssl_reason());
  return {};
}

}  // namespace

Result<CertificateRequest> CertificateRequest::from_der(ByteView der) {
  const auto native = from_der_exactly<X509ReqOwner, d2i_X509_REQ>(der);
  if (!native)
    return fail(ErrorCode::kMalformed, "{} bytes that are not one certificate request in DER ({})",
                der.size(), openssl_reason());
  CertificateRequest request;
  request.der = to_bytes(der);
  request.subject_dn = to_der<i2d_X509_NAME>(X509_REQ_get_subject_name(native.get()));
  request.spki_der = to_der<i2d_X509_PUBKEY>(X509_REQ_get_X509_PUBKEY(native.get()));
  MERLON_TRY(request.names, requested_names(native.get()));
  MERLON_TRY(const crypto::PublicKey key, request.public_key());
  // RFC 2986 3: the signature proves that whoever asks holds the key
  if (X509_REQ_verify(native.get(), key.native()) != 1) {
    clear_openssl_errors();
    return fail(ErrorCode::kAuthentication,
                "the certificate request is not signed with the key that it carries");
  }
  return request;
}

Result<CertificateRequest> CertificateRequest::from_pem(std::string_view pem) {
  for (const std::string_view label : {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}) {
    MERLON_TRY(const std::vector<Bytes> blocks, pem_blocks(pem, label));
    if (!blocks.empty()) return from_der(blocks.front());
  }
  return fail(ErrorCode::kMalformed, "no '-----BEGIN CERTIFICATE REQUEST-----' in it");
}

std::string CertificateRequest::to_pem() const {
  return to_pem_block("CERTIFICATE REQUEST", der);
}

Result<crypto::PublicKey> CertificateRequest::public_key() const {
  return crypto::PublicKey::from_spki_der(spki_der);
}

Result<CertificateRequest> make_request(const crypto::PrivateKey& key, ByteView subject_dn,
                                        const SubjectAltNames& names) {
  MERLON_TRY(const X509NameOwner subject, parse_name_or_empty(subject_dn));
  clear_openssl_errors();
  const X509ReqOwner native(X509_REQ_new());
  if (!native || X509_REQ_set_version(native.get(), 0) != 1 ||
      X509_REQ_set_subject_name(native.get(), subject.get()) != 1 ||
      X509_REQ_set_pubkey(native.get(), key.native()) != 1)
    return fail(ErrorCode::kSystem, "certificate request: OpenSSL failed ({})", openssl_reason());
  if (!names.empty()) MERLON_TRY_VOID(request_names(native.get(), names));
  if (X509_REQ_sign(native.get(), key.native(), signing_digest(key)) <= 0)
    return fail(ErrorCode::kSystem, "signing a certificate request: OpenSSL failed ({})", openssl_reason());
  return CertificateRequest::from_der(to_der<i2d_X509_REQ>(native.get()));
}

}  // namespace merlon::pki
