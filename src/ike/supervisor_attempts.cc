// Attempts: when one begins, where it goes, and how long to wait after it failed.
#include <algorithm>

#include "base/check.h"
#include "ike/diagnosis.h"
#include "ike/supervisor_impl.h"

namespace merlon::ike {

namespace {

constexpr Duration kResolveTimeout = std::chrono::seconds(60);
constexpr Duration kStableAtLeast = std::chrono::seconds(10);
constexpr Duration kShortestBackoff = std::chrono::milliseconds(100);

// An attempt that the engine never reports on ends after this: two requests' worth of retransmissions, and
// some.
Duration watchdog(const policy::Connection& connection) {
  const auto longest = std::max(connection.retransmit_initial, connection.retransmit_max);
  return longest * static_cast<int>(3 * std::clamp(connection.retransmit_tries, 1U, 1000U)) +
         std::chrono::seconds(60);
}

Duration longest_backoff(const policy::Connection& connection) {
  return std::max<Duration>(connection.backoff_max,
                            std::max<Duration>(connection.backoff_initial, kShortestBackoff));
}

}  // namespace

// Ends whatever is under way or awaited, without a judgement on it.
void Supervisor::Impl::stop(Supervised& supervised) {
  timers_.cancel(supervised.key);
  if (supervised.resolving != 0) by_request_.erase(std::exchange(supervised.resolving, 0));
  supervised.stage = SupervisorStage::kIdle;
  supervised.next_attempt = kNever;
  supervised.forget_pending();
}

// Begins an attempt when something is missing and nothing stands against it.
void Supervisor::Impl::evaluate(Now now, Supervised& supervised) {
  if (supervised.stage != SupervisorStage::kIdle || supervised.closing) return;
  if (supervised.anything_missing()) begin(now, supervised);
}

void Supervisor::Impl::begin(Now now, Supervised& supervised) {
  MERLON_ASSERT(!supervised.under_way());
  timers_.cancel(supervised.key);
  supervised.next_attempt = kNever;
  ++supervised.attempts;
  supervised.failed_in_attempt = false;
  supervised.attempt_is_for_ike_sa = supervised.ike_sas.empty();
  if (!supervised.ike_sas.empty()) {
    try_path(now, supervised, supervised.local, supervised.remote);
    return;
  }
  const auto target = supervised.targets.current();
  if (!target) {
    fail_attempt(now, supervised,
                 diagnosis::unreachable({supervised.connection.get(), {}, {}}, target.error()));
    return;
  }
  if (const auto* path = std::get_if<RemoteTargets::Path>(&*target)) {
    try_path(now, supervised, path->local, path->remote);
    return;
  }
  supervised.stage = SupervisorStage::kResolving;
  supervised.resolving = ++last_request_;
  supervised.resolving_host = std::get<RemoteTargets::NeedsName>(*target).host;
  by_request_.emplace(supervised.resolving, supervised.connection->name);
  timers_.set(supervised.key, now.monotonic + kResolveTimeout);
  commands_.emplace_back(
      ResolveName{supervised.resolving, supervised.connection->name, supervised.resolving_host});
}

void Supervisor::Impl::try_path(Now now, Supervised& supervised, const Endpoint& local,
                                const Endpoint& remote) {
  Initiate initiate{supervised.connection->name, local, remote, {}, std::nullopt};
  for (auto& [child_name, child] : supervised.children) {
    if (!child.missing()) continue;
    // The selectors of a packet belong to one child: its exchange is one of its own.
    if (child.packet && !initiate.children.empty()) continue;
    child.pending = true;
    child.one_more = false;
    initiate.children.push_back(child_name);
    if (child.packet) {
      initiate.packet = std::exchange(child.packet, std::nullopt);
      break;
    }
  }
  MERLON_ASSERT(!initiate.children.empty());
  supervised.stage = SupervisorStage::kTrying;
  timers_.set(supervised.key, now.monotonic + watchdog(*supervised.connection));
  commands_.emplace_back(std::move(initiate));
}

Duration Supervisor::Impl::backoff(const Supervised& supervised) {
  const auto& connection = *supervised.connection;
  const Duration longest = longest_backoff(connection);
  Duration delay = std::max<Duration>(connection.backoff_initial, kShortestBackoff);
  for (std::uint64_t i = 1; i < supervised.failures && delay < longest; ++i) delay *= 2;
  delay = std::min(delay, longest);
  const auto half = static_cast<std::uint64_t>(delay.count()) / 2;
  return Duration(static_cast<Duration::rep>(half + rng_.below(half + 1)));
}

void Supervisor::Impl::note_error(Now now, Supervised& supervised, Failure failure) {
  supervised.last_error = std::move(failure);
  supervised.last_error_at = now.wall;
  supervised.last_error_is_over = false;
}

// Also holds down what packets ask for, until the backoff is over.
void Supervisor::Impl::fail_attempt(Now now, Supervised& supervised, Failure failure) {
  for (auto& [child_name, child] : supervised.children) {
    if (child.pending || supervised.stage == SupervisorStage::kResolving ||
        supervised.stage == SupervisorStage::kIdle)
      child.wanted_once = child.one_more = false;
    if (!child.starts) child.packet.reset();
  }
  supervised.targets.advance();
  lost(now, supervised, std::move(failure));
}

// Something that was there (or an attempt) is gone: waits, then tries again whatever is missing then.
void Supervisor::Impl::lost(Now now, Supervised& supervised, Failure reason) {
  stop(supervised);
  note_error(now, supervised, std::move(reason));
  const Duration stable = std::max(kStableAtLeast, longest_backoff(*supervised.connection));
  if (supervised.up_since && now.monotonic - *supervised.up_since >= stable) supervised.failures = 0;
  supervised.up_since.reset();
  ++supervised.failures;
  supervised.stage = SupervisorStage::kBackingOff;
  supervised.next_attempt = now.monotonic + backoff(supervised);
  timers_.set(supervised.key, supervised.next_attempt);
}

void Supervisor::Impl::attempt_may_be_over(Now now, Supervised& supervised) {
  if (supervised.stage == SupervisorStage::kTrying) {
    if (supervised.anything_pending()) return;
    const bool failed = supervised.failed_in_attempt;
    const auto error = supervised.last_error;
    stop(supervised);
    if (failed && error) {
      const auto at = supervised.last_error_at;
      lost(now, supervised, *error);
      supervised.last_error_at = at;
      return;
    }
  }
  if (!supervised.anything_missing() && !supervised.up_since) {
    supervised.up_since = now.monotonic;
    supervised.last_error_is_over = true;
  }
  // The peer brought what we were waiting to try for.
  if (supervised.stage == SupervisorStage::kBackingOff && !supervised.anything_missing()) stop(supervised);
  evaluate(now, supervised);
}

void Supervisor::Impl::resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses) {
  const auto at = by_request_.find(request);
  if (at == by_request_.end()) return;  // too late
  Supervised* supervised = find(at->second);
  by_request_.erase(at);
  if (supervised == nullptr || supervised->resolving != request) return;
  supervised->resolving = 0;
  auto path = addresses ? supervised->targets.pick(*addresses)
                        : Result<RemoteTargets::Path>(tl::unexpected(addresses.error()));
  if (!path) {
    fail_attempt(now, *supervised,
                 diagnosis::name_not_resolved({supervised->connection.get(), {}, {}},
                                              supervised->resolving_host, path.error()));
    return;
  }
  supervised->stage = SupervisorStage::kIdle;
  // The peer, or a person, may have settled it meanwhile.
  if (supervised->anything_missing())
    try_path(now, *supervised, path->local, path->remote);
  else
    stop(*supervised);
}

