#include "daemon/gateway.h"

#include <algorithm>
#include <asio/post.hpp>
#include <nlohmann/json.hpp>

#include "control/restart.h"
#include "daemon/event_json.h"
#include "daemon/status_json.h"
#include "io/cpus.h"
#include "io/flow_steering.h"
#include "io/kernel_settings.h"
#include "io/resolver.h"
#include "io/system_clock.h"
#include "policy/spd.h"

namespace merlon::daemon {
namespace {

constexpr std::chrono::seconds kStopPatience{3};  // for the peers' answers to our deletes
constexpr unsigned kMostWorkersUnasked = 16;
constexpr unsigned kStallLooks = 20;  // of a tick each

esp::EngineConfig engine_config(const control::DaemonConfig& daemon, const io::TunOffloads& tun,
                                const io::UdpOffloads& udp) {
  auto config = esp::EngineConfig::for_gateway(
      {daemon.offload && udp.segment, tun.tcp_segmentation, tun.udp_segmentation});
  static_assert(esp::EngineConfig::kMostJoined <= io::kMaxSegments);
  static_assert(esp::EngineConfig{}.max_joined_bytes <= io::kMaxSegmentedBytes);
  if (daemon.sequence_limit != 0) config.sequence_limit = daemon.sequence_limit;
  return config;
}

ikev2::EngineOptions engine_options(const control::DaemonConfig& daemon, unsigned data_workers) {
  ikev2::EngineOptions options;
  options.ike_port = daemon.ike_port;
  options.natt_port = daemon.natt_port;
  options.cookie_threshold = daemon.cookie_threshold;
  options.half_open_limit = daemon.half_open_limit;
  options.half_open_limit_per_source = daemon.half_open_limit_per_source;
  options.trace_all = daemon.log_level == "debug";
  options.data_workers = data_workers;
  return options;
}

// For the log: what the kernel lacks.
std::string_view missing(const io::UdpOffloads& udp) {
  if (!udp.segment && !udp.gro)
    return "; the kernel has neither UDP_SEGMENT nor UDP_GRO: ESP in UDP is sent and received packet by "
           "packet";
  if (!udp.segment) return "; the kernel has no UDP_SEGMENT: ESP in UDP is sent packet by packet";
  if (!udp.gro) return "; the kernel has no UDP_GRO: ESP in UDP is received packet by packet";
  return "; ESP in UDP goes and comes in trains";
}

}  // namespace

// Inbound SPIs come from the packet engine's table.
class Gateway::Spis final : public ike::SpiAllocator {
 public:
  Spis(esp::DataPlane& data_plane, Rng& rng) : data_plane_(data_plane), rng_(rng) {}
  Result<Spi> allocate() override { return data_plane_.allocate_spi(rng_); }
  Result<Spi> allocate_for(unsigned resource) override {
    const auto worker = static_cast<std::uint8_t>(resource % data_plane_.worker_count());
    return data_plane_.allocate_spi(rng_, esp::WorkerIndex{worker});
  }
  Result<Spi> allocate_like(Spi replaced) override {
    return data_plane_.allocate_spi(rng_, data_plane_.owner(replaced));
  }
  void release(Spi spi) override { data_plane_.release_spi(spi); }

