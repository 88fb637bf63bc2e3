#include "ikev2/collision.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>
#include <tuple>

#include "base/rng.h"

namespace merlon::ikev2 {
namespace {

using Own = OwnExchange;
using Request = PeerRequest;
using Named = NamedChild;

template <class Enum>
std::vector<Enum> all(std::size_t count) {
  std::vector<Enum> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<Enum>(i));
  return values;
}

// What RFC 7296 2.25 says, written down once more by hand, sentence by sentence: the table must agree in
// every combination.
struct Expected {
  Reply reply;
  Followup followup;
  friend bool operator==(const Expected&, const Expected&) = default;
};
Expected by_the_rfc(Own own, Request request, Named named) {
  const bool ike_sa_is_going =
      own == Own::kRekeyingIkeSa || own == Own::kDeletingIkeSa || own == Own::kIkeSaReplaced;
  const bool child_exchange =
      own == Own::kCreatingChild || own == Own::kRekeyingChild || own == Own::kDeletingChild;
  const bool same = named == Named::kInFlight;
  switch (request) {
    case Request::kOther:
      return {Reply::kAccept, Followup::kNone};
    case Request::kCreateChild:
      // "... a request to create or rekey a Child SA when it is currently rekeying the IKE SA:
      // TEMPORARY_FAILURE"
      return {ike_sa_is_going ? Reply::kTemporaryFailure : Reply::kAccept, Followup::kNone};
    case Request::kRekeyChild:
      if (own == Own::kDeletingIkeSa || own == Own::kIkeSaReplaced)
        return {Reply::kTemporaryFailure, Followup::kNone};
      // "... a request to rekey a Child SA that does not exist: CHILD_SA_NOT_FOUND"
      if (named == Named::kUnknown) return {Reply::kChildSaNotFound, Followup::kNone};
      if (own == Own::kRekeyingIkeSa) return {Reply::kTemporaryFailure, Followup::kNone};
      // "... that it is currently rekeying: reply as usual, and prepare to close redundant SAs later based on
      // the nonces"
      if (own == Own::kRekeyingChild && same) return {Reply::kAccept, Followup::kCompareNonces};
      // "... that it is currently trying to close: TEMPORARY_FAILURE"
      if ((own == Own::kDeletingChild && same) || named == Named::kReplaced)
        return {Reply::kTemporaryFailure, Followup::kNone};
      return {Reply::kAccept, Followup::kNone};
    case Request::kDeleteChild:
      // "... a request to close a Child SA that does not exist: reply without a Delete payload"
      if (named == Named::kUnknown) return {Reply::kEmpty, Followup::kNone};
      // "... that it is currently trying to close: reply without a Delete payload"
      if (own == Own::kDeletingChild && same) return {Reply::kEmpty, Followup::kOwnTargetGone};
      // "... that it is currently rekeying: reply as usual, with a Delete payload"
      if (own == Own::kRekeyingChild && same) return {Reply::kAccept, Followup::kOwnTargetGone};
      // "... a request to delete a Child SA when it is currently rekeying the IKE SA: reply as usual, with a
      // Delete payload"
      return {Reply::kAccept, Followup::kNone};
    case Request::kRekeyIkeSa:
      // "... currently creating, rekeying, or closing a Child SA of that IKE SA: TEMPORARY_FAILURE"
      if (child_exchange) return {Reply::kTemporaryFailure, Followup::kNone};
      // "... an IKE SA that it is currently rekeying: reply as usual, and prepare to close redundant SAs"
      if (own == Own::kRekeyingIkeSa) return {Reply::kAccept, Followup::kCompareNonces};
      // "... that it is currently trying to close: TEMPORARY_FAILURE"
      if (ike_sa_is_going) return {Reply::kTemporaryFailure, Followup::kNone};
      return {Reply::kAccept, Followup::kNone};
    case Request::kDeleteIkeSa:
      // "... currently rekeying: reply as usual, and forget its own rekeying request"; "... trying to close:
      // reply as usual, and forget about its own close request"
      return {Reply::kAccept,
              own == Own::kNone || own == Own::kIkeSaReplaced ? Followup::kNone : Followup::kForgetOwn};
  }
  return {};
}

TEST(Collision, EveryCombinationIsWhatTheRfcSays) {
  std::set<std::size_t> rows;
  for (const auto own : all<Own>(kOwnExchanges))
    for (const auto request : all<Request>(kPeerRequests))
      for (const auto named : all<Named>(kNamedChildren)) {
        const bool names = request == Request::kRekeyChild || request == Request::kDeleteChild;
        const auto decision = on_peer_request(own, request, named);
        EXPECT_EQ((Expected{decision.reply, decision.followup}),
                  by_the_rfc(own, request, names ? named : Named::kNone))
            << decision.name() << " own " << static_cast<int>(own) << " named " << static_cast<int>(named);
        rows.insert(decision.row);
      }
  // No row is dead, and none is without a name of its own.
  EXPECT_EQ(rows.size(), collision_rows().size());
  std::set<std::string_view> names;
  for (const auto& row : collision_rows()) {
    names.insert(row.name);
    EXPECT_FALSE(row.rfc.empty());
  }
  EXPECT_EQ(names.size(), collision_rows().size());
}

TEST(Collision, RowsAreNamedForTheMetrics) {
  EXPECT_EQ(on_peer_request(Own::kRekeyingChild, Request::kRekeyChild, Named::kInFlight).name(),
            "rekey-child/rekeying-it");
  EXPECT_EQ(on_peer_request(Own::kRekeyingIkeSa, Request::kDeleteIkeSa, Named::kNone).name(),
            "delete-ike/rekeying-ike");
  EXPECT_EQ(collision_row_name(100000), "");
}

TEST(Collision, EveryErrorAnswerHasOneMeaning) {
  std::set<std::size_t> rows;
  for (const auto own : all<Own>(kOwnExchanges))
    for (const auto error : all<AnswerError>(kAnswerErrors))
      for (const bool gone : {false, true}) {
        const auto decision = own_answer(own, error, gone);
        EXPECT_GE(decision.row, collision_rows().size());
        EXPECT_TRUE(collision_row_name(decision.row).starts_with("answer/"));
        rows.insert(decision.row);
      }
  std::size_t answer_rows = 0;
  while (!collision_row_name(collision_rows().size() + answer_rows).empty()) ++answer_rows;
  EXPECT_EQ(rows.size(), answer_rows);
}

TEST(Collision, AnswersMeanWhatTheRfcSays) {
  const auto action = [](Own own, AnswerError error, bool gone = false) {
    return own_answer(own, error, gone).action;
  };
  using Action = OwnAnswerAction;
  // RFC 7296 2.25: wait, and try again.
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kTemporaryFailure), Action::kRetryLater);
  EXPECT_EQ(action(Own::kRekeyingIkeSa, AnswerError::kTemporaryFailure), Action::kRetryLater);
  EXPECT_EQ(action(Own::kCreatingChild, AnswerError::kTemporaryFailure), Action::kRetryLater);
  // RFC 7296 2.25: silently delete the Child SA, and create a new one from scratch.
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kChildSaNotFound), Action::kDropChildAndRenew);
  // The peer deleted what we were rekeying: whatever it answers to that, the SA is gone.
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kTemporaryFailure, true), Action::kDropChildAndRenew);
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kChildSaNotFound, true), Action::kDropChildAndRenew);
  // RFC 7296 1.3: such a peer rekeys by a new IKE SA only.
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kNoAdditionalSas), Action::kReestablish);
  EXPECT_EQ(action(Own::kRekeyingIkeSa, AnswerError::kNoAdditionalSas), Action::kReestablish);
  EXPECT_EQ(action(Own::kCreatingChild, AnswerError::kNoAdditionalSas), Action::kGiveUp);
  EXPECT_EQ(action(Own::kRekeyingChild, AnswerError::kOther), Action::kGiveUp);
  for (const auto error : all<AnswerError>(kAnswerErrors))
    EXPECT_EQ(action(Own::kDeletingChild, error), Action::kDone);
}

