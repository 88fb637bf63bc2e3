// Checking who the peer is.
#include <algorithm>

#include "ike/diagnosis.h"
#include "ikev2/authentication.h"
#include "pki/identity_match.h"
#include "pki/identity_text.h"
#include "pki/raw_public_key.h"

namespace merlon::ikev2 {

namespace diagnosis = ike::diagnosis;
using ike::Failure;
using policy::AuthKind;

bool remote_identity_acceptable(const policy::Connection& connection, const Identity& presented) {
  if (connection.remote_auth.empty()) return false;
  const auto& auth = connection.remote_auth.front();
  if (auth.id) {
    if (auth.id->type == IdType::kDerAsn1Dn && presented.type == IdType::kDerAsn1Dn)
      return pki::dn_equal(auth.id->data, presented.data);
    return *auth.id == presented;
  }
  if (!auth.id_pattern.empty())
    return presented.type == IdType::kDerAsn1Dn && pki::dn_matches_pattern(presented.data, auth.id_pattern);
  return true;
}

namespace {

// A key that is trusted to speak for the peer's identity.
struct TrustedKey {
  crypto::PublicKey key;
  std::string owner;  // for people
  std::optional<UnixTime> valid_until;
  std::shared_ptr<const std::vector<Bytes>> chain;  // see PeerAuthenticated::chain()
};

template <class T>
using Checked = tl::expected<T, Failure>;

struct Case {
  const policy::Connection& connection;
  const policy::RemoteAuth& auth;
  const ike::ConnectionCredentials& credentials;
  const PeerProof& proof;
  diagnosis::Subject subject;
  UnixTime now;
};

bool is_signature(AuthMethod method) {
  return method == AuthMethod::kDigitalSignature || !crypto::schemes_of(method).empty();
}

std::string words(AuthMethod method) {
  if (method == AuthMethod::kSharedKeyMic) return "a pre-shared key";
  return fmt::format("method {} ({})", static_cast<unsigned>(method), merlon::name(method));
}

pki::RevocationPolicy revocation_of(const policy::RemoteAuth& auth) {
  switch (auth.revocation) {
    case policy::RemoteAuth::Revocation::kRequired:
      return pki::RevocationPolicy::kRequired;
    case policy::RemoteAuth::Revocation::kIgnore:
      return pki::RevocationPolicy::kNone;
    case policy::RemoteAuth::Revocation::kIfPresent:
      break;
  }
  return pki::RevocationPolicy::kIfPresent;
}

std::shared_ptr<const std::vector<Bytes>> der_of(const pki::VerifiedChain& chain) {
  std::vector<Bytes> ders;
  for (const auto& certificate : chain.certificates)
    if (ders.empty() || !(certificate == chain.anchor())) ders.push_back(certificate.der());
  return std::make_shared<const std::vector<Bytes>>(std::move(ders));
}

// RFC 7296 3.6: the first certificate holds the key of AUTH; the others, in any order, lead to an anchor.
Checked<TrustedKey> key_of_certificate(const Case& peer) {
  const auto refuse = [&](const Error& why) {
    return tl::unexpected(diagnosis::bad_certificate(peer.subject, peer.proof.identity, why));
  };
  if (peer.proof.certificates.size() > pki::kMaxCertificatesOffered)
    return refuse({ErrorCode::kExhausted,
                   fmt::format("it came with {} CERT payloads", peer.proof.certificates.size())});
  std::optional<pki::Certificate> leaf;
  std::vector<pki::Certificate> intermediates;
  for (const auto* payload : peer.proof.certificates) {
    if (payload->encoding != CertEncoding::kX509Signature) continue;
    auto certificate = pki::Certificate::from_der(payload->data);
    if (!certificate) {
      if (!leaf) return refuse(certificate.error());
      continue;  // what is not a certificate helps no chain
    }
    if (!leaf) {
      leaf = std::move(*certificate);
    } else {
      intermediates.push_back(std::move(*certificate));
    }
  }
  if (!leaf)
    return tl::unexpected(
        diagnosis::no_certificate(peer.subject, peer.proof.identity, AuthKind::kCertificate));
  if (peer.credentials.trust == nullptr || peer.credentials.trust->anchors().empty())
    return refuse({ErrorCode::kPolicy, fmt::format("{} was issued by '{}', and no CA is configured here",
                                                   leaf->describe(), leaf->issuer())});

  const auto chain = peer.credentials.trust->verify(*leaf, intermediates, peer.now, revocation_of(peer.auth));
  if (!chain) return refuse(chain.error());
  // RFC 7296 3.5, RFC 4945 3.1: what the certificate says must be what the peer says.
  if (const auto match = pki::matches(*leaf, peer.proof.identity); !match)
    return tl::unexpected(
        diagnosis::identity_not_in_certificate(peer.subject, peer.proof.identity, match.error()));
  auto key = leaf->public_key();
  if (!key) return refuse(key.error());
  return TrustedKey{std::move(*key),
                    fmt::format("certificate {}, issued by '{}'", leaf->describe(), leaf->issuer()),
                    chain->valid_until, der_of(*chain)};
}

std::vector<TrustedKey> listed_keys(const Case& peer) {
  std::vector<TrustedKey> keys;
  for (const auto& key : peer.credentials.public_keys)
    keys.push_back({key, fmt::format("public key {} ({})", pki::short_fingerprint(key), key.to_string()),
                    std::nullopt, nullptr});
  return keys;
}

// RFC 7670: trust comes from the configured list alone; what the peer sends only says which of them it uses.
// A certificate is as good for that as a bare key.
Checked<std::vector<TrustedKey>> raw_keys(const Case& peer) {
  auto keys = listed_keys(peer);
  const auto refuse = [&](const Error& why) {
    return tl::unexpected(diagnosis::bad_certificate(peer.subject, peer.proof.identity, why));
  };
  for (const auto* payload : peer.proof.certificates) {
    Bytes spki;
    if (payload->encoding == CertEncoding::kRawPublicKey) {
      const auto key = pki::raw_public_key_from_der(payload->data);
      if (!key) return refuse(key.error());
      spki = key->spki_der();
    } else if (payload->encoding == CertEncoding::kX509Signature) {
      const auto certificate = pki::Certificate::from_der(payload->data);
      if (!certificate) return refuse(certificate.error());
      spki = certificate->spki_der();
    } else {
      continue;
    }
    std::erase_if(keys, [&](const TrustedKey& listed) { return listed.key.spki_der() != spki; });
    if (keys.empty())
      return tl::unexpected(
          diagnosis::unknown_public_key(peer.subject, peer.proof.identity, pki::short_fingerprint(spki)));
    return keys;
  }
  if (keys.empty())
    return tl::unexpected(
        diagnosis::no_certificate(peer.subject, peer.proof.identity, AuthKind::kRawPublicKey));
  return keys;
}

// How the AUTH payload says it was signed: the schemes it may be, and the signature itself.
struct ReadSignature {
  std::vector<crypto::SignatureScheme> schemes;
  ByteView signature;
};

Result<ReadSignature> read_signature(const wire::AuthPayload& auth) {
  if (auth.method != AuthMethod::kDigitalSignature) {
    const auto schemes = crypto::schemes_of(auth.method);
    return ReadSignature{{schemes.begin(), schemes.end()}, auth.data};
  }
  // RFC 7427 3
  if (auth.data.empty() || std::size_t{auth.data[0]} + 1 > auth.data.size())
    return fail(ErrorCode::kMalformed, "its AUTH payload ends within the AlgorithmIdentifier");
  const std::size_t size = auth.data[0];
  const ByteView data(auth.data);
  MERLON_TRY(const auto scheme, crypto::parse_algorithm_identifier(data.subspan(1, size)));
  // RFC 7427 4: only hashes that we named; SHA-1 is none of them.
  const auto hashes = supported_hashes();
  if (std::find(hashes.begin(), hashes.end(), scheme.hash) == hashes.end())
    return fail(ErrorCode::kPolicy, "it signs with {}, and we did not offer {}", crypto::name(scheme),
                merlon::name(scheme.hash));
  return ReadSignature{{scheme}, data.subspan(1 + size)};
}

struct Proven {
  TrustedKey key;
  crypto::SignatureScheme scheme;
};

Checked<Proven> verify_signature(const Case& peer, std::span<const TrustedKey> keys) {
  const auto read = read_signature(*peer.proof.auth);
  if (!read)
    return tl::unexpected(diagnosis::wrong_signature(peer.subject, peer.proof.identity, keys.front().owner,
                                                     read.error().message));
  std::string detail = "no scheme fits";
  for (const auto& key : keys) {
    for (const auto& scheme : read->schemes) {
      const auto verified = crypto::verify(key.key, scheme, peer.proof.signed_octets, read->signature);
      if (verified) return Proven{key, scheme};
      detail = fmt::format("{}: {}", crypto::name(scheme), verified.error().message);
    }
  }
  return tl::unexpected(
      diagnosis::wrong_signature(peer.subject, peer.proof.identity,
                                 keys.size() == 1 ? keys.front().owner : "any public key listed", detail));
}

}  // namespace

// The only maker of PeerAuthenticated.
struct PeerVerifier {
  static PeerAuthenticated made(const policy::ConnectionPtr& connection, const PeerProof& proof,
                                std::string text, const TrustedKey* key) {
    PeerAuthenticated peer;
    peer.connection_ = connection;
    peer.identity_ = proof.identity;
    peer.method_ = proof.auth->method;
    peer.text_ = std::move(text);
    if (key) {
      peer.valid_until_ = key->valid_until;
      peer.chain_ = key->chain;
    }
    return peer;
  }

