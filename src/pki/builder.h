// Makes certificates, requests and CRLs: pure functions without files or clock, for pki/authority.h, the
// tests of every room, and the simulator. Serial numbers come from the injected Rng; keys are made by
// OpenSSL's own randomness.
#pragma once

#include <optional>
#include <span>

#include "base/rng.h"
#include "pki/certificate.h"

namespace merlon::pki {

// What --type of `merlon pki` and `merlon keygen` names: "rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256",
// "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448"; "rsa" is rsa-3072, "ecdsa" is ecdsa-p256. kInvalidArgument
// lists them.
[[nodiscard]] Result<crypto::PrivateKey> generate_key(std::string_view kind);
[[nodiscard]] std::span<const std::string_view> key_kinds();

enum class CertificateRole {
  kGateway,    // both ends of IKE: serverAuth, clientAuth and id-kp-ipsecIKE
  kServer,     // serverAuth and id-kp-ipsecIKE
  kClient,     // clientAuth and id-kp-ipsecIKE
  kAuthority,  // an intermediate CA that issues no further CAs
};

struct CertificateSpec {
  Bytes subject_dn;  // DER (pki::dn_from_text); may be empty when there are SANs
  SubjectAltNames names;
  CertificateRole role = CertificateRole::kGateway;
  UnixTime not_before;
  UnixTime not_after;  // inclusive
};

// A root CA: self-signed, cA TRUE, keyCertSign and cRLSign. spec.role and spec.names are not looked at.
[[nodiscard]] Result<Certificate> make_root(const crypto::PrivateKey& key, const CertificateSpec& spec,
                                            Rng& rng);
// A certificate for `subject_key`, signed by the CA. not_after is cut at the issuer's: what outlives its CA
// is refused by every peer anyway. kInvalidArgument when the issuer is no CA, its key another, or the spec
// names nobody.
[[nodiscard]] Result<Certificate> make_certificate(const Certificate& issuer,
                                                   const crypto::PrivateKey& issuer_key,
                                                   const crypto::PublicKey& subject_key,
                                                   const CertificateSpec& spec, Rng& rng);
// A self-signed end-entity certificate, to be trusted by itself.
[[nodiscard]] Result<Certificate> make_self_signed(const crypto::PrivateKey& key, const CertificateSpec& spec,
                                                   Rng& rng);

// A PKCS#10 request (RFC 2986) whose signature, the proof of possession, was verified.
struct CertificateRequest {
  Bytes der;
  Bytes subject_dn;
  Bytes spki_der;
  SubjectAltNames names;  // what it asks for; nobody vouches for it

  [[nodiscard]] static Result<CertificateRequest> from_der(ByteView der);
  [[nodiscard]] static Result<CertificateRequest> from_pem(std::string_view pem);
  [[nodiscard]] std::string to_pem() const;
  [[nodiscard]] Result<crypto::PublicKey> public_key() const;
};
[[nodiscard]] Result<CertificateRequest> make_request(const crypto::PrivateKey& key, ByteView subject_dn,
                                                      const SubjectAltNames& names);

// RFC 5280 5.3.1; the reasons that make sense for a gateway's certificate.
enum class RevocationReason : std::uint8_t {
  kUnspecified = 0,
  kKeyCompromise = 1,
  kCaCompromise = 2,
  kAffiliationChanged = 3,
  kSuperseded = 4,
  kCessationOfOperation = 5,
};
[[nodiscard]] std::string_view name(RevocationReason reason);  // "keyCompromise", ...
[[nodiscard]] Result<RevocationReason> revocation_reason_from_text(std::string_view text);

struct RevokedCertificate {
  Bytes serial;  // big endian, positive
  UnixTime when;
  RevocationReason reason = RevocationReason::kUnspecified;
};
struct CrlSpec {
  std::uint64_t number = 1;  // must increase from CRL to CRL
  UnixTime this_update;
  UnixTime next_update;
  std::vector<RevokedCertificate> revoked;
};
// DER of a version 2 CRL.
[[nodiscard]] Result<Bytes> make_crl(const Certificate& issuer, const crypto::PrivateKey& issuer_key,
                                     const CrlSpec& spec);
[[nodiscard]] std::string crl_to_pem(ByteView der);

// Sorts what people write ("gw.example.com", "bob@example.com", "192.0.2.1", "O=Example, CN=x") into SANs.
// kInvalidArgument for anything else, and for wildcards.
[[nodiscard]] Result<SubjectAltNames> names_from_text(std::span<const std::string> texts);

}  // namespace merlon::pki