TEST(Nonces, LowestIsByteByByteAndTheShorterPrefixIsLower) {
  EXPECT_TRUE(nonce_is_lower(Bytes{1, 255}, Bytes{2, 0}));
  EXPECT_FALSE(nonce_is_lower(Bytes{2, 0}, Bytes{1, 255}));
  EXPECT_TRUE(nonce_is_lower(Bytes{1, 2}, Bytes{1, 2, 0}));
  EXPECT_TRUE(nonce_is_lower(Bytes{1, 9, 9, 9}, Bytes{2}));  // not as large integers
  EXPECT_FALSE(nonce_is_lower(Bytes{1, 2}, Bytes{1, 2}));
}

// RFC 7296 2.8.1: both ends come to the same end without another word.
TEST(Nonces, BothEndsAgreeOnTheRedundantSa) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRng rng(seed);
    // Short nonces make ties and prefixes likely.
    const auto nonce = [&] {
      Bytes bytes(1 + rng.below(3));
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.below(4));
      return bytes;
    };
    const Bytes a_i = nonce(), a_r = nonce(), b_i = nonce(), b_r = nonce();
    const auto at_a = redundant_rekey({a_i, a_r}, {b_i, b_r});
    const auto at_b = redundant_rekey({b_i, b_r}, {a_i, a_r});
    const Bytes lowest_a = std::min(a_i, a_r), lowest_b = std::min(b_i, b_r);
    if (lowest_a == lowest_b) return;  // cannot be with random nonces
    RC_ASSERT(at_a != at_b);
    RC_ASSERT((at_a == Redundant::kOurs) == (lowest_a < lowest_b));
  }));
}

}  // namespace
}  // namespace merlon::ikev2
