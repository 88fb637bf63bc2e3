#include "ike/diagnosis.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "ike/diagnosis_internal.h"
#include "pki/identity_text.h"
#include "policy/narrow.h"
#include "policy/proposal_select.h"

namespace merlon::ike::diagnosis {

using wire::NotifyType;

namespace {

// What a stranger says of itself may have 64 KiB, and stands in the log, in events and in the status: bounds in bytes.
constexpr std::size_t kMaxSentence = 4096, kMaxQuoted = 256;
constexpr std::size_t kMaxListed = 8;

}  // namespace

Failure make(FailureKind kind, FailureSide side, std::string sentence, bool permanent, std::uint16_t notify) {
  if (sentence.size() > kMaxSentence) sentence.replace(kMaxSentence - 3, std::string::npos, "...");
  Failure failure;
  failure.kind = kind;
  failure.side = side;
  failure.notify_type = notify;
  failure.sentence = std::move(sentence);
  failure.permanent = permanent;
  return failure;
}

// "192.0.2.1:500", or "the peer" while nobody is known.
std::string peer(const Subject& subject) {
  if (subject.remote.port == 0 && subject.remote.address.is_unspecified()) return "the peer";
  return subject.remote.to_string();
}

std::string quoted(const Identity& identity) {
  const std::string text = pki::identity_to_text(identity);
  if (text.size() <= kMaxQuoted) return fmt::format("'{}'", text);
  return fmt::format("'{}...' ({} bytes)", std::string_view(text).substr(0, kMaxQuoted),
                     identity.data.size());
}

namespace {

constexpr auto kAuthFailed = static_cast<std::uint16_t>(NotifyType::kAuthenticationFailed);

const policy::RemoteAuth* remote_auth(const Subject& subject) {
  if (subject.connection == nullptr || subject.connection->remote_auth.empty()) return nullptr;
  return &subject.connection->remote_auth.front();
}
const policy::LocalAuth* local_auth(const Subject& subject) {
  if (subject.connection == nullptr || subject.connection->local_auth.empty()) return nullptr;
  return &subject.connection->local_auth.front();
}

std::string our_name(const Subject& subject) {
  const auto* auth = local_auth(subject);
  if (auth == nullptr) return "ours";
  if (!auth->id.data.empty()) return quoted(auth->id);
  if (!auth->id_text.empty()) return fmt::format("'{}'", auth->id_text);
  return "taken from our certificate, key or address";
}

std::string expected_identity(const policy::RemoteAuth& auth) {
  if (auth.id) return quoted(*auth.id);
  if (!auth.id_pattern.empty()) return fmt::format("an identity like '{}'", auth.id_pattern);
  return auth.id_text.empty() ? "any identity" : fmt::format("'{}'", auth.id_text);
}

const char* words(policy::AuthKind kind) {
  switch (kind) {
    case policy::AuthKind::kPsk:
      return "a pre-shared key";
    case policy::AuthKind::kCertificate:
      return "a certificate";
    case policy::AuthKind::kRawPublicKey:
      return "a raw public key";
    case policy::AuthKind::kEap:
      return "EAP";
    case policy::AuthKind::kNull:
      return "no authentication (NULL)";
  }
  return "an unknown method";
}

const char* words(Exchange exchange) {
  switch (exchange) {
    case Exchange::kIkeSaInit:
      return "IKE_SA_INIT";
    case Exchange::kIkeAuth:
      return "IKE_AUTH";
    case Exchange::kCreateChild:
      return "CREATE_CHILD_SA (new Child SA)";
    case Exchange::kRekeyChild:
      return "CREATE_CHILD_SA (rekey of a Child SA)";
    case Exchange::kRekeyIkeSa:
      return "CREATE_CHILD_SA (rekey of the IKE SA)";
    case Exchange::kInformational:
      return "INFORMATIONAL";
  }
  return "an exchange";
}

std::string seconds(Duration duration) {
  return fmt::format("{} s", std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

const policy::ChildConfig* child_of(const Subject& subject) {
  if (subject.connection == nullptr) return nullptr;
  for (const auto& child : subject.connection->children)
    if (child.name == subject.child) return &child;
  return nullptr;
}

// Where a private part of the configuration stands: a file of its own, or the connection's lines.
std::string psk_place(const policy::RemoteAuth* auth, const Subject& subject) {
  if (auth != nullptr && !auth->psk_file.empty()) return fmt::format("the key in {}", auth->psk_file);
  return fmt::format("the key of {}", describe(subject));
}

}  // namespace

std::string describe(const Subject& subject) {
  if (subject.connection == nullptr) return "no connection";
  std::string text = fmt::format("connection '{}'", subject.connection->name);
  if (!subject.child.empty()) text = fmt::format("child '{}' of {}", subject.child, text);
  if (!subject.connection->source.empty()) text += fmt::format(" ({})", subject.connection->source);
  return text;
}

// ---- authentication

Failure wrong_psk(const Subject& subject, const Identity& remote_id) {
  return make(FailureKind::kAuthentication, FailureSide::kBoth,
              fmt::format("{} says that it is {}, but its AUTH does not fit the pre-shared key that we hold "
                          "for it: the pre-shared "
                          "keys differ; compare {} here with the peer's key for us",
                          peer(subject), quoted(remote_id), psk_place(remote_auth(subject), subject)),
              true, kAuthFailed);
}

Failure wrong_signature(const Subject& subject, const Identity& remote_id, std::string_view key_owner,
                        std::string_view detail) {
  return make(
      FailureKind::kAuthentication, FailureSide::kPeer,
      fmt::format(
          "{} says that it is {}, but its signature in AUTH does not verify with the key of {} ({}): the "
          "peer signs "
          "with another private key, or somebody between us changed the messages; check that the certificate "
          "and the private key of the peer belong together ({})",
          peer(subject), quoted(remote_id), key_owner, detail, describe(subject)),
      true, kAuthFailed);
}

Failure wrong_method(const Subject& subject, const Identity& remote_id, policy::AuthKind expected,
                     std::string_view used) {
  return make(FailureKind::kAuthentication, FailureSide::kBoth,
              fmt::format("{} ({}) authenticates with {}, but {} demands {}: change the remote "
                          "authentication here, or the local one "
                          "of the peer",
                          peer(subject), quoted(remote_id), used, describe(subject), words(expected)),
              true, kAuthFailed);
}

Failure wrong_identity(const Subject& subject, const Identity& presented) {
  const auto* auth = remote_auth(subject);
  return make(FailureKind::kIdentity, FailureSide::kBoth,
              fmt::format("{} says that it is {} ({}), but {} expects {}: change the remote id here, or the "
                          "local id of the peer",
                          peer(subject), quoted(presented), merlon::name(presented.type), describe(subject),
                          auth == nullptr ? "another identity" : expected_identity(*auth)),
              true, kAuthFailed);
}

Failure no_connection_for_identity(const Subject& subject, const Identity& presented,
                                   const std::optional<Identity>& asked_of_us,
                                   std::span<const std::string> expected) {
  std::string sentence = fmt::format("{} says that it is {} ({})", peer(subject), quoted(presented),
                                     merlon::name(presented.type));
  if (asked_of_us) sentence += fmt::format(" and wants to talk to {}", quoted(*asked_of_us));
  sentence += ", but no connection for its address accepts that";
  const auto listed = expected.first(std::min(expected.size(), kMaxListed));
  if (!listed.empty()) sentence += fmt::format("; what is accepted: {}", fmt::join(listed, ", "));
  if (listed.size() < expected.size())
    sentence += fmt::format(" and {} more", expected.size() - listed.size());
  sentence +=
      ": set the remote id (and the local id) of the connection that is meant, or the peer's local id";
  return make(FailureKind::kIdentity, FailureSide::kBoth, std::move(sentence), true, kAuthFailed);
}

Failure identity_not_in_certificate(const Subject& subject, const Identity& presented, const Error& why) {
  return make(FailureKind::kIdentity, FailureSide::kPeer,
              fmt::format("{} says that it is {}, but its certificate does not speak for that identity: {}; "
                          "issue the peer a certificate "
                          "with that name, or set its local id (and the remote id of {}) to a name in it",
                          peer(subject), quoted(presented), why.message, describe(subject)),
              true, kAuthFailed);
}

Failure bad_certificate(const Subject& subject, const Identity& remote_id, const Error& why) {
  return make(FailureKind::kCertificate, FailureSide::kPeer,
              fmt::format("the certificate of {} ({}) is not accepted by {}: {}", peer(subject),
                          quoted(remote_id), describe(subject), why.message),
              true, kAuthFailed);
}

Failure no_certificate(const Subject& subject, const Identity& remote_id, policy::AuthKind expected) {
  return make(
      FailureKind::kCertificate, FailureSide::kPeer,
      fmt::format(
          "{} ({}) sent no {} and {} demands one: have the peer send it (strongSwan: send_cert = always)",
          peer(subject), quoted(remote_id),
          expected == policy::AuthKind::kCertificate ? "certificate" : "public key that we could use",
          describe(subject)),
      true, kAuthFailed);
}

Failure unknown_public_key(const Subject& subject, const Identity& remote_id, std::string_view fingerprint) {
  return make(FailureKind::kAuthentication, FailureSide::kBoth,
              fmt::format("{} ({}) proves itself with the public key {}, which is not among the keys that {} "
                          "lists: if the key is the "
                          "peer's, add it to the remote public keys there",
                          peer(subject), quoted(remote_id), fingerprint, describe(subject)),
              true, kAuthFailed);
}

Failure cannot_sign(const Subject& subject, const Error& why) {
  return make(
      FailureKind::kAuthentication, FailureSide::kLocal,
      fmt::format("we cannot prove ourselves to {} in {}: {}", peer(subject), describe(subject), why.message),
      true);
}

// ---- negotiation

Failure no_proposal(const Subject& subject, std::span<const policy::Proposal> ours,
                    std::span<const policy::Proposal> theirs) {
  return make(FailureKind::kNoProposalChosen, FailureSide::kBoth,
              fmt::format("no algorithms in common with {} for {}: {}", peer(subject), describe(subject),
                          policy::explain_no_proposal(ours, theirs)),
              true, static_cast<std::uint16_t>(NotifyType::kNoProposalChosen));
}

Failure proposal_not_ours(const Subject& subject, const Error& why) {
  return make(FailureKind::kProtocol, FailureSide::kPeer,
              fmt::format("{} chose algorithms for {} that we did not propose: {}", peer(subject),
                          describe(subject), why.message),
              true);
}

Failure no_selectors(const Subject& subject, const policy::TrafficSelectors& our_local,
                     const policy::TrafficSelectors& our_remote, const policy::TrafficSelectors& their_local,
                     const policy::TrafficSelectors& their_remote) {
  const std::string source = subject.connection == nullptr ? std::string{} : subject.connection->source;
  // What the peer calls local is remote to us.
  return make(
      FailureKind::kTrafficSelectors, FailureSide::kBoth,
      fmt::format("{}, {}: {}", describe(subject), peer(subject),
                  policy::explain_ts_mismatch(our_local, our_remote, source, their_remote, their_local)),
      true, static_cast<std::uint16_t>(NotifyType::kTsUnacceptable));
}

// ---- the peer said no

namespace {

// What a person does about AUTHENTICATION_FAILED: the peer refused OUR proof, so the cause is what it knows
// of us.
std::string what_the_peer_checks_of_us(const Subject& subject) {
  const auto* auth = local_auth(subject);
  std::string advice = fmt::format("check on the peer that its remote id for us is {}", our_name(subject));
  switch (auth == nullptr ? policy::AuthKind::kNull : auth->kind) {
    case policy::AuthKind::kPsk:
      return advice + ", and that both sides hold the same pre-shared key";
    case policy::AuthKind::kCertificate:
      return advice + fmt::format(
                          ", that it trusts the CA of our certificate{}, and that the certificate is neither "
                          "expired nor revoked",
                          auth->certificate_file.empty() ? "" : fmt::format(" ({})", auth->certificate_file));
    case policy::AuthKind::kRawPublicKey:
      return advice + ", and that it lists our public key (`merlon pair` prints it)";
    case policy::AuthKind::kEap:
    case policy::AuthKind::kNull:
      break;
  }
  return advice + ", and that it accepts how we authenticate";
}

Refusal authentication_refused(const Subject& subject, Exchange exchange) {
  if (exchange != Exchange::kIkeAuth)
    return {FailureKind::kAuthentication, FailureSide::kBoth, true,
            "the peer does not accept us: " + what_the_peer_checks_of_us(subject)};
  std::string words =
      "the peer refused OUR proof of who we are, or knows no connection for the two identities: " +
      what_the_peer_checks_of_us(subject);
  if (const auto* remote = remote_auth(subject); remote != nullptr && remote->id)
    words += fmt::format("; we asked for {}", quoted(*remote->id));
  return {FailureKind::kAuthentication, FailureSide::kBoth, true, std::move(words)};
}

Refusal proposals_refused(const Subject& subject, Exchange exchange) {
  Refusal refusal{FailureKind::kNoProposalChosen, FailureSide::kBoth, true, {}};
  if (const auto* child = child_of(subject); child != nullptr) {
    refusal.words = policy::explain_proposals_refused(child->proposals);
  } else if (subject.connection != nullptr &&
             (exchange == Exchange::kIkeSaInit || exchange == Exchange::kRekeyIkeSa)) {
    refusal.words = policy::explain_proposals_refused(subject.connection->ike_proposals);
  } else {
    refusal.words = "the peer accepts none of our proposals";
  }
  return refusal;
}

Refusal selectors_refused(const Subject& subject) {
  Refusal refusal{FailureKind::kTrafficSelectors, FailureSide::kBoth, true,
                  "the peer accepts none of our traffic selectors"};
  if (const auto* child = child_of(subject); child != nullptr)
    refusal.words = policy::explain_ts_refused(*subject.connection, *child);
  return refusal;
}

}  // namespace

Refusal refusal_of(const Subject& subject, Exchange exchange, NotifyType type) {
  constexpr auto kRefused = FailureKind::kRefused;
  constexpr auto kPeer = FailureSide::kPeer;
  switch (type) {
    case NotifyType::kAuthenticationFailed:
      return authentication_refused(subject, exchange);
    case NotifyType::kNoProposalChosen:
      return proposals_refused(subject, exchange);
    case NotifyType::kTsUnacceptable:
      return selectors_refused(subject);
    case NotifyType::kInvalidSyntax:
      return {FailureKind::kProtocol, FailureSide::kBoth, false,
              "the peer cannot read our message or does not accept a length, type or value in it; its log "
              "says which"};
    case NotifyType::kUnsupportedCriticalPayload:
      return {FailureKind::kProtocol, kPeer, true,
              "the peer does not know a payload that we marked as critical"};
    case NotifyType::kInvalidMajorVersion:
      return {FailureKind::kProtocol, kPeer, true,
              "the peer does not speak IKEv2: enable IKEv2 there, or set ike_version here"};
    case NotifyType::kInvalidKePayload:
      return {FailureKind::kNoProposalChosen, FailureSide::kBoth, true,
              "the peer wants a key exchange method that is not in our proposals, or asked for another one "
              "over and over: have "
              "both sides list one in common"};
    case NotifyType::kInvalidIkeSpi:
      return {kRefused, kPeer, false,
              "the peer does not know this IKE SA (any more): it was restarted, or closed it"};
    case NotifyType::kInvalidMessageId:
      return {FailureKind::kProtocol, FailureSide::kBoth, false, "the peer counts our messages differently"};
    case NotifyType::kSinglePairRequired:
      return {FailureKind::kTrafficSelectors, kPeer, false,
              "the peer wants a Child SA for each single pair of addresses: use start = \"on-traffic\" for "
              "this child"};
    case NotifyType::kNoAdditionalSas:
      return {kRefused, kPeer, false,
              "the peer allows no further Child SA on this IKE SA: put all networks into one child"};
    case NotifyType::kInternalAddressFailure:
      return {kRefused, kPeer, true, "the peer has no inner address for us: check its address pool"};
    case NotifyType::kFailedCpRequired:
      return {kRefused, FailureSide::kLocal, true,
              "the peer wants us to ask it for an inner address: it is set up for remote access clients"};
    case NotifyType::kTemporaryFailure:
      return {kRefused, kPeer, false,
              "the peer is busy with another exchange about the same SA; it is tried again"};
    case NotifyType::kChildSaNotFound:
      return {kRefused, FailureSide::kBoth, false,
              "the peer has no such Child SA (any more); it is made anew"};
    case NotifyType::kUnacceptableAddresses:
      return {kRefused, FailureSide::kBoth, true, "the peer does not accept our addresses"};
    case NotifyType::kAuthorizationFailed:
      return {kRefused, kPeer, true, "the peer knows who we are, but does not allow it"};
    case NotifyType::kInvalidSpi:
      return {kRefused, FailureSide::kBoth, false,
              "the peer gets packets by a Child SA that it does not have: it lost it, or never had it"};
    case NotifyType::kInvalidSelectors:
      return {
          kRefused, FailureSide::kBoth, false,
          "packets of ours arrive there that do not fit what was negotiated for their Child SA: compare the "
          "traffic selectors of both sides"};
    case NotifyType::kUnexpectedNatDetected:
      return {kRefused, FailureSide::kPath, true,
              "the peer forbids address translation between us, and there is some (RFC 4555)"};
    case NotifyType::kUseAssignedHoa:
      return {
          kRefused, kPeer, true,
          "the peer wants the home address that it assigned to be used as traffic selector (Mobile IPv6)"};
    case NotifyType::kInvalidGroupId:
      return {kRefused, kPeer, true,
              "the peer takes this for a request to join a multicast group that it does not know"};
    case NotifyType::kStateNotFound:
      return {kRefused, kPeer, false,
              "the peer has forgotten the exchange that this one continues (RFC 9370): it is begun anew"};
    case NotifyType::kTsMaxQueue:
      return {kRefused, kPeer, false,
              "the peer has as many Child SAs for these selectors as it wants (RFC 9611): use fewer"};
    case NotifyType::kRegistrationFailed:
      return {kRefused, kPeer, true, "the peer did not let us into a multicast group"};
    default:
      return {kRefused, kPeer, false, "the peer's log says why"};
  }
}

Failure peer_refused(const Subject& subject, Exchange exchange, NotifyType type, bool authenticated) {
  const Refusal refusal = refusal_of(subject, exchange, type);
  return make(refusal.kind, refusal.side,
              fmt::format("{} refused {} for {} with {}{}: {}", peer(subject), words(exchange),
                          describe(subject), wire::name(type),
                          authenticated ? "" : " (not authenticated: anybody on the path can send that)",
                          refusal.words),
              refusal.permanent, static_cast<std::uint16_t>(type));
}

// ---- the path

Failure timeout(const Subject& subject, Exchange exchange, unsigned tries, Duration elapsed,
                bool nothing_ever) {
  std::string sentence =
      fmt::format("no answer to {} from {} after {} {} in {} ({}): ", words(exchange), peer(subject), tries,
                  tries == 1 ? "try" : "tries", seconds(elapsed), describe(subject));
  if (nothing_ever) {
    sentence +=
        "is the address right, is the peer running, and are UDP 500 and 4500 open on the way, in both "
        "directions?";
  } else if (exchange == Exchange::kIkeAuth) {
    sentence +=
        "it did answer before: often large messages are lost on the way (is fragmentation on, on both "
        "sides?), UDP 4500 is closed, or "
        "the peer drops what it does not accept; its log says more";
  } else {
    sentence += "it did answer before: the path, or the peer, went away";
  }
  return make(FailureKind::kTimeout, FailureSide::kPath, std::move(sentence), false);
}

Failure liveness(const Subject& subject, unsigned tries, Duration elapsed) {
  return make(FailureKind::kLiveness, FailureSide::kPath,
              fmt::format("{} stopped answering: {} {} in {} without a reply ({}); the path is down, or the "
                          "peer lost its state",
                          peer(subject), tries, tries == 1 ? "liveness check" : "liveness checks",
                          seconds(elapsed), describe(subject)),
              false);
}

Failure unreachable(const Subject& subject, const Error& why) {
  return make(FailureKind::kUnreachable, FailureSide::kLocal,
              fmt::format("{} cannot be called for {}: {}", peer(subject), describe(subject), why.message),
              false);
}

Failure name_not_resolved(const Subject& subject, std::string_view host, const Error& why) {
  return make(FailureKind::kUnreachable, FailureSide::kLocal,
              fmt::format("the name '{}' of {} does not resolve to an address that can be called: {}; check "
                          "the name and the DNS of this host",
                          host, describe(subject), why.message),
              false);
}

// ---- the rest

Failure protocol(const Subject& subject, Exchange exchange, std::string_view detail,
                 std::optional<NotifyType> sent) {
  std::string sentence = fmt::format("{} broke the protocol in {} for {}: {}", peer(subject), words(exchange),
                                     describe(subject), detail);
  if (sent) sentence += fmt::format(" (we answered with {})", wire::name(*sent));
  return make(FailureKind::kProtocol, FailureSide::kPeer, std::move(sentence), false,
              sent ? static_cast<std::uint16_t>(*sent) : std::uint16_t{0});
}

Failure internal(const Subject& subject, const Error& why) {
  return make(FailureKind::kInternal, FailureSide::kLocal,
              fmt::format("{}: {}", describe(subject), why.message), false);
}

Failure deleted_by_peer(const Subject& subject) {
  return make(FailureKind::kDeletedByPeer, FailureSide::kPeer,
              fmt::format("{} closed {}: it was stopped, reconfigured, or reached a lifetime there",
                          peer(subject), describe(subject)),
              false);
}

Failure deleted_by_us(const Subject& subject, std::string_view why) {
  return make(FailureKind::kDeletedByUs, FailureSide::kLocal,
              fmt::format("we closed {}: {}", describe(subject), why), false);
}

}  // namespace merlon::ike::diagnosis
