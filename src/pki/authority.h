// A small certificate authority in a directory, for `merlon pki`:
//   ca.pem    its certificate          ca.key   its private key, mode 0600
//   index     what it issued: one line a certificate, replaced atomically
//   crl.pem   the last CRL written     lock     held (flock) while the directory changes
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pki/builder.h"

namespace merlon::pki {

struct AuthorityOptions {
  std::string key_kind = "ecdsa-p384";  // see generate_key
  std::string subject;                  // "O=Example, CN=Example VPN CA"
  std::chrono::days lifetime{3650};
};

struct IssueOptions {
  std::string subject;             // "O=Example, CN=gw"; may be empty when there are names
  std::vector<std::string> names;  // SANs, see names_from_text
  CertificateRole role = CertificateRole::kGateway;
  std::chrono::days lifetime{365};
};

struct IssuedCertificate {  // a line of the index
  std::string serial_hex;
  UnixTime issued;
  UnixTime not_after;
  std::optional<UnixTime> revoked;
  RevocationReason reason = RevocationReason::kUnspecified;
  std::string subject;  // text of the subject DN

  friend bool operator==(const IssuedCertificate&, const IssuedCertificate&) = default;
};

class Authority {
 public:
  // Makes key, certificate and an empty index in `directory` (created with mode 0700 when missing). kPolicy
  // when there is an authority already.
  [[nodiscard]] static Result<Authority> create(const std::filesystem::path& directory,
                                                const AuthorityOptions& options, Rng& rng, UnixTime now);
  [[nodiscard]] static Result<Authority> open(const std::filesystem::path& directory);

  [[nodiscard]] const Certificate& certificate() const { return certificate_; }

  // Serial numbers are positive and random (158 bits).
  [[nodiscard]] Result<Certificate> issue(const crypto::PublicKey& key, const IssueOptions& options, Rng& rng,
                                          UnixTime now);
  // For a PKCS#10 request, whose proof of possession CertificateRequest has checked. An empty options.subject
  // takes the request's. SANs come from options.names; those that the request asks for are added when
  // `allow_request_names`. A request that asks for more than it may have is refused (kPolicy) rather than
  // answered with less.
  [[nodiscard]] Result<Certificate> issue_for_request(const CertificateRequest& request,
                                                      const IssueOptions& options, bool allow_request_names,
                                                      Rng& rng, UnixTime now);
  // kNotFound for a serial it never issued; revoking twice keeps the first date and is no error.
  [[nodiscard]] Result<> revoke(std::string_view serial_hex, RevocationReason reason, UnixTime now);
  // Signs a CRL with the next number, valid for `lifetime`, and writes crl.pem. Returns its DER. Whatever was
  // ever revoked stays in it.
  [[nodiscard]] Result<Bytes> write_crl(UnixTime now, std::chrono::seconds lifetime);

  [[nodiscard]] Result<std::vector<IssuedCertificate>> list() const;

 private:
  Authority(std::filesystem::path directory, Certificate certificate, crypto::PrivateKey key)
      : directory_(std::move(directory)), certificate_(std::move(certificate)), key_(std::move(key)) {}
  [[nodiscard]] Result<Certificate> issue_spec(const crypto::PublicKey& key, const CertificateSpec& spec,
                                               Rng& rng, UnixTime now);

  std::filesystem::path directory_;
  Certificate certificate_;
  crypto::PrivateKey key_;
};

}  // namespace merlon::pki
