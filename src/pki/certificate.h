// An X.509 certificate (RFC 5280) as an immutable value: cheap to copy, safe to share between threads.
// Parsing says nothing about trust: pki/trust_store.h does that, and pki/identity_match.h says for whom a
// certificate speaks.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ip_address.h"
#include "crypto/keys.h"

namespace merlon::pki {

using Sha1Hash = std::array<std::uint8_t, 20>;
using Sha256Hash = std::array<std::uint8_t, 32>;

// RFC 5280 4.2.1.6. Texts are exactly what the certificate carries, embedded NULs and wildcards among them:
// they may only be compared through pki::matches and only be printed through pki::printable.
struct SubjectAltNames {
  std::vector<std::string> dns;
  std::vector<std::string> email;
  std::vector<IpAddress> ip;
  std::vector<Bytes> directory;  // DER of a Name each
  std::size_t others = 0;        // names of kinds that IKE does not use, only counted

  [[nodiscard]] bool empty() const {
    return dns.empty() && email.empty() && ip.empty() && directory.empty() && others == 0;
  }
  friend bool operator==(const SubjectAltNames&, const SubjectAltNames&) = default;
};

// RFC 5280 4.2.1.3, by bit number.
enum class KeyUsage : std::uint8_t {
  kDigitalSignature = 0,
  kNonRepudiation = 1,
  kKeyEncipherment = 2,
  kDataEncipherment = 3,
  kKeyAgreement = 4,
  kKeyCertSign = 5,
  kCrlSign = 6,
  kEncipherOnly = 7,
  kDecipherOnly = 8,
};

class Certificate {
 public:
  // Exactly one certificate without trailing bytes. kMalformed otherwise, and also where an extension that we
  // look at does not parse or stands twice.
  [[nodiscard]] static Result<Certificate> from_der(ByteView der);
  // The first CERTIFICATE block of a PEM text; other blocks and text around them are skipped.
  [[nodiscard]] static Result<Certificate> from_pem(std::string_view pem);
  // All CERTIFICATE blocks in their order, at least one.
  [[nodiscard]] static Result<std::vector<Certificate>> all_from_pem(std::string_view pem);
  // Either form, as files have them: DER when the bytes begin with a SEQUENCE, else PEM (the first
  // certificate).
  [[nodiscard]] static Result<Certificate> from_file_bytes(ByteView bytes);

  [[nodiscard]] const Bytes& der() const;
  [[nodiscard]] std::string to_pem() const;

  [[nodiscard]] const Bytes& subject_dn_der() const;  // a Name; 30 00 when empty
  [[nodiscard]] const Bytes& issuer_dn_der() const;
  [[nodiscard]] const std::string& subject() const;  // for people, escaped: "O=Example, CN=gw"
  [[nodiscard]] const std::string& issuer() const;
  // For sentences: the subject in quotes, with the first SAN where that says more: 'O=Example, CN=gw'
  // (gw.example.com).
  [[nodiscard]] std::string describe() const;

  [[nodiscard]] const std::string& serial_hex()
      const;  // lower case, two digits a byte, "-" before it if negative
  [[nodiscard]] UnixTime not_before() const;
  [[nodiscard]] UnixTime not_after() const;
  [[nodiscard]] const SubjectAltNames& subject_alt_names() const;

  [[nodiscard]] bool is_ca() const;                 // basicConstraints with cA TRUE
  [[nodiscard]] bool is_self_issued() const;        // issuer and subject are the same name
  [[nodiscard]] bool is_self_signed() const;        // self-issued, and verifies with its own key
  [[nodiscard]] bool has_key_usage() const;         // whether the extension is there at all
  [[nodiscard]] bool allows(KeyUsage usage) const;  // true also where the extension is absent
  [[nodiscard]] bool has_extended_key_usage() const;
  [[nodiscard]] const std::vector<std::string>& extended_key_usage() const;  // dotted OIDs

  // kUnsupported for key kinds that IKE does not sign with.
  [[nodiscard]] Result<crypto::PublicKey> public_key() const;
  [[nodiscard]] const Bytes& spki_der() const;          // SubjectPublicKeyInfo
  [[nodiscard]] const Sha1Hash& spki_sha1() const;      // what CERTREQ names a trust anchor by (RFC 7296 3.7)
  [[nodiscard]] const Sha256Hash& fingerprint() const;  // SHA-256 of der()

  friend bool operator==(const Certificate& a, const Certificate& b) { return a.der() == b.der(); }

 private:
  friend struct NativeCertificate;  // the room's own way to OpenSSL's object
  struct Fields;
  explicit Certificate(std::shared_ptr<const Fields> fields) : fields_(std::move(fields)) {}
  std::shared_ptr<const Fields> fields_;
};

// Extended key usages that the IKE rules know (RFC 4945 5.1.3.12), dotted.
inline constexpr std::string_view kEkuServerAuth = "1.3.6.1.5.5.7.3.1";
inline constexpr std::string_view kEkuClientAuth = "1.3.6.1.5.5.7.3.2";
inline constexpr std::string_view kEkuIpsecIke = "1.3.6.1.5.5.7.3.17";        // id-kp-ipsecIKE
inline constexpr std::string_view kEkuIkeIntermediate = "1.3.6.1.5.5.8.2.2";  // iKEIntermediate, older peers
inline constexpr std::string_view kEkuAny = "2.5.29.37.0";                    // anyExtendedKeyUsage

// Printable ASCII as it is; all else, and the backslash, as \xx: what a peer chose, made safe for a log or
// terminal.
[[nodiscard]] std::string printable(std::string_view text);

// "2026-10-01T00:00:00Z"
[[nodiscard]] std::string utc_text(UnixTime time);
// "3 days", "2 hours", "40 seconds": the largest unit, rounded down; never negative.
[[nodiscard]] std::string duration_text(std::chrono::seconds duration);

}  // namespace merlon::pki
