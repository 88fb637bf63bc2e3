// Builds Failure values: one sentence for a person that says what is wrong, on which side, and what line to
// change. Never a secret; what a peer chose (identities, texts) is escaped by the functions that print it.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/identity.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "ike/failure.h"
#include "policy/connection.h"
#include "policy/proposal.h"
#include "policy/traffic_selector.h"
#include "wire/ike/notify_type.h"

namespace merlon::ike::diagnosis {

// What a failure is about. Everything may be missing.
struct Subject {
  const policy::Connection* connection = nullptr;
  std::string child;  // name of the child, when it is about a Child SA
  Endpoint remote;
};

// ---- authentication (RFC 7296 2.15)
// The peer's AUTH does not verify with the PSK that we hold for it.
[[nodiscard]] Failure wrong_psk(const Subject& subject, const Identity& remote_id);
// Its signature does not verify with the key that it (or the configuration) gave; `key_owner` for people.
[[nodiscard]] Failure wrong_signature(const Subject& subject, const Identity& remote_id,
                                      std::string_view key_owner, std::string_view detail);
// It authenticates in another way than the connection demands ("asks for PSK, the peer used a digital
// signature").
[[nodiscard]] Failure wrong_method(const Subject& subject, const Identity& remote_id,
                                   policy::AuthKind expected, std::string_view used);
// The identity that it claims is not the one that the connection expects.
[[nodiscard]] Failure wrong_identity(const Subject& subject, const Identity& presented);
// As a responder: no connection for this address accepts what the peer claims to be (and asks us to be, when
// it does). `expected`: the identities that connections for this address do accept, for people.
[[nodiscard]] Failure no_connection_for_identity(const Subject& subject, const Identity& presented,
                                                 const std::optional<Identity>& asked_of_us,
                                                 std::span<const std::string> expected);
// Its certificate does not carry the identity that it claims (pki::matches said why).
[[nodiscard]] Failure identity_not_in_certificate(const Subject& subject, const Identity& presented,
                                                  const Error& why);
// Its certificate chain does not verify (pki::TrustStore::verify said why).
[[nodiscard]] Failure bad_certificate(const Subject& subject, const Identity& remote_id, const Error& why);
// It sent no certificate (or no raw public key) at all, and we hold none of it.
[[nodiscard]] Failure no_certificate(const Subject& subject, const Identity& remote_id,
                                     policy::AuthKind expected);
// It sent a raw public key that the configuration does not list.
[[nodiscard]] Failure unknown_public_key(const Subject& subject, const Identity& remote_id,
                                         std::string_view fingerprint);
// We cannot prove ourselves: no common signature hash, no key, a token that refuses.
[[nodiscard]] Failure cannot_sign(const Subject& subject, const Error& why);

// ---- negotiation
// No common proposal, when we saw both lists (as a responder). IKE where subject.child is empty, else ESP.
[[nodiscard]] Failure no_proposal(const Subject& subject, std::span<const policy::Proposal> ours,
                                  std::span<const policy::Proposal> theirs);
// The peer's SA answer is not one of what we proposed.
[[nodiscard]] Failure proposal_not_ours(const Subject& subject, const Error& why);
// No common selectors, when we saw both lists (as a responder).
[[nodiscard]] Failure no_selectors(const Subject& subject, const policy::TrafficSelectors& our_local,
                                   const policy::TrafficSelectors& our_remote,
                                   const policy::TrafficSelectors& their_local,
                                   const policy::TrafficSelectors& their_remote);

// ---- the peer said no
enum class Exchange { kIkeSaInit, kIkeAuth, kCreateChild, kRekeyChild, kRekeyIkeSa, kInformational };
// An error notification in an answer to our request, in words. `authenticated`: it was inside a verified
// message.
[[nodiscard]] Failure peer_refused(const Subject& subject, Exchange exchange, wire::NotifyType type,
                                   bool authenticated);

// An error notification outside of any negotiation (RFC 7296 1.5, 2.3, 3.10.1), inside an IKE SA that goes on. `about`:
// what stood in its data, in words ("Message ID 7"), or empty.
[[nodiscard]] Failure told_by_peer(const Subject& subject, wire::NotifyType type, std::string_view about);
[[nodiscard]] Failure told_to_peer(const Subject& subject, wire::NotifyType type, std::string_view about);

// ---- the peer's certificate, while its IKE SA stands
[[nodiscard]] Failure certificate_expired(const Subject& subject, const Identity& remote_id,
                                          UnixTime valid_until);
// With the certificates and CRLs of a new configuration (pki::TrustStore::verify said why).
[[nodiscard]] Failure certificate_refused_now(const Subject& subject, const Identity& remote_id,
                                              const Error& why);

// ---- the path
// `nothing_ever`: not one datagram came from there in this attempt.
[[nodiscard]] Failure timeout(const Subject& subject, Exchange exchange, unsigned tries, Duration elapsed,
                              bool nothing_ever);
[[nodiscard]] Failure liveness(const Subject& subject, unsigned tries, Duration elapsed);
[[nodiscard]] Failure unreachable(const Subject& subject, const Error& why);
[[nodiscard]] Failure name_not_resolved(const Subject& subject, std::string_view host, const Error& why);

// ---- the rest
// The peer broke the protocol; `sent` is the notification that we answered with (INVALID_SYNTAX, ...), if any.
[[nodiscard]] Failure protocol(const Subject& subject, Exchange exchange, std::string_view detail,
                               std::optional<wire::NotifyType> sent = std::nullopt);
[[nodiscard]] Failure internal(const Subject& subject, const Error& why);
[[nodiscard]] Failure deleted_by_peer(const Subject& subject);
[[nodiscard]] Failure deleted_by_us(const Subject& subject,
                                    std::string_view why);  // "on command", "replaced", ...

// "connection 'office' (merlon.toml:12)": for sentences.
[[nodiscard]] std::string describe(const Subject& subject);

}  // namespace merlon::ike::diagnosis
