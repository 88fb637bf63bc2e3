#include "ike/supervisor.h"

#include <algorithm>

#include "base/check.h"
#include "ike/diagnosis.h"
#include "ike/remote_targets.h"

namespace merlon::ike {

namespace {

constexpr Duration kResolveTimeout = std::chrono::seconds(60);
constexpr Duration kStableAtLeast = std::chrono::seconds(10);
constexpr Duration kShortestBackoff = std::chrono::milliseconds(100);
constexpr Duration kExtraAcquireInterval = std::chrono::seconds(1);
// A peer that narrows (RFC 7296 2.9) or wants one address pair an SA gets as many SAs for one child.
constexpr std::size_t kMaxSasPerChild = 64;

struct Child {
  bool starts = false;         // by itself: always
  bool on_traffic = false;
  bool down = false;           // by a person
  bool wanted_once = false;    // a person's up, or a packet
  bool one_more = false;       // a packet that the SAs present do not carry
  bool pending = false;        // in the attempt under way
  bool closing = false;        // taken down, and its SAs are not all gone yet
  Instant extra_not_before{};  // bounds one_more
  std::optional<TriggeringPacket> packet;
  std::set<policy::ChildSaId> sas;

  [[nodiscard]] bool missing() const { return !down && ((sas.empty() && (starts || wanted_once)) || one_more); }
};

enum class Stage { kIdle, kResolving, kTrying, kBackingOff };

struct Supervised {
  policy::ConnectionPtr connection;
  TimerWheel::Key key = 0;
  bool down = false;
  Stage stage = Stage::kIdle;
  std::map<std::string, Child> children;
  std::set<IkeSaId> ike_sas;
  Endpoint local, remote;  // of the newest IKE SA
  RemoteTargets targets;
  RequestId resolving = 0;
  std::string resolving_host;
  bool attempt_is_for_ike_sa = false;  // there was none when it began
  bool failed_in_attempt = false;
  std::uint64_t attempts = 0, failures = 0;
  std::optional<Instant> up_since;
  Instant next_attempt = kNever;
  std::optional<Failure> last_error;
  UnixTime last_error_at{};
  bool last_error_is_over = false;

  [[nodiscard]] bool anything_missing() const {
    return !down && std::any_of(children.begin(), children.end(), [](const auto& entry) { return entry.second.missing(); });
  }
  [[nodiscard]] bool anything_pending() const {
    return std::any_of(children.begin(), children.end(), [](const auto& entry) { return entry.second.pending; });
  }
  [[nodiscard]] bool under_way() const { return stage == Stage::kResolving || stage == Stage::kTrying; }
  void forget_pending() {
    for (auto& [child_name, child] : children) child.pending = false;
  }
};

// kWait is the weakest: a child starts by itself only where its connection does as well.
policy::StartMode weaker(policy::StartMode a, policy::StartMode b) { return std::min(a, b); }
static_assert(policy::StartMode::kWait < policy::StartMode::kOnTraffic &&
              policy::StartMode::kOnTraffic < policy::StartMode::kAlways);

// An attempt that the engine never reports on ends after this: two requests' worth of retransmissions, and some.
Duration watchdog(const policy::Connection& connection) {
  const auto longest = std::max(connection.retransmit_initial, connection.retransmit_max);
  return longest * static_cast<int>(3 * std::clamp(connection.retransmit_tries, 1U, 1000U)) + std::chrono::seconds(60);
}

Duration longest_backoff(const policy::Connection& connection) {
  return std::max<Duration>(connection.backoff_max, std::max<Duration>(connection.backoff_initial, kShortestBackoff));
}

}  // namespace

const char* name(SupervisorPhase phase) {
  switch (phase) {
    case SupervisorPhase::kIdle:
      return "idle";
    case SupervisorPhase::kResolving:
      return "resolving";
    case SupervisorPhase::kTrying:
      return "trying";
    case SupervisorPhase::kUp:
      return "up";
    case SupervisorPhase::kBackingOff:
      return "backing off";
    case SupervisorPhase::kDown:
      return "down";
  }
  return "unknown";
}

class Supervisor::Impl {
 public:
  explicit Impl(Rng& rng) : rng_(rng) {}

