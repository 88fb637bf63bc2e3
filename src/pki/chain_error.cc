#include "pki/chain_error.h"

#include <fmt/ranges.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "pki/builder.h"
#include "pki/identity_text.h"

namespace merlon::pki {
namespace {

ChainFailure failure_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChainFailure::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return ChainFailure::kNotYetValid;
    case X509_V_ERR_CERT_REVOKED:
      return ChainFailure::kRevoked;
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return ChainFailure::kCrlExpired;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
      return ChainFailure::kCrlMissing;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
      return ChainFailure::kUntrustedIssuer;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH:
    case X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY:
    case X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM:
      return ChainFailure::kBadSignature;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return ChainFailure::kWeak;
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_INVALID_PURPOSE:
      return ChainFailure::kConstraint;
    default:
      return ChainFailure::kMalformed;
  }
}

std::string trusted_list(const std::vector<Certificate>& anchors) {
  constexpr std::size_t kMostShown = 5;
  if (anchors.empty()) return "no CA is configured as trusted";
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(anchors.size(), kMostShown); ++i)
    names.push_back("'" + anchors[i].subject() + "'");
  if (anchors.size() > kMostShown) names.push_back(fmt::format("{} more", anchors.size() - kMostShown));
  return fmt::format("trusted {} {}", anchors.size() == 1 ? "is" : "are", fmt::join(names, ", "));
}

std::string untrusted(const Certificate& subject, const ChainQuestion& question) {
  const std::string who = question.leaf.describe();
  const std::string trusted = trusted_list(question.anchors);
  if (subject.is_self_issued() && subject == question.leaf)
    return fmt::format("certificate {} is self-signed and not itself trusted: {}", who, trusted);
  if (subject.is_self_issued())
    return fmt::format("no trusted CA issued certificate {}: its chain ends at '{}', {}", who,
                       subject.subject(), trusted);
  const auto same_name = [&](const Certificate& anchor) {
    return dn_equal(anchor.subject_dn_der(), subject.issuer_dn_der());
  };
  if (std::ranges::any_of(question.anchors, same_name))
    return fmt::format(
        "no trusted CA issued certificate {}: its issuer has the name '{}' but another key than the trusted "
        "CA of that name",
        who, subject.issuer());
  if (subject == question.leaf)
    return fmt::format("no trusted CA issued certificate {}: its issuer is '{}', {}", who, subject.issuer(),
                       trusted);
  return fmt::format("no trusted CA issued certificate {}: its chain ends at '{}', whose issuer is '{}', {}",
                     who, subject.subject(), subject.issuer(), trusted);
}

std::string revoked(const X509_CRL* crl, const Certificate& subject, const std::string& who) {
  X509_REVOKED* entry = nullptr;
  // OpenSSL takes the CRL non-const, but only sorts its entries under its own lock.
  if (crl == nullptr ||
      X509_CRL_get0_by_cert(const_cast<X509_CRL*>(crl), &entry, NativeCertificate::x509(subject)) != 1 ||
      entry == nullptr)
    return fmt::format("{} was revoked by '{}'", who, subject.issuer());
  const auto when = to_unix_time(X509_REVOKED_get0_revocationDate(entry));
  const std::unique_ptr<ASN1_ENUMERATED, OpensslDeleter<ASN1_ENUMERATED_free>> reason(
      static_cast<ASN1_ENUMERATED*>(X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, nullptr, nullptr)));
  const long code = reason ? ASN1_ENUMERATED_get(reason.get()) : 0;
  const std::string_view words = code == 6 ? "certificateHold"
                                 : code == 9
                                     ? "privilegeWithdrawn"
                                     : name(static_cast<RevocationReason>(code > 0 && code < 6 ? code : 0));
  return fmt::format("{} was revoked by '{}' on {} (reason: {})", who, subject.issuer(),
                     when ? utc_text(*when) : "an unknown day", words);
}