 private:
  esp::DataPlane& data_plane_;
  Rng& rng_;
};

Gateway::Gateway(asio::io_context& context, control::Config config, std::string config_path)
    : context_(context),
      config_(std::move(config)),
      config_path_(std::move(config_path)),
      timer_(context),
      tick_(context),
      resolver_(context, [](const std::string& host) { return io::resolve_blocking(host, std::nullopt); }) {}

Gateway::~Gateway() {
  if (workers_) workers_->stop();
  resolver_.stop();
}

Result<std::unique_ptr<Gateway>> Gateway::create(asio::io_context& context, control::Config config,
                                                 std::string config_path) {
  auto gateway = std::unique_ptr<Gateway>(new Gateway(context, std::move(config), std::move(config_path)));
  MERLON_TRY_VOID(gateway->open());
  return gateway;
}

Result<> Gateway::open() {
  log_.set_level(config_.daemon.log_level);
  MERLON_TRY(auto resolved, resolve(config_));
  // First what only one daemon can have: a second one, started by mistake, ends here and has touched nothing.
  std::vector<std::string> warnings;
  MERLON_TRY(sockets_, Sockets::open(config_.daemon, worker_count(), warnings));
  for (const std::string& warning : warnings) log_.warning(warning);
  edge_drops_.emplace(sockets_);
  MERLON_TRY(auto network, Network::open());
  network_ = std::make_unique<Network>(std::move(network));
  // Guards stand before anything is read or sent: nothing in clear from the first moment on.
  MERLON_TRY(const auto plan, network_->apply(config_.daemon, resolved.connections, 0));
  for (const std::string& warning : plan.warnings) log_.warning(warning);

  io::TunOptions tun_options;
  tun_options.name = config_.daemon.interface;
  MERLON_TRY(const io::TunOffloads offloads, open_tun(tun_options));
  io::Tun& tun = tun_queues_.front();
  static_cast<void>(io::disable_ipv6_autoconfiguration(tun.name()));
  static_cast<void>(io::set_reverse_path_filter(tun.name(), io::ReversePathFilter::kOff));
  MERLON_TRY_VOID(tun.set_mtu(config_.daemon.interface_mtu));
  MERLON_TRY_VOID(tun.set_up(true));
  MERLON_TRY(mailbox_, Mailbox::open());
  MERLON_TRY(workers_, DataWorkers::create(engine_config(config_.daemon, offloads, sockets_.offloads()),
                                           tun_queues_, sockets_, *mailbox_));
  worker_watch_.emplace(workers_->size(), kStallLooks);
  spis_ = std::make_unique<Spis>(workers_->data_plane(), rng_);
  engine_ = std::make_unique<ikev2::Engine>(engine_options(config_.daemon, worker_count()), rng_, *spis_);
  MERLON_TRY(monitor_, io::NetlinkMonitor::open());

  const auto watch = [this](int fd, void (Gateway::*handler)()) {
    descriptors_.push_back(std::make_unique<asio::posix::stream_descriptor>(context_, fd));
    wait_readable(*descriptors_.back(), handler);
  };
  if (sockets_.ike_v4) watch(sockets_.ike_v4->fd(), &Gateway::read_ike_v4);
  if (sockets_.ike_v6) watch(sockets_.ike_v6->fd(), &Gateway::read_ike_v6);
  watch(mailbox_->fd(), &Gateway::read_mail);
  watch(monitor_->fd(), &Gateway::read_network_changes);
  workers_->start();
  configure(std::move(resolved));
  every_tick();
  pump();
  return {};
}

unsigned Gateway::worker_count() const {
  return config_.daemon.workers != 0 ? config_.daemon.workers
                                     : std::clamp(io::usable_cpus() / 2, 1U, kMostWorkersUnasked);
}

// A queue for each data worker.
Result<> Gateway::open_queues(io::TunOptions options) {
  tun_queues_.clear();
  options.multi_queue = worker_count() > 1;
  for (unsigned i = 0; i < worker_count(); ++i) {
    MERLON_TRY(auto queue, io::Tun::open(options));
    options.name = queue.name();
    tun_queues_.push_back(std::move(queue));
  }
  return {};
}

// With all offloads that the kernel has; what is missing costs speed and nothing else.
Result<io::TunOffloads> Gateway::open_tun(io::TunOptions options) {
  options.vnet_header = config_.daemon.offload;
  auto opened = open_queues(options);
  if (!opened && options.vnet_header) {
    options.vnet_header = false;
    opened = open_queues(options);
  }
  MERLON_TRY_VOID(std::move(opened));
  io::Tun& tun = tun_queues_.front();
  const io::TunOffloads offloads = tun.enable_offloads();  // of all queues
  if (tun_queues_.size() > 1)
    if (const auto steered = io::keep_flows_in_their_queue(tun); !steered)
      log_.warning(fmt::format(
          "{}: the kernel chooses the queue, and a flow's packets may overtake each other when it "
          "chooses anew",
          steered.error().message));
  const std::string_view able = offloads.udp_segmentation   ? "TCP and UDP super-packets"
                                : offloads.tcp_segmentation ? "TCP super-packets, but no UDP super-packets"
                                                            : "single packets only";
  log_.info(fmt::format("{} carries {}{}, in {} queue{} for as many data workers{}", tun.name(), able,
                        config_.daemon.offload ? "" : " (offload = false)", tun_queues_.size(),
                        tun_queues_.size() == 1 ? "" : "s",
                        config_.daemon.offload ? missing(sockets_.offloads()) : ""));
  return offloads;
}

void Gateway::configure(ResolvedConfig resolved) {
  const Now now = io::system_now();
  connections_ = keep_unchanged(std::move(resolved.connections), connections_);
  workers_->data_plane().set_spd(std::make_shared<const policy::Spd>(policy::build_spd(connections_)));
  apply_network();
  std::vector<policy::ConnectionPtr> peers;
  for (const auto& connection : connections_)
    if (connection->name != control::kPolicyConnection) peers.push_back(connection);
  engine_->configure(now, peers, resolved.credentials);
  supervisor_.configure(now, peers);
}

void Gateway::apply_network() {
  network_dirty_ = network_in_doubt_ = false;
  const auto plan = network_->apply(config_.daemon, connections_, tun_queues_.front().index());
  const std::string error = plan ? "" : plan.error().message;
  if (!plan) {
    network_in_doubt_ = true;  // tried again every second
    if (error != network_error_)
      log_.error(fmt::format("routes and guards are not as they should be: {}", error));
  } else if (!network_error_.empty()) {
    log_.info("routes and guards are as they should be again");
  }
  network_error_ = error;
}

Result<std::vector<std::string>> Gateway::reload() {
  control::LoadedConfig loaded = control::load_config(config_path_);
  std::vector<std::string> warnings;
  std::string errors;
  for (const control::Diagnostic& diagnostic : loaded.diagnostics) {
    if (diagnostic.warning) {
      warnings.push_back(diagnostic.to_string());
    } else {
      errors += (errors.empty() ? "" : "\n") + diagnostic.to_string();
    }
  }
  if (!loaded.config)
    return fail(ErrorCode::kInvalidArgument, "the configuration stays as it is: {}", errors);
  auto resolved = resolve(*loaded.config);
  if (!resolved) return fail_in("the configuration stays as it is", resolved.error());
  for (const std::string& change : control::needs_restart(config_.daemon, loaded.config->daemon))
    warnings.push_back(
        fmt::format("[daemon] {} changed: that takes effect when merlond is restarted", change));
  control::DaemonConfig kept = config_.daemon;
  kept.log_level = loaded.config->daemon.log_level;
  kept.ca_files = loaded.config->daemon.ca_files;
  kept.crl_files = loaded.config->daemon.crl_files;
  kept.guard = loaded.config->daemon.guard;
  kept.keep_guard_on_stop = loaded.config->daemon.keep_guard_on_stop;
  config_ = std::move(*loaded.config);
  config_.daemon = kept;
  log_.set_level(config_.daemon.log_level);
  configure(std::move(*resolved));
  pump();
  return warnings;
}

bool Gateway::knows(const std::string& connection) const {
  return std::ranges::any_of(connections_, [&](const auto& c) {
    return c->name == connection && c->name != control::kPolicyConnection;
  });
}

Result<> Gateway::up(const std::string& connection, const std::string& child) {
  auto done = supervisor_.up(io::system_now(), connection, child);
  pump();
  return done;
}

Result<> Gateway::down(const std::string& connection, const std::string& child) {
  auto done = supervisor_.down(io::system_now(), connection, child);
  pump();
  return done;
}

Result<> Gateway::rekey(const std::string& connection, const std::string& child, bool ike) {
  const Now now = io::system_now();
  auto done = ike ? engine_->rekey_ike_sa(now, connection) : engine_->rekey_child_sa(now, connection, child);
  pump();
  return done;
}

void Gateway::trace(const std::string& connection, bool messages, bool keys) {
  engine_->trace(connection, messages, keys);
}

std::uint64_t Gateway::subscribe(Listener listener, WorkerListener worker_listener) {
  listeners_.emplace(next_listener_, Subscription{std::move(listener), std::move(worker_listener)});
  return next_listener_++;
}

void Gateway::unsubscribe(std::uint64_t number) {
  listeners_.erase(number);
}

const EdgeCounts& Gateway::edge_drops() {
  edge_drops_->look();
  if (const auto dropped = network_->dropped_by(tun_queues_.front().index())) edge_drops_->set_tun(*dropped);
  return edge_drops_->counts();
}

nlohmann::json Gateway::status() {
  StatusSources sources;
  sources.now = io::system_now();
  sources.ike_sas = engine_->status();
  sources.supervised = supervisor_.status();
  sources.data_plane = &workers_->data_plane();
  sources.connections = connections_;
  sources.worker_watch = &*worker_watch_;
  sources.edge_drops = edge_drops();
  return status_json(sources);
}

// Everything that follows from one mutation, until nothing is left; then the timer for what comes next.
void Gateway::pump() {
  for (bool busy = true; busy;) {
    busy = false;
    for (ike::Action& action : engine_->drain()) {
      busy = true;
      std::visit([this](auto& a) { perform(std::move(a)); }, action);
    }
    for (ike::SupervisorCommand& command : supervisor_.drain()) {
      busy = true;
      std::visit([this](auto& c) { perform(std::move(c)); }, command);
    }
  }
  read_path_answers();
  arm_timer();
  if (settled_) settled_();
  if (stop_deadline_ != kNever && engine_->idle()) finish_shut_down();
}

void Gateway::perform(ike::Transmit action) {
  const IpFamily family = action.remote.address.family();
  io::UdpSocket* const socket = action.natt ? sockets_.natt(family) : sockets_.ike(family);
  if (socket == nullptr) return;
  io::OutgoingDatagram datagram;
  static constexpr std::uint8_t kMarker[4] = {};
  if (action.natt) datagram.head = kMarker;
  datagram.payload = action.payload;
  datagram.source = action.local.address;
  datagram.destination = action.remote;
  // An IKE message that is too big for the path must still arrive.
  datagram.may_fragment = !action.dont_fragment;
  static_cast<void>(socket->send(datagram));  // what is lost is sent again
}

void Gateway::perform(ike::TransmitKeepalive action) {
  io::UdpSocket* const socket = sockets_.natt(action.remote.address.family());
  if (socket == nullptr) return;
  static constexpr std::uint8_t kKeepalive[1] = {0xff};
  io::OutgoingDatagram datagram;
  datagram.payload = kKeepalive;
  datagram.source = action.local.address;
  datagram.destination = action.remote;
  static_cast<void>(socket->send(datagram));
}

void Gateway::perform(const ike::InstallChildSa& action) {
  const auto installed = workers_->data_plane().install(action.child_sa);
  if (!installed) {
    log_.error(fmt::format("cannot install Child SA {}: {}", action.child_sa->inbound_spi,
                           installed.error().message));
    // The engine must not believe in an SA that carries nothing: to it, the SA has come to its end.
    workers_->data_plane().release_spi(action.child_sa->inbound_spi);
    return engine_->report(io::system_now(), ike::ChildSaHardExpired{action.child_sa->id});
  }
  child_sas_[action.child_sa->id] =
      std::make_shared<const policy::ChildSa>(policy::without_keys(*action.child_sa));
  set_path_mtu(*action.child_sa);
  workers_->wake();
}

void Gateway::perform(const ike::UpdateChildSa& action) {
  const auto at = child_sas_.find(action.id);
  if (at == child_sas_.end()) return;
  auto changed = std::make_shared<policy::ChildSa>(policy::without_keys(*at->second));
  changed->path = action.path;
  changed->use_outbound = action.use_outbound;
  if (const auto updated = workers_->data_plane().update(changed); !updated)
    log_.error(updated.error().message);
  at->second = std::move(changed);
  set_path_mtu(*at->second);
  workers_->wake();
}

void Gateway::perform(const ike::RemoveChildSa& action) {
  child_sas_.erase(action.id);
  static_cast<void>(workers_->data_plane().remove(action.id));
  workers_->wake();
}

void Gateway::perform(const ike::RunKeyExchange& action) {
  engine_->complete(io::system_now(), ike::run(action, rng_));
}
void Gateway::perform(const ike::SignRequest& action) {
  engine_->complete(io::system_now(), ike::run(action));
}

void Gateway::perform(const ike::Event& event) {
  const Now now = io::system_now();
  log_.event(now.monotonic, event);
  supervisor_.handle(now, event);
  if (const auto* established = std::get_if<ike::IkeSaEstablished>(&event)) hold_path_search(*established);
  for_each_subscription([&](const Subscription& subscription) { subscription.listener(event); });
}

// A listener may unsubscribe while it is called.
template <class Call>
void Gateway::for_each_subscription(Call call) {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, subscription] : listeners_) numbers.push_back(number);
  for (const std::uint64_t number : numbers)
    if (const auto at = listeners_.find(number); at != listeners_.end()) call(at->second);
}

