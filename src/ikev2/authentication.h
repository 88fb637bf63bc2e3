// Proving who we are and checking who the peer is (RFC 7296 2.15, 3.6, 3.7, 3.8; RFC 7427, RFC 8420, RFC
// 4754, RFC 7670).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/identity.h"
#include "crypto/signature.h"
#include "ike/actions.h"
#include "ike/credentials.h"
#include "ike/failure.h"
#include "ikev2/keys.h"
#include "policy/connection.h"
#include "wire/ike/message.h"

namespace merlon::ikev2 {

// ---- signed octets
// What one side signs (RFC 7296 2.15): its own first message | the other's nonce | prf(SK_p, RestOfIDPayload).
struct SignedOctetsInput {
  ByteView first_message;  // the sender's IKE_SA_INIT message as sent (the last one, with its cookie), from
                           // the IKE header on
  ByteView other_nonce;    // Nonce data of the one who verifies
  PrfId prf = PrfId::kHmacSha2_256;
  ByteView sk_p;     // SK_pi for what the initiator signs, SK_pr for the responder
  ByteView id_body;  // wire::encode_id_body(identity of the sender)
};
[[nodiscard]] Result<Bytes> signed_octets(const SignedOctetsInput& input);

// AUTH of method 2: prf(prf(Shared Secret, "Key Pad for IKEv2"), <signed octets>).
[[nodiscard]] Result<Bytes> psk_auth_data(PrfId prf, const Secret& psk, ByteView octets);

// ---- us
// How we shall prove ourselves.
struct LocalAuthPlan {
  AuthMethod method = AuthMethod::kSharedKeyMic;
  std::optional<crypto::SignatureScheme> scheme;  // unless method is kSharedKeyMic
  std::string text;  // for people: "Digital Signature (Ed25519), certificate 'CN=gw'"
};
// `peer_hashes`: of its SIGNATURE_HASH_ALGORITHMS; null when it sent none. Method 14 where a common hash
// allows it (EdDSA only with Identity), else the older method that fits the key: 1 for RSA, 9 to 11 for
// ECDSA. Errors: a Failure for people, when neither can be.
[[nodiscard]] tl::expected<LocalAuthPlan, ike::Failure> plan_local_auth(
    const policy::Connection& connection, const ike::ConnectionCredentials& credentials,
    const std::vector<HashId>* peer_hashes);
// The AUTH payload for a PSK, at once.
[[nodiscard]] Result<wire::AuthPayload> psk_auth_payload(PrfId prf, const Secret& psk, ByteView octets);
// The action that has the octets signed, and the AUTH payload from its answer.
[[nodiscard]] ike::SignRequest sign_request(ike::RequestId request, const policy::Connection& connection,
                                            const ike::ConnectionCredentials& credentials,
                                            const LocalAuthPlan& plan, Bytes octets);
[[nodiscard]] Result<wire::AuthPayload> signature_auth_payload(const LocalAuthPlan& plan, ByteView signature);

// What we accept, for our SIGNATURE_HASH_ALGORITHMS notification (RFC 7427 4): SHA2-256, 384, 512, Identity;
// never SHA-1.
[[nodiscard]] std::vector<HashId> supported_hashes();

// CERT payloads of ours: the leaf first, then intermediates (never the self-signed anchor), encoding 4; for a
// raw public key one of encoding 15 (RFC 7670). `requests`: the peer's CERTREQ payloads; with
// SendCert::kIfAsked nothing goes out unless one of them asks for what we have (RFC 7296 3.7: an empty X.509
// request asks for any).
[[nodiscard]] std::vector<wire::CertPayload> local_cert_payloads(
    const policy::Connection& connection, const ike::ConnectionCredentials& credentials,
    std::span<const wire::CertreqPayload* const> requests);
// What we ask the peer for: nothing for PSK; the hashes of our anchors for certificates; encoding 15 with no
// authority for raw public keys.
[[nodiscard]] std::vector<wire::CertreqPayload> certreq_payloads(
    const policy::Connection& connection, const ike::ConnectionCredentials& credentials);
// As a responder, before the initiator has said who it is: what any of several connections would ask for.
[[nodiscard]] std::vector<wire::CertreqPayload> certreq_payloads(
    std::span<const std::pair<const policy::Connection*, const ike::ConnectionCredentials*>> candidates);

// The identity that we send: as configured, else the certificate's most useful name, else ID_KEY_ID with the
// SHA-256 of the raw public key for raw keys, else our address.
[[nodiscard]] Identity local_identity(const policy::Connection& connection,
                                      const ike::ConnectionCredentials& credentials,
                                      const IpAddress& local_address);

// ---- the peer
// Whether a connection's RemoteAuth can be meant by this identity at all: what a responder chooses its
// connection by, before AUTH. Only the name is compared; it proves nothing.
[[nodiscard]] bool remote_identity_acceptable(const policy::Connection& connection,
                                              const Identity& presented);

struct PeerProof {
  Identity identity;  // IDi or IDr as it came
  std::span<const wire::CertPayload* const> certificates;
  const wire::AuthPayload* auth = nullptr;
  Bytes signed_octets;
};

// The proof that the peer has authenticated: only authenticate_peer() makes one, and without one no Child SA
// can be made.
class PeerAuthenticated {
 public:
  PeerAuthenticated(PeerAuthenticated&&) noexcept = default;
  PeerAuthenticated& operator=(PeerAuthenticated&&) noexcept = default;
  PeerAuthenticated(const PeerAuthenticated&) = delete;
  PeerAuthenticated& operator=(const PeerAuthenticated&) = delete;

