#include "pki/certificate.h"

#include <fmt/chrono.h>

#include <algorithm>

#include "pki/identity_text.h"
#include "pki/openssl_internal.h"

namespace merlon::pki {
namespace {

// The extensions that decide something here; OpenSSL keeps silent about a second instance of some of them.
constexpr int kKnownExtensions[] = {
    NID_subject_alt_name,       NID_issuer_alt_name,          NID_key_usage,
    NID_ext_key_usage,          NID_basic_constraints,        NID_name_constraints,
    NID_subject_key_identifier, NID_authority_key_identifier, NID_crl_distribution_points};

Result<> check_extensions(const X509* x509) {
  for (const int nid : kKnownExtensions) {
    const int first = X509_get_ext_by_NID(x509, nid, -1);
    // RFC 5280 4.2: not more than one instance of an extension
    if (first >= 0 && X509_get_ext_by_NID(x509, nid, first) >= 0)
      return fail(ErrorCode::kMalformed, "certificate with two extensions {}", OBJ_nid2sn(nid));
  }
  return {};
}

Result<SubjectAltNames> read_names(const X509* x509) {
  int critical = -1;
  const GeneralNamesOwner names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, nullptr)));
  if (names) return to_subject_alt_names(names.get());
  if (critical != -1) return fail(ErrorCode::kMalformed, "certificate whose subjectAltName does not parse");
  return SubjectAltNames{};
}

Result<std::vector<std::string>> read_extended_key_usage(const X509* x509) {
  int critical = -1;
  const std::unique_ptr<EXTENDED_KEY_USAGE, OpensslDeleter<EXTENDED_KEY_USAGE_free>> usages(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x509, NID_ext_key_usage, &critical, nullptr)));
  std::vector<std::string> out;
  if (!usages) {
    if (critical != -1)
      return fail(ErrorCode::kMalformed, "certificate whose extendedKeyUsage does not parse");
    return out;
  }
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i)
    if (auto oid = dotted_oid(sk_ASN1_OBJECT_value(usages.get(), i))) out.push_back(std::move(*oid));
  return out;
}

}  // namespace

Result<Certificate> Certificate::from_der(ByteView der) {
  auto x509 = from_der_exactly<X509Owner, d2i_X509>(der);
  if (!x509)
    return fail(ErrorCode::kMalformed, "{} bytes that are not one X.509 certificate in DER ({})", der.size(),
                openssl_reason());
  auto fields = std::make_shared<Fields>();
  fields->der = merlon::to_bytes(der);
  // Fills OpenSSL's caches before the object is shared between threads.
  fields->extension_flags = X509_get_extension_flags(x509.get());
  if ((fields->extension_flags & EXFLAG_INVALID) != 0)
    return fail(ErrorCode::kMalformed, "certificate with a malformed extension ({})", openssl_reason());
  MERLON_TRY_VOID(check_extensions(x509.get()));
  fields->key_usage = X509_get_key_usage(x509.get());
  MERLON_TRY(fields->extended_key_usage, read_extended_key_usage(x509.get()));
  MERLON_TRY(fields->names, read_names(x509.get()));

  fields->subject_dn_der = to_der<i2d_X509_NAME>(X509_get_subject_name(x509.get()));
  fields->issuer_dn_der = to_der<i2d_X509_NAME>(X509_get_issuer_name(x509.get()));
  MERLON_TRY(fields->subject, name_to_text(X509_get_subject_name(x509.get())));
  MERLON_TRY(fields->issuer, name_to_text(X509_get_issuer_name(x509.get())));
  fields->serial_hex = lower_hex_serial(X509_get0_serialNumber(x509.get()));
  const auto not_before = to_unix_time(X509_get0_notBefore(x509.get()));
  const auto not_after = to_unix_time(X509_get0_notAfter(x509.get()));
  if (!not_before || !not_after)
    return fail(ErrorCode::kMalformed, "certificate '{}' whose validity is no date", fields->subject);
  fields->not_before = *not_before;
  fields->not_after = *not_after;

  fields->spki_der = to_der<i2d_X509_PUBKEY>(X509_get_X509_PUBKEY(x509.get()));
  if (fields->spki_der.empty())
    return fail(ErrorCode::kMalformed, "certificate '{}' without a public key", fields->subject);
  const bool hashed =
      EVP_Digest(fields->spki_der.data(), fields->spki_der.size(), fields->spki_sha1.data(), nullptr,
                 EVP_sha1(), nullptr) == 1 &&
      EVP_Digest(der.data(), der.size(), fields->fingerprint.data(), nullptr, EVP_sha256(), nullptr) == 1;
  if (!hashed)
    return fail(ErrorCode::kUnsupported, "SHA-1 and SHA-256 are not available: {}", openssl_reason());
  fields->x509 = std::move(x509);
  clear_openssl_errors();
  return Certificate(std::move(fields));
}

Result<Certificate> NativeCertificate::of(const X509* x509) {
  return Certificate::from_der(to_der<i2d_X509>(x509));
}

