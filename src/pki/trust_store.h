// Trust anchors and CRLs, and the path validation of RFC 5280 with the rules of RFC 4945 for IKE. It never
// opens a connection and never reads the clock.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "pki/certificate.h"

namespace merlon::pki {

enum class RevocationPolicy {
  kNone,       // CRLs are not looked at
  kIfPresent,  // checked where a CRL of the issuer is loaded; an expired CRL is an error then (the default)
  kRequired,   // each certificate below the trust anchor needs a current CRL
};

enum class ChainFailure {
  kExpired,
  kNotYetValid,  // of a certificate or a CRL
  kRevoked,
  kUntrustedIssuer,
  kBadSignature,
  kCrlMissing,
  kCrlExpired,
  kWeak,        // key or hash below 112 bits of strength
  kConstraint,  // key usage, CA flag, path length, name constraints, depth, unknown critical extensions
  kMalformed,
};
[[nodiscard]] std::string_view name(ChainFailure failure);  // "expired", "not-yet-valid", ...

// An Error (kExpired for an expired certificate, kAuthentication for the rest) that also says which check
// failed. It converts to Error, so MERLON_TRY works.
struct ChainError : Error {
  ChainFailure failure = ChainFailure::kMalformed;
};

struct VerifiedChain {
  std::vector<Certificate> certificates;  // the leaf first, the trust anchor last
  UnixTime valid_until;                   // the earliest notAfter in it

  [[nodiscard]] const Certificate& leaf() const { return certificates.front(); }
  [[nodiscard]] const Certificate& anchor() const { return certificates.back(); }
};

inline constexpr int kMaxIntermediates = 8;
// More certificates than this from one peer are refused before any signature is checked.
inline constexpr std::size_t kMaxCertificatesOffered = 32;

// Fill it first, then share it: verify is const and may run on several threads at once; adding may not.
class TrustStore {
 public:
  TrustStore();
  TrustStore(TrustStore&&) noexcept;
  TrustStore& operator=(TrustStore&&) noexcept;
  ~TrustStore();

  // A trust anchor is self-signed: kInvalidArgument for any other, since paths never end half way. The same
  // certificate twice counts once.
  [[nodiscard]] Result<> add_anchor(Certificate certificate);
  // DER, or PEM with one or more X509 CRL blocks. Its signature is checked when it is used.
  [[nodiscard]] Result<> add_crl(ByteView der_or_pem);

  [[nodiscard]] const std::vector<Certificate>& anchors() const;
  [[nodiscard]] std::size_t crl_count() const;
  // CERTREQ's Certification Authority field (RFC 7296 3.7): the 20-byte SHA-1 hashes of the anchors'
  // SubjectPublicKeyInfo, one behind the other.
  [[nodiscard]] Bytes certreq_hashes() const;

  // Builds and checks a path from `leaf` over any of `intermediates` (in any order; unrelated ones are
  // ignored) to an anchor, at the time `now`. The leaf must be fit for IKE (RFC 4945 5.1.3). Says nothing
  // about whose certificate it is: pki::matches does.
  [[nodiscard]] tl::expected<VerifiedChain, ChainError> verify(const Certificate& leaf,
                                                               std::span<const Certificate> intermediates,
                                                               UnixTime now, RevocationPolicy policy) const;

 private:
  struct Native;
  std::unique_ptr<Native> native_;
};

// RFC 4945 5.1.3.2 and 5.1.3.12: keyUsage, where present, allows digitalSignature or nonRepudiation;
// extendedKeyUsage, where present, holds id-kp-ipsecIKE, iKEIntermediate, serverAuth, clientAuth or
// anyExtendedKeyUsage.
[[nodiscard]] Result<> check_fit_for_ike(const Certificate& leaf);

// Whether `chain` (leaf first, as far as it is known locally) ends at or runs through an authority that the
// CERTREQ hashes name, or `hashes` is empty (any). Hashes are whole multiples of 20 bytes; a rest is ignored.
[[nodiscard]] bool answers_certreq(std::span<const Certificate> chain, ByteView hashes);

}  // namespace merlon::pki
