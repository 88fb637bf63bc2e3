#include "pki/builder.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "crypto/signature.h"
#include "pki/builder_internal.h"
#include "pki/identity_text.h"

namespace merlon::pki {

// X.509 signs with the hash that fits the key; EdDSA hashes by itself.
const EVP_MD* signing_digest(const crypto::PrivateKey& key) {
  switch (key.kind()) {
    case crypto::KeyKind::kEd25519:
    case crypto::KeyKind::kEd448:
      return nullptr;
    case crypto::KeyKind::kEcdsaP384:
      return EVP_sha384();
    case crypto::KeyKind::kEcdsaP521:
      return EVP_sha512();
    default:
      return EVP_sha256();
  }
}

Result<> check_signer(const Certificate& issuer, const crypto::PrivateKey& key, KeyUsage usage) {
  if (!issuer.is_ca() || !issuer.allows(usage))
    return fail(ErrorCode::kInvalidArgument, "certificate {} is not one of a CA that may sign this",
                issuer.describe());
  if (issuer.spki_der() != key.public_key().spki_der())
    return fail(ErrorCode::kInvalidArgument, "the private key is not the one of certificate {}",
                issuer.describe());
  return {};
}

namespace {

constexpr std::size_t kSerialSize = 20;  // RFC 5280 4.1.2.2: at most 20 octets, positive

tl::unexpected<Error> openssl_failed(std::string_view what) {
  return fail(ErrorCode::kSystem, "{}: OpenSSL failed ({})", what, openssl_reason());
}

Result<> set_serial(X509* x509, Rng& rng) {
  Bytes serial = rng.bytes(kSerialSize);
  // Positive, and of one length for all.
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7fU) | 0x40U);
  ASN1_INTEGER* field = X509_get_serialNumber(x509);
  if (ASN1_STRING_set(field, serial.data(), static_cast<int>(serial.size())) != 1)
    return openssl_failed("serial number");
  return {};
}

Result<> add_extension(X509* x509, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const X509ExtensionOwner extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(x509, extension.get(), -1) != 1) return openssl_failed(OBJ_nid2sn(nid));
  return {};
}

std::string extended_key_usage_of(CertificateRole role) {
  std::vector<std::string_view> usages;
  if (role != CertificateRole::kClient) usages.push_back(kEkuServerAuth);
  if (role != CertificateRole::kServer) usages.push_back(kEkuClientAuth);
  usages.push_back(kEkuIpsecIke);
  return fmt::format("{}", fmt::join(usages, ","));
}

Result<> add_alt_names(X509* x509, const CertificateSpec& spec, bool subject_empty) {
  if (spec.names.empty()) return {};
  const GeneralNamesOwner names = to_general_names(spec.names);
  // RFC 5280 4.2.1.6: critical where the subject is empty
  if (!names || X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), subject_empty ? 1 : 0,
                                  X509V3_ADD_DEFAULT) != 1)
    return openssl_failed("subjectAltName");
  return {};
}

Result<> add_extensions(X509* x509, X509* issuer, const CertificateSpec& spec, bool root) {
  if (root || spec.role == CertificateRole::kAuthority) {
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_basic_constraints,
                                  root ? "critical,CA:TRUE" : "critical,CA:TRUE,pathlen:0"));
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign"));
  } else {
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE"));
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_key_usage, "critical,digitalSignature"));
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_ext_key_usage, extended_key_usage_of(spec.role)));
    MERLON_TRY_VOID(add_alt_names(x509, spec, X509_NAME_entry_count(X509_get_subject_name(x509)) == 0));
  }
  MERLON_TRY_VOID(add_extension(x509, issuer, NID_subject_key_identifier, "hash"));
  if (X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0)
    MERLON_TRY_VOID(add_extension(x509, issuer, NID_authority_key_identifier, "keyid"));
  return {};
}

struct Signer {
  X509* issuer = nullptr;  // null: the certificate itself
  const crypto::PrivateKey* key = nullptr;
  bool root = false;
};

Result<Certificate> build(const Signer& signer, const crypto::PublicKey& subject_key,
                          const CertificateSpec& spec, Rng& rng) {
  MERLON_TRY_VOID(crypto::check_key(subject_key));
  if (spec.not_before > spec.not_after)
    return fail(ErrorCode::kInvalidArgument, "a certificate cannot end ({}) before it begins ({})",
                utc_text(spec.not_after), utc_text(spec.not_before));
  MERLON_TRY(const X509NameOwner subject, parse_name_or_empty(spec.subject_dn));
  const bool authority = signer.root || spec.role == CertificateRole::kAuthority;
  if (X509_NAME_entry_count(subject.get()) == 0 && (authority || spec.names.empty()))
    return fail(ErrorCode::kInvalidArgument, "a certificate needs a subject{}",
                authority ? "" : " or a subjectAltName");

  clear_openssl_errors();
  const X509Owner x509(X509_new());
  const TimeOwner not_before = to_asn1_time(spec.not_before);
  const TimeOwner not_after = to_asn1_time(spec.not_after);
  if (!x509 || !not_before || !not_after) return openssl_failed("certificate");
  X509* issuer = signer.issuer == nullptr ? x509.get() : signer.issuer;
  constexpr long kVersion3 = 2;
  if (X509_set_version(x509.get(), kVersion3) != 1 || X509_set_subject_name(x509.get(), subject.get()) != 1 ||
      X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer)) != 1 ||
      X509_set1_notBefore(x509.get(), not_before.get()) != 1 ||
      X509_set1_notAfter(x509.get(), not_after.get()) != 1 ||
      X509_set_pubkey(x509.get(), subject_key.native()) != 1)
    return openssl_failed("certificate");
  MERLON_TRY_VOID(set_serial(x509.get(), rng));
  MERLON_TRY_VOID(add_extensions(x509.get(), issuer, spec, signer.root));
  if (X509_sign(x509.get(), signer.key->native(), signing_digest(*signer.key)) <= 0)
    return openssl_failed("signing a certificate");
  return NativeCertificate::of(x509.get());
}