void Supervisor::Impl::nothing_to_do(Now now, const std::string& connection) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr || supervised->stage != SupervisorStage::kTrying) return;
  for (auto& [child_name, child] : supervised->children)
    child.pending = child.wanted_once = child.one_more = false;
  attempt_may_be_over(now, *supervised);
}

void Supervisor::Impl::refused(Now now, const std::string& connection, const Error& error) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr || supervised->stage != SupervisorStage::kTrying) return;
  fail_attempt(now, *supervised, diagnosis::internal({supervised->connection.get(), {}, {}}, error));
}

void Supervisor::Impl::advance(Now now) {
  for (const auto key : timers_.expire(now.monotonic)) {
    const auto at = by_key_.find(key);
    if (at == by_key_.end()) continue;
    Supervised& supervised = supervised_.at(at->second);
    const diagnosis::Subject subject{supervised.connection.get(), {}, {}};
    switch (supervised.stage) {
      case SupervisorStage::kResolving:
        fail_attempt(now, supervised,
                     diagnosis::name_not_resolved(
                         subject, supervised.resolving_host,
                         Error{ErrorCode::kExpired, "the resolver did not answer within 60 s"}));
        break;
      case SupervisorStage::kTrying:
        fail_attempt(
            now, supervised,
            diagnosis::internal(subject, Error{ErrorCode::kExpired, "the attempt never came to an end"}));
        break;
      case SupervisorStage::kBackingOff:
        stop(supervised);
        evaluate(now, supervised);
        break;
      case SupervisorStage::kIdle:
        break;
    }
  }
}

}  // namespace merlon::ike
