#include "ikev2/collision.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/check.h"
#include "ike/counters.h"

namespace merlon::ikev2 {

namespace {

using Mask = unsigned;

template <class Enum>
constexpr Mask bit(Enum value) {
  return 1U << static_cast<unsigned>(value);
}
template <class... Enums>
constexpr Mask any_of(Enums... values) {
  return (bit(values) | ...);
}

using enum OwnExchange;
using enum PeerRequest;
constexpr Mask kAnyOwn = (1U << kOwnExchanges) - 1;
constexpr Mask kAnyName = (1U << kNamedChildren) - 1;
constexpr Mask kUnknownName = bit(NamedChild::kUnknown);
constexpr Mask kInFlightName = bit(NamedChild::kInFlight);
constexpr Mask kReplacedName = bit(NamedChild::kReplaced);
constexpr Mask kLiveName = any_of(NamedChild::kNone, NamedChild::kLive);
constexpr Mask kIdleOrChild = any_of(OwnExchange::kNone, kCreatingChild, kRekeyingChild, kDeletingChild);
constexpr Mask kNotThisChild = any_of(OwnExchange::kNone, kCreatingChild);  // then nothing can be kInFlight

struct Pattern {
  Mask own, request, named;
  CollisionRow row;
};

// Read top down by request; exactly one pattern fits each combination (collision_test.cc tries them all).
constexpr std::array kPatterns = {
    // ---- rekey of a Child SA
    Pattern{kIdleOrChild,
            bit(kRekeyChild),
            kUnknownName,
            {"rekey-child/unknown", Reply::kChildSaNotFound, Followup::kNone, "2.25"}},
    Pattern{kIdleOrChild,
            bit(kRekeyChild),
            kReplacedName,
            {"rekey-child/replaced", Reply::kTemporaryFailure, Followup::kNone, "2.25.1"}},
    Pattern{kIdleOrChild,
            bit(kRekeyChild),
            kLiveName,
            {"rekey-child/live", Reply::kAccept, Followup::kNone, "2.8"}},
    Pattern{kNotThisChild,
            bit(kRekeyChild),
            kInFlightName,
            {"rekey-child/live*", Reply::kAccept, Followup::kNone, "2.8"}},
    Pattern{bit(kRekeyingChild),
            bit(kRekeyChild),
            kInFlightName,
            {"rekey-child/rekeying-it", Reply::kAccept, Followup::kCompareNonces, "2.25.1, 2.8.1"}},
    Pattern{bit(kDeletingChild),
            bit(kRekeyChild),
            kInFlightName,
            {"rekey-child/deleting-it", Reply::kTemporaryFailure, Followup::kNone, "2.25.1"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kRekeyChild),
            kUnknownName,
            {"rekey-child/rekeying-ike-unknown", Reply::kChildSaNotFound, Followup::kNone, "2.25"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kRekeyChild),
            kAnyName & ~kUnknownName,
            {"rekey-child/rekeying-ike", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kDeletingIkeSa),
            bit(kRekeyChild),
            kAnyName,
            {"rekey-child/deleting-ike", Reply::kTemporaryFailure, Followup::kNone, "2.25"}},
    Pattern{bit(kIkeSaReplaced),
            bit(kRekeyChild),
            kAnyName,
            {"rekey-child/ike-replaced", Reply::kTemporaryFailure, Followup::kNone, "2.25"}},
    // ---- new Child SA
    Pattern{kIdleOrChild,
            bit(kCreateChild),
            kAnyName,
            {"create-child/idle", Reply::kAccept, Followup::kNone, "1.3.1"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kCreateChild),
            kAnyName,
            {"create-child/rekeying-ike", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kDeletingIkeSa),
            bit(kCreateChild),
            kAnyName,
            {"create-child/deleting-ike", Reply::kTemporaryFailure, Followup::kNone, "2.25"}},
    Pattern{bit(kIkeSaReplaced),
            bit(kCreateChild),
            kAnyName,
            {"create-child/ike-replaced", Reply::kTemporaryFailure, Followup::kNone, "2.25"}},
    // ---- delete of a Child SA
    Pattern{kAnyOwn,
            bit(kDeleteChild),
            kUnknownName,
            {"delete-child/unknown", Reply::kEmpty, Followup::kNone, "2.25.1"}},
    Pattern{bit(kRekeyingChild),
            bit(kDeleteChild),
            kInFlightName,
            {"delete-child/rekeying-it", Reply::kAccept, Followup::kOwnTargetGone, "2.25.1"}},
    Pattern{bit(kDeletingChild),
            bit(kDeleteChild),
            kInFlightName,
            {"delete-child/deleting-it", Reply::kEmpty, Followup::kOwnTargetGone, "2.25.1, 1.4.1"}},
    Pattern{kNotThisChild,
            bit(kDeleteChild),
            kInFlightName,
            {"delete-child/live*", Reply::kAccept, Followup::kNone, "1.4.1"}},
    Pattern{kIdleOrChild,
            bit(kDeleteChild),
            kLiveName,
            {"delete-child/live", Reply::kAccept, Followup::kNone, "1.4.1"}},
    Pattern{kIdleOrChild,
            bit(kDeleteChild),
            kReplacedName,
            {"delete-child/replaced", Reply::kAccept, Followup::kNone, "2.8"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kDeleteChild),
            kAnyName & ~kUnknownName,
            {"delete-child/rekeying-ike", Reply::kAccept, Followup::kNone, "2.25.2"}},
    Pattern{any_of(kDeletingIkeSa, kIkeSaReplaced),
            bit(kDeleteChild),
            kAnyName & ~kUnknownName,
            {"delete-child/ike-closing", Reply::kAccept, Followup::kNone, "1.4.1"}},
    // ---- rekey of the IKE SA
    Pattern{bit(OwnExchange::kNone),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/idle", Reply::kAccept, Followup::kNone, "2.18"}},
    Pattern{bit(kCreatingChild),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/creating-child", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kRekeyingChild),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/rekeying-child", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kDeletingChild),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/deleting-child", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/rekeying-ike", Reply::kAccept, Followup::kCompareNonces, "2.25.2, 2.8.2"}},
    Pattern{bit(kDeletingIkeSa),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/deleting-ike", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    Pattern{bit(kIkeSaReplaced),
            bit(kRekeyIkeSa),
            kAnyName,
            {"rekey-ike/ike-replaced", Reply::kTemporaryFailure, Followup::kNone, "2.25.2"}},
    // ---- delete of the IKE SA
    Pattern{any_of(OwnExchange::kNone, kIkeSaReplaced),
            bit(kDeleteIkeSa),
            kAnyName,
            {"delete-ike/idle", Reply::kAccept, Followup::kNone, "1.4.1"}},
    Pattern{any_of(kCreatingChild, kRekeyingChild, kDeletingChild),
            bit(kDeleteIkeSa),
            kAnyName,
            {"delete-ike/child-exchange", Reply::kAccept, Followup::kForgetOwn, "1.4.1"}},
    Pattern{bit(kRekeyingIkeSa),
            bit(kDeleteIkeSa),
            kAnyName,
            {"delete-ike/rekeying-ike", Reply::kAccept, Followup::kForgetOwn, "2.25.2"}},
    Pattern{bit(kDeletingIkeSa),
            bit(kDeleteIkeSa),
            kAnyName,
            {"delete-ike/deleting-ike", Reply::kAccept, Followup::kForgetOwn, "2.25.2"}},
    // ---- what touches no SA
    Pattern{kAnyOwn, bit(kOther), kAnyName, {"other/any", Reply::kAccept, Followup::kNone, "1.4"}},
};

constexpr auto kRows = [] {
  std::array<CollisionRow, kPatterns.size()> rows{};
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = kPatterns[i].row;
  return rows;
}();

// ---- error answers to our own requests

struct AnswerRow {
  Mask own, error;
  bool with_target, without_target;  // whether it holds when the target is gone, and when it is there
  std::string_view name;
  OwnAnswerAction action;
};

constexpr Mask kAnyError = (1U << kAnswerErrors) - 1;
constexpr Mask kDeleting = any_of(kDeletingChild, kDeletingIkeSa);
constexpr Mask kNothing = any_of(OwnExchange::kNone, kIkeSaReplaced);

constexpr std::array kAnswers = {
    AnswerRow{kNothing, kAnyError, true, true, "answer/nothing-asked", OwnAnswerAction::kDone},
    // A delete that meets an error: what was to go is gone, or its peer lost it.
    AnswerRow{kDeleting, kAnyError, true, true, "answer/delete-refused", OwnAnswerAction::kDone},
    AnswerRow{bit(kRekeyingChild), kAnyError, false, true, "answer/rekey-child-target-gone",
              OwnAnswerAction::kDropChildAndRenew},
    AnswerRow{bit(kRekeyingChild), bit(AnswerError::kTemporaryFailure), true, false,
              "answer/rekey-child-temporary", OwnAnswerAction::kRetryLater},
    AnswerRow{bit(kRekeyingChild), bit(AnswerError::kChildSaNotFound), true, false,
              "answer/rekey-child-not-found", OwnAnswerAction::kDropChildAndRenew},
    AnswerRow{bit(kRekeyingChild), bit(AnswerError::kNoAdditionalSas), true, false,
              "answer/rekey-child-no-additional", OwnAnswerAction::kReestablish},
    AnswerRow{bit(kRekeyingChild), bit(AnswerError::kOther), true, false, "answer/rekey-child-refused",
              OwnAnswerAction::kGiveUp},
    AnswerRow{any_of(kCreatingChild, kRekeyingIkeSa), bit(AnswerError::kTemporaryFailure), true, true,
              "answer/temporary", OwnAnswerAction::kRetryLater},
    AnswerRow{bit(kRekeyingIkeSa), bit(AnswerError::kNoAdditionalSas), true, true,
              "answer/rekey-ike-no-additional", OwnAnswerAction::kReestablish},
    AnswerRow{bit(kRekeyingIkeSa), any_of(AnswerError::kChildSaNotFound, AnswerError::kOther), true, true,
              "answer/rekey-ike-refused", OwnAnswerAction::kGiveUp},
    AnswerRow{bit(kCreatingChild), kAnyError & ~bit(AnswerError::kTemporaryFailure), true, true,
              "answer/create-child-refused", OwnAnswerAction::kGiveUp},
};

static_assert(kPatterns.size() + kAnswers.size() <= ike::Counters::kMaxCollisionRows);

// Combinations that cannot be: without a name in the request it does not count.
NamedChild normalised(PeerRequest request, NamedChild named) {
  const bool names_a_child = request == kRekeyChild || request == kDeleteChild;
  return names_a_child ? named : NamedChild::kNone;
}

}  // namespace

