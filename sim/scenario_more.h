// The faults and the shapes of Repertoire::kAll that Repertoire::kFirst does not have. They draw from a stream of their own, so that what a
// seed gives without them stays as it was. Only scenario*.cc include this.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "sim/scenario.h"
#include "sim/scenario_draw.h"

namespace merlon::sim {

using Edges =
    std::vector<std::pair<std::size_t, std::size_t>>;  // the hosts of each tunnel, the caller of a NAT second

class MoreFaults {
 public:
  explicit MoreFaults(std::uint64_t seed);

  // Mostly 2 to 4, as `few` says; sometimes up to 200.
  [[nodiscard]] std::size_t host_count(std::size_t few);
  // Who has a tunnel with whom: a star around the first, a ring, a chain, or everybody with everybody. `nat`: only a star.
  [[nodiscard]] Edges shape(std::size_t hosts, bool nat);
  // Everybody but the first is behind a NAT and calls when there is traffic.
  [[nodiscard]] bool clients() const { return clients_; }
  // Two hosts may be behind one NAT.
  [[nodiscard]] bool shares_nat() { return chance_of(500); }

  void add_to(HostPlan& host, std::size_t number, bool ipv6);
  void add_to(LinkFaults& link);
  void add_to(TunnelDraw& draw);
  void add_to(TunnelEnds& ends, const std::vector<HostPlan>& hosts, TunnelPlan& tunnel);
  // What depends on the whole: limits, replays, what happens when.
  void finish(Scenario& scenario);

  // Somebody who says that he is `tunnel`'s end `claimed`: a connection like that one's, and a key of his own.
  struct Impostor {
    HostPlan host;
    std::size_t claimed = 0;
  };
  // Nobody, where this run has none or nobody could call the victim.
  [[nodiscard]] std::optional<Impostor> impostor(const TunnelDraw& draw, const TunnelEnds& ends,
                                                 const TunnelPlan& tunnel, const std::vector<HostPlan>& hosts,
                                                 std::size_t number, bool ipv6);

  // ", bursts, moves". `nat`: somebody is behind one.
  [[nodiscard]] std::string text(bool nat) const;

 private:
  [[nodiscard]] bool chance_of(unsigned permille);
  [[nodiscard]] Duration milliseconds(std::uint64_t low, std::uint64_t high);
  void add_happenings(Scenario& scenario, HappeningKind kind, std::uint64_t most, Duration shortest,
                      Duration longest);
  void limit(HostPlan& host, std::size_t peers, std::size_t children);

  SeededRng rng_, inner_rng_;  // the second for what the tunnels carry
  bool bursts_, damage_, replays_, isolation_, nat_restarts_, moves_, pauses_, steps_, drift_, reboots_,
      impostors_, limits_, few_numbers_, high_numbers_, message_ids_, slow_signatures_, no_initial_contact_,
      keep_, probes_, clients_, exceptions_, ipv6_inside_;
  unsigned impostors_made_ = 0;
};

}  // namespace merlon::sim
