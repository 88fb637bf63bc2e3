// What is told while an IKE SA stands: error notifications in passing, and the end of a peer's certificate.
#include "ike/diagnosis_internal.h"
#include "pki/certificate.h"

namespace merlon::ike::diagnosis {

using wire::NotifyType;

namespace {

// What an error notification between two that know each other means for a person: heard, or said by us.
std::string told(NotifyType type, bool by_peer) {
  switch (type) {
    case NotifyType::kInvalidMessageId:
      return by_peer
                 ? "it got a message of ours whose number is beyond those that it waits for: the two ends "
                   "count "
                   "differently, so one of them lost its state; if messages stay unanswered the IKE SA is "
                   "made anew"
                 : "a message came from it whose number is beyond those that we wait for: the two ends count "
                   "differently, so one of them lost its state; its log says more";
    case NotifyType::kInvalidSpi:
      return by_peer ? "it gets packets by a Child SA that it does not have (any more): if we have it, it is "
                       "made anew"
                     : "packets come from there by a Child SA that we do not have (any more): the peer is "
                       "told, and has "
                       "to make it anew";
    case NotifyType::kInvalidSelectors:
      return by_peer
                 ? "packets of ours arrive there that do not fit what was negotiated for their Child SA: "
                   "compare "
                   "the traffic selectors, and what is routed into the tunnel, on both sides"
                 : "packets come from there that do not fit what was negotiated for their Child SA, and are "
                   "dropped: compare the traffic selectors, and what is routed into the tunnel, on both "
                   "sides";
    default:
      return {};
  }
}

std::string in_brackets(std::string_view about) {
  return about.empty() ? std::string{} : fmt::format(" ({})", about);
}

}  // namespace

Failure told_by_peer(const Subject& subject, NotifyType type, std::string_view about) {
  Refusal refusal = refusal_of(subject, Exchange::kInformational, type);
  if (auto words = told(type, true); !words.empty()) refusal.words = std::move(words);
  return make(refusal.kind, refusal.side,
              fmt::format("{} told {} {}{}: {}", peer(subject), describe(subject), wire::name(type),
                          in_brackets(about), refusal.words),
              refusal.permanent, static_cast<std::uint16_t>(type));
}

Failure told_to_peer(const Subject& subject, NotifyType type, std::string_view about) {
  return make(FailureKind::kProtocol, FailureSide::kPeer,
              fmt::format("we told {} {}{} for {}: {}", peer(subject), wire::name(type), in_brackets(about),
                          describe(subject), told(type, false)),
              false, static_cast<std::uint16_t>(type));
}

// ---- the peer's certificate, while its IKE SA stands

Failure certificate_expired(const Subject& subject, const Identity& remote_id, UnixTime valid_until) {
  return make(
      FailureKind::kCertificate, FailureSide::kPeer,
      fmt::format(
          "the certificate of {} ({}), or one above it, ended at {}, so {} is closed: the peer needs a "
          "new certificate",
          peer(subject), quoted(remote_id), pki::utc_text(valid_until), describe(subject)),
      true);
}

Failure certificate_refused_now(const Subject& subject, const Identity& remote_id, const Error& why) {
  return make(FailureKind::kCertificate, FailureSide::kPeer,
              fmt::format("the certificate of {} ({}) is not accepted any more, so {} is closed: {}",
                          peer(subject), quoted(remote_id), describe(subject), why.message),
              true);
}

}  // namespace merlon::ike::diagnosis
