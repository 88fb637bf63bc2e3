// Keeps connections up: which of them should be there, when to try again, at which address. A pure state
// machine: events in, commands out, no I/O, no clock; it knows neither engine nor resolver, so the daemon and
// the simulator use the same.
//
// - A child starts by itself when both its own `start` and its connection's are kAlways; kOnTraffic (the
// weaker of both)
//   waits for a packet, kWait for the peer.
// - Always: tried again after ANY failure, for ever, with a backoff that doubles from
// Connection::backoff_initial to
//   backoff_max and is drawn from its upper half; also when only one child vanished. The backoff starts anew
//   once the connection has been up for backoff_max (or 10 s if that is longer), so a peer that accepts and
//   closes at once does not make us spin.
// - On traffic: one attempt for a packet; a failure is not retried before the next packet, and packets during
// the backoff do
//   not start one.
// - Never two attempts of one connection at a time.
// - down() by a person holds until up(), over reloads too, and closes what the peer builds meanwhile.
// - Each attempt takes the next remote address: the configured ones in their order, host names resolved anew
// each time
//   and each of their addresses in turn. Prefixes are not addresses to call.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "ike/actions.h"
#include "ike/events.h"
#include "ike/timer_wheel.h"
#include "policy/connection.h"

namespace merlon::ike {

// The selectors of the packet that asked for protection (RFC 7296 2.9).
struct TriggeringPacket {
  policy::TrafficSelector local, remote;
};

// Commands of the supervisor. For Initiate: call the engine's initiate(), or its acquire() where `packet` is
// set; when that returns an error at once, answer with Supervisor::refused().
struct Initiate {
  std::string connection;
  Endpoint local;  // the address is unspecified (of the remote's family) where the configuration leaves it to
                   // the route
  Endpoint remote;
  std::vector<std::string> children;  // at least one, those that are missing
  std::optional<TriggeringPacket> packet;
};
struct ResolveName {  // answered by Supervisor::resolved()
  RequestId request = 0;
  std::string connection;
  std::string host;
};
struct Terminate {  // call the engine's terminate()
  std::string connection;
  std::string child;  // empty: the IKE SA and all its children
};
using SupervisorCommand = std::variant<Initiate, ResolveName, Terminate>;

enum class SupervisorPhase {
  kIdle,        // nothing is wanted now
  kResolving,   // a name is being looked up
  kTrying,      // an attempt is under way
  kUp,          // everything that is wanted is there
  kBackingOff,  // waits for next_attempt
  kDown,        // taken down by a person
};
[[nodiscard]] const char* name(SupervisorPhase phase);

struct SupervisorStatus {
  std::string connection;
  SupervisorPhase phase = SupervisorPhase::kIdle;
  std::uint64_t attempts = 0;     // since the configuration was loaded
  std::uint64_t failures = 0;     // in a row
  Instant next_attempt = kNever;  // while backing off
  std::optional<Failure> last_error;
  UnixTime last_error_at{};
  bool last_error_is_over = false;                         // the connection has come up since
  std::vector<std::string> children_up, children_missing;  // missing: wanted, and not there
};

class Supervisor {
 public:
  explicit Supervisor(Rng& rng);  // for the jitter; must outlive the supervisor
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // The whole configuration. What a connection with the same pointer is doing goes on; a changed one is tried
  // anew at once (the engine closes its SAs where it must); one that is gone is forgotten.
  void configure(Now now, const std::vector<policy::ConnectionPtr>& connections);

  // Every event of the engine; those that do not matter here are ignored.
  void handle(Now now, const Event& event);

  // A person's commands. `child` may be empty: all children of the connection that protect. kNotFound
  // otherwise. up() tries at once whatever the start mode is; only "always" goes on trying. down() answers
  // with a Terminate command.
  Result<> up(Now now, const std::string& connection, const std::string& child);
  Result<> down(Now now, const std::string& connection, const std::string& child);

  // The data plane has a packet for a child without an SA.
  void acquire(Now now, const std::string& connection, const std::string& child,
               const std::optional<TriggeringPacket>& packet);
  // Addresses or routes of this host changed: whatever waits for its next attempt begins now.
  void network_changed(Now now);
  // The answer to ResolveName: addresses in the order in which they should be tried.
  void resolved(Now now, RequestId request, const Result<std::vector<IpAddress>>& addresses);
  // The engine found that what an Initiate asks for stands already; no event will follow.
  void nothing_to_do(Now now, const std::string& connection);
  // The engine did not even begin with an Initiate.
  void refused(Now now, const std::string& connection, const Error& error);

  // Begins what is due. next_deadline() may be early (TimerWheel::next), never late.
  void advance(Now now);
  [[nodiscard]] Instant next_deadline() const;

  [[nodiscard]] std::vector<SupervisorCommand> drain();
  [[nodiscard]] std::vector<SupervisorStatus> status() const;  // by connection name
  [[nodiscard]] std::optional<SupervisorStatus> status(const std::string& connection) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace merlon::ike
