#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/convergence.h"
#include "sim/openssl_rng.h"
#include "sim/scenario_draw.h"
#include "sim/shrink.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPoll = 250ms;
// Deletes that were on their way when everything healed are sent again within this long; until then an SA may look alive that is not.
constexpr Duration kSettle = 10s;
constexpr Duration kDrain = 3s;            // for packets that are on their way, or held for an SA
constexpr Duration kStillConverged = 60s;  // after the proof: rekeys may be under way
constexpr Duration kDismantle = 150s;      // for deletes, their answers, and what lingers for late packets
constexpr Duration kStrayInterval = 5s;
constexpr std::size_t kMostEvents = 200000;  // waiting at one time
constexpr Duration kWatch = 5s;              // between two looks at what the hosts hold

class World {
 public:
  World(const Scenario& scenario, const RunOptions& options)
      : scenario_(scenario),
        options_(options),
        trace_(options.trace, options.keep_lines, options.print),
        checker_(scenario, queue_),
        network_(queue_, trace_, scenario.seed),
        surroundings_{scenario.seed, queue_, network_, checker_, trace_, options.sabotage, options.watch},
        openssl_rng_(stream_seed(scenario.seed, "openssl")) {}

  RunReport run() {
    const OpensslRngScope scope(openssl_rng_);
    build();
    const Duration until_healed = scenario_.faults_end;
    if (go(kStart + until_healed)) {
      heal();
      const Duration healed_at = queue_.elapsed();
      if (go(queue_.now().monotonic + kSettle) && go_until_converged(scenario_.convergence_bound)) {
        converged_after_ = queue_.elapsed() - healed_at;
        prove();
      }
    }
    return report();
  }

 private:
  void build();
  void schedule(const Happening& happening);
  void happen(const Happening& happening);
  [[nodiscard]] IpAddress next_nat_address(std::size_t host);
  void ensure_runs(Host& host);
  void start_traffic();
  void send_and_schedule(std::size_t tunnel, std::size_t child, unsigned direction,
                         std::shared_ptr<SeededRng> rng);
  void send_strays(std::size_t host, std::shared_ptr<SeededRng> rng);
  void send_odd(std::size_t host, std::shared_ptr<SeededRng> rng);
  bool go(Instant until);
  bool go_until_converged(Duration bound);
  void heal();
  void cut_for_ever();
  void prove();
  void dismantle();
  RunReport report();
  void look(RunOptions::Moment moment) const {
    if (options_.look) options_.look(moment, queue_.elapsed());
  }
  void line(const std::string& text) { trace_.line(queue_.elapsed(), text); }

  const Scenario& scenario_;
  const RunOptions& options_;
  EventQueue queue_;
  Trace trace_;
  Checker checker_;
  Network network_;
  Surroundings surroundings_;
  SeededRng openssl_rng_;
  Hosts hosts_;
  bool traffic_ = true;
  std::uint64_t nat_addresses_ = 0;
  Duration converged_after_{0};
};

void World::build() {
  std::vector<std::string> names;
  for (const HostPlan& plan : scenario_.hosts) names.push_back(plan.name);
  trace_.begin(std::move(names), participants(scenario_));
  for (std::size_t i = 0; i < scenario_.hosts.size(); ++i) {
    const HostPlan& plan = scenario_.hosts[i];
    hosts_.push_back(std::make_unique<Host>(surroundings_, plan, i));
    network_.attach(plan.name, plan.address, plan.nat,
                    [this, i](const WireDatagram& datagram) { hosts_[i]->receive(datagram); });
    queue_.after(plan.starts_at, [this, i] { hosts_[i]->start(); });
  }
  for (const TunnelPlan& tunnel : scenario_.tunnels)
    for (const std::size_t end : {0U, 1U})
      network_.set_link(tunnel.hosts[end], tunnel.hosts[1 - end], tunnel.links[end]);
  for (const Happening& happening : scenario_.happenings) schedule(happening);
  cut_for_ever();
  network_.replay(scenario_.replays);
  queue_.after(scenario_.traffic_from, [this] { start_traffic(); });
}

void World::schedule(const Happening& happening) {
  queue_.after(happening.at, [this, &happening] { happen(happening); });
}

