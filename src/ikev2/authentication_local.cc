// How we prove ourselves: method, signature, CERT and CERTREQ payloads, identity.
#include <algorithm>

#include "base/check.h"
#include "crypto/hash.h"
#include "ike/diagnosis.h"
#include "ikev2/authentication.h"
#include "pki/identity_match.h"
#include "pki/raw_public_key.h"

namespace merlon::ikev2 {

namespace {

using policy::AuthKind;
using SendCert = policy::Connection::SendCert;

const policy::LocalAuth* local_auth(const policy::Connection& connection) {
  return connection.local_auth.empty() ? nullptr : &connection.local_auth.front();
}

tl::unexpected<ike::Failure> cannot(const policy::Connection& connection, std::string why) {
  return tl::unexpected(
      ike::diagnosis::cannot_sign({&connection, {}, {}}, Error{ErrorCode::kNotFound, std::move(why)}));
}

std::string owner_text(const ike::ConnectionCredentials& credentials, AuthKind kind) {
  if (kind == AuthKind::kCertificate && !credentials.certificates.empty())
    return fmt::format("certificate {}", credentials.certificates.front().describe());
  return fmt::format("public key {}", pki::short_fingerprint(credentials.private_key->public_key()));
}

}  // namespace

std::vector<HashId> supported_hashes() {
  return {HashId::kSha2_256, HashId::kSha2_384, HashId::kSha2_512, HashId::kIdentity};
}

tl::expected<LocalAuthPlan, ike::Failure> plan_local_auth(const policy::Connection& connection,
                                                          const ike::ConnectionCredentials& credentials,
                                                          const std::vector<HashId>* peer_hashes) {
  const auto* auth = local_auth(connection);
  if (auth == nullptr) return cannot(connection, "no local authentication is configured");
  LocalAuthPlan plan;
  if (auth->kind == AuthKind::kPsk) {
    if (credentials.local_psk.empty()) return cannot(connection, "the pre-shared key is missing or empty");
    plan.text = "pre-shared key";
    return plan;
  }
  if (auth->kind != AuthKind::kCertificate && auth->kind != AuthKind::kRawPublicKey)
    return cannot(connection, "the configured way to authenticate is not supported");
  if (credentials.private_key == nullptr) return cannot(connection, "there is no private key");
  const crypto::PublicKey& key = credentials.private_key->public_key();
  if (auth->kind == AuthKind::kCertificate && credentials.certificates.empty())
    return cannot(connection, "there is no certificate");

  // RFC 7427 4: digital signatures only for a peer that named its hashes; PSS is the form that RFC 8247 4.2
  // asks for.
  std::string why_not = "the peer does not support digital signatures (RFC 7427)";
  if (peer_hashes != nullptr) {
    const auto scheme = crypto::choose_scheme(key, *peer_hashes, true);
    if (scheme) {
      plan.method = AuthMethod::kDigitalSignature;
      plan.scheme = *scheme;
      plan.text = fmt::format("Digital Signature ({}), {}", crypto::name(*scheme),
                              owner_text(credentials, auth->kind));
      return plan;
    }
    why_not = scheme.error().message;
  }
  const auto method = crypto::legacy_auth_method(key);
  const auto schemes = method ? crypto::schemes_of(*method) : std::span<const crypto::SignatureScheme>{};
  if (schemes.empty())
    return cannot(connection, fmt::format("{}, and no older method can carry a signature by our key ({}): "
                                          "use an RSA or ECDSA key for this peer",
                                          why_not, key.to_string()));
  plan.method = *method;
  plan.scheme = schemes.front();
  plan.text = fmt::format("{} ({}), {}", merlon::name(*method), crypto::name(schemes.front()),
                          owner_text(credentials, auth->kind));
  return plan;
}

ike::SignRequest sign_request(ike::RequestId request, const policy::Connection& connection,
                              const ike::ConnectionCredentials& credentials, const LocalAuthPlan& plan,
                              Bytes octets) {
  MERLON_ASSERT(plan.scheme.has_value());
  return {request, connection.name, credentials.private_key, *plan.scheme, std::move(octets)};
}

Result<wire::AuthPayload> signature_auth_payload(const LocalAuthPlan& plan, ByteView signature) {
  MERLON_ASSERT(plan.scheme.has_value());
  wire::AuthPayload payload;
  payload.method = plan.method;
  if (plan.method == AuthMethod::kDigitalSignature) {
    // RFC 7427 3: one byte with the length of the AlgorithmIdentifier, the AlgorithmIdentifier, the
    // signature.
    MERLON_TRY(const Bytes identifier, crypto::algorithm_identifier_der(*plan.scheme));
    MERLON_ASSERT(identifier.size() <= 255);
    payload.data.push_back(static_cast<std::uint8_t>(identifier.size()));
    append(payload.data, identifier);
  }
  append(payload.data, signature);
  return payload;
}

std::vector<wire::CertPayload> local_cert_payloads(const policy::Connection& connection,
                                                   const ike::ConnectionCredentials& credentials,
                                                   std::span<const wire::CertreqPayload* const> requests) {
  std::vector<wire::CertPayload> payloads;
  const auto* auth = local_auth(connection);
  if (auth == nullptr || connection.send_cert == SendCert::kNever) return payloads;
  const auto wanted = [&](CertEncoding encoding) {
    // RFC 7296 3.7: which authorities the peer names is a hint only: a root that we do not hold may stand
    // behind our chain, so whoever asks for X.509 at all gets our certificate.
    return connection.send_cert == SendCert::kAlways ||
           std::any_of(requests.begin(), requests.end(),
                       [&](const auto* request) { return request->encoding == encoding; });
  };
  if (auth->kind == AuthKind::kCertificate && wanted(CertEncoding::kX509Signature)) {
    for (const auto& certificate : credentials.certificates) {
      if (!payloads.empty() && certificate.is_self_signed())
        continue;  // a trust anchor: the peer has it, or does not trust it
      payloads.push_back({CertEncoding::kX509Signature, certificate.der(), false});
    }
  }
  if (auth->kind == AuthKind::kRawPublicKey && credentials.private_key != nullptr &&
      wanted(CertEncoding::kRawPublicKey))
    payloads.push_back({CertEncoding::kRawPublicKey, credentials.private_key->public_key().spki_der(),
                        false});  // RFC 7670 3
  return payloads;
}

std::vector<wire::CertreqPayload> certreq_payloads(
    std::span<const std::pair<const policy::Connection*, const ike::ConnectionCredentials*>> candidates) {
  bool x509 = false, raw = false;
  std::vector<wire::AuthorityHash> hashes;
  for (const auto& [connection, credentials] : candidates) {
    if (connection == nullptr || credentials == nullptr || !connection->send_certreq ||
        connection->remote_auth.empty())
      continue;
    const auto kind = connection->remote_auth.front().kind;
    raw = raw || kind == AuthKind::kRawPublicKey;
    if (kind != AuthKind::kCertificate) continue;
    x509 = true;
    if (credentials->trust == nullptr) continue;
    for (const auto& anchor : credentials->trust->anchors())
      if (std::find(hashes.begin(), hashes.end(), anchor.spki_sha1()) == hashes.end())
        hashes.push_back(anchor.spki_sha1());
  }
  std::vector<wire::CertreqPayload> payloads;
  if (x509) payloads.push_back(wire::CertreqPayload::of(CertEncoding::kX509Signature, hashes));
  if (raw)
    payloads.push_back(
        wire::CertreqPayload::of(CertEncoding::kRawPublicKey, {}));  // RFC 7670 3: no authority
  return payloads;
}

std::vector<wire::CertreqPayload> certreq_payloads(const policy::Connection& connection,
                                                   const ike::ConnectionCredentials& credentials) {
  const std::pair<const policy::Connection*, const ike::ConnectionCredentials*> one{&connection,
                                                                                    &credentials};
  return certreq_payloads(std::span(&one, 1));
}

Identity local_identity(const policy::Connection& connection, const ike::ConnectionCredentials& credentials,
                        const IpAddress& local_address) {
  const auto* auth = local_auth(connection);
  if (auth != nullptr && !auth->id.data.empty()) return auth->id;
  if (auth != nullptr && auth->kind == AuthKind::kCertificate && !credentials.certificates.empty()) {
    const auto identities = pki::identities_of(credentials.certificates.front());
    if (!identities.empty()) return identities.front();
  }
  if (auth != nullptr && auth->kind == AuthKind::kRawPublicKey && credentials.private_key != nullptr) {
    const auto digest = crypto::sha2_256({credentials.private_key->public_key().spki_der()});
    return {IdType::kKeyId, Bytes(digest.begin(), digest.end())};
  }
  return {local_address.is_v4() ? IdType::kIpv4Addr : IdType::kIpv6Addr, to_bytes(local_address.bytes())};
}

}  // namespace merlon::ikev2
