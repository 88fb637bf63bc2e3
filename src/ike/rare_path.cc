#include "ike/rare_path.h"

#include <array>

namespace merlon::ike {

namespace {

constexpr std::array<std::string_view, kRarePathCount> kNames = {
    "init_sent_again",
    "init_sent_again_with_cookie",
    "init_sent_again_after_invalid_ke",
    "init_given_up",
    "init_given_up_on_hint",
    "cookie_after_invalid_ke",
    "invalid_ke_after_cookie",
    "auth_sent_again",
    "auth_given_up",
    "create_child_sent_again",
    "create_child_given_up",
    "rekey_child_sent_again",
    "rekey_child_given_up",
    "rekey_ike_sent_again",
    "rekey_ike_given_up",
    "delete_child_sent_again",
    "delete_child_given_up",
    "liveness_sent_again",
    "liveness_given_up",
    "notice_sent_again",
    "notice_given_up",
    "delete_ike_sent_again",
    "delete_ike_given_up",
    "fragments_sent_again",
    "init_answered_again",
    "init_not_answered_again",
    "fragments_answered_again",
    "later_fragment_not_answered_again",
    "not_answered_again_elsewhere",
    "answer_withheld",
    "answered_again_after_the_end",
    "request_again_while_answering",
    "narrowed_away",
    "heard_from_elsewhere",
    "second_candidate",
    "no_candidate_left",
    "several_auths_wait_for_keys",
    "half_open_expired",
    "crossing_child_rekey_won",
    "crossing_child_rekey_lost",
    "crossing_ike_rekey_won",
    "crossing_ike_rekey_lost",
    "child_rekey_held_back",
    "ike_rekey_held_back",
    "child_rekey_moot",
    "crossing_ike_rekey_given_up",
    "delete_waits_for_ike_rekey",
    "child_deleted_before_it_stands",
    "unknown_child_may_be_in_the_making",
    "peers_ike_rekey_taken",
    "deletes_of_ike_sa_cross",
    "second_ike_rekey_waits",
    "twin_deleted",
    "twin_left_to_peer",
    "replaced_never_deleted",
    "replaced_given_up",
    "rekey_child_backs_off",
    "rekey_ike_backs_off",
    "temporary_failure_for_minutes",
    "child_made_anew",
    "ike_sa_made_anew",
    "children_handed_over",
    "delete_out_of_patience",
    "single_pair_asked_for",
    "notice_suppressed",
    "path_probe_unanswered",
    "newest_ike_sa_redundant",
    "older_ike_sa_redundant",
    "initial_contact_closes",
    "newest_ike_sa_replaces",
    "duplicate_ike_sa_refused",
    "ike_hard_lifetime",
    "child_hard_lifetime",
    "message_ids_nearly_exhausted",
    "message_ids_exhausted",
    "too_many_child_sas",
    "no_spi_left",
    "lingering_evicted",
    "fragment_repeated",
    "fragments_outdated",
};
static_assert(!kNames.back().empty(), "a name is missing");

}  // namespace

std::string_view name(RarePath path) {
  const auto index = static_cast<std::size_t>(path);
  return index < kRarePathCount ? kNames[index] : "unknown";
}

}  // namespace merlon::ike
