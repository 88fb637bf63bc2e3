// One thing less in a scenario, in words.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "policy/traffic_selector.h"
#include "sim/shrink.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;
using policy::Connection;

template <class T>
bool set(T& field, const std::type_identity_t<T>& value) {
  if (field == value) return false;
  field = value;
  return true;
}

bool on_links(Scenario& scenario, void (*change)(LinkFaults&)) {
  bool changed = false;
  for (TunnelPlan& tunnel : scenario.tunnels)
    for (LinkFaults& link : tunnel.links) {
      const LinkFaults before = link;
      change(link);
      changed |= before != link;
    }
  return changed;
}

bool on_hosts(Scenario& scenario, bool (*change)(HostPlan&)) {
  bool changed = false;
  for (HostPlan& host : scenario.hosts) changed |= change(host);
  return changed;
}

bool on_connections(Scenario& scenario, void (*change)(Connection&)) {
  bool changed = false;
  for (HostPlan& host : scenario.hosts)
    for (policy::ConnectionPtr& connection : host.connections) {
      auto copy = std::make_shared<Connection>(*connection);
      change(*copy);
      if (*copy == *connection) continue;
      connection = std::move(copy);
      changed = true;
    }
  return changed;
}

bool has_small_limits(HostPlan& host) {
  const ikev2::EngineOptions plain;
  const esp::EngineConfig esp = small_engine();
  ikev2::EngineOptions& options = host.options;
  bool changed = set(options.half_open_limit, plain.half_open_limit);
  changed |= set(options.half_open_limit_per_source, plain.half_open_limit_per_source);
  changed |= set(options.half_open_timeout, plain.half_open_timeout);
  changed |= set(options.ike_sa_limit, plain.ike_sa_limit);
  changed |= set(options.lingering_limit, plain.lingering_limit);
  changed |= set(options.memory_limit, plain.memory_limit);
  changed |= set(options.last_message_id, plain.last_message_id);
  changed |= set(host.esp.sa_capacity, esp.sa_capacity);
  changed |= set(host.esp.held_packets, esp.held_packets);
  changed |= set(host.esp.held_packets_per_child, esp.held_packets_per_child);
  changed |= set(host.esp.event_capacity, esp.event_capacity);
  changed |= set(host.packets, HostPlan{}.packets);
  return changed;
}

bool slower_traffic(Scenario& scenario, bool none) {
  bool changed = false;
  for (TunnelPlan& tunnel : scenario.tunnels)
    for (ChildPlan& child : tunnel.children) {
      if (child.interval.count() == 0 || (!none && child.interval > 5s)) continue;
      child.interval = none ? Duration{0} : child.interval * 2;
      changed = true;
    }
  return changed;
}

bool without_ipv6_inside(Scenario& scenario) {
  for (TunnelPlan& tunnel : scenario.tunnels)
    for (ChildPlan& child : tunnel.children) child.ipv6_too = false;
  return on_connections(scenario, [](Connection& connection) {
    for (auto& child : connection.children)
      for (policy::TrafficSelectors* selectors : {&child.local_ts, &child.remote_ts})
        std::erase_if(*selectors, [](const auto& one) { return one.start_address.is_v6(); });
  });
}

