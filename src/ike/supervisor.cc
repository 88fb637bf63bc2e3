// Configuration, status and the public face. Attempts: supervisor_attempts.cc; events, people and packets:
// supervisor_events.cc.
#include "ike/supervisor.h"

#include "ike/supervisor_impl.h"

namespace merlon::ike {

namespace {

// kWait is the weakest: a child starts by itself only where its connection does as well.
policy::StartMode weaker(policy::StartMode a, policy::StartMode b) {
  return std::min(a, b);
}
static_assert(policy::StartMode::kWait < policy::StartMode::kOnTraffic &&
              policy::StartMode::kOnTraffic < policy::StartMode::kAlways);

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

// ---- configuration

void Supervisor::Impl::load(Supervised& supervised, policy::ConnectionPtr connection) {
  std::map<std::string, SupervisedChild> children;
  for (const auto& config : connection->children) {
    if (config.action != policy::ChildAction::kProtect) continue;
    SupervisedChild child;
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

// ---- status

SupervisorStatus Supervisor::Impl::status_of(const std::string& connection, const Supervised& supervised) {
  SupervisorStatus status;
  status.connection = connection;
  status.attempts = supervised.attempts;
  for (const auto& [child_name, child] : supervised.children) {
    if (child.up()) status.children_up.push_back(child_name);
    if (!supervised.down && child.missing()) status.children_missing.push_back(child_name);
  }
  status.failures = supervised.anything_missing() ? supervised.failures : 0;
  status.last_error = supervised.last_error;
  status.last_error_at = supervised.last_error_at;
  status.last_error_is_over = supervised.last_error_is_over;
  if (supervised.down) {
    status.phase = SupervisorPhase::kDown;
  } else if (supervised.stage == SupervisorStage::kResolving) {
    status.phase = SupervisorPhase::kResolving;
  } else if (supervised.stage == SupervisorStage::kTrying || supervised.waits_for_closing()) {
    status.phase = SupervisorPhase::kTrying;
  } else if (supervised.stage == SupervisorStage::kBackingOff && supervised.anything_missing()) {
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

// ---- the public face

Supervisor::Supervisor(Rng& rng) : impl_(std::make_unique<Impl>(rng)) {}
Supervisor::~Supervisor() = default;
void Supervisor::configure(Now now, const std::vector<policy::ConnectionPtr>& connections) {
  impl_->configure(now, connections);
}
void Supervisor::handle(Now now, const Event& event) {
  impl_->handle(now, event);
}
Result<> Supervisor::up(Now now, const std::string& connection, const std::string& child) {
  return impl_->up(now, connection, child);
}
Result<> Supervisor::down(Now, const std::string& connection, const std::string& child) {
  return impl_->down(connection, child);
}
void Supervisor::acquire(Now now, const std::string& connection, const std::string& child,
                         const std::optional<TriggeringPacket>& packet) {
  impl_->acquire(now, connection, child, packet);
}
void Supervisor::network_changed(Now now) {
  impl_->network_changed(now);
}
void Supervisor::resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses) {
  impl_->resolved(now, request, addresses);
}
void Supervisor::nothing_to_do(Now now, const std::string& connection) {
  impl_->nothing_to_do(now, connection);
}
void Supervisor::refused(Now now, const std::string& connection, const Error& error) {
  impl_->refused(now, connection, error);
}
void Supervisor::advance(Now now) {
  impl_->advance(now);
}
Instant Supervisor::next_deadline() const {
  return impl_->next_deadline();
}
std::vector<SupervisorCommand> Supervisor::drain() {
  return impl_->drain();
}
std::vector<SupervisorStatus> Supervisor::status() const {
  return impl_->status();
}
std::optional<SupervisorStatus> Supervisor::status(const std::string& connection) const {
  return impl_->status(connection);
}

}  // namespace merlon::ike