Result<std::vector<Certificate>> Certificate::all_from_pem(std::string_view pem) {
  std::vector<Certificate> out;
  for (const std::string_view label : {"CERTIFICATE", "X509 CERTIFICATE"}) {
    MERLON_TRY(const std::vector<Bytes> blocks, pem_blocks(pem, label));
    for (const Bytes& der : blocks) {
      MERLON_TRY(auto certificate, from_der(der));
      out.push_back(std::move(certificate));
    }
  }
  if (out.empty()) return fail(ErrorCode::kMalformed, "no '-----BEGIN CERTIFICATE-----' in it");
  return out;
}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  MERLON_TRY(auto all, all_from_pem(pem));
  return std::move(all.front());
}

Result<Certificate> Certificate::from_file_bytes(ByteView bytes) {
  if (looks_like_der(bytes)) return from_der(bytes);
  return from_pem(as_text(bytes));
}

const Bytes& Certificate::der() const {
  return fields_->der;
}
std::string Certificate::to_pem() const {
  return to_pem_block("CERTIFICATE", fields_->der);
}
const Bytes& Certificate::subject_dn_der() const {
  return fields_->subject_dn_der;
}
const Bytes& Certificate::issuer_dn_der() const {
  return fields_->issuer_dn_der;
}
const std::string& Certificate::subject() const {
  return fields_->subject;
}
const std::string& Certificate::issuer() const {
  return fields_->issuer;
}
const std::string& Certificate::serial_hex() const {
  return fields_->serial_hex;
}
UnixTime Certificate::not_before() const {
  return fields_->not_before;
}
UnixTime Certificate::not_after() const {
  return fields_->not_after;
}
const SubjectAltNames& Certificate::subject_alt_names() const {
  return fields_->names;
}
const Bytes& Certificate::spki_der() const {
  return fields_->spki_der;
}
const Sha1Hash& Certificate::spki_sha1() const {
  return fields_->spki_sha1;
}
const Sha256Hash& Certificate::fingerprint() const {
  return fields_->fingerprint;
}
bool Certificate::is_ca() const {
  return (fields_->extension_flags & EXFLAG_CA) != 0;
}
bool Certificate::is_self_issued() const {
  return (fields_->extension_flags & EXFLAG_SI) != 0;
}
bool Certificate::has_key_usage() const {
  return (fields_->extension_flags & EXFLAG_KUSAGE) != 0;
}
bool Certificate::has_extended_key_usage() const {
  return (fields_->extension_flags & EXFLAG_XKUSAGE) != 0;
}
const std::vector<std::string>& Certificate::extended_key_usage() const {
  return fields_->extended_key_usage;
}

bool Certificate::is_self_signed() const {
  const bool verified = X509_self_signed(fields_->x509.get(), 1) == 1;
  clear_openssl_errors();
  return verified;
}

bool Certificate::allows(KeyUsage usage) const {
  if (!has_key_usage()) return true;
  // OpenSSL keeps the extension's first byte in the low byte, the first bit on top, and decipherOnly above.
  const auto bit = static_cast<unsigned>(usage);
  const std::uint32_t mask = bit < 8 ? 0x80U >> bit : 0x8000U;
  return (fields_->key_usage & mask) != 0;
}

std::string Certificate::describe() const {
  const SubjectAltNames& names = fields_->names;
  std::string also;
  if (!names.dns.empty()) {
    also = printable(names.dns.front());
  } else if (!names.email.empty()) {
    also = printable(names.email.front());
  } else if (!names.ip.empty()) {
    also = names.ip.front().to_string();
  }
  if (also.empty() || fields_->subject == "CN=" + also) return fmt::format("'{}'", fields_->subject);
  return fmt::format("'{}' ({})", fields_->subject, also);
}

Result<crypto::PublicKey> Certificate::public_key() const {
  // OpenSSL decoded the key with the certificate, where it could.
  EVP_PKEY* decoded = X509_get0_pubkey(fields_->x509.get());
  if (decoded == nullptr || EVP_PKEY_up_ref(decoded) != 1) decoded = nullptr;
  auto key = decoded == nullptr
                 ? crypto::PublicKey::from_spki_der(fields_->spki_der)
                 : crypto::PublicKey::from_decoded({decoded, EVP_PKEY_free}, fields_->spki_der);
  if (!key) return fail_in(fmt::format("certificate {}", describe()), std::move(key).error());
  return key;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      out.push_back(c);
    } else {
      out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    }
  }
  return out;
}

std::string utc_text(UnixTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string duration_text(std::chrono::seconds duration) {
  const std::int64_t seconds = std::max<std::int64_t>(duration.count(), 0);
  const auto in = [](std::int64_t count, std::string_view unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  if (seconds >= 86400) return in(seconds / 86400, "day");
  if (seconds >= 3600) return in(seconds / 3600, "hour");
  if (seconds >= 60) return in(seconds / 60, "minute");
  return in(seconds, "second");
}

}  // namespace merlon::pki