  void configure(Now now, const std::vector<policy::ConnectionPtr>& connections);
  void handle(Now now, const Event& event);
  Result<> up(Now now, const std::string& connection, const std::string& child);
  Result<> down(const std::string& connection, const std::string& child);
  void acquire(Now now, const std::string& connection, const std::string& child, std::optional<TriggeringPacket> packet);
  void network_changed(Now now);
  void resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses);
  void refused(Now now, const std::string& connection, const Error& error);
  void advance(Now now);
  [[nodiscard]] Instant next_deadline() const { return timers_.next(); }
  std::vector<SupervisorCommand> drain() { return std::exchange(commands_, {}); }
  [[nodiscard]] std::vector<SupervisorStatus> status() const;
  [[nodiscard]] std::optional<SupervisorStatus> status(const std::string& connection) const;

 private:
  void on(Now now, const IkeSaEstablished& event);
  void on(Now now, const IkeSaClosed& event);
  void on(Now now, const ChildSaEstablished& event);
  void on(Now now, const ChildSaClosed& event);
  void on(Now now, const NegotiationFailed& event);
  template <class Ignored>
  void on(Now, const Ignored&) {}

  Supervised* find(const std::string& connection);
  Result<Supervised*> find_with_child(const std::string& connection, const std::string& child);
  void load(Supervised& supervised, policy::ConnectionPtr connection);
  void evaluate(Now now, Supervised& supervised);
  void begin(Now now, Supervised& supervised);
  void try_path(Now now, Supervised& supervised, const Endpoint& local, const Endpoint& remote);
  void fail_attempt(Now now, Supervised& supervised, Failure failure);
  void lost(Now now, Supervised& supervised, Failure reason);
  void note_error(Now now, Supervised& supervised, Failure failure);
  void stop(Supervised& supervised);
  void attempt_may_be_over(Now now, Supervised& supervised);
  Duration backoff(const Supervised& supervised);
  [[nodiscard]] static SupervisorStatus status_of(const std::string& connection, const Supervised& supervised);

  Rng& rng_;
  std::map<std::string, Supervised> supervised_;
  std::unordered_map<TimerWheel::Key, std::string> by_key_;
  std::unordered_map<RequestId, std::string> by_request_;
  TimerWheel timers_;
  TimerWheel::Key last_key_ = 0;
  RequestId last_request_ = 0;
  std::vector<SupervisorCommand> commands_;
};

// ---- configuration -------------------------------------------------------------------------------------------------

void Supervisor::Impl::load(Supervised& supervised, policy::ConnectionPtr connection) {
  std::map<std::string, Child> children;
  for (const auto& config : connection->children) {
    if (config.action != policy::ChildAction::kProtect) continue;
    Child child;
    if (const auto before = supervised.children.find(config.name); before != supervised.children.end()) {
      child.down = before->second.down;
      child.sas = before->second.sas;
    }
    const auto mode = weaker(config.start, connection->start);
    child.starts = mode == policy::StartMode::kAlways;
    child.on_traffic = mode == policy::StartMode::kOnTraffic;
    children.emplace(config.name, std::move(child));
  }
  supervised.children = std::move(children);
  supervised.targets = RemoteTargets(*connection);
  supervised.connection = std::move(connection);
}

void Supervisor::Impl::configure(Now now, const std::vector<policy::ConnectionPtr>& connections) {
  std::set<std::string> configured;
  for (const auto& connection : connections) configured.insert(connection->name);
  for (auto at = supervised_.begin(); at != supervised_.end();) {
    if (configured.contains(at->first)) {
      ++at;
      continue;
    }
    stop(at->second);
    by_key_.erase(at->second.key);
    at = supervised_.erase(at);
  }
  for (const auto& connection : connections) {
    auto [at, is_new] = supervised_.try_emplace(connection->name);
    Supervised& supervised = at->second;
    if (!is_new && supervised.connection == connection) continue;
    if (is_new) {
      supervised.key = ++last_key_;
      by_key_.emplace(supervised.key, connection->name);
    }
    stop(supervised);
    supervised.failures = 0;
    load(supervised, connection);
    evaluate(now, supervised);
  }
}

// ---- attempts ------------------------------------------------------------------------------------------------------

// Ends whatever is under way or awaited, without a judgement on it.
void Supervisor::Impl::stop(Supervised& supervised) {
  timers_.cancel(supervised.key);
  if (supervised.resolving != 0) by_request_.erase(std::exchange(supervised.resolving, 0));
  supervised.stage = Stage::kIdle;
  supervised.next_attempt = kNever;
  supervised.forget_pending();
}

