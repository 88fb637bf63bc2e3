#include "sim/host.h"

#include <fmt/format.h>

#include "policy/spd.h"
#include "sim/host_life.h"
#include "sim/stream.h"
#include "wire/udp_encap.h"

namespace merlon::sim {
namespace {

constexpr std::chrono::seconds kStopPatience{3};  // for the peers' answers to our deletes
constexpr Duration kTick = std::chrono::milliseconds(250);
constexpr std::uint64_t kTicksPerSecond = 4, kProbeInterval_s = 7;
constexpr std::size_t kSocketBuffer = 256;  // datagrams and timers that wait while a host stands still
constexpr Duration kNetworkChangeSeen = std::chrono::milliseconds(600);

}  // namespace

Host::Host(Surroundings& surroundings, const HostPlan& plan, std::size_t number)
    : in_(surroundings), plan_(plan), number_(number), address_(plan.address) {}
Host::~Host() = default;

void Host::fail(std::string_view invariant, const std::string& detail) {
  in_.checker.fail(invariant, fmt::format("{}: {}", name(), detail));
}
void Host::line(const std::string& text) {
  if (in_.trace.on()) in_.trace.line_at(in_.queue.elapsed(), number_, text);
}

Now Host::now() const {
  const Now truth = in_.queue.now();
  const Duration passed = truth.monotonic - clock_from_;
  const Duration drift = passed / 1'000'000 * plan_.clock.drift_ppm;
  const Duration wall = truth.monotonic - kStart + drift + wall_offset_;
  return {clock_shows_ + passed + drift, kFirstDay + std::chrono::floor<std::chrono::seconds>(wall)};
}

Duration Host::true_span(Duration span) const {
  if (plan_.clock.drift_ppm == 0 || span.count() <= 0) return span;
  // Drift goes by whole steps of a millionth, so a little more.
  return span - Duration(span.count() / (1'000'000 + plan_.clock.drift_ppm) * plan_.clock.drift_ppm) +
         std::chrono::nanoseconds(3 * std::abs(plan_.clock.drift_ppm) + 1);
}

void Host::after(Duration delay, std::function<void()> what) {
  in_.queue.after(true_span(delay), [this, life = lives_, what = std::move(what)]() mutable {
    run_later(life, std::move(what));
  });
}

void Host::run_later(std::uint64_t life, std::function<void()> what) {
  if (!life_ || lives_ != life) return;
  if (!paused()) return what();
  waiting_.push_back(std::move(what));
}

// A machine that starts again counts from zero.
void Host::begin_clock() {
  if (!plan_.clock.starts_anew) return;
  const Duration wall = now().wall - kFirstDay - (in_.queue.now().monotonic - kStart);
  clock_from_ = in_.queue.now().monotonic;
  clock_shows_ = Instant{} + std::chrono::seconds(2 + lives_);
  wall_offset_ = wall;
}

void Host::start() {
  if (life_) return;
  ++lives_;
  begin_clock();
  line(lives_ == 1 ? "=== starts" : "=== starts again");
  life_ = std::make_unique<Life>(*this, plan_, in_.seed, number_, lives_);
  life_->data_plane.set_spd(std::make_shared<const policy::Spd>(policy::build_spd(policies())));
  life_->engine.configure(now(), plan_.connections, plan_.credentials);
  life_->supervisor.configure(now(), plan_.connections);
  if (in_.watch.key_seen)
    for (const auto& connection : plan_.connections) life_->engine.trace(connection->name, false, true);
  pump();
  after(kTick, [this] { tick(); });
}

void Host::crash() {
  if (!life_) return;
  line("=== loses everything");
  past_.merge(life_->engine.counters());
  past_drops_ = drops();
  life_.reset();
  taken_down_.clear();
  waiting_.clear();
  paused_until_ = {};
  in_.checker.crashed(number_);
}

void Host::stop(bool stay) {
  if (!life_) return;
  resume();
  if (!life_) return;  // the crash that waited
  line("=== stops");
  life_->stays = stay;
  life_->stopping = true;
  life_->engine.shut_down(now());
  pump();
  if (!stay) after(kStopPatience, [this] { crash(); });
}

// Everything that follows from one mutation, until nothing is left; then the timer for what comes next.
void Host::pump() {
  if (!life_ || life_->pumping) return;
  life_->pumping = true;
  for (bool busy = true; busy && !in_.checker.violation();) {
    busy = false;
    for (ike::Action& action : life_->engine.drain()) {
      busy = true;
      // Events are digested where they are handled: those of the trace itself may not count.
      if (!std::holds_alternative<ike::Event>(action)) in_.trace.digest().add(action.index());
      std::visit([this](auto& a) { perform(a); }, action);
    }
    for (ike::SupervisorCommand& command : life_->supervisor.drain()) {
      busy = true;
      in_.trace.digest().add(100 + command.index());
      std::visit([this](auto& c) { perform(c); }, command);
    }
  }
  life_->pumping = false;
  arm_timer();
  if (life_->stopping && !life_->stays && life_->engine.idle()) after(Duration{0}, [this] { crash(); });
}

void Host::arm_timer() {
  const Instant next = std::min(life_->engine.next_deadline(), life_->supervisor.next_deadline());
  if (next >= life_->armed) return;  // it wakes in time: too early does no harm
  life_->armed = next;
  const std::uint64_t generation = ++life_->timer;
  after(next - now().monotonic, [this, generation] {
    if (generation != life_->timer) return;
    life_->armed = kNever;
    if (in_.queue.at_this_instant() > kSpin)
      return fail("timers come to rest", "timers are due again and again at one instant");
    life_->engine.advance(now());
    life_->supervisor.advance(now());
    if (in_.sabotage == Sabotage::kNeverRest) {
      life_->armed = now().monotonic;
      return never_rest();
    }
    pump();
  });
}

void Host::tick() {
  ++life_->ticks;
  read_data_plane_events();
  if (life_->ticks % 2 == 0) poll_data_plane();
  if (life_->ticks % kTicksPerSecond == 0) report_inbound();
  if (plan_.probes_paths && life_->ticks % (kTicksPerSecond * kProbeInterval_s) == 0) probe_paths();
  sabotage_tick();
  pump();
  after(kTick, [this] { tick(); });
}

// RFC 8899, as the daemon's search for the path MTU does.
void Host::probe_paths() {
  std::set<IpAddress> remotes;
  for (const auto& [id, sa] : life_->child_sas) remotes.insert(sa->path.remote.address);
  for (const IpAddress& remote : remotes)
    static_cast<void>(life_->engine.probe_path(
        now(), remote, static_cast<unsigned>(between(life_->worker_rng, 1281, 1500))));
  static_cast<void>(life_->engine.drain_path_probes());
}

void Host::receive(const WireDatagram& datagram) {
  if (!life_) return;
  if (paused()) {
    if (waiting_.size() < kSocketBuffer) waiting_.push_back([this, datagram] { receive(datagram); });
    return;
  }
  in_.checker.arrived(number_, datagram);
  if (datagram.carrier == Carrier::kUdp && datagram.destination.port == plan_.options.ike_port) {
    life_->engine.receive(now(), {datagram.destination, datagram.source, false, datagram.payload});
    return pump();
  }
  ByteView esp = datagram.payload;
  if (datagram.carrier == Carrier::kUdp) {
    if (datagram.destination.port != plan_.options.natt_port) return;
    const auto sorted = wire::classify_udp_encap(datagram.payload);
    if (sorted.kind == wire::UdpEncapKind::kIke) {
      life_->engine.receive(now(), {datagram.destination, datagram.source, true, sorted.payload});
      read_data_plane_events();
      return pump();
    }
    if (sorted.kind != wire::UdpEncapKind::kEsp) return;
    esp = sorted.payload;
  }
  packet::PacketPtr packet = life_->pool.copy_of(esp);
  if (!packet) return fail("buffers are given back", fmt::format("all {} are in use", life_->pool.size()));
  packet->meta.source = datagram.source;
  packet->meta.destination = datagram.destination;
  packet->meta.tos = datagram.tos;
  packet->meta.udp_encapsulated = datagram.carrier == Carrier::kUdp;
  life_->burst.push(std::move(packet));
  life_->data_plane.worker().inbound(now().monotonic, life_->burst, life_->inbound);
  for (const packet::PacketPtr& inner : life_->inbound.to_tun) inner_arrived(inner->bytes());
  life_->inbound.clear();
}

void Host::inner_arrived(ByteView packet) {
  if (!sabotage_inner(packet)) in_.checker.delivered(number_, packet);
}

void Host::send_inner(ByteView packet) {
  if (!acts()) return;
  packet::PacketPtr inner = life_->pool.copy_of(packet);
  if (!inner) return fail("buffers are given back", fmt::format("all {} are in use", life_->pool.size()));
  sabotage_outbound(packet);
  life_->burst.push(std::move(inner));
  life_->data_plane.worker().outbound(now().monotonic, life_->burst, life_->outbound);
  flush_outbound();
}

void Host::poll_data_plane() {
  life_->data_plane.worker().poll(now().monotonic, life_->outbound);
  flush_outbound();
}

void Host::flush_outbound() {
  for (const packet::PacketPtr& packet : life_->outbound.transmit) {
    const packet::PacketMeta& meta = packet->meta;
    // As a socket does: it sends from the port that it is bound to.
    const Endpoint source{meta.source.address,
                          meta.udp_encapsulated ? plan_.options.natt_port : std::uint16_t{0}};
    const WireDatagram datagram{meta.udp_encapsulated ? Carrier::kUdp : Carrier::kEsp, source,
                                meta.destination, meta.tos, to_bytes(packet->bytes())};
    transmit(datagram, {meta.sa_id});
    sabotage_after(datagram, {meta.sa_id});
  }
  for (const packet::PacketPtr& answer : life_->outbound.to_tun)
    in_.checker.refused(number_, answer->bytes());
  life_->outbound.clear();
}

void Host::transmit(WireDatagram datagram, policy::ChildSaId sa) {
  for (unsigned left = copies(datagram); left > 0; --left) {
    in_.checker.sent(number_, datagram, sa);
    in_.network.send(number_, datagram);
  }
  in_.checker.sent(number_, datagram, sa);
  in_.network.send(number_, std::move(datagram));
}

// ---- commands ----------------------------------------------------------------------------------------------------------------------

void Host::take_down(const std::string& connection) {
  if (!acts() || !life_->supervisor.down(now(), connection, "")) return;
  line("=== merlon down " + connection);
  taken_down_.insert(connection);
  pump();
}

void Host::bring_up(const std::string& connection) {
  if (!acts() || taken_down_.erase(connection) == 0) return;
  line("=== merlon up " + connection);
  static_cast<void>(life_->supervisor.up(now(), connection, ""));
  pump();
}

void Host::bring_up_all() {
  while (acts() && !taken_down_.empty()) bring_up(std::string(*taken_down_.begin()));
}

void Host::terminate(const std::string& connection, const std::string& child) {
  if (!acts()) return;
  line(fmt::format("=== terminates {} {}", connection, child));
  static_cast<void>(life_->engine.terminate(now(), connection, child));
  pump();
}

void Host::rekey(const std::string& connection, const std::string& child) {
  if (!acts()) return;
  line(fmt::format("=== rekeys {} {}", connection, child.empty() ? "(the IKE SA)" : child));
  static_cast<void>(child.empty() ? life_->engine.rekey_ike_sa(now(), connection)
                                  : life_->engine.rekey_child_sa(now(), connection, child));
  pump();
}

void Host::reconfigure() {
  if (!acts()) return;
  line("=== loads the same configuration again");
  life_->data_plane.set_spd(std::make_shared<const policy::Spd>(policy::build_spd(policies())));
  life_->engine.configure(now(), plan_.connections, plan_.credentials);
  life_->supervisor.configure(now(), plan_.connections);
  pump();
}

void Host::check_paths() {
  if (!acts()) return;
  line("=== addresses or routes changed");
  life_->engine.check_paths(now());
  life_->supervisor.network_changed(now());
  pump();
}

// ---- what happens to it --------------------------------------------------------------------------------------------------------------

void Host::move() {
  if (plan_.other_addresses.empty()) return;
  ++moves_;
  const std::size_t which = moves_ % (plan_.other_addresses.size() + 1);
  address_ = which == 0 ? plan_.address : plan_.other_addresses[which - 1];
  line(fmt::format("=== has the address {} from now on", address_));
  in_.network.move(number_, address_);
  // As the daemon: netlink tells it, and it looks once a second.
  if (life_) after(kNetworkChangeSeen, [this] { check_paths(); });
}

void Host::pause(Duration duration) {
  if (!life_) return;
  line(fmt::format("=== stands still for {} s", seconds_text(duration)));
  paused_until_ = std::max(paused_until_, in_.queue.now().monotonic + duration);
  in_.queue.at(paused_until_, [this] {
    if (!paused()) resume();
  });
}

void Host::resume() {
  if (paused()) line("=== goes on");
  paused_until_ = {};
  for (std::size_t count = waiting_.size(); count > 0 && !waiting_.empty(); --count) {
    const auto what = std::move(waiting_.front());
    waiting_.pop_front();
    what();
  }
}

void Host::step_clock(Duration step) {
  const Duration before = wall_offset_;
  wall_offset_ = step.count() == 0 ? Duration{0} : wall_offset_ + step;
  if (wall_offset_ != before)
    line(fmt::format("=== its wall clock goes {} s ahead", seconds_text(wall_offset_)));
}

}  // namespace merlon::sim