void World::happen(const Happening& happening) {
  Host& host = *hosts_[happening.host];
  const TunnelPlan* const tunnel =
      happening.tunnel < scenario_.tunnels.size() ? &scenario_.tunnels[happening.tunnel] : nullptr;
  const std::string connection = tunnel != nullptr ? tunnel->connection : std::string();
  switch (happening.kind) {
    case HappeningKind::kCrash:
      host.crash();
      queue_.after(happening.lasts, [this, &host] { ensure_runs(host); });
      break;
    case HappeningKind::kStop:
      host.stop();
      queue_.after(happening.lasts, [this, &host] { ensure_runs(host); });
      break;
    case HappeningKind::kCut: {
      const std::size_t to = tunnel->hosts[0] == happening.host ? tunnel->hosts[1] : tunnel->hosts[0];
      line(fmt::format("=== the path from {} to {} is cut for {} s", host.name(), hosts_[to]->name(),
                       seconds_text(happening.lasts)));
      network_.block(happening.host, to, queue_.now().monotonic + happening.lasts);
      break;
    }
    case HappeningKind::kRebind:
      line("=== the NAT of " + host.name() + " forgets its mappings");
      network_.rebind(happening.host);
      break;
    case HappeningKind::kTerminate:
      host.terminate(connection, happening.child);
      break;
    case HappeningKind::kTakeDown:
      host.take_down(connection);
      queue_.after(happening.lasts, [&host, connection] { host.bring_up(connection); });
      break;
    case HappeningKind::kRekeyIke:
      host.rekey(connection, "");
      break;
    case HappeningKind::kRekeyChild:
      host.rekey(connection, happening.child);
      break;
    case HappeningKind::kReconfigure:
      host.reconfigure();
      break;
    case HappeningKind::kCheckPaths:
      host.check_paths();
      break;
    case HappeningKind::kIsolate:
      line(fmt::format("=== {} is cut off for {} s", host.name(), seconds_text(happening.lasts)));
      network_.isolate(happening.host, queue_.now().monotonic + happening.lasts);
      break;
    case HappeningKind::kNatRestart:
      line("=== the NAT of " + host.name() + " starts again, with another address");
      network_.rebind(happening.host, next_nat_address(happening.host));
      break;
    case HappeningKind::kMove:
      host.move();
      break;
    case HappeningKind::kPause:
      host.pause(happening.lasts);
      break;
    case HappeningKind::kClockStep:
      host.step_clock(happening.step);
      break;
  }
}

// 198.19.0.0/16 and 2001:db8:fffe::/48 are for them.
IpAddress World::next_nat_address(std::size_t host) {
  MERLON_ASSERT(scenario_.hosts[host].nat);
  const auto number = static_cast<std::uint32_t>(++nat_addresses_);
  return scenario_.hosts[host].nat->is_v4()
             ? IpAddress::v4(0xc6130000U + number)
             : need(IpAddress::parse(fmt::format("2001:db8:fffe::{:x}", number)));
}

// A host that is about to stop is started when it has.
void World::ensure_runs(Host& host) {
  if (host.runs() && !host.stopping()) return;
  if (!host.runs()) return host.start();
  queue_.after(500ms, [this, &host] { ensure_runs(host); });
}

void World::start_traffic() {
  for (std::size_t t = 0; t < scenario_.tunnels.size(); ++t)
    for (std::size_t c = 0; c < scenario_.tunnels[t].children.size(); ++c)
      for (unsigned direction : {0U, 1U})
        if (scenario_.tunnels[t].children[c].interval.count() > 0)
          send_and_schedule(
              t, c, direction,
              std::make_shared<SeededRng>(stream_seed(scenario_.seed, "traffic", t, c * 2 + direction)));
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    send_strays(i, std::make_shared<SeededRng>(stream_seed(scenario_.seed, "stray", i)));
    if (scenario_.odd_interval.count() > 0)
      send_odd(i, std::make_shared<SeededRng>(stream_seed(scenario_.seed, "odd", i)));
  }
}

void World::send_and_schedule(std::size_t tunnel, std::size_t child, unsigned direction,
                              std::shared_ptr<SeededRng> rng) {
  if (!traffic_) return;
  const TunnelPlan& plan = scenario_.tunnels[tunnel];
  const auto interval = static_cast<std::uint64_t>(plan.children[child].interval.count());
  hosts_[plan.hosts[direction]]->send_inner(checker_.make_inner(tunnel, child, direction, *rng));
  const auto wait = Duration(static_cast<std::int64_t>(between(*rng, interval / 2, interval + interval / 2)));
  queue_.after(wait, [this, tunnel, child, direction, rng = std::move(rng)] {
    send_and_schedule(tunnel, child, direction, rng);
  });
}

void World::send_strays(std::size_t host, std::shared_ptr<SeededRng> rng) {
  if (!traffic_) return;
  hosts_[host]->send_inner(checker_.make_stray(host, *rng));
  queue_.after(kStrayInterval, [this, host, rng = std::move(rng)] { send_strays(host, rng); });
}

void World::send_odd(std::size_t host, std::shared_ptr<SeededRng> rng) {
  if (!traffic_) return;
  hosts_[host]->send_inner(checker_.make_odd(host, *rng));
  queue_.after(scenario_.odd_interval, [this, host, rng = std::move(rng)] { send_odd(host, rng); });
}

