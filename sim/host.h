// One simulated gateway: what src/daemon/gateway.cc does with engine, supervisor and packet engine, on a virtual network and in virtual
// time. A crash loses everything but the configuration.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "esp/engine.h"
#include "ike/supervisor.h"
#include "ikev2/engine.h"
#include "packet/pool.h"
#include "sim/checker.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/rare_paths.h"
#include "sim/sabotage.h"
#include "sim/scenario.h"
#include "sim/trace.h"

namespace merlon::sim {

// For tests of what stays in memory. `sa` names an IKE SA or a Child SA at one host, or the secret of a key exchange: "A Child 12".
struct KeyWatch {
  std::function<void(const std::string& sa, ByteView key)> key_seen;  // every key that a gateway has
  std::function<void(const std::string& sa, Duration at)> sa_gone;  // from now on it needs none of that SA's
};

// What every host of a run shares.
struct Surroundings {
  std::uint64_t seed = 0;
  EventQueue& queue;
  Network& network;
  Checker& checker;
  Trace& trace;
  Sabotage sabotage = Sabotage::kNone;
  const KeyWatch& watch;
};

class Host {
 public:
  Host(Surroundings& surroundings, const HostPlan& plan, std::size_t number);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] const HostPlan& plan() const { return plan_; }
  [[nodiscard]] const std::string& name() const { return plan_.name; }
  [[nodiscard]] bool runs() const { return life_ != nullptr; }
  [[nodiscard]] bool stopping() const;

  void start();
  void crash();
  // Tells the peers, and ends when they have answered or after a few seconds. Unless `stay`: then it only stands still, for the last
  // look at what is left.
  void stop(bool stay = false);

  void receive(const WireDatagram& datagram);
  void send_inner(ByteView packet);

  // Commands; a host that does not run ignores them.
  void take_down(const std::string& connection);
  void bring_up(const std::string& connection);
  void bring_up_all();
  void terminate(const std::string& connection, const std::string& child);
  void rekey(const std::string& connection, const std::string& child);  // an empty child: the IKE SA
  void reconfigure();
  void check_paths();

  // ---- what happens to it, whether or not it runs
  void move();  // to its next address
  void pause(Duration duration);
  void resume();
  void step_clock(Duration step);  // the wall clock; zero: it is right again
  [[nodiscard]] const IpAddress& address() const { return address_; }

  // ---- what is looked at from outside; empty when it does not run.
  [[nodiscard]] std::vector<ike::IkeSaStatus> status() const;
  [[nodiscard]] std::vector<policy::ChildSaId> installed() const;
  [[nodiscard]] std::size_t spis_held() const;
  [[nodiscard]] std::size_t packets_held() const;
  [[nodiscard]] std::size_t ike_sa_count() const;
  [[nodiscard]] std::size_t half_open_count() const;
  [[nodiscard]] std::size_t lingering_count() const;
  [[nodiscard]] std::size_t memory_used() const;  // for messages that are not whole
  [[nodiscard]] bool idle() const;
  // A Child SA in the packet engine that no IKE SA knows, for longer than late packets need.
  [[nodiscard]] std::optional<policy::ChildSaId> orphan();
  [[nodiscard]] std::string describe() const;
  // Of all its lives.
  [[nodiscard]] ike::Counters counters() const;
  [[nodiscard]] DropCounts drops() const;

 private:
  struct Life;  // everything a crash loses

  void pump();
  void perform(ike::Transmit& action);
  void perform(ike::TransmitKeepalive& action);
  void perform(ike::InstallChildSa& action);
  void perform(ike::UpdateChildSa& action);
  void perform(ike::RemoveChildSa& action);
  void perform(ike::RunKeyExchange& action);
  void perform(ike::SignRequest& action);
  void perform(ike::Event& event);
  void perform(ike::Initiate& command);
  void perform(ike::ResolveName& command);
  void perform(ike::Terminate& command);

  void arm_timer();
  void tick();
  void read_data_plane_events();
  void handle(const esp::Event& event);
  void report_inbound();
  void probe_paths();
  void poll_data_plane();
  void flush_outbound();
  void transmit(WireDatagram datagram, policy::ChildSaId sa);
  void inner_arrived(ByteView packet);
  void complete(ike::Answer answer);
  void complete_later(Duration longest, std::function<ike::Answer()> work);
  [[nodiscard]] std::string sa_name(std::string_view kind, std::uint64_t number) const;
  void fail(std::string_view invariant, const std::string& detail);
  void line(const std::string& text);
  // By the host's own clocks.
  [[nodiscard]] Now now() const;
  // A span of the host's clock in true time, never too short.
  [[nodiscard]] Duration true_span(Duration span) const;
  // Runs `what` after a delay by the host's clock, unless it has crashed meanwhile; when it stands still then, later.
  void after(Duration delay, std::function<void()> what);
  void begin_clock();
  void run_later(std::uint64_t life, std::function<void()> what);
  [[nodiscard]] bool paused() const { return in_.queue.now().monotonic < paused_until_; }
  [[nodiscard]] bool acts() const { return life_ != nullptr && !paused(); }

  // ---- host_sabotage.cc: what a test asks for, else nothing
  [[nodiscard]] policy::ChildSaPtr sabotaged(const policy::ChildSaPtr& sa) const;
  [[nodiscard]] std::vector<policy::ConnectionPtr> policies() const;
  void sabotage(ike::Transmit& action);
  void sabotage_after(const ike::Transmit& action);  // it was sent
  void sabotage_after(const WireDatagram& esp, policy::ChildSaId sa);
  void sabotage_removed(const policy::ChildSaPtr& sa);
  void sabotage_outbound(ByteView packet);
  [[nodiscard]] bool sabotage_inner(ByteView packet);  // true: it is lost
  void sabotage_tick();
  void never_rest();
  [[nodiscard]] unsigned copies(const WireDatagram& datagram) const;  // beside the one

  Surroundings& in_;
  const HostPlan& plan_;
  std::size_t number_;
  std::unique_ptr<Life> life_;
  std::uint64_t lives_ = 0;
  ike::Counters past_;  // of the lives before
  DropCounts past_drops_{};
  std::set<std::string> taken_down_;
  IpAddress address_;
  std::size_t moves_ = 0;
  Instant paused_until_{};
  std::deque<std::function<void()>> waiting_;  // what came while it stood still
  Instant clock_from_ = kStart;                // true time
  Instant clock_shows_ = kStart;               // its monotonic clock at that time
  Duration wall_offset_{0};
};

}  // namespace merlon::sim
