// What a run consists of, as a plain value: gateways, the tunnels between them, the faults of the links and what happens when. Drawn
// from a seed, or written by a test. Taking things out of it gives a smaller run that goes as before up to there: each host, link and
// tunnel draws from a stream of its own.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "esp/config.h"
#include "ike/credentials.h"
#include "ikev2/engine.h"
#include "policy/connection.h"
#include "sim/network.h"

namespace merlon::sim {

// How a host's clocks go. The monotonic one runs faster or slower than true time; the wall clock is stepped by happenings.
struct ClockPlan {
  std::int64_t drift_ppm = 0;  // millionths: 10,000 is 1 % fast
  bool starts_anew = false;    // a crash is one of the machine: its monotonic clock begins again near zero
  friend bool operator==(const ClockPlan&, const ClockPlan&) = default;
};

// An engine for few SAs: thousands of hosts are made in a campaign.
[[nodiscard]] inline esp::EngineConfig small_engine() {
  esp::EngineConfig made;
  made.sa_capacity = 1024;
  return made;
}

struct HostPlan {
  std::string name;  // "A"
  IpAddress address;
  std::vector<IpAddress> other_addresses;  // it moves to these and back, in turn
  std::optional<IpAddress> nat;            // the outer address of the NAT in front of it
  Duration starts_at{0};
  ClockPlan clock;
  ikev2::EngineOptions options;
  esp::EngineConfig esp = small_engine();
  std::size_t packets = 640;    // of its packet pool
  Duration slow_actions{0};     // key exchanges and signatures take up to this long; 0: at once
  Duration slow_signatures{0};  // signatures take up to this long beside
  // Claims to be another one, without that one's key: it has a connection of that one's name, and no tunnel of its own.
  bool impostor = false;
  bool probes_paths = false;  // asks now and then how large a datagram reaches its peers
  std::vector<policy::ConnectionPtr> connections;
  std::shared_ptr<const ike::Credentials> credentials;
};

struct ChildPlan {
  std::string name;
  std::array<IpAddress, 2>
      first_address;      // of the protected network at each end; kInnerHosts addresses from here on
  Duration interval{0};   // between two inner packets, in each direction; 0: none
  bool ipv6_too = false;  // also the ipv6_twin() of each address
  unsigned parallel =
      1;  // Child SAs with these selectors that both ends want (RFC 9611): the fewer of the two
};
inline constexpr unsigned kInnerHosts = 32;
[[nodiscard]] IpAddress ipv6_twin(const IpAddress& v4);  // fd00::10.0.0.1

// A connection as both its ends have it configured; it has one name.
struct TunnelPlan {
  std::string connection;
  std::array<std::size_t, 2> hosts{};
  std::array<LinkFaults, 2> links;  // from hosts[0] to hosts[1], and back
  std::vector<ChildPlan> children;
  bool should_be_up = true;  // somebody starts it, and both secrets fit
  bool may_be_up = true;     // false: the secrets do not fit, so an SA would be a break-in
};

enum class HappeningKind : std::uint8_t {
  kCrash,      // the host loses everything but its configuration, and is back after `lasts`
  kStop,       // the same, after a clean stop that tells the peers
  kCut,        // nothing passes from hosts[end] to the other end for `lasts`
  kRebind,     // the NAT of `host` forgets its mappings
  kTerminate,  // the engine's command: a delete that the supervisor did not ask for
  kTakeDown,   // a person's `merlon down`, with an `up` after `lasts`
  kRekeyIke,
  kRekeyChild,
  kReconfigure,  // the same configuration once more: nothing may change
  kCheckPaths,   // the host's addresses or routes changed
  kIsolate,      // nothing passes to or from `host` for `lasts`
  kNatRestart,   // the same as kRebind, and the NAT has another address
  kMove,         // the host has its next address instead of the one it had
  kPause,  // the host stands still for `lasts` with all it knows; what comes meanwhile waits, as far as a socket buffer holds it
  kClockStep,  // the host's wall clock is set `step` ahead (or back); it is right again when everything heals
};
[[nodiscard]] std::string_view name(HappeningKind kind);

struct Happening {
  Duration at{0};
  HappeningKind kind = HappeningKind::kCrash;
  std::size_t host = 0;
  std::size_t tunnel = 0;  // where it is about one
  std::string child;       // where it is about one
  Duration lasts{0};
  Duration step{0};
  friend bool operator==(const Happening&, const Happening&) = default;
};

struct Scenario {
  std::uint64_t seed = 0;
  std::vector<HostPlan> hosts;
  std::vector<TunnelPlan> tunnels;
  std::vector<Happening> happenings;  // by time
  Replays replays;
  Duration traffic_from{std::chrono::seconds(2)};
  Duration odd_interval{0};  // between two odd packets of each host (Checker::make_odd); 0: none
  bool beyond_narrowed =
      false;  // odd packets may be such as the other end does not take, though their sender's policy protects them
  Duration faults_end{std::chrono::seconds(30)};          // then everything heals
  Duration convergence_bound{std::chrono::seconds(240)};  // and within this long everything must be up
  Duration proof{std::chrono::seconds(15)};               // and for this long not one packet may be lost
  // SAs end too fast to be replaced in time (their sequence numbers are few): then each direction of each child must carry half of its
  // packets.
  bool may_lose = false;
  std::string summary;  // one line for people
};

// Which faults there are at all.
enum class Repertoire {
  kFirst,  // loss, duplicates, delay, cuts, crashes, commands, short lifetimes: what the kept seeds were found with
  kAll,  // and bursts, damage, replays, restarts of NATs, moves, clocks, pauses, impostors, small limits, more gateways
};

// The scenario of a seed. `gateways`: 2 to 200; 0 draws it too (2 to 4 mostly, sometimes many).
[[nodiscard]] Scenario draw_scenario(std::uint64_t seed, unsigned gateways = 0,
                                     Repertoire repertoire = Repertoire::kAll);

// The load that speed is measured with: each SA rekeyed every ten minutes, a packet a second a tunnel, a fault a minute. An hour.
[[nodiscard]] Scenario pace_scenario(std::uint64_t seed, unsigned gateways = 10);

// Two gateways, no faults, short lifetimes on both sides and much traffic: not one packet may be lost while everything is rekeyed.
[[nodiscard]] Scenario rekey_scenario(std::uint64_t seed);

}  // namespace merlon::sim
