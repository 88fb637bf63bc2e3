// Exchanges that cross each other on one IKE SA (RFC 7296 2.8.1, 2.8.2, 2.25): one pure table that says how
// to answer the peer's request while ours is in flight, what the peer's answer to ours means, and which of
// two redundant SAs has to go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace merlon::ikev2 {

// What this IKE SA is doing by itself when a request arrives.
enum class OwnExchange : std::uint8_t {
  kNone,           // nothing in flight that touches an SA: idle, or a liveness check
  kCreatingChild,  // CREATE_CHILD_SA for a new Child SA
  kRekeyingChild,
  kDeletingChild,
  kRekeyingIkeSa,
  kDeletingIkeSa,
  kIkeSaReplaced,  // nothing in flight, but a rekey that the peer began has replaced this IKE SA: it will
                   // delete it
};
inline constexpr std::size_t kOwnExchanges = 7;

enum class PeerRequest : std::uint8_t {
  kCreateChild,
  kRekeyChild,
  kDeleteChild,
  kRekeyIkeSa,
  kDeleteIkeSa,
  kOther
};
inline constexpr std::size_t kPeerRequests = 6;

// The Child SA that the request names, seen from here. For a Delete payload with several SPIs: ask once for
// each.
enum class NamedChild : std::uint8_t {
  kNone,      // the request names none (everything but kRekeyChild and kDeleteChild)
  kInFlight,  // the one that our own kRekeyingChild or kDeletingChild is about
  kLive,      // another one that exists, and is not being replaced
  kReplaced,  // it exists still, but a rekey has replaced it: its delete is to come
  kUnknown,   // there is none (any more)
};
inline constexpr std::size_t kNamedChildren = 5;

enum class Reply : std::uint8_t {
  kAccept,            // carry it out and answer as usual
  kTemporaryFailure,  // TEMPORARY_FAILURE, nothing changes
  kChildSaNotFound,   // CHILD_SA_NOT_FOUND with the SPI of the request
  kEmpty,             // INFORMATIONAL response without a Delete payload for this SPI
};
enum class Followup : std::uint8_t {
  kNone,
  kCompareNonces,  // both rekey the same SA: keep what this exchange made beside ours; when our answer comes:
                   // redundant_rekey()
  kForgetOwn,      // our own request is moot; its answer, if one comes, is ignored
  kOwnTargetGone,  // the Child SA that our request is about is gone with this: whatever the answer to ours,
                   // see own_answer()
};

struct CollisionRow {
  std::string_view name;  // "rekey-child/rekeying-it"
  Reply reply = Reply::kAccept;
  Followup followup = Followup::kNone;
  std::string_view rfc;  // the section that decides
};

struct CollisionDecision {
  std::size_t row = 0;  // for Counters::add_collision
  Reply reply = Reply::kAccept;
  Followup followup = Followup::kNone;
  [[nodiscard]] std::string_view name() const;
};

// Every combination has exactly one row. Combinations that cannot be (kCreateChild that names a child,
// kInFlight while nothing is in flight) are read as the nearest that can: the name is ignored, or taken as
// kLive.
[[nodiscard]] CollisionDecision on_peer_request(OwnExchange own, PeerRequest request, NamedChild named);

[[nodiscard]] std::span<const CollisionRow> collision_rows();
// For metrics: the name of a row of either table; empty beyond them. Rows of own_answer() follow those of
// on_peer_request().
[[nodiscard]] std::string_view collision_row_name(std::size_t row);

// ---- the peer's error answers to our own request (RFC 7296 2.25)
enum class AnswerError : std::uint8_t { kTemporaryFailure, kChildSaNotFound, kNoAdditionalSas, kOther };
inline constexpr std::size_t kAnswerErrors = 4;

enum class OwnAnswerAction : std::uint8_t {
  kRetryLater,         // wait (never at once, RFC 7296 2.25) and begin anew if it is still wanted; see
                       // kTemporaryFailureLimit
  kDropChildAndRenew,  // remove the Child SA without a word if it still exists, and create one from scratch
                       // if none took its place
  kGiveUp,       // report the failure; a rekeyed SA lives on until its hard lifetime, with further attempts
  kDone,         // what we wanted has happened anyway
  kReestablish,  // the peer does not do this on an existing IKE SA: build a new IKE SA instead, then delete
                 // this one
};
struct OwnAnswerDecision {
  std::size_t row = 0;  // for Counters::add_collision, behind the rows of on_peer_request()
  OwnAnswerAction action = OwnAnswerAction::kGiveUp;
};
// `target_gone`: Followup::kOwnTargetGone happened while our request was in flight.
[[nodiscard]] OwnAnswerDecision own_answer(OwnExchange own, AnswerError error, bool target_gone);

// RFC 7296 2.25: TEMPORARY_FAILURE for several minutes on end means that both ends disagree: close the IKE
// SA.
inline constexpr int kTemporaryFailureLimit_s = 240;
inline constexpr int kTemporaryFailureRetry_s = 10;  // a sensible first wait; jitter it

// ---- simultaneous rekey (RFC 7296 2.8.1, 2.8.2)
struct RekeyNonces {
  ByteView nonce_i, nonce_r;
};
enum class Redundant : std::uint8_t {
  kOurs,   // the SA that OUR exchange made is redundant: we delete it; the peer deletes the old SA
  kPeers,  // the peer's is: the peer deletes it, and we delete the old SA
};
// The SA whose exchange holds the lowest of the four nonces is redundant, and is closed by the one who
// created it. Lowest: byte by byte from the first, and a nonce that ends earlier is the lower one. With equal
// lowest nonces (a peer that mirrors ours) ours is.
[[nodiscard]] Redundant redundant_rekey(const RekeyNonces& ours, const RekeyNonces& peers);
[[nodiscard]] bool nonce_is_lower(ByteView a, ByteView b);

}  // namespace merlon::ikev2