// False when something was violated.
bool World::go(Instant until) {
  while (!checker_.violation() && queue_.now().monotonic < until) {
    const Instant next = std::min(until, queue_.now().monotonic + kWatch);
    while (!checker_.violation() && queue_.run_next(next))
      if (queue_.size() > kMostEvents)
        checker_.fail("bounded timers", fmt::format("{} events wait", queue_.size()));
    if (const auto grown = what_has_grown(scenario_, hosts_); !grown.empty())
      checker_.fail("bounded memory", grown);
  }
  return !checker_.violation();
}

bool World::go_until_converged(Duration bound) {
  const Instant end = queue_.now().monotonic + bound;
  std::string why;
  Convergence convergence;
  while (go(queue_.now().monotonic + kPoll)) {
    why = convergence.why_not(scenario_, hosts_, queue_.elapsed());
    // An SA may look well at both ends while its path is gone, since a host has moved: packets tell.
    if (why.empty()) why = checker_.why_not_flowing();
    if (why.empty()) return true;
    if (queue_.now().monotonic >= end) {
      checker_.fail("everything converges",
                    fmt::format("{} s after the last fault: {}", seconds_text(bound), why));
      return false;
    }
  }
  return false;
}

void World::heal() {
  line("=== everything heals");
  network_.heal();
  for (const auto& host : hosts_) {
    host->resume();
    host->step_clock(Duration{0});
    ensure_runs(*host);
    host->bring_up_all();
  }
  cut_for_ever();
}

void World::cut_for_ever() {
  if (options_.sabotage != Sabotage::kNeverHeal || scenario_.tunnels.empty()) return;
  const TunnelPlan& tunnel = scenario_.tunnels[0];
  for (const std::size_t end : {0U, 1U}) network_.block(tunnel.hosts[end], tunnel.hosts[1 - end], kNever);
}

void World::prove() {
  line("=== converged: from here on not one packet may be lost");
  look(RunOptions::Moment::kConverged);
  checker_.nothing_may_be_lost(true);
  if (!go(queue_.now().monotonic + scenario_.proof)) return;
  checker_.nothing_may_be_lost(false);
  traffic_ = false;
  if (!go(queue_.now().monotonic + kDrain)) return;
  checker_.judge_losses();
  look(RunOptions::Moment::kProved);
  if (go_until_converged(kStillConverged)) dismantle();
}

void World::dismantle() {
  for (const auto& host : hosts_) host->stop(true);
  const Instant end = queue_.now().monotonic + kDismantle;
  while (go(queue_.now().monotonic + kPoll)) {
    const std::string left = what_is_left(hosts_);
    if (left.empty()) {
      look(RunOptions::Moment::kDismantled);
      return;
    }
    if (queue_.now().monotonic >= end) return checker_.fail("nothing is left", left);
  }
}

RunReport World::report() {
  RunReport made;
  made.seed = scenario_.seed;
  made.violation = checker_.violation();
  made.elapsed = queue_.elapsed();
  made.converged_after = converged_after_;
  made.hosts = hosts_.size();
  made.events = queue_.executed();
  made.datagrams = network_.sent();
  made.datagrams_lost = network_.lost();
  made.traffic = checker_.traffic();
  made.child_sa_pairs = checker_.child_sa_pairs();
  for (const auto& host : hosts_) {
    made.counters.merge(host->counters());
    add(made.drops, host->drops());
    if (made.violation) made.state += host->describe();
  }
  Digest digest = trace_.digest();
  digest.add(made.traffic.delivered);
  digest.add(made.events);
  digest.add(static_cast<std::uint64_t>(made.elapsed.count()));
  made.digest = digest.value();
  trace_.flush();
  made.lines = trace_.lines();
  return made;
}

}  // namespace

RunReport run(const Scenario& scenario, const RunOptions& options) {
  return World(scenario, options).run();
}

RunReport run_and_explain(const Scenario& scenario, RunOptions options) {
  RunReport made = run(scenario, options);
  if (!made.violation || options.trace != Trace::Mode::kOff) return made;
  options.trace = Trace::Mode::kKeep;
  return run(scenario, options);
}

std::string explain(const RunReport& report, const Scenario& scenario, std::string_view replay) {
  if (!report.violation) return fmt::format("seed {}: nothing was violated\n", report.seed);
  std::string text;
  for (const std::string& line : report.lines) text += line + "\n";
  text += "\n" + report.state + "\n";
  text += fmt::format("seed {}: {}\n", report.seed, scenario.summary);
  text += fmt::format("VIOLATED at {} s: {}: {}\n", seconds_text(report.violation->at),
                      report.violation->invariant, report.violation->detail);
  text += fmt::format("replay: {}\n", replay);
  return text;
}

}  // namespace merlon::sim