struct Named {
  std::string_view words;
  bool (*apply)(Scenario&);
};
constexpr Named kNamed[] = {
    {"without replays", [](Scenario& s) { return set(s.replays, Replays{}); }},
    {"without loss", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.loss = 0; }); }},
    {"without bursts of loss",
     [](Scenario& s) {
       return on_links(s, [](LinkFaults& l) { l.burst_begins = l.burst_ends = l.burst_loss = 0; });
     }},
    {"without duplicates", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.duplicate = 0; }); }},
    {"without late datagrams", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.late = 0; }); }},
    {"without jitter", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.jitter = {}; }); }},
    {"without corruption", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.corrupt = 0; }); }},
    {"without truncation", [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.truncate = 0; }); }},
    {"without small paths",
     [](Scenario& s) {
       return on_links(s, [](LinkFaults& l) { l.largest_ike = LinkFaults{}.largest_ike; });
     }},
    {"without unequal delays",
     [](Scenario& s) { return on_links(s, [](LinkFaults& l) { l.delay = LinkFaults{}.delay; }); }},
    {"without slow crypto",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.slow_actions, {}); }); }},
    {"without slow signatures",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.slow_signatures, {}); }); }},
    {"without drift",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.clock.drift_ppm, 0); }); }},
    {"without machine restarts",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.clock.starts_anew, false); }); }},
    {"without late starts",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.starts_at, {}); }); }},
    {"without cookies",
     [](Scenario& s) {
       return on_hosts(s, [](HostPlan& h) {
         return set(h.options.cookie_threshold, ikev2::EngineOptions{}.cookie_threshold);
       });
     }},
    {"without path probes",
     [](Scenario& s) { return on_hosts(s, [](HostPlan& h) { return set(h.probes_paths, false); }); }},
    {"without small limits", [](Scenario& s) { return on_hosts(s, has_small_limits); }},
    {"without chosen sequence numbers",
     [](Scenario& s) {
       return on_hosts(s, [](HostPlan& h) {
         const bool first = set(h.esp.first_sequence, 1);
         return set(h.esp.sequence_limit, UINT64_MAX) || first;
       });
     }},
    {"without lifetimes of IKE SAs",
     [](Scenario& s) { return on_connections(s, [](Connection& c) { c.ike_lifetime = {}; }); }},
    {"without lifetimes of Child SAs",
     [](Scenario& s) {
       return on_connections(s, [](Connection& c) {
         for (auto& child : c.children)
           child.lifetime.soft = child.lifetime.hard = child.lifetime.jitter = std::chrono::seconds(0);
       });
     }},
    {"without volume limits",
     [](Scenario& s) {
       return on_connections(s, [](Connection& c) {
         for (auto& child : c.children)
           child.lifetime.soft_bytes = child.lifetime.hard_bytes = child.lifetime.soft_packets =
               child.lifetime.hard_packets = 0;
       });
     }},
    {"without small fragments",
     [](Scenario& s) { return on_connections(s, [](Connection& c) { c.fragment_size = 1280; }); }},
    {"without exceptions from policies",
     [](Scenario& s) {
       return on_connections(s, [](Connection& c) {
         std::erase_if(c.children,
                       [](const auto& one) { return one.action != policy::ChildAction::kProtect; });
       });
     }},
    {"without IPv6 inside", without_ipv6_inside},
    {"without odd packets", [](Scenario& s) { return set(s.odd_interval, {}); }},
    {"without traffic", [](Scenario& s) { return slower_traffic(s, true); }},
};
// These may hold again and again.
constexpr Named kRepeatable[] = {
    {"half the rates",
     [](Scenario& s) {
       return on_links(s, [](LinkFaults& l) {
         for (unsigned* rate : {&l.loss, &l.duplicate, &l.late, &l.corrupt, &l.truncate, &l.burst_begins})
           *rate /= 2;
         l.jitter /= 2;
       });
     }},
    {"half the traffic", [](Scenario& s) { return slower_traffic(s, false); }},
};

bool is_about_a_tunnel(HappeningKind kind) {
  switch (kind) {
    case HappeningKind::kCut:
    case HappeningKind::kTerminate:
    case HappeningKind::kTakeDown:
    case HappeningKind::kRekeyIke:
    case HappeningKind::kRekeyChild:
      return true;
    default:
      return false;
  }
}

void drop_idle_happenings(Scenario& scenario) {
  std::erase_if(scenario.happenings, [&](const Happening& one) {
    if (scenario.hosts[one.host].connections.empty()) return true;
    return is_about_a_tunnel(one.kind) && scenario.tunnels[one.tunnel].children.empty();
  });
}

void forget(HostPlan& host, std::string_view connection) {
  std::erase_if(host.connections, [&](const auto& one) { return one->name == connection; });
}

// Numbers stay, since streams of randomness go by them: what is dropped stays as an empty place.
bool drop_tunnel(Scenario& scenario, std::string_view name) {
  for (TunnelPlan& tunnel : scenario.tunnels) {
    if (tunnel.connection != name || tunnel.children.empty()) continue;
    for (const std::size_t host : tunnel.hosts) forget(scenario.hosts[host], name);
    tunnel.children.clear();
    tunnel.should_be_up = false;
    drop_idle_happenings(scenario);
    return true;
  }
  return false;
}

