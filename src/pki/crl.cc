// Certificate revocation lists (RFC 5280 5).
#include <algorithm>

#include "pki/builder_internal.h"

namespace merlon::pki {
namespace {

struct ReasonName {
  RevocationReason reason;
  std::string_view word;
};
constexpr ReasonName kReasons[] = {
    {RevocationReason::kUnspecified, "unspecified"},
    {RevocationReason::kKeyCompromise, "keyCompromise"},
    {RevocationReason::kCaCompromise, "cACompromise"},
    {RevocationReason::kAffiliationChanged, "affiliationChanged"},
    {RevocationReason::kSuperseded, "superseded"},
    {RevocationReason::kCessationOfOperation, "cessationOfOperation"},
};

using EnumeratedOwner = std::unique_ptr<ASN1_ENUMERATED, OpensslDeleter<ASN1_ENUMERATED_free>>;

Result<> add_revoked(X509_CRL* crl, const RevokedCertificate& entry) {
  X509RevokedOwner revoked(X509_REVOKED_new());
  const IntegerOwner serial(ASN1_INTEGER_new());
  const TimeOwner when = to_asn1_time(entry.when);
  bool built =
      revoked && serial && when &&
      ASN1_STRING_set(serial.get(), entry.serial.data(), static_cast<int>(entry.serial.size())) == 1 &&
      X509_REVOKED_set_serialNumber(revoked.get(), serial.get()) == 1 &&
      X509_REVOKED_set_revocationDate(revoked.get(), when.get()) == 1;
  // RFC 5280 5.3.1: no reason rather than "unspecified"
  if (built && entry.reason != RevocationReason::kUnspecified) {
    const EnumeratedOwner reason(ASN1_ENUMERATED_new());
    built =
        reason && ASN1_ENUMERATED_set(reason.get(), static_cast<long>(entry.reason)) == 1 &&
        X509_REVOKED_add1_ext_i2d(revoked.get(), NID_crl_reason, reason.get(), 0, X509V3_ADD_DEFAULT) == 1;
  }
  if (!built || X509_CRL_add0_revoked(crl, revoked.get()) != 1)
    return fail(ErrorCode::kSystem, "CRL entry: OpenSSL failed ({})", openssl_reason());
  static_cast<void>(revoked.release());  // the CRL's now
  return {};
}

// RFC 5280 5.2.1, 5.2.3: authorityKeyIdentifier and cRLNumber stand in every CRL
Result<> add_extensions(X509_CRL* crl, X509* issuer, std::uint64_t crl_number) {
  const IntegerOwner number(ASN1_INTEGER_new());
  bool built = number && ASN1_INTEGER_set_uint64(number.get(), crl_number) == 1 &&
               X509_CRL_add1_ext_i2d(crl, NID_crl_number, number.get(), 0, X509V3_ADD_DEFAULT) == 1;
  if (built && X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0) {
    X509V3_CTX context{};
    X509V3_set_ctx(&context, issuer, nullptr, nullptr, crl, 0);
    X509V3_set_ctx_nodb(&context);
    const X509ExtensionOwner extension(
        X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid"));
    built = extension && X509_CRL_add_ext(crl, extension.get(), -1) == 1;
  }
  if (!built) return fail(ErrorCode::kSystem, "CRL extension: OpenSSL failed ({})", openssl_reason());
  return {};
}

}  // namespace

std::string_view name(RevocationReason reason) {
  const auto* known = std::ranges::find(kReasons, reason, &ReasonName::reason);
  return known == std::end(kReasons) ? "unspecified" : known->word;
}

Result<RevocationReason> revocation_reason_from_text(std::string_view text) {
  const auto* known = std::ranges::find(kReasons, text, &ReasonName::word);
  if (known != std::end(kReasons)) return known->reason;
  return fail(ErrorCode::kInvalidArgument,
              "'{}' is no reason: unspecified, keyCompromise, cACompromise, affiliationChanged, superseded "
              "or cessationOfOperation",
              text);
}

Result<Bytes> make_crl(const Certificate& issuer, const crypto::PrivateKey& issuer_key, const CrlSpec& spec) {
  MERLON_TRY_VOID(check_signer(issuer, issuer_key, KeyUsage::kCrlSign));
  if (spec.next_update <= spec.this_update)
    return fail(ErrorCode::kInvalidArgument, "a CRL's nextUpdate ({}) lies behind its thisUpdate ({})",
                utc_text(spec.next_update), utc_text(spec.this_update));
  clear_openssl_errors();
  X509* native_issuer = NativeCertificate::x509(issuer);
  const X509CrlOwner crl(X509_CRL_new());
  const TimeOwner this_update = to_asn1_time(spec.this_update);
  const TimeOwner next_update = to_asn1_time(spec.next_update);
  constexpr long kVersion2 = 1;
  if (!crl || !this_update || !next_update || X509_CRL_set_version(crl.get(), kVersion2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(native_issuer)) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), this_update.get()) != 1 ||
      X509_CRL_set1_nextUpdate(crl.get(), next_update.get()) != 1)
    return fail(ErrorCode::kSystem, "CRL: OpenSSL failed ({})", openssl_reason());
  for (const RevokedCertificate& entry : spec.revoked) MERLON_TRY_VOID(add_revoked(crl.get(), entry));
  MERLON_TRY_VOID(add_extensions(crl.get(), native_issuer, spec.number));
  X509_CRL_sort(crl.get());
  if (X509_CRL_sign(crl.get(), issuer_key.native(), signing_digest(issuer_key)) <= 0)
    return fail(ErrorCode::kSystem, "signing a CRL: OpenSSL failed ({})", openssl_reason());
  return to_der<i2d_X509_CRL>(crl.get());
}

std::string crl_to_pem(ByteView der) {
  return to_pem_block("X509 CRL", der);
}

}  // namespace merlon::pki