// Begins an attempt when something is missing and nothing stands against it.
void Supervisor::Impl::evaluate(Now now, Supervised& supervised) {
  if (supervised.stage != Stage::kIdle) return;
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
    fail_attempt(now, supervised, diagnosis::unreachable({supervised.connection.get(), {}, {}}, target.error()));
    return;
  }
  if (const auto* path = std::get_if<RemoteTargets::Path>(&*target)) {
    try_path(now, supervised, path->local, path->remote);
    return;
  }
  supervised.stage = Stage::kResolving;
  supervised.resolving = ++last_request_;
  supervised.resolving_host = std::get<RemoteTargets::NeedsName>(*target).host;
  by_request_.emplace(supervised.resolving, supervised.connection->name);
  timers_.set(supervised.key, now.monotonic + kResolveTimeout);
  commands_.emplace_back(ResolveName{supervised.resolving, supervised.connection->name, supervised.resolving_host});
}

void Supervisor::Impl::try_path(Now now, Supervised& supervised, const Endpoint& local, const Endpoint& remote) {
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
  supervised.stage = Stage::kTrying;
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
    if (child.pending || supervised.stage == Stage::kResolving || supervised.stage == Stage::kIdle)
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
  supervised.stage = Stage::kBackingOff;
  supervised.next_attempt = now.monotonic + backoff(supervised);
  timers_.set(supervised.key, supervised.next_attempt);
}

void Supervisor::Impl::attempt_may_be_over(Now now, Supervised& supervised) {
  if (supervised.stage == Stage::kTrying) {
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
  if (supervised.stage == Stage::kBackingOff && !supervised.anything_missing()) stop(supervised);
  evaluate(now, supervised);
}

// ---- events --------------------------------------------------------------------------------------------------------

Supervised* Supervisor::Impl::find(const std::string& connection) {
  const auto at = supervised_.find(connection);
  return at == supervised_.end() ? nullptr : &at->second;
}

void Supervisor::Impl::handle(Now now, const Event& event) {
  std::visit([&](const auto& one) { on(now, one); }, event);
}

void Supervisor::Impl::on(Now, const IkeSaEstablished& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  supervised->ike_sas.insert(event.id);
  supervised->local = event.local;
  supervised->remote = event.remote;
  if (supervised->down) commands_.emplace_back(Terminate{event.connection, {}});
}

void Supervisor::Impl::on(Now now, const IkeSaClosed& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  supervised->ike_sas.erase(event.id);
  if (!supervised->ike_sas.empty()) return;
  for (auto& [child_name, child] : supervised->children) {
    child.sas.clear();
    child.closing = false;
  }
  if (supervised->stage == Stage::kTrying) {
    fail_attempt(now, *supervised, event.reason);
  } else if (supervised->stage == Stage::kIdle && supervised->anything_missing()) {
    lost(now, *supervised, event.reason);
  } else if (event.reason.kind != FailureKind::kDeletedByUs) {
    note_error(now, *supervised, event.reason);
    supervised->up_since.reset();
  }
}

void Supervisor::Impl::on(Now now, const ChildSaEstablished& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  const auto at = supervised->children.find(event.child);
  if (at == supervised->children.end()) return;
  Child& child = at->second;
  child.sas.insert(event.id);
  child.wanted_once = child.pending = false;
  if (child.down && !supervised->down) commands_.emplace_back(Terminate{event.connection, event.child});
  attempt_may_be_over(now, *supervised);
}

void Supervisor::Impl::on(Now now, const ChildSaClosed& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  const auto at = supervised->children.find(event.child);
  if (at == supervised->children.end()) return;
  at->second.sas.erase(event.id);
  if (at->second.sas.empty()) at->second.closing = false;
  if (event.replaced || !at->second.missing() || supervised->stage != Stage::kIdle || supervised->down) return;
  Failure reason;
  reason.kind = FailureKind::kDeletedByPeer;
  reason.side = FailureSide::kPeer;
  reason.sentence = fmt::format("the Child SA '{}' of connection '{}' was closed: {}", event.child, event.connection,
                                event.reason.empty() ? "no reason was given" : event.reason);
  lost(now, *supervised, std::move(reason));
}

void Supervisor::Impl::on(Now now, const NegotiationFailed& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  if (supervised->stage != Stage::kTrying) {
    note_error(now, *supervised, event.failure);
    return;
  }
  if (event.child.empty()) {
    if (supervised->attempt_is_for_ike_sa || supervised->ike_sas.empty()) {
      fail_attempt(now, *supervised, event.failure);
    } else {
      note_error(now, *supervised, event.failure);  // a rekey of the IKE SA; the attempt is for a child
    }
    return;
  }
  note_error(now, *supervised, event.failure);
  const auto at = supervised->children.find(event.child);
  if (at == supervised->children.end() || !at->second.pending) return;
  at->second.pending = at->second.wanted_once = false;
  supervised->failed_in_attempt = true;
  attempt_may_be_over(now, *supervised);
}

// ---- people, packets, names ----------------------------------------------------------------------------------------

Result<Supervised*> Supervisor::Impl::find_with_child(const std::string& connection, const std::string& child) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr) return fail(ErrorCode::kNotFound, "there is no connection '{}'", connection);
  if (!child.empty() && !supervised->children.contains(child))
    return fail(ErrorCode::kNotFound, "connection '{}' has no child '{}' that protects", connection, child);
  return supervised;
}

