#include "sim/convergence.h"

#include <fmt/format.h>

#include <algorithm>

namespace merlon::sim {
namespace {

// A responder may hold half of an IKE SA for a request that came out of the past; it goes by itself and disturbs nobody.
constexpr std::string_view kHalfOpen = "half open", kClosing = "closing", kEstablished = "established";
// Between two rekeys of one SA a tunnel is whole for longer than between two looks, and this is longer than a rekey takes.
constexpr Duration kLately = std::chrono::seconds(5);

std::vector<ike::IkeSaStatus> sas_of(const Host& host, const std::string& connection) {
  auto all = host.status();
  std::erase_if(all, [&](const auto& sa) { return sa.connection != connection || sa.phase == kHalfOpen; });
  return all;
}

using Children = std::vector<const ike::ChildSaStatus*>;
Children children_of(const ike::IkeSaStatus& sa, const std::string& name) {
  Children found;
  for (const auto& child : sa.children)
    if (child.child == name) found.push_back(&child);
  return found;
}

// RFC 9611 4: each end asks for one more while one is missing, and takes the peer's although it asks itself; so where both begin at once
// there is one more than is wanted.
std::size_t most_child_sas(const ChildPlan& plan) {
  return plan.parallel == 1 ? 1 : plan.parallel + 1;
}

std::string why_child_differs(const std::string& name, const ChildPlan& plan, const Children& a,
                              const Children& b) {
  for (const auto* end : {&a, &b})
    if (end->size() < plan.parallel || end->size() > most_child_sas(plan))
      return fmt::format("{} has {} SAs on one end, not {}", name, end->size(), plan.parallel);
  for (const auto* first : a) {
    const auto mirrored = std::find_if(b.begin(), b.end(), [&](const auto* second) {
      return first->inbound_spi == second->outbound_spi && first->outbound_spi == second->inbound_spi;
    });
    if (mirrored == b.end()) return fmt::format("{} is not the same SA on both ends", name);
    if (first->rekeying || (*mirrored)->rekeying) return fmt::format("{} is being rekeyed", name);
    if (!first->outbound_in_use || !(*mirrored)->outbound_in_use)
      return fmt::format("{} is not in use outbound", name);
  }
  return {};
}

std::string why_children_differ(const TunnelPlan& tunnel, const ike::IkeSaStatus& a,
                                const ike::IkeSaStatus& b) {
  std::size_t planned = 0;
  for (const ChildPlan& plan : tunnel.children) {
    const auto at_a = children_of(a, plan.name), at_b = children_of(b, plan.name);
    if (auto why = why_child_differs(tunnel.connection + "." + plan.name, plan, at_a, at_b); !why.empty())
      return why;
    planned += at_a.size();
  }
  for (const auto* sa : {&a, &b})
    if (sa->children.size() != planned)
      return fmt::format("{} has {} Child SAs on one end, not {}", tunnel.connection, sa->children.size(),
                         planned);
  return {};
}

std::string why_not_up(const TunnelPlan& tunnel, const Host& first, const Host& second) {
  const auto a = sas_of(first, tunnel.connection), b = sas_of(second, tunnel.connection);
  if (!tunnel.should_be_up) {
    const bool up = std::any_of(a.begin(), a.end(), [](const auto& sa) { return sa.phase == kEstablished; });
    return up && !tunnel.may_be_up ? tunnel.connection + " is up, and its secrets do not fit" : std::string();
  }
  for (const auto* end : {&a, &b})
    if (end->size() != 1)
      return fmt::format("{} has {} IKE SAs at {}", tunnel.connection, end->size(),
                         end == &a ? first.name() : second.name());
  for (const auto* sa : {&a[0], &b[0]})
    if (sa->phase != kEstablished) return fmt::format("the IKE SA of {} is {}", tunnel.connection, sa->phase);
  if (a[0].id != b[0].id) return fmt::format("{} is not the same IKE SA on both ends", tunnel.connection);
  if (a[0].initiator == b[0].initiator)
    return fmt::format("both ends of {} have one role", tunnel.connection);
  return why_children_differ(tunnel, a[0], b[0]);
}

}  // namespace

std::string Convergence::why_not(const Scenario& scenario, const Hosts& hosts, Duration now) {
  for (const auto& host : hosts)
    if (!host->runs()) return host->name() + " does not run";
  std::string first;
  for (std::size_t i = 0; i < scenario.tunnels.size(); ++i) {
    const TunnelPlan& tunnel = scenario.tunnels[i];
    std::string why = why_not_up(tunnel, *hosts[tunnel.hosts[0]], *hosts[tunnel.hosts[1]]);
    if (why.empty()) whole_at_[i] = now;
    const auto at = whole_at_.find(i);
    const bool lately = at != whole_at_.end() && now - at->second <= kLately;
    if (!lately && first.empty()) first = std::move(why);
  }
  return first;
}

std::string what_is_left(const Hosts& hosts) {
  for (const auto& host : hosts) {
    if (!host->idle()) return host->name() + " still waits for an answer";
    if (const auto sas = host->status(); !sas.empty())
      return fmt::format("{} has {} IKE SAs, one of {}", host->name(), sas.size(), sas[0].connection);
    if (host->ike_sa_count() != 0)
      return fmt::format("{} has {} IKE SAs that linger", host->name(), host->ike_sa_count());
    if (!host->installed().empty())
      return fmt::format("{} has {} Child SAs in its packet engine", host->name(), host->installed().size());
    if (host->spis_held() != 0) return fmt::format("{} holds {} SPIs", host->name(), host->spis_held());
    if (host->packets_held() != 0)
      return fmt::format("{} holds {} packets", host->name(), host->packets_held());
  }
  return {};
}

namespace {

struct Bound {
  std::string_view what;
  std::size_t held = 0, most = 0;
};

std::string beyond(const Host& host, std::initializer_list<Bound> bounds) {
  for (const Bound& bound : bounds)
    if (bound.held > bound.most)
      return fmt::format("{} has {} {}, and may have {}", host.name(), bound.held, bound.what, bound.most);
  return {};
}

// IKE SAs that count for the limit: not those that only repeat their last answer. A rekey is never refused for it (ikev2/engine.h): of an
// IKE SA and what it was before, only one has the children.
std::size_t counted_ike_sas(const Host& host) {
  const auto all = host.status();
  const auto beside = std::count_if(all.begin(), all.end(), [](const auto& sa) {
    return sa.phase == kClosing || (sa.phase == kEstablished && sa.children.empty());
  });
  return host.ike_sa_count() - host.lingering_count() - static_cast<std::size_t>(beside);
}

std::string what_has_grown(const Scenario& scenario, const Host& host, std::size_t number) {
  std::size_t tunnels = 0, children = 0;
  for (const TunnelPlan& tunnel : scenario.tunnels)
    if (tunnel.hosts[0] == number || tunnel.hosts[1] == number) {
      ++tunnels;
      for (const ChildPlan& child : tunnel.children) children += child.parallel;
    }
  const HostPlan& plan = scenario.hosts[number];
  if (plan.impostor) tunnels = children = 3;
  const ikev2::EngineOptions& options = plan.options;
  // Of each tunnel an IKE SA with its successor, a candidate or two, and those that end.
  const std::size_t of_tunnels = tunnels * 24;
  return beyond(host,
                {{"half-open IKE SAs", host.half_open_count(), options.half_open_limit},
                 {"IKE SAs that are not half open", host.ike_sa_count() - host.half_open_count(), of_tunnels},
                 {"IKE SAs for its limit", counted_ike_sas(host), options.ike_sa_limit},
                 {"IKE SAs that linger", host.lingering_count(), options.lingering_limit},
                 {"bytes of unfinished messages", host.memory_used(), options.memory_limit},
                 {"Child SAs in its packet engine", host.installed().size(), plan.esp.sa_capacity},
                 {"packets in its buffers", host.packets_held(), plan.esp.held_packets},
                 {"SPIs", host.spis_held(), children * 24}});
}

}  // namespace

std::string what_has_grown(const Scenario& scenario, const Hosts& hosts) {
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (auto grown = what_has_grown(scenario, *hosts[i], i); !grown.empty()) return grown;
    if (const auto orphan = hosts[i]->orphan())
      return fmt::format("{} has Child SA {} in its packet engine, which no IKE SA knows", hosts[i]->name(),
                         orphan->value);
  }
  return {};
}

}  // namespace merlon::sim