bool drop_impostor(Scenario& scenario, std::string_view name) {
  for (HostPlan& host : scenario.hosts) {
    if (host.name != name || !host.impostor || host.connections.empty()) continue;
    host.connections.clear();
    drop_idle_happenings(scenario);
    return true;
  }
  return false;
}

bool drop_child(Scenario& scenario, std::string_view name) {
  for (TunnelPlan& tunnel : scenario.tunnels)
    for (auto child = tunnel.children.begin(); child != tunnel.children.end(); ++child) {
      if (tunnel.connection + "." + child->name != name || tunnel.children.size() < 2) continue;
      for (const std::size_t host : tunnel.hosts)
        for (policy::ConnectionPtr& connection : scenario.hosts[host].connections) {
          if (connection->name != tunnel.connection) continue;
          auto copy = std::make_shared<Connection>(*connection);
          std::erase_if(copy->children, [&](const auto& one) { return one.name == child->name; });
          connection = std::move(copy);
        }
      std::erase_if(scenario.happenings, [&](const Happening& one) {
        return one.child == child->name && scenario.tunnels[one.tunnel].connection == tunnel.connection;
      });
      tunnel.children.erase(child);
      return true;
    }
  return false;
}

bool drop_happening(Scenario& scenario, std::string_view text) {
  const auto at = std::find_if(scenario.happenings.begin(), scenario.happenings.end(),
                               [&](const Happening& one) { return happening_text(scenario, one) == text; });
  if (at == scenario.happenings.end()) return false;
  scenario.happenings.erase(at);
  return true;
}

std::optional<Duration> seconds(std::string_view text) {
  const double value = std::strtod(std::string(text).c_str(), nullptr);
  if (!(value > 0) || value > 1e6) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(value * 1e6 + 0.5));
}

bool faults_end(Scenario& scenario, std::string_view text) {
  const auto end = seconds(text);
  if (!end || *end >= scenario.faults_end) return false;
  scenario.faults_end = *end;
  std::erase_if(scenario.happenings, [&](const Happening& one) { return one.at > *end; });
  return true;
}

bool shorter_proof(Scenario& scenario, std::string_view text) {
  const auto proof = seconds(text);
  if (!proof || *proof >= scenario.proof) return false;
  scenario.proof = *proof;
  return true;
}

bool shorter_bound(Scenario& scenario, std::string_view text) {
  const auto bound = seconds(text);
  if (!bound || *bound >= scenario.convergence_bound) return false;
  scenario.convergence_bound = *bound;
  return true;
}

struct WithArgument {
  std::string_view words;
  bool (*apply)(Scenario&, std::string_view);
};
constexpr WithArgument kWithArgument[] = {
    {"without tunnel ", drop_tunnel},     {"without impostor ", drop_impostor},
    {"without child ", drop_child},       {"without happening ", drop_happening},
    {"faults end at ", faults_end},       {"proof lasts ", shorter_proof},
    {"converges within ", shorter_bound},
};

}  // namespace

std::string happening_text(const Scenario& scenario, const Happening& one) {
  std::string text =
      fmt::format("{} {} {}", seconds_text(one.at), name(one.kind), scenario.hosts[one.host].name);
  if (is_about_a_tunnel(one.kind)) text += " " + scenario.tunnels[one.tunnel].connection;
  if (!one.child.empty()) text += "." + one.child;
  return text;
}

bool reduce(Scenario& scenario, const std::string& reduction) {
  for (const auto& table : {std::span<const Named>(kNamed), std::span<const Named>(kRepeatable)})
    for (const Named& one : table)
      if (one.words == reduction) return one.apply(scenario);
  for (const WithArgument& one : kWithArgument)
    if (reduction.starts_with(one.words))
      return one.apply(scenario, std::string_view(reduction).substr(one.words.size()));
  return false;
}

std::vector<std::string> fault_classes() {
  std::vector<std::string> all;
  for (const Named& one : kNamed) all.emplace_back(one.words);
  return all;
}
std::vector<std::string> repeatable_reductions() {
  std::vector<std::string> all;
  for (const Named& one : kRepeatable) all.emplace_back(one.words);
  return all;
}

