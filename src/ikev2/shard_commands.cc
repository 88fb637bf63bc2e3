// Commands of people and of the data plane.
#include <algorithm>
#include <functional>

#include "ikev2/established.h"
#include "ikev2/exchanges/common.h"
#include "ikev2/exchanges/ike_sa_init.h"
#include "ikev2/shard.h"
#include "pki/identity_text.h"

namespace merlon::ikev2 {

namespace {

std::optional<std::size_t> child_index(const policy::Connection& connection, std::string_view child) {
  for (std::size_t i = 0; i < connection.children.size(); ++i)
    if (connection.children[i].name == child &&
        connection.children[i].action == policy::ChildAction::kProtect)
      return i;
  return std::nullopt;
}

tl::unexpected<Error> no_connection(const std::string& name) {
  return fail(ErrorCode::kNotFound, "there is no connection '{}'", name);
}
tl::unexpected<Error> no_child(const std::string& connection, const std::string& child) {
  return fail(ErrorCode::kNotFound, "connection '{}' has no child '{}' that protects", connection, child);
}
tl::unexpected<Error> not_up(const std::string& connection) {
  return fail(ErrorCode::kNotFound, "connection '{}' has no IKE SA", connection);
}

bool replaced(const Established& established) {
  return established.successor.has_value();
}

// A person does not wait for the end of a backoff, and hears again what stands in the way.
void begin_now(Established& established, const std::function<bool(const Task&)>& which) {
  for (auto& task : established.tasks)
    if (which(task)) task.not_before = Instant{};
}

}  // namespace

std::vector<IkeSa*> Shard::of_connection(const std::string& connection) {
  std::vector<IkeSa*> found;
  auto [first, last] = by_connection_.equal_range(connection);
  for (; first != last; ++first)
    if (auto* sa = find({first->second})) found.push_back(sa);
  std::sort(found.begin(), found.end(),
            [](const IkeSa* a, const IkeSa* b) { return a->own_spi() < b->own_spi(); });
  return found;
}

static bool takes_children(IkeSa& sa) {
  const auto* established = sa.established();
  return established && !replaced(*established) && !sa.redundant && !delete_ike_task(*established);
}

IkeSa* Shard::standing_beside(const IkeSa& one) {
  if (!one.connection) return nullptr;
  for (auto* sa : of_connection(one.connection->name))
    if (sa != &one && sa->connection == one.connection && takes_children(*sa)) return sa;
  return nullptr;
}

Result<Begun> Shard::negotiate(const policy::ConnectionPtr& connection, const Endpoint& local,
                               const Endpoint& remote, std::vector<ChildIntent> intents) {
  if (intents.empty())
    return fail(ErrorCode::kInvalidArgument, "connection '{}' has no child to negotiate", connection->name);
  for (auto* sa : of_connection(connection->name)) {
    // One of an older configuration is on its way out, and counts its children otherwise.
    if (sa->connection != connection) continue;
    if (takes_children(*sa)) {
      bool queued = false;
      for (auto& intent : intents) queued |= queue_new_child(time(), *sa->established(), std::move(intent));
      touch(*sa);
      return queued ? Begun::kUnderWay : Begun::kNothingToDo;
    }
    auto* init = std::get_if<InitSent>(&sa->phase);
    auto* auth = std::get_if<AuthSent>(&sa->phase);
    auto* under_way = init ? &init->intents : auth ? &auth->intents : nullptr;
    if (!under_way) continue;
    for (auto& intent : intents) {
      const bool known = std::any_of(under_way->begin(), under_way->end(), [&](const ChildIntent& one) {
        return one.child_index == intent.child_index;
      });
      if (!known) under_way->push_back(std::move(intent));
    }
    return Begun::kUnderWay;
  }
  if (shutting_down_) return fail(ErrorCode::kPolicy, "the engine is stopping");
  if (sas_.size() >= options_.ike_sa_limit)
    return fail(ErrorCode::kExhausted, "there are {} IKE SAs already", sas_.size());
  if (policy::ke_methods(connection->ike_proposals).empty())
    return fail(ErrorCode::kInvalidArgument, "connection '{}' has no IKE proposal", connection->name);
  begin_ike_sa_init(*this, connection, {local, remote, remote.port == 4500}, std::move(intents));
  return Begun::kUnderWay;
}

Result<Begun> Shard::initiate(Now now, const std::string& name, const Endpoint& local, const Endpoint& remote,
                              std::span<const std::string> children) {
  begin(now);
  const auto connection = this->connection(name);
  if (!connection) return no_connection(name);
  std::vector<ChildIntent> intents;
  for (const auto& child : children) {
    const auto index = child_index(*connection, child);
    if (!index) return no_child(name, child);
    intents.push_back({*index, std::nullopt});
  }
  if (children.empty())
    for (std::size_t i = 0; i < connection->children.size(); ++i)
      if (connection->children[i].action == policy::ChildAction::kProtect &&
          connection->children[i].start == policy::StartMode::kAlways)
        intents.push_back({i, std::nullopt});
  auto result = negotiate(connection, local, remote, std::move(intents));
  settle();
  return result;
}

Result<Begun> Shard::acquire(Now now, const std::string& name, const std::string& child,
                             const Endpoint& local, const Endpoint& remote,
                             std::optional<TriggeredBy> packet) {
  begin(now);
  const auto connection = this->connection(name);
  if (!connection) return no_connection(name);
  const auto index = child_index(*connection, child);
  if (!index) return no_child(name, child);
  // The packet asked under the configuration of that moment; since then the child's selectors may have changed, and
  // what is proposed must lie within those of now.
  const policy::ChildConfig& wanted = connection->children[*index];
  if (packet && !(policy::contains(wanted.local_ts, std::span(&packet->local, 1)) &&
                  policy::contains(wanted.remote_ts, std::span(&packet->remote, 1))))
    packet.reset();
  auto result = negotiate(connection, local, remote, {{*index, std::move(packet)}});
  settle();
  return result;
}

// What is queued never begins; whoever waits for it hears of that.
static bool drop_queued_child(Shard& shard, const IkeSa& sa, Established& established,
                              const std::string& child, const ike::Failure& reason) {
  return std::erase_if(established.tasks, [&](const Task& task) {
           const auto* create = std::get_if<NewChildTask>(&task.what);
           if (!create || sa.connection->children[create->intent.child_index].name != child) return false;
           if (!create->intent.additional) tell_child_failed(shard, sa, create->intent.child_index, reason);
           return true;
         }) != 0;
}

Result<> Shard::terminate(Now now, const std::string& name, const std::string& child) {
  begin(now);
  bool found = false;
  for (auto* sa : of_connection(name)) {
    const auto reason = ike::diagnosis::deleted_by_us(subject_of(*sa), "on command");
    auto* established = sa->established();
    if (established && child.empty()) {
      queue_delete_ike(*this, *established, reason);
      found = true;
    } else if (established) {
      for (auto& record : established->children) {
        if (record.sa->child().name != child || !record.live()) continue;
        queue_delete_child(*this, *established, record, "on command");
        found = true;
      }
      found |= drop_queued_child(*this, *sa, *established, child, reason);
    } else if (child.empty() &&
               (std::holds_alternative<InitSent>(sa->phase) || std::holds_alternative<AuthSent>(sa->phase))) {
      close_now(*sa, reason);
      found = true;
    }
    touch(*sa);
  }
  settle();
  if (!found) return not_up(name);
  return {};
}

// An IKE SA that is not established yet: nobody has to be told.
void Shard::close_now(IkeSa& sa, const ike::Failure& reason) {
  if (auto* auth = std::get_if<AuthSent>(&sa.phase); auth && auth->inbound_spi.value != 0)
    spis_.release(auth->inbound_spi);
  (void)give_up(*this, sa, reason);
  sa.phase = Closed{};
  touch(sa);
}

Result<> Shard::rekey_ike_sa(Now now, const std::string& name) {
  begin(now);
  bool found = false;
  for (auto* sa : of_connection(name)) {
    auto* established = sa->established();
    if (!established || replaced(*established)) continue;
    queue_rekey_ike(*established);
    established->rekey_backoff = {};
    begin_now(*established, [](const Task& task) { return std::holds_alternative<RekeyIkeTask>(task.what); });
    touch(*sa);
    found = true;
  }
  settle();
  if (!found) return not_up(name);
  return {};
}

Result<> Shard::rekey_child_sa(Now now, const std::string& name, const std::string& child) {
  begin(now);
  bool found = false;
  for (auto* sa : of_connection(name)) {
    auto* established = sa->established();
    if (!established) continue;
    for (auto& record : established->children) {
      if (!child.empty() && record.sa->child().name != child) continue;
      if (!record.live() || record.replaced) continue;
      queue_rekey_child(*established, record);
      record.rekey_backoff = {};
      begin_now(*established, [&](const Task& task) {
        const auto* rekey = std::get_if<RekeyChildTask>(&task.what);
        return rekey && rekey->id == record.sa->id;
      });
      found = true;
    }
    touch(*sa);
  }
  settle();
  if (!found) return fail(ErrorCode::kNotFound, "connection '{}' has no Child SA '{}'", name, child);
  return {};
}

void Shard::check_paths(Now now) {
  begin(now);
  for (auto* sa : sorted())
    if (auto* established = sa->established(); established && !replaced(*established)) {
      queue_probe(*established);
      touch(*sa);
    }
  settle();
}

Result<> Shard::probe_path(Now now, const IpAddress& remote, unsigned datagram_size) {
  begin(now);
  for (auto* sa : sorted()) {
    auto* established = sa->established();
    if (!established || replaced(*established) || !established->channel.fragmentation() ||
        established->channel.path().remote.address != remote)
      continue;
    established->tasks.push_back({ProbeTask{datagram_size}, {}});
    touch(*sa);
    settle();
    return {};
  }
  settle();
  return fail(ErrorCode::kNotFound, "no IKE SA with {} takes fragments", remote);
}

void Shard::shut_down(Now now) {
  begin(now);
  shutting_down_ = true;
  for (auto* sa : sorted()) close_for_configuration(*sa, "this gateway stops");
  settle();
}

bool Shard::idle() const {
  return std::all_of(sas_.begin(), sas_.end(), [](const auto& entry) {
    return std::holds_alternative<Lingering>(entry.second->phase);
  });
}

void Shard::close_for_configuration(IkeSa& sa, std::string_view why) {
  const auto reason = ike::diagnosis::deleted_by_us(subject_of(sa), why);
  if (auto* established = sa.established())
    queue_delete_ike(*this, *established, reason);
  else if (std::holds_alternative<InitSent>(sa.phase) || std::holds_alternative<AuthSent>(sa.phase))
    close_now(sa, reason);
  else if (sa.half_open())
    sa.phase = Closed{};
  touch(sa);
}

void Shard::trace(const std::string& connection, bool messages, bool keys) {
  messages ? (void)trace_messages_.insert(connection) : (void)trace_messages_.erase(connection);
  keys ? (void)trace_keys_.insert(connection) : (void)trace_keys_.erase(connection);
}

// ---- the data plane

void Shard::report(Now now, const ike::DataPlaneReport& report) {
  begin(now);
  const auto id = std::visit([](const auto& one) { return one.id; }, report);
  const auto owner = child_owner_.find(id.value);
  auto* sa = owner == child_owner_.end() ? nullptr : find(owner->second);
  auto* established = sa ? sa->established() : nullptr;
  if (!established) return;
  const auto record = std::find_if(established->children.begin(), established->children.end(),
                                   [&](const ChildSaRecord& one) { return one.sa->id == id; });
  if (record == established->children.end()) return;
  if (std::holds_alternative<ike::ChildSaSoftExpired>(report)) {
    queue_rekey_child(*established, *record);
  } else if (std::holds_alternative<ike::ChildSaHardExpired>(report)) {
    if (record->remove_at == kNever) record->hard = time();
  } else if (const auto* moved = std::get_if<ike::ChildSaPeerMoved>(&report)) {
    auto path = established->channel.path();
    path.remote = moved->remote;
    follow_peer(*this, *sa, *established, path);
  } else if (const auto* inbound = std::get_if<ike::ChildSaInbound>(&report)) {
    // RFC 7296 2.4: packets prove liveness as messages do; 2.8: the peer has moved to the new SA, so do we.
    established->last_inbound = std::max(established->last_inbound, std::min(inbound->at, time()));
    record->unconfirmed_until = Instant{};
    if (record->live()) use_outbound(*this, *record);
  }
  touch(*sa);
  settle();
}

// ---- for people

std::vector<IkeSa*> Shard::sorted() {
  std::vector<IkeSa*> all;
  for (const auto& [spi, sa] : sas_) all.push_back(sa.get());
  std::sort(all.begin(), all.end(),
            [](const IkeSa* a, const IkeSa* b) { return a->own_spi() < b->own_spi(); });
  return all;
}

namespace {

std::string phase_name(const Phase& phase) {
  switch (phase.index()) {
    case 0:
      return "IKE_SA_INIT sent";
    case 1:
      return "IKE_AUTH sent";
    case 2:
      return "half open";
    case 3:
      return "proving";
    case 5:
      return "established";
    default:
      return "closing";  // of what lingers or is closed nobody hears
  }
}

ike::ChildSaStatus status_of(const ChildSaRecord& record, const Established& established) {
  ike::ChildSaStatus status;
  const auto& sa = *record.sa;
  status.id = sa.id;
  status.child = sa.child().name;
  status.inbound_spi = sa.inbound_spi;
  status.outbound_spi = sa.outbound_spi;
  status.algorithms = describe(sa.algorithms);
  status.local_ts = policy::to_text(sa.local_ts);
  status.remote_ts = policy::to_text(sa.remote_ts);
  status.udp_encapsulation = sa.path.udp_encapsulation;
  const auto* own = std::get_if<std::unique_ptr<CreatingChild>>(&established.own);
  status.rekeying = record.replaced || (own && (*own)->rekeys == sa.id);
  status.outbound_in_use = record.outbound_in_use;
  status.established = record.established;
  status.soft_expiry = record.soft;
  status.hard_expiry = record.hard;
  return status;
}

ike::IkeSaStatus status_of(const IkeSa& sa) {
  ike::IkeSaStatus status;
  status.connection = sa.connection_name();
  status.id = sa.id;
  status.initiator = sa.initiator;
  status.phase = phase_name(sa.phase);
  status.local = sa.path.local;
  status.remote = sa.path.remote;
  status.natt = sa.path.natt;
  status.local_behind_nat = sa.nat.local_behind_nat;
  status.remote_behind_nat = sa.nat.remote_behind_nat;
  if (const auto* established = sa.established()) {
    if (established->successor) status.phase = "replaced";
    status.local_id = pki::identity_to_text(established->local_id);
    status.remote_id = pki::identity_to_text(established->peer.identity());
    status.algorithms = describe(established->algorithms);
    status.established = established->established;
    status.soft_expiry = established->soft_expired ? kNever : established->soft;
    status.hard_expiry = established->hard;
    status.last_inbound = established->last_inbound;
    status.peer_window = established->peer_window;
    status.peer_valid_until = established->peer.valid_until();
    for (const auto& record : established->children)
      if (record.remove_at == kNever) status.children.push_back(status_of(record, *established));
  }
  return status;
}

}  // namespace

std::vector<ike::IkeSaStatus> Shard::status() const {
  std::vector<ike::IkeSaStatus> all;
  for (const auto& [spi, sa] : sas_)
    if (!std::holds_alternative<Lingering>(sa->phase) && !sa->closed()) all.push_back(status_of(*sa));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.connection, a.established, a.id) < std::tie(b.connection, b.established, b.id);
  });
  return all;
}

}  // namespace merlon::ikev2
