// The room's own way to OpenSSL: owners for its objects and the insides of Certificate. Only .cc files of
// pki/ include it.
#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "crypto/openssl_owner.h"
#include "pki/certificate.h"

namespace merlon::pki {

using crypto::OpensslDeleter;
using X509Owner = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using X509CrlOwner = std::unique_ptr<X509_CRL, OpensslDeleter<X509_CRL_free>>;
using X509ReqOwner = std::unique_ptr<X509_REQ, OpensslDeleter<X509_REQ_free>>;
using X509NameOwner = std::unique_ptr<X509_NAME, OpensslDeleter<X509_NAME_free>>;
using X509ExtensionOwner = std::unique_ptr<X509_EXTENSION, OpensslDeleter<X509_EXTENSION_free>>;
using X509RevokedOwner = std::unique_ptr<X509_REVOKED, OpensslDeleter<X509_REVOKED_free>>;
using PkeyOwner = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using ObjectOwner = std::unique_ptr<ASN1_OBJECT, OpensslDeleter<ASN1_OBJECT_free>>;
using IntegerOwner = std::unique_ptr<ASN1_INTEGER, OpensslDeleter<ASN1_INTEGER_free>>;
using TimeOwner = std::unique_ptr<ASN1_TIME, OpensslDeleter<ASN1_TIME_free>>;
using BioOwner = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using GeneralNamesOwner = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;

// OpenSSL's reason for the last failure; empties its error queue. "" when it gave none.
[[nodiscard]] std::string openssl_reason();
// Every entry into OpenSSL that may fail starts with an empty queue, so no old failure is reported for a new
// one.
void clear_openssl_errors();

// DER of any object through its i2d function; empty when OpenSSL fails.
template <auto I2d, class T>
[[nodiscard]] Bytes to_der(T* object) {
  unsigned char* out = nullptr;
  const int length = I2d(object, &out);
  if (length <= 0 || out == nullptr) return {};
  Bytes bytes(out, out + length);
  OPENSSL_free(out);
  return bytes;
}

inline constexpr std::size_t kMaxDerSize = std::size_t{16} << 20U;
// One object that fills `der` exactly, else null.
template <class Owner, auto D2i>
[[nodiscard]] Owner from_der_exactly(ByteView der) {
  clear_openssl_errors();
  if (der.empty() || der.size() > kMaxDerSize) return nullptr;
  const unsigned char* at = der.data();
  Owner object(D2i(nullptr, &at, static_cast<long>(der.size())));
  if (!object || at != der.data() + der.size()) return nullptr;
  return object;
}

// The seconds of an ASN.1 time; nullopt when it is malformed.
[[nodiscard]] std::optional<UnixTime> to_unix_time(const ASN1_TIME* time);
[[nodiscard]] TimeOwner to_asn1_time(UnixTime time);

// kMalformed for an iPAddress that is neither 4 nor 16 bytes.
[[nodiscard]] Result<SubjectAltNames> to_subject_alt_names(const GENERAL_NAMES* names);
[[nodiscard]] GeneralNamesOwner to_general_names(const SubjectAltNames& names);

[[nodiscard]] Result<X509NameOwner> parse_name(ByteView der);
// The same, and a name without RDNs for no bytes at all.
[[nodiscard]] Result<X509NameOwner> parse_name_or_empty(ByteView der);
[[nodiscard]] Result<std::string> name_to_text(const X509_NAME* name);
[[nodiscard]] std::string lower_hex_serial(const ASN1_INTEGER* serial);
[[nodiscard]] std::optional<std::string> dotted_oid(const ASN1_OBJECT* object);

// DER of what we read begins with a SEQUENCE, which no PEM text does.
[[nodiscard]] inline bool looks_like_der(ByteView bytes) {
  return !bytes.empty() && bytes.front() == 0x30;
}

// The bodies of all blocks of a PEM text that carry `label`, decoded. kMalformed when a block is damaged.
[[nodiscard]] Result<std::vector<Bytes>> pem_blocks(std::string_view pem, std::string_view label);
[[nodiscard]] std::string to_pem_block(std::string_view label, ByteView der);

struct Certificate::Fields {
  Bytes der;
  X509Owner x509;
  Bytes subject_dn_der;
  Bytes issuer_dn_der;
  std::string subject;
  std::string issuer;
  std::string serial_hex;
  UnixTime not_before;
  UnixTime not_after;
  SubjectAltNames names;
  std::uint32_t extension_flags = 0;  // EXFLAG_*
  std::uint32_t key_usage = 0;        // KU_*
  std::vector<std::string> extended_key_usage;
  Bytes spki_der;
  Sha1Hash spki_sha1{};
  Sha256Hash fingerprint{};
};

struct NativeCertificate {
  // Shared and immutable: OpenSSL takes it non-const, but only counts references and fills caches under its
  // own lock.
  [[nodiscard]] static X509* x509(const Certificate& certificate) { return certificate.fields_->x509.get(); }
  [[nodiscard]] static Result<Certificate> of(const X509* x509);
};

}  // namespace merlon::pki
