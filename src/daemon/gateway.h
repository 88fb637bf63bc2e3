// The daemon's control side: one thread that owns the engine, the supervisor and the network, mutates one of them at a
// time, and then carries out what came of it.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <unordered_map>

#include "control/config.h"
#include "daemon/credentials_loader.h"
#include "daemon/data_workers.h"
#include "daemon/edge_drops.h"
#include "daemon/event_log.h"
#include "daemon/name_resolver.h"
#include "daemon/network.h"
#include "daemon/path_search.h"
#include "daemon/worker_watch.h"
#include "ike/supervisor.h"
#include "ikev2/engine.h"

namespace merlon::daemon {

class Gateway {
 public:
  // Opens devices and sockets, installs routes and guards, and starts the data workers.
  [[nodiscard]] static Result<std::unique_ptr<Gateway>> create(asio::io_context& context,
                                                               control::Config config,
                                                               std::string config_path);
  ~Gateway();

  // Replaces the configuration. On an error everything stays as it is. The sentences are warnings.
  [[nodiscard]] Result<std::vector<std::string>> reload();
  // Deletes every IKE SA with a notification, waits for the answers (not for ever), removes what is to be removed, then
  // calls `done`.
  void shut_down(std::function<void()> done);

  [[nodiscard]] Result<> up(const std::string& connection, const std::string& child);
  [[nodiscard]] Result<> down(const std::string& connection, const std::string& child);
  [[nodiscard]] Result<> rekey(const std::string& connection, const std::string& child, bool ike);
  void trace(const std::string& connection, bool messages, bool keys);

  // Called with every event, in order; returns a number to unsubscribe with.
  using Listener = std::function<void(const ike::Event&)>;
  using WorkerListener = std::function<void(const WorkerStalled&)>;  // the same of data workers; may be empty
  std::uint64_t subscribe(Listener listener, WorkerListener worker_listener = {});
  void unsubscribe(std::uint64_t number);
  // Called whenever something happened and everything that follows from it is done.
  void on_settled(std::function<void()> callback) { settled_ = std::move(callback); }
  // Called where it cannot go on, with a sentence that says why: what is in the kernel stays as it is, guards too.
  void on_broken(std::function<void(const std::string& why)> callback) { broken_ = std::move(callback); }

  [[nodiscard]] nlohmann::json status();
  [[nodiscard]] const control::Config& config() const { return config_; }
  [[nodiscard]] bool knows(const std::string& connection) const;
  [[nodiscard]] ike::Supervisor& supervisor() { return supervisor_; }
  [[nodiscard]] ikev2::Engine& engine() { return *engine_; }
  [[nodiscard]] DataWorkers& workers() { return *workers_; }
  [[nodiscard]] const WorkerWatch& worker_watch() const { return *worker_watch_; }
  [[nodiscard]] EventLog& log() { return log_; }
  [[nodiscard]] const EdgeCounts& edge_drops();  // as of now
  [[nodiscard]] std::uint64_t mail_dropped() const { return mailbox_->dropped(); }

 private:
  class Spis;
  Gateway(asio::io_context& context, control::Config config, std::string config_path);

  [[nodiscard]] Result<> open();
  [[nodiscard]] unsigned worker_count() const;
  [[nodiscard]] Result<io::TunOffloads> open_tun(io::TunOptions options);
  [[nodiscard]] Result<> open_queues(io::TunOptions options);
  void configure(ResolvedConfig resolved);
  void apply_network();
  void look_at_network();

  void pump();
  void perform(ike::Transmit action);
  void perform(ike::TransmitKeepalive action);
  void perform(const ike::InstallChildSa& action);
  void perform(const ike::UpdateChildSa& action);
  void perform(const ike::RemoveChildSa& action);
  void perform(const ike::RunKeyExchange& action);
  void perform(const ike::SignRequest& action);
  void perform(const ike::Event& event);
  void perform(const ike::Initiate& command);
  void perform(const ike::ResolveName& command);
  void perform(const ike::Terminate& command);

  void wait_readable(asio::posix::stream_descriptor& descriptor, void (Gateway::*handler)());
  void read_ike_v4() { read_ike(IpFamily::kIpv4); }
  void read_ike_v6() { read_ike(IpFamily::kIpv6); }
  void read_ike(IpFamily family);
  void read_mail();
  void read_network_changes();
  void arm_timer();
  void every_tick();
  void watch_workers();
  void read_data_plane_events();
  void handle(const esp::Event& event);
  void report_inbound();
  void path_too_small(const PathTooSmall& report);
  [[nodiscard]] bool is_about_ours(const PathTooSmall& report);
  void set_path_mtu(const policy::ChildSa& sa);
  void set_path_mtu_towards(const IpAddress& remote);
  // The largest outer packet that the first link, or a router's word, allows; 0: no route.
  [[nodiscard]] unsigned known_path_mtu(const IpAddress& remote);
  void ask_paths();
  void read_path_answers();
  void hold_path_search(const ike::IkeSaEstablished& event);
  void look_at_paths_again();
  [[nodiscard]] bool sends_to(const IpAddress& remote, Instant since) const;
  void finish_shut_down();

  asio::io_context& context_;
  control::Config config_;
  std::string config_path_;
  EventLog log_;
  io::SystemRng rng_;

  std::unique_ptr<Network> network_;
  std::vector<io::Tun> tun_queues_;  // of one device, a queue for each data worker
  Sockets sockets_;
  std::optional<EdgeDrops> edge_drops_;
  std::unique_ptr<Mailbox> mailbox_;
  std::unique_ptr<DataWorkers> workers_;
  std::optional<WorkerWatch> worker_watch_;
  std::unique_ptr<Spis> spis_;
  std::unique_ptr<ikev2::Engine> engine_;
  ike::Supervisor supervisor_{rng_};
  std::optional<io::NetlinkMonitor> monitor_;

  std::vector<policy::ConnectionPtr> connections_;
  std::map<policy::ChildSaId, policy::ChildSaPtr> child_sas_;
  // By destination, bytes of the outer packet: what routers said, and what was found out where they say nothing.
  std::unordered_map<IpAddress, unsigned> path_mtu_;
  std::unordered_map<IpAddress, PathSearch> path_searches_;

  asio::steady_timer timer_, tick_;
  std::vector<std::unique_ptr<asio::posix::stream_descriptor>> descriptors_;
  NameResolver resolver_;
  struct Subscription {
    Listener listener;
    WorkerListener worker_listener;
  };
  template <class Call>
  void for_each_subscription(Call call);
  std::map<std::uint64_t, Subscription> listeners_;
  std::uint64_t next_listener_ = 1;
  std::function<void()> settled_, stopped_;
  Instant stop_deadline_ = kNever;
  std::function<void(const std::string& why)> broken_;
  static constexpr unsigned kReportLooks = 16;  // in each tick: forged ICMP costs its sender nothing
  unsigned report_looks_ = 0;
  unsigned ticks_ = 0;
  bool network_dirty_ = false;     // the host's addresses or routes changed
  bool network_in_doubt_ = false;  // our own routes, rules or guard may not be as they should
  std::string network_error_;      // why they are not, as it was last said
};

}  // namespace merlon::daemon
