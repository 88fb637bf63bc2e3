// The inside of the supervisor: what it knows of each connection. Only supervisor*.cc include this.
#pragma once

#include <algorithm>
#include <utility>

#include "ike/remote_targets.h"
#include "ike/supervisor.h"

namespace merlon::ike {

struct SupervisedChild {
  bool starts = false;  // by itself: always
  bool on_traffic = false;
  bool down = false;           // by a person
  bool wanted_once = false;    // a person's up, or a packet
  bool one_more = false;       // a packet that the SAs present do not carry
  bool pending = false;        // in the attempt under way
  bool closing = false;        // taken down, and its SAs are not all gone yet
  Instant extra_not_before{};  // bounds one_more
  std::optional<TriggeringPacket> packet;
  std::set<policy::ChildSaId> sas;

  [[nodiscard]] bool up() const { return !sas.empty() && !closing; }
  [[nodiscard]] bool missing() const {
    return !down && ((sas.empty() && (starts || wanted_once)) || one_more);
  }
};

enum class SupervisorStage { kIdle, kResolving, kTrying, kBackingOff };

struct Supervised {
  policy::ConnectionPtr connection;
  TimerWheel::Key key = 0;
  bool down = false;
  bool closing = false;  // taken down, and its IKE SAs are not all gone yet: nothing is begun over them
  SupervisorStage stage = SupervisorStage::kIdle;
  std::map<std::string, SupervisedChild> children;
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
    return !down && std::any_of(children.begin(), children.end(),
                                [](const auto& entry) { return entry.second.missing(); });
  }
  // Taken down and up again: what is wanted begins when the old SAs are gone.
  [[nodiscard]] bool waits_for_closing() const {
    return !down && (closing || std::any_of(children.begin(), children.end(), [](const auto& entry) {
                       const SupervisedChild& child = entry.second;
                       return child.closing && !child.down && (child.starts || child.wanted_once);
                     }));
  }
  [[nodiscard]] bool anything_pending() const {
    return std::any_of(children.begin(), children.end(),
                       [](const auto& entry) { return entry.second.pending; });
  }
  [[nodiscard]] bool under_way() const {
    return stage == SupervisorStage::kResolving || stage == SupervisorStage::kTrying;
  }
  void forget_pending() {
    for (auto& [child_name, child] : children) child.pending = false;
  }
};

class Supervisor::Impl {
 public:
  explicit Impl(Rng& rng) : rng_(rng) {}

  void configure(Now now, const std::vector<policy::ConnectionPtr>& connections);
  void handle(Now now, const Event& event);
  Result<> up(Now now, const std::string& connection, const std::string& child);
  Result<> down(const std::string& connection, const std::string& child);
  void acquire(Now now, const std::string& connection, const std::string& child,
               const std::optional<TriggeringPacket>& packet);
  void network_changed(Now now);
  void resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses);
  void nothing_to_do(Now now, const std::string& connection);
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
  [[nodiscard]] static SupervisorStatus status_of(const std::string& connection,
                                                  const Supervised& supervised);

  Rng& rng_;
  std::map<std::string, Supervised> supervised_;
  std::unordered_map<TimerWheel::Key, std::string> by_key_;
  std::unordered_map<RequestId, std::string> by_request_;
  TimerWheel timers_;
  TimerWheel::Key last_key_ = 0;
  RequestId last_request_ = 0;
  std::vector<SupervisorCommand> commands_;
};

}  // namespace merlon::ike