std::vector<std::size_t> participants(const Scenario& scenario) {
  std::vector<std::size_t> made;
  for (std::size_t i = 0; i < scenario.hosts.size(); ++i)
    if (!scenario.hosts[i].connections.empty()) made.push_back(i);
  return made;
}

namespace {

std::string link_text(const LinkFaults& link) {
  std::string text = fmt::format("{} ms", std::chrono::duration<double, std::milli>(link.delay).count());
  const auto add = [&](unsigned permille, std::string_view what) {
    if (permille != 0) text += fmt::format(", {:.1f} % {}", permille / 10.0, what);
  };
  if (link.jitter.count() != 0) text += fmt::format(", jitter up to {} s", seconds_text(link.jitter));
  add(link.loss, "lost"), add(link.burst_begins, "begin a burst of loss"), add(link.duplicate, "doubled");
  add(link.late, "late"), add(link.corrupt, "corrupted"), add(link.truncate, "cut short");
  if ((link.late != 0 || link.duplicate != 0) && link.lateness.count() != 0)
    text += fmt::format(" (by up to {} s)", seconds_text(link.lateness));
  if (link.largest_ike < LinkFaults{}.largest_ike)
    text += fmt::format(", IKE datagrams over {} bytes lost", link.largest_ike);
  return text;
}

std::string host_text(const HostPlan& host) {
  std::string text = fmt::format("{} {}", host.name, host.address);
  if (host.nat) text += fmt::format(" behind a NAT with {}", *host.nat);
  if (host.starts_at.count() != 0) text += fmt::format(", starts at {} s", seconds_text(host.starts_at));
  if (host.slow_actions.count() != 0)
    text += fmt::format(", crypto takes up to {} s", seconds_text(host.slow_actions));
  if (host.slow_signatures.count() != 0)
    text += fmt::format(", signatures up to {} s more", seconds_text(host.slow_signatures));
  if (host.clock.drift_ppm != 0) text += fmt::format(", clock off by {} millionths", host.clock.drift_ppm);
  if (host.options.cookie_threshold == 0) text += ", always asks for cookies";
  if (host.impostor) text += ", an impostor";
  return text;
}

}  // namespace

std::string in_words(const Scenario& scenario) {
  const auto hosts = participants(scenario);
  std::string text =
      fmt::format("{} gateways; faults end at {} s; then they must agree, and carry all for {} s\n",
                  hosts.size(), seconds_text(scenario.faults_end), seconds_text(scenario.proof));
  for (const std::size_t host : hosts) text += "  " + host_text(scenario.hosts[host]) + "\n";
  for (const TunnelPlan& tunnel : scenario.tunnels) {
    if (tunnel.children.empty()) continue;
    std::string children;
    for (const ChildPlan& child : tunnel.children)
      children += fmt::format("{}{} ({})", children.empty() ? "" : ", ", child.name,
                              child.interval.count() == 0
                                  ? std::string("no traffic")
                                  : fmt::format("a packet every {} s", seconds_text(child.interval)));
    text += fmt::format("  tunnel {}: {}{}\n", tunnel.connection, children,
                        tunnel.may_be_up ? "" : "; the secrets do not fit");
    for (const std::size_t end : {0U, 1U})
      text += fmt::format("    {} to {}: {}\n", scenario.hosts[tunnel.hosts[end]].name,
                          scenario.hosts[tunnel.hosts[1 - end]].name, link_text(tunnel.links[end]));
  }
  if (scenario.replays.interval.count() != 0)
    text += fmt::format("  old datagrams are sent again, one every {} s\n",
                        seconds_text(scenario.replays.interval));
  for (const Happening& one : scenario.happenings) {
    text += fmt::format("  at {}", happening_text(scenario, one));
    if (one.lasts.count() != 0) text += fmt::format(", for {} s", seconds_text(one.lasts));
    if (one.step.count() != 0) text += fmt::format(", by {} s", one.step / 1s);
    text += "\n";
  }
  return text;
}

}  // namespace merlon::sim