CollisionDecision on_peer_request(OwnExchange own, PeerRequest request, NamedChild named) {
  const Mask name_bit = bit(normalised(request, named));
  for (std::size_t i = 0; i < kPatterns.size(); ++i) {
    const Pattern& pattern = kPatterns[i];
    if ((pattern.own & bit(own)) != 0 && (pattern.request & bit(request)) != 0 &&
        (pattern.named & name_bit) != 0)
      return {i, pattern.row.reply, pattern.row.followup};
  }
  assertion_failed("the collision table has no row", __FILE__, __LINE__);
}

std::span<const CollisionRow> collision_rows() {
  return kRows;
}

std::string_view collision_row_name(std::size_t row) {
  if (row < kRows.size()) return kRows[row].name;
  row -= kRows.size();
  return row < kAnswers.size() ? kAnswers[row].name : std::string_view{};
}

std::string_view CollisionDecision::name() const {
  return collision_row_name(row);
}

OwnAnswerDecision own_answer(OwnExchange own, AnswerError error, bool target_gone) {
  for (std::size_t i = 0; i < kAnswers.size(); ++i) {
    const AnswerRow& row = kAnswers[i];
    if ((row.own & bit(own)) != 0 && (row.error & bit(error)) != 0 &&
        (target_gone ? row.without_target : row.with_target))
      return {kRows.size() + i, row.action};
  }
  assertion_failed("the table of answers has no row", __FILE__, __LINE__);
}

bool nonce_is_lower(ByteView a, ByteView b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

Redundant redundant_rekey(const RekeyNonces& ours, const RekeyNonces& peers) {
  const ByteView our_lowest = nonce_is_lower(ours.nonce_r, ours.nonce_i) ? ours.nonce_r : ours.nonce_i;
  const ByteView peers_lowest = nonce_is_lower(peers.nonce_r, peers.nonce_i) ? peers.nonce_r : peers.nonce_i;
  return nonce_is_lower(peers_lowest, our_lowest) ? Redundant::kPeers : Redundant::kOurs;
}

}  // namespace merlon::ikev2
