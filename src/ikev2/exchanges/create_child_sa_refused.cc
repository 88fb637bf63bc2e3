// What an error in the answer to our CREATE_CHILD_SA request leads to (RFC 7296 2.25); the decision is
// ikev2/collision.h's.
//
//   TEMPORARY_FAILURE     wait, and begin anew; for minutes on end: both ends disagree, close the IKE SA
//   CHILD_SA_NOT_FOUND    ours is a ghost: drop it, create one from scratch
//   NO_ADDITIONAL_SAS     the peer does this on a new IKE SA only
//   anything else         tell; what was to be rekeyed lives on until its hard lifetime, and until then the rekey is tried
//                         again, less and less often
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/create_child_sa.h"
#include "ikev2/exchanges/ike_sa_init.h"

namespace merlon::ikev2 {

using ike::RarePath;
using wire::NotifyType;

namespace {

AnswerError error_of(NotifyType type) {
  switch (type) {
    case NotifyType::kTemporaryFailure:
      return AnswerError::kTemporaryFailure;
    case NotifyType::kChildSaNotFound:
      return AnswerError::kChildSaNotFound;
    case NotifyType::kNoAdditionalSas:
      return AnswerError::kNoAdditionalSas;
    default:
      return AnswerError::kOther;
  }
}

void retry_later(Shard& shard, Established& established, Task retry, ike::Failure failure) {
  if (!established.temporary_failures_since) established.temporary_failures_since = shard.time();
  // RFC 7296 2.25: several minutes of it.
  if (shard.time() - *established.temporary_failures_since > std::chrono::seconds(kTemporaryFailureLimit_s)) {
    shard.count(RarePath::kTemporaryFailureForMinutes);
    established.tasks.push_back({DeleteIkeTask{std::move(failure)}, {}});
    return;
  }
  constexpr std::uint64_t kBase_ms = kTemporaryFailureRetry_s * 1000ULL;
  retry.not_before = shard.time() + std::chrono::milliseconds(kBase_ms / 2 + shard.rng().below(kBase_ms));
  established.tasks.push_back(std::move(retry));
}

void drop_and_renew(Shard& shard, const IkeSa& sa, Established& established,
                    std::optional<policy::ChildSaId> target, std::optional<std::size_t> child_index) {
  if (target)
    if (auto* ghost = find_child(established, *target))
      close_child(shard, sa, *ghost, "the peer does not know it any more");
  if (!child_index) return;
  const bool replaced =
      std::any_of(established.children.begin(), established.children.end(), [&](const ChildSaRecord& record) {
        return record.child_index == *child_index && record.live() && !record.replaced;
      });
  if (replaced) return;
  shard.count(RarePath::kChildMadeAnew);
  established.tasks.push_back({NewChildTask{{*child_index, std::nullopt}, 0, KeMethod::kNone, false}, {}});
}

// A whole new IKE SA with all that this one carries; its IKE_AUTH replaces this one (RFC 7296 2.8, 1.3).
void reestablish(Shard& shard, const IkeSa& sa, const Established& established) {
  std::vector<ChildIntent> intents;
  for (const auto& record : established.children) {
    const bool listed = std::any_of(intents.begin(), intents.end(), [&](const ChildIntent& intent) {
      return intent.child_index == record.child_index;
    });
    if (record.live() && !record.replaced && !listed) intents.push_back({record.child_index, std::nullopt});
  }
  if (intents.empty()) return;
  if (begin_ike_sa_init(shard, sa.connection, established.channel.path(), std::move(intents)))
    shard.count(RarePath::kIkeSaMadeAnew);
}

constexpr Duration kFirstRekeyBackoff = std::chrono::seconds(10),
                   kLastRekeyBackoff = std::chrono::minutes(10);

// Doubles, and is drawn from its upper half.
Duration next_wait(Shard& shard, RekeyBackoff& backoff) {
  Duration wait = kFirstRekeyBackoff;
  for (unsigned i = 0; i < backoff.failures && wait < kLastRekeyBackoff; ++i) wait *= 2;
  ++backoff.failures;
  wait = std::min(wait, kLastRekeyBackoff);
  const auto half = static_cast<std::uint64_t>(wait.count()) / 2;
  return Duration(static_cast<Duration::rep>(half + shard.rng().below(half + 1)));
}

// Whether people have not heard this before.
bool is_news(RekeyBackoff& backoff, const ike::Failure& failure) {
  return std::exchange(backoff.told, failure.sentence) != failure.sentence;
}

}  // namespace

void rekey_child_failed(Shard& shard, IkeSa& sa, Established& established, policy::ChildSaId target,
                        ike::Failure failure) {
  auto* record = find_child(established, target);
  if (!record || !record->live() || record->replaced) return;
  shard.count(RarePath::kRekeyChildBacksOff);
  established.tasks.push_back(
      {RekeyChildTask{target, 0, KeMethod::kNone}, shard.time() + next_wait(shard, record->rekey_backoff)});
  if (is_news(record->rekey_backoff, failure))
    tell_child_failed(shard, sa, record->child_index, std::move(failure));
}

void rekey_ike_failed(Shard& shard, IkeSa& sa, Established& established, ike::Failure failure) {
  if (established.successor) return;
  shard.count(RarePath::kRekeyIkeBacksOff);
  established.tasks.push_back({RekeyIkeTask{}, shard.time() + next_wait(shard, established.rekey_backoff)});
  if (is_news(established.rekey_backoff, failure))
    shard.emit(
        ike::Event(ike::NegotiationFailed{sa.connection_name(), {}, sa.path.remote, std::move(failure)}));
}

void on_own_error(Shard& shard, IkeSa& sa, Established& established, OwnExchange own, NotifyType type,
                  bool target_gone, Task retry, std::optional<policy::ChildSaId> target, ike::Failure failure,
                  std::optional<std::size_t> child_index) {
  const auto decision = own_answer(own, error_of(type), target_gone);
  shard.counters().add_collision(decision.row);
  switch (decision.action) {
    case OwnAnswerAction::kDone:
      return;
    case OwnAnswerAction::kRetryLater:
      return retry_later(shard, established, std::move(retry), std::move(failure));
    case OwnAnswerAction::kDropChildAndRenew:
      return drop_and_renew(shard, sa, established, target, child_index);
    case OwnAnswerAction::kReestablish:
      return reestablish(shard, sa, established);
    case OwnAnswerAction::kGiveUp:
      break;
  }
  if (own == OwnExchange::kRekeyingIkeSa)
    rekey_ike_failed(shard, sa, established, std::move(failure));
  else if (target)
    rekey_child_failed(shard, sa, established, *target, std::move(failure));
  else if (child_index)
    tell_child_failed(shard, sa, *child_index, std::move(failure));
}

}  // namespace merlon::ikev2
