// What comes in: the engine's events, people's commands, packets that want protection.
#include "ike/supervisor_impl.h"

namespace merlon::ike {

namespace {

constexpr Duration kExtraAcquireInterval = std::chrono::seconds(1);
// A peer that narrows (RFC 7296 2.9) or wants one address pair an SA gets as many SAs for one child.
constexpr std::size_t kMaxSasPerChild = 64;

}  // namespace

// ---- events

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
  if (supervised->down)
    commands_.emplace_back(Terminate{event.connection, {}});
  else
    supervised->closing = false;
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
  if (std::exchange(supervised->closing, false)) {
    evaluate(now, *supervised);
    return;
  }
  if (supervised->stage == SupervisorStage::kTrying) {
    fail_attempt(now, *supervised, event.reason);
  } else if (supervised->stage == SupervisorStage::kIdle && supervised->anything_missing()) {
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
  SupervisedChild& child = at->second;
  child.sas.insert(event.id);
  child.wanted_once = child.pending = false;
  if (!child.down && !supervised->down) child.closing = false;
  if (child.down && !supervised->down) commands_.emplace_back(Terminate{event.connection, event.child});
  attempt_may_be_over(now, *supervised);
}

void Supervisor::Impl::on(Now now, const ChildSaClosed& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  const auto at = supervised->children.find(event.child);
  if (at == supervised->children.end()) return;
  at->second.sas.erase(event.id);
  const bool was_closing = at->second.closing;
  if (at->second.sas.empty()) at->second.closing = false;
  if (was_closing || supervised->closing) {
    evaluate(now, *supervised);
    return;
  }
  if (event.replaced || !at->second.missing() || supervised->stage != SupervisorStage::kIdle ||
      supervised->down)
    return;
  Failure reason;
  reason.kind = FailureKind::kDeletedByPeer;
  reason.side = FailureSide::kPeer;
  reason.sentence =
      fmt::format("the Child SA '{}' of connection '{}' was closed: {}", event.child, event.connection,
                  event.reason.empty() ? "no reason was given" : event.reason);
  lost(now, *supervised, std::move(reason));
}

void Supervisor::Impl::on(Now now, const NegotiationFailed& event) {
  Supervised* supervised = find(event.connection);
  if (supervised == nullptr) return;
  if (event.unproved_request) {
    // Anybody can send such a request, so it must neither end an attempt nor stain a connection that is up.
    if (supervised->ike_sas.empty()) note_error(now, *supervised, event.failure);
    return;
  }
  if (supervised->stage != SupervisorStage::kTrying) {
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

// ---- people and packets

Result<Supervised*> Supervisor::Impl::find_with_child(const std::string& connection,
                                                      const std::string& child) {
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
  if (child.empty()) {
    supervised->down = true;
    supervised->closing = !supervised->ike_sas.empty();
  }
  const bool attempt_is_moot =
      supervised->stage == SupervisorStage::kTrying && !supervised->anything_pending();
  if (attempt_is_moot || !supervised->anything_missing()) stop(*supervised);
  supervised->up_since.reset();
  commands_.emplace_back(Terminate{connection, child});
  return {};
}

void Supervisor::Impl::acquire(Now now, const std::string& connection, const std::string& child,
                               const std::optional<TriggeringPacket>& packet) {
  Supervised* supervised = find(connection);
  if (supervised == nullptr || supervised->down || supervised->stage == SupervisorStage::kBackingOff) return;
  const auto at = supervised->children.find(child);
  if (at == supervised->children.end()) return;
  SupervisedChild& one = at->second;
  if (one.down || one.pending || !(one.starts || one.on_traffic)) return;
  if (one.sas.empty()) {
    one.wanted_once = true;
  } else {
    if (one.sas.size() >= kMaxSasPerChild || now.monotonic < one.extra_not_before) return;
    one.extra_not_before = now.monotonic + kExtraAcquireInterval;
    one.one_more = true;
  }
  one.packet = packet;
  evaluate(now, *supervised);
}

void Supervisor::Impl::network_changed(Now now) {
  for (auto& [connection_name, supervised] : supervised_) {
    if (supervised.stage != SupervisorStage::kBackingOff) continue;
    stop(supervised);
    evaluate(now, supervised);
  }
}

}  // namespace merlon::ike