Result<> Supervisor::Impl::up(Now now, const std::string& connection, const std::string& child) {
  MERLON_TRY(Supervised * supervised, find_with_child(connection, child));
  for (auto& [child_name, one] : supervised->children) {
    const bool named = child.empty() || child_name == child;
    if (named) {
      one.down = false;
      one.wanted_once = one.sas.empty() || one.closing;
    } else if (supervised->down) {
      one.down = true;  // what was down with the whole connection stays down
    }
  }
  supervised->down = false;
  if (supervised->under_way()) return {};
  supervised->failures = 0;
  stop(*supervised);
  evaluate(now, *supervised);
  return {};
}

Result<> Supervisor::Impl::down(const std::string& connection, const std::string& child) {
  MERLON_TRY(Supervised * supervised, find_with_child(connection, child));
  for (auto& [child_name, one] : supervised->children) {
    if (!child.empty() && child_name != child) continue;
    one.wanted_once = one.one_more = one.pending = false;
    one.packet.reset();
    one.closing = !one.sas.empty();
    if (!child.empty()) one.down = true;
  }
  if (child.empty()) supervised->down = true;
  const bool attempt_is_moot = supervised->stage == Stage::kTrying && !supervised->anything_pending();
  if (attempt_is_moot || !supervised->anything_missing()) stop(*supervised);
  supervised->up_since.reset();
  commands_.emplace_back(Terminate{connection, child});
  return {};
}

void Supervisor::Impl::acquire(Now now, const std::string& connection, const std::string& child,
                               std::optional<TriggeringPacket> packet) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr || supervised->down || supervised->stage == Stage::kBackingOff) return;
  const auto at = supervised->children.find(child);
  if (at == supervised->children.end()) return;
  Child& one = at->second;
  if (one.down || one.pending || !(one.starts || one.on_traffic)) return;
  if (one.sas.empty()) {
    one.wanted_once = true;
  } else {
    if (one.sas.size() >= kMaxSasPerChild || now.monotonic < one.extra_not_before) return;
    one.extra_not_before = now.monotonic + kExtraAcquireInterval;
    one.one_more = true;
  }
  one.packet = std::move(packet);
  evaluate(now, *supervised);
}

void Supervisor::Impl::network_changed(Now now) {
  for (auto& [connection_name, supervised] : supervised_) {
    if (supervised.stage != Stage::kBackingOff) continue;
    stop(supervised);
    evaluate(now, supervised);
  }
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
                 diagnosis::name_not_resolved({supervised->connection.get(), {}, {}}, supervised->resolving_host, path.error()));
    return;
  }
  supervised->stage = Stage::kIdle;
  // The peer, or a person, may have settled it meanwhile.
  if (supervised->anything_missing())
    try_path(now, *supervised, path->local, path->remote);
  else
    stop(*supervised);
}

void Supervisor::Impl::refused(Now now, const std::string& connection, const Error& error) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr || supervised->stage != Stage::kTrying) return;
  fail_attempt(now, *supervised, diagnosis::internal({supervised->connection.get(), {}, {}}, error));
}