  static Checked<PeerAuthenticated> by_psk(const policy::ConnectionPtr& connection, const Case& peer,
                                           PrfId prf) {
    // An empty key would let everybody in.
    if (peer.credentials.remote_psk.empty())
      return tl::unexpected(diagnosis::internal(
          peer.subject, {ErrorCode::kNotFound, "the pre-shared key of the peer is missing or empty"}));
    const auto expected = psk_auth_data(prf, peer.credentials.remote_psk, peer.proof.signed_octets);
    if (!expected) return tl::unexpected(diagnosis::internal(peer.subject, expected.error()));
    if (!equal_constant_time(*expected, peer.proof.auth->data))
      return tl::unexpected(diagnosis::wrong_psk(peer.subject, peer.proof.identity));
    return made(connection, peer.proof, "pre-shared key", nullptr);
  }

  static Checked<PeerAuthenticated> by_signature(const policy::ConnectionPtr& connection, const Case& peer) {
    std::vector<TrustedKey> keys;
    if (peer.auth.kind == AuthKind::kCertificate) {
      auto key = key_of_certificate(peer);
      if (!key) return tl::unexpected(std::move(key).error());
      keys.push_back(std::move(*key));
    } else {
      auto listed = raw_keys(peer);
      if (!listed) return tl::unexpected(std::move(listed).error());
      keys = std::move(*listed);
    }
    const auto proven = verify_signature(peer, keys);
    if (!proven) return tl::unexpected(proven.error());
    return made(connection, peer.proof,
                fmt::format("{} ({}), {}", merlon::name(peer.proof.auth->method),
                            crypto::name(proven->scheme), proven->key.owner),
                &proven->key);
  }
};

Result<> recheck_peer(const PeerAuthenticated& peer, const policy::Connection& connection,
                      const ike::ConnectionCredentials& credentials, UnixTime now) {
  if (peer.chain().empty() || connection.remote_auth.empty()) return {};
  std::vector<pki::Certificate> certificates;
  for (const auto& der : peer.chain()) {
    MERLON_TRY(auto certificate, pki::Certificate::from_der(der));
    certificates.push_back(std::move(certificate));
  }
  if (credentials.trust == nullptr || credentials.trust->anchors().empty())
    return fail(ErrorCode::kPolicy, "no CA is configured here any more");
  const auto chain = credentials.trust->verify(certificates.front(), std::span(certificates).subspan(1), now,
                                               revocation_of(connection.remote_auth.front()));
  if (chain) return {};
  switch (chain.error().failure) {
    case pki::ChainFailure::kNotYetValid:
    case pki::ChainFailure::kCrlMissing:
    case pki::ChainFailure::kCrlExpired:
      return {};
    default:
      return tl::unexpected(Error(chain.error()));
  }
}

Checked<PeerAuthenticated> authenticate_peer(const policy::ConnectionPtr& connection,
                                             const ike::ConnectionCredentials& credentials,
                                             const Endpoint& remote, PrfId prf, const PeerProof& proof,
                                             UnixTime now) {
  const diagnosis::Subject subject{connection.get(), {}, remote};
  if (connection->remote_auth.empty())
    return tl::unexpected(
        diagnosis::internal(subject, {ErrorCode::kNotFound, "no remote authentication is configured"}));
  if (proof.auth == nullptr)
    return tl::unexpected(diagnosis::protocol(subject, diagnosis::Exchange::kIkeAuth,
                                              "there is no AUTH payload",
                                              wire::NotifyType::kAuthenticationFailed));
  const auto& auth = connection->remote_auth.front();
  if (!remote_identity_acceptable(*connection, proof.identity))
    return tl::unexpected(diagnosis::wrong_identity(subject, proof.identity));

  const Case peer{*connection, auth, credentials, proof, subject, now};
  switch (auth.kind) {
    case AuthKind::kPsk:
      if (proof.auth->method != AuthMethod::kSharedKeyMic) break;
      return PeerVerifier::by_psk(connection, peer, prf);
    case AuthKind::kCertificate:
    case AuthKind::kRawPublicKey:
      if (!is_signature(proof.auth->method)) break;
      return PeerVerifier::by_signature(connection, peer);
    case AuthKind::kEap:
    case AuthKind::kNull:
      return tl::unexpected(diagnosis::internal(
          subject,
          {ErrorCode::kUnsupported, "the configured way to authenticate the peer is not supported"}));
  }
  return tl::unexpected(
      diagnosis::wrong_method(subject, proof.identity, auth.kind, words(proof.auth->method)));
}

}  // namespace merlon::ikev2