std::string crl_time(const ChainProblem& problem, const ChainQuestion& question) {
  const std::string& issuer = problem.subject.issuer();
  const bool expired = problem.error == X509_V_ERR_CRL_HAS_EXPIRED;
  const ASN1_TIME* time = problem.crl == nullptr ? nullptr
                          : expired              ? X509_CRL_get0_nextUpdate(problem.crl)
                                                 : X509_CRL_get0_lastUpdate(problem.crl);
  const auto at = to_unix_time(time);
  if (!at) return fmt::format("the CRL of '{}' has times that are no dates", issuer);
  if (expired)
    return fmt::format(
        "the CRL of '{}' expired {} ({} ago), so it cannot say whether certificate {} is revoked: load a "
        "newer one",
        issuer, utc_text(*at), duration_text(question.now - *at), problem.subject.describe());
  return fmt::format(
      "the CRL of '{}' is valid only from {}, which is not yet (check the clock: it is {} here)", issuer,
      utc_text(*at), utc_text(question.now));
}

std::string constraint(int error, const std::string& who, const Certificate& leaf) {
  switch (error) {
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
      return fmt::format(
          "{} carries a name that a CA above it is not allowed to vouch for (name constraints)", who);
    case X509_V_ERR_INVALID_CA:
      return fmt::format("{} is above {} in the chain, but is no CA certificate (basicConstraints, keyUsage)",
                         who, leaf.describe());
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return fmt::format("a CA above {} does not allow that many CAs below it (path length)", who);
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return fmt::format("the chain of {} is longer than {} intermediate CAs", who, kMaxIntermediates);
    default:
      return fmt::format("{} is not allowed: {}", who, X509_verify_cert_error_string(error));
  }
}

}  // namespace

ChainError chain_error(ChainFailure failure, std::string message) {
  ChainError out;
  out.code = failure == ChainFailure::kExpired ? ErrorCode::kExpired : ErrorCode::kAuthentication;
  out.message = std::move(message);
  out.failure = failure;
  return out;
}

ChainError explain(const ChainProblem& problem, const ChainQuestion& question) {
  const int error = problem.error;
  const Certificate& subject = problem.subject;
  const ChainFailure failure = failure_of(error);
  const std::string who =
      fmt::format("{} {}", subject == question.leaf ? "certificate" : "CA certificate", subject.describe());
  const std::string_view reason = X509_verify_cert_error_string(error);
  switch (failure) {
    case ChainFailure::kExpired:
      return chain_error(failure, fmt::format("{} expired {} ({} ago)", who, utc_text(subject.not_after()),
                                              duration_text(question.now - subject.not_after())));
    case ChainFailure::kNotYetValid:
      if (error == X509_V_ERR_CRL_NOT_YET_VALID) return chain_error(failure, crl_time(problem, question));
      return chain_error(
          failure, fmt::format("{} is valid only from {}, which is not yet (check the clock: it is {} here)",
                               who, utc_text(subject.not_before()), utc_text(question.now)));
    case ChainFailure::kRevoked:
      return chain_error(failure, revoked(problem.crl, subject, who));
    case ChainFailure::kUntrustedIssuer:
      return chain_error(failure, untrusted(subject, question));
    case ChainFailure::kBadSignature:
      if (error == X509_V_ERR_CRL_SIGNATURE_FAILURE || error == X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE)
        return chain_error(failure,
                           fmt::format("the CRL of '{}' is not signed with that CA's key", subject.issuer()));
      return chain_error(failure, fmt::format("{} is not signed with the key of its issuer '{}' ({})", who,
                                              subject.issuer(), reason));
    case ChainFailure::kCrlMissing:
      return chain_error(failure, fmt::format("no CRL of '{}' is loaded, and one is required to accept {}",
                                              subject.issuer(), who));
    case ChainFailure::kCrlExpired:
      return chain_error(failure, crl_time(problem, question));
    case ChainFailure::kWeak:
      return chain_error(
          failure,
          fmt::format("{} is too weak: {} (RSA keys from 2048 bits, no SHA-1 signatures)", who, reason));
    case ChainFailure::kConstraint:
      return chain_error(failure, constraint(error, who, question.leaf));
    case ChainFailure::kMalformed:
      break;
  }
  return chain_error(ChainFailure::kMalformed, fmt::format("{} cannot be verified: {}", who, reason));
}

}  // namespace merlon::pki