void Supervisor::Impl::advance(Now now) {
  for (const auto key : timers_.expire(now.monotonic)) {
    const auto at = by_key_.find(key);
    if (at == by_key_.end()) continue;
    Supervised& supervised = supervised_.at(at->second);
    const diagnosis::Subject subject{supervised.connection.get(), {}, {}};
    switch (supervised.stage) {
      case Stage::kResolving:
        fail_attempt(now, supervised,
                     diagnosis::name_not_resolved(subject, supervised.resolving_host,
                                                  Error{ErrorCode::kExpired, "the resolver did not answer within 60 s"}));
        break;
      case Stage::kTrying:
        fail_attempt(now, supervised,
                     diagnosis::internal(subject, Error{ErrorCode::kExpired, "the attempt never came to an end"}));
        break;
      case Stage::kBackingOff:
        stop(supervised);
        evaluate(now, supervised);
        break;
      case Stage::kIdle:
        break;
    }
  }
}

// ---- status --------------------------------------------------------------------------------------------------------

SupervisorStatus Supervisor::Impl::status_of(const std::string& connection, const Supervised& supervised) {
  SupervisorStatus status;
  status.connection = connection;
  status.attempts = supervised.attempts;
  for (const auto& [child_name, child] : supervised.children) {
    if (!child.sas.empty()) status.children_up.push_back(child_name);
    if (!supervised.down && child.missing()) status.children_missing.push_back(child_name);
  }
  status.failures = supervised.anything_missing() ? supervised.failures : 0;
  status.last_error = supervised.last_error;
  status.last_error_at = supervised.last_error_at;
  status.last_error_is_over = supervised.last_error_is_over;
  if (supervised.down) {
    status.phase = SupervisorPhase::kDown;
  } else if (supervised.stage == Stage::kResolving) {
    status.phase = SupervisorPhase::kResolving;
  } else if (supervised.stage == Stage::kTrying) {
    status.phase = SupervisorPhase::kTrying;
  } else if (supervised.stage == Stage::kBackingOff && supervised.anything_missing()) {
    status.phase = SupervisorPhase::kBackingOff;
    status.next_attempt = supervised.next_attempt;
  } else {
    status.phase = status.children_up.empty() ? SupervisorPhase::kIdle : SupervisorPhase::kUp;
  }
  return status;
}

std::vector<SupervisorStatus> Supervisor::Impl::status() const {
  std::vector<SupervisorStatus> all;
  all.reserve(supervised_.size());
  for (const auto& [connection, supervised] : supervised_) all.push_back(status_of(connection, supervised));
  return all;
}

std::optional<SupervisorStatus> Supervisor::Impl::status(const std::string& connection) const {
  const auto at = supervised_.find(connection);
  if (at == supervised_.end()) return std::nullopt;
  return status_of(at->first, at->second);
}

// ---- the public face -----------------------------------------------------------------------------------------------

Supervisor::Supervisor(Rng& rng) : impl_(std::make_unique<Impl>(rng)) {}
Supervisor::~Supervisor() = default;
void Supervisor::configure(Now now, const std::vector<policy::ConnectionPtr>& connections) {
  impl_->configure(now, connections);
}
void Supervisor::handle(Now now, const Event& event) { impl_->handle(now, event); }
Result<> Supervisor::up(Now now, const std::string& connection, const std::string& child) {
  return impl_->up(now, connection, child);
}
Result<> Supervisor::down(Now, const std::string& connection, const std::string& child) {
  return impl_->down(connection, child);
}
void Supervisor::acquire(Now now, const std::string& connection, const std::string& child,
                         std::optional<TriggeringPacket> packet) {
  impl_->acquire(now, connection, child, std::move(packet));
}
void Supervisor::network_changed(Now now) { impl_->network_changed(now); }
void Supervisor::resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses) {
  impl_->resolved(now, request, addresses);
}
void Supervisor::refused(Now now, const std::string& connection, const Error& error) {
  impl_->refused(now, connection, error);
}
void Supervisor::advance(Now now) { impl_->advance(now); }
Instant Supervisor::next_deadline() const { return impl_->next_deadline(); }
std::vector<SupervisorCommand> Supervisor::drain() { return impl_->drain(); }
std::vector<SupervisorStatus> Supervisor::status() const { return impl_->status(); }
std::optional<SupervisorStatus> Supervisor::status(const std::string& connection) const {
  return impl_->status(connection);
}

}  // namespace merlon::ike