  [[nodiscard]] const policy::ConnectionPtr& connection() const { return connection_; }
  [[nodiscard]] const Identity& identity() const { return identity_; }
  [[nodiscard]] AuthMethod method() const { return method_; }
  // For people: "Digital Signature (ECDSA with SHA2-256), certificate 'O=Example, CN=gw' (gw.example.com),
  // issued by 'CN=Example CA'".
  [[nodiscard]] const std::string& text() const { return text_; }
  // When what it proved itself with ends (the earliest notAfter of its chain); nullopt without certificates.
  [[nodiscard]] const std::optional<UnixTime>& valid_until() const { return valid_until_; }
  // The certificates of that chain as the peer sent them, DER, its own first and without the trust anchor; empty
  // without certificates.
  [[nodiscard]] std::span<const Bytes> chain() const {
    return chain_ ? std::span<const Bytes>(*chain_) : std::span<const Bytes>();
  }
  // For the IKE SA that a rekey of this peer's makes (RFC 7296 2.18): the same proof, since SK_d comes from
  // the old one.
  [[nodiscard]] PeerAuthenticated inherited() const;

 private:
  friend struct PeerVerifier;  // authentication.cc
  PeerAuthenticated() = default;
  policy::ConnectionPtr connection_;
  Identity identity_;
  AuthMethod method_ = AuthMethod::kSharedKeyMic;
  std::string text_;
  std::optional<UnixTime> valid_until_;
  std::shared_ptr<const std::vector<Bytes>> chain_;
};

// Checks, in this order: that the identity is one that the connection accepts, that the method is the
// demanded one, that certificate or key are trusted and speak for the identity, and that AUTH verifies. Each
// failure says which check it was, on which side, and what to change. The answer to the peer is
// AUTHENTICATION_FAILED for all of them (Failure::notify_type).
[[nodiscard]] tl::expected<PeerAuthenticated, ike::Failure> authenticate_peer(
    const policy::ConnectionPtr& connection, const ike::ConnectionCredentials& credentials,
    const Endpoint& remote, PrfId prf, const PeerProof& proof, UnixTime now);

// Whether the certificates that it proved itself with are still good, with anchors and CRLs that may be newer. A CRL that is
// missing or old is no error here, since it says nothing about this peer. Errors: what pki::TrustStore::verify said.
[[nodiscard]] Result<> recheck_peer(const PeerAuthenticated& peer, const policy::Connection& connection,
                                    const ike::ConnectionCredentials& credentials, UnixTime now);

inline PeerAuthenticated PeerAuthenticated::inherited() const {
  PeerAuthenticated copy;
  copy.connection_ = connection_;
  copy.identity_ = identity_;
  copy.method_ = method_;
  copy.text_ = text_;
  copy.valid_until_ = valid_until_;
  copy.chain_ = chain_;
  return copy;
}

}  // namespace merlon::ikev2