struct KeyType {
  std::string_view word;
  crypto::KeyKind kind;
  unsigned bits;
};
constexpr KeyType kKeyTypes[] = {
    {"rsa-2048", crypto::KeyKind::kRsa, 2048},      {"rsa-3072", crypto::KeyKind::kRsa, 3072},
    {"rsa-4096", crypto::KeyKind::kRsa, 4096},      {"ecdsa-p256", crypto::KeyKind::kEcdsaP256, 0},
    {"ecdsa-p384", crypto::KeyKind::kEcdsaP384, 0}, {"ecdsa-p521", crypto::KeyKind::kEcdsaP521, 0},
    {"ed25519", crypto::KeyKind::kEd25519, 0},      {"ed448", crypto::KeyKind::kEd448, 0},
};
constexpr std::string_view kKeyWords[] = {"rsa-2048",   "rsa-3072",   "rsa-4096", "ecdsa-p256",
                                          "ecdsa-p384", "ecdsa-p521", "ed25519",  "ed448"};

}  // namespace

Result<crypto::PrivateKey> generate_key(std::string_view kind) {
  if (kind == "rsa") kind = "rsa-3072";
  if (kind == "ecdsa") kind = "ecdsa-p256";
  const auto* type = std::ranges::find(kKeyTypes, kind, &KeyType::word);
  if (type == std::end(kKeyTypes))
    return fail(ErrorCode::kInvalidArgument, "'{}' is no kind of key we make: {}", kind,
                fmt::join(kKeyWords, ", "));
  return crypto::PrivateKey::generate(type->kind, type->bits);
}

std::span<const std::string_view> key_kinds() {
  return kKeyWords;
}

Result<Certificate> make_root(const crypto::PrivateKey& key, const CertificateSpec& spec, Rng& rng) {
  return build({nullptr, &key, true}, key.public_key(), spec, rng);
}

Result<Certificate> make_certificate(const Certificate& issuer, const crypto::PrivateKey& issuer_key,
                                     const crypto::PublicKey& subject_key, const CertificateSpec& spec,
                                     Rng& rng) {
  MERLON_TRY_VOID(check_signer(issuer, issuer_key, KeyUsage::kKeyCertSign));
  CertificateSpec cut = spec;
  cut.not_after = std::min(spec.not_after, issuer.not_after());
  if (cut.not_before > issuer.not_after())
    return fail(ErrorCode::kExpired, "the CA's certificate {} expired {}", issuer.describe(),
                utc_text(issuer.not_after()));
  return build({NativeCertificate::x509(issuer), &issuer_key, false}, subject_key, cut, rng);
}

Result<Certificate> make_self_signed(const crypto::PrivateKey& key, const CertificateSpec& spec, Rng& rng) {
  if (spec.role == CertificateRole::kAuthority)
    return fail(ErrorCode::kInvalidArgument, "a self-signed authority is a root: make_root");
  return build({nullptr, &key, false}, key.public_key(), spec, rng);
}

Result<SubjectAltNames> names_from_text(std::span<const std::string> texts) {
  SubjectAltNames names;
  for (const std::string& text : texts) {
    MERLON_TRY(const Identity identity, identity_from_text(text));
    const std::string_view value = as_text(identity.data);
    const bool plain = std::ranges::all_of(value, [](char c) { return c > 0x20 && c < 0x7f; });
    switch (identity.type) {
      case IdType::kFqdn:
      case IdType::kRfc822Addr:
        if (value.find('*') != std::string_view::npos)
          return fail(ErrorCode::kInvalidArgument,
                      "'{}': a wildcard in a certificate proves no identity in IKE", text);
        if (!plain)
          return fail(ErrorCode::kInvalidArgument,
                      "'{}': only ASCII (write an international name in its xn-- form)", printable(text));
        (identity.type == IdType::kFqdn ? names.dns : names.email).emplace_back(value);
        break;
      case IdType::kIpv4Addr:
      case IdType::kIpv6Addr: {
        MERLON_TRY(const IpAddress address, IpAddress::from_bytes(identity.data));
        names.ip.push_back(address);
        break;
      }
      case IdType::kDerAsn1Dn:
        names.directory.push_back(identity.data);
        break;
      default:
        return fail(ErrorCode::kInvalidArgument,
                    "'{}' cannot stand in a certificate: a host name, a mailbox or an address can", text);
    }
  }
  return names;
}

}  // namespace merlon::pki
