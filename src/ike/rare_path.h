// Paths of an IKE engine that seldom run: what crossed, was lost, came late or ran out. Each is counted where it runs
// (Counters::add), so that a campaign of the simulator can say which of them it never reached, and an operator which of
// them happen. What a Counter, a notification or a row of the collision table says already has no entry here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace merlon::ike {

enum class RarePath : std::uint8_t {
  // ---- a request of ours once more (RFC 7296 2.1), and given up
  kInitSentAgain,
  kInitSentAgainWithCookie,
  kInitSentAgainAfterInvalidKe,
  kInitGivenUp,
  kInitGivenUpOnHint,  // RFC 7296 2.21.1: an error in clear, and nothing better in time
  kCookieAfterInvalidKe,
  kInvalidKeAfterCookie,
  kAuthSentAgain,
  kAuthGivenUp,
  kCreateChildSentAgain,  // of a new Child SA
  kCreateChildGivenUp,
  kRekeyChildSentAgain,
  kRekeyChildGivenUp,
  kRekeyIkeSentAgain,
  kRekeyIkeGivenUp,
  kDeleteChildSentAgain,
  kDeleteChildGivenUp,
  kLivenessSentAgain,
  kLivenessGivenUp,
  kNoticeSentAgain,
  kNoticeGivenUp,
  kDeleteIkeSentAgain,
  kDeleteIkeGivenUp,
  kFragmentsSentAgain,  // whatever the request was: it is in several datagrams
  // ---- an answer of ours once more (RFC 7296 2.1)
  kInitAnsweredAgain,
  kInitNotAnsweredAgain,  // often enough, or IKE_AUTH was there since
  kFragmentsAnsweredAgain,
  kLaterFragmentNotAnsweredAgain,  // RFC 7383 2.6.1
  kNotAnsweredAgainElsewhere,      // often enough, and the copy came from another address
  kAnswerWithheld,                 // its request came in fragments from several places
  kAnsweredAgainAfterTheEnd,       // of the IKE SA, which lingers for this
  kRequestAgainWhileAnswering,
  kNarrowedAway,        // a packet asked for a Child SA, and the peer's narrowing does not hold it
  kHeardFromElsewhere,  // an authentic request, and we do not follow: our path is checked
  // ---- before the peer is authenticated (RFC 7296 2.4)
  kSecondCandidate,
  kNoCandidateLeft,  // back to waiting for answers to IKE_SA_INIT
  kSeveralAuthsWaitForKeys,
  kHalfOpenExpired,
  // ---- exchanges that cross (RFC 7296 2.8.1, 2.8.2, 2.25)
  kCrossingChildRekeyWon,
  kCrossingChildRekeyLost,
  kCrossingIkeRekeyWon,
  kCrossingIkeRekeyLost,
  kChildRekeyHeldBack,  // answered while we still answer the peer's that crosses it
  kIkeRekeyHeldBack,
  kChildRekeyMoot,              // before its request was made
  kCrossingIkeRekeyGivenUp,     // the peer's is taken, since ours came to nothing
  kDeleteWaitsForIkeRekey,      // the peer deletes the IKE SA while we still derive what its answer gave
  kChildDeletedBeforeItStands,  // the peer's delete came before its answer
  kUnknownChildMayBeInTheMaking,
  kPeersIkeRekeyTaken,    // the peer works on what its crossing rekey made, before ours is answered
  kDeletesOfIkeSaCross,   // RFC 7296 2.25.2
  kSecondIkeRekeyWaits,   // until the first one's old IKE SA is gone
  kTwinDeleted,           // both ends made one Child SA at once
  kTwinLeftToPeer,        // and the redundant one is for the peer to delete
  kReplacedNeverDeleted,  // by the peer, whose rekey had won
  kReplacedGivenUp,       // it is not even answered any more
  // ---- refusals (RFC 7296 2.25) and second attempts
  kRekeyChildBacksOff,
  kRekeyIkeBacksOff,
  kTemporaryFailureForMinutes,
  kChildMadeAnew,        // the peer did not know what was to be rekeyed
  kIkeSaMadeAnew,        // the peer does not do it on an existing one
  kChildrenHandedOver,   // to the IKE SA that stands beside this one
  kDeleteOutOfPatience,  // another request of ours was never answered
  kSinglePairAskedFor,   // RFC 7296 2.9
  kNoticeSuppressed,     // another one went out a short while ago
  kPathProbeUnanswered,  // RFC 8899: answered only when it was sent again, in fragments
  // ---- several IKE SAs with one peer (RFC 7296 2.4)
  kNewestIkeSaRedundant,  // begun by both at once: this end's view of the newer one
  kOlderIkeSaRedundant,
  kInitialContactCloses,
  kNewestIkeSaReplaces,
  kDuplicateIkeSaRefused,
  // ---- what ends or runs out
  kIkeHardLifetime,
  kChildHardLifetime,
  kMessageIdsNearlyExhausted,  // RFC 7296 2.2
  kMessageIdsExhausted,
  kTooManyChildSas,
  kNoSpiLeft,
  kLingeringEvicted,
  kFragmentRepeated,
  kFragmentsOutdated,  // their others never came
  kCount,
};
inline constexpr std::size_t kRarePathCount = static_cast<std::size_t>(RarePath::kCount);

// "init_sent_again": lower case, words joined by underscores, for metrics; never changes its meaning.
[[nodiscard]] std::string_view name(RarePath path);

}  // namespace merlon::ike