// A worker that hangs keeps its SAs with it: that must not be a riddle.
void Gateway::watch_workers() {
  for (const WorkerStalled& change : worker_watch_->look(io::monotonic_now(), workers_->heartbeats())) {
    if (change.over) {
      log_.info(event_sentence(change));
    } else {
      log_.error(event_sentence(change));
    }
    for_each_subscription([&](const Subscription& subscription) {
      if (subscription.worker_listener) subscription.worker_listener(change);
    });
  }
}

void Gateway::perform(const ike::Initiate& command) {
  const Now now = io::system_now();
  Endpoint local = command.local;
  if (local.address.is_unspecified()) {
    const auto path = network_->path_to(command.remote.address, config_.daemon.fwmark);
    if (!path) return supervisor_.refused(now, command.connection, path.error());
    local.address = path->source;
  }
  Result<ikev2::Begun> begun;
  if (command.packet) {
    begun = engine_->acquire(now, command.connection, command.children.front(), local, command.remote,
                             ikev2::Engine::TriggeringPacket{command.packet->local, command.packet->remote});
  } else {
    begun = engine_->initiate(now, command.connection, local, command.remote, command.children);
  }
  if (!begun) return supervisor_.refused(now, command.connection, begun.error());
  if (*begun == ikev2::Begun::kNothingToDo) supervisor_.nothing_to_do(now, command.connection);
}

void Gateway::perform(const ike::ResolveName& command) {
  resolver_.ask(command.host, [this, request = command.request](const NameResolver::Addresses& addresses) {
    supervisor_.resolved(io::system_now(), request, addresses);
    pump();
  });
}

void Gateway::perform(const ike::Terminate& command) {
  static_cast<void>(engine_->terminate(io::system_now(), command.connection, command.child));
}

void Gateway::shut_down(std::function<void()> done) {
  if (stop_deadline_ != kNever) return;
  stopped_ = std::move(done);
  const Now now = io::system_now();
  stop_deadline_ = now.monotonic + kStopPatience;
  engine_->shut_down(now);
  pump();
}

void Gateway::finish_shut_down() {
  stop_deadline_ = kNever;
  workers_->stop();
  timer_.cancel();
  tick_.cancel();
  for (auto& descriptor : descriptors_) descriptor->release();  // their owners close them
  if (const auto removed = network_->remove(config_.daemon.keep_guard_on_stop); !removed)
    log_.error(removed.error().message);
  resolver_.stop();
  if (stopped_) std::exchange(stopped_, nullptr)();
}

}  // namespace merlon::daemon
