// What a run consists of, as a plain value: gateways, the tunnels between them, the faults of the links and what happens when. Drawn
// from a seed, or written by a test. Taking things out of it gives a smaller run that goes as before up to there: each host, link and
// tunnel draws from a stream of its own.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ike/credentials.h"
#include "ikev2/engine.h"
#include "policy/connection.h"
#include "sim/network.h"

namespace merlon::sim {

struct HostPlan {
  std::string name;  // "A"
  IpAddress address;
  std::optional<IpAddress> nat;  // the outer address of the NAT in front of it
  Duration starts_at{0};
  ikev2::EngineOptions options;
  Duration slow_actions{0};  // key exchanges and signatures take up to this long; 0: at once
  std::vector<policy::ConnectionPtr> connections;
  std::shared_ptr<const ike::Credentials> credentials;
};

struct ChildPlan {
  std::string name;
  std::array<IpAddress, 2>
      first_address;     // of the protected network at each end; kInnerHosts addresses from here on
  Duration interval{0};  // between two inner packets, in each direction; 0: none
};
inline constexpr unsigned kInnerHosts = 32;

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
};
[[nodiscard]] std::string_view name(HappeningKind kind);

struct Happening {
  Duration at{0};
  HappeningKind kind = HappeningKind::kCrash;
  std::size_t host = 0;
  std::size_t tunnel = 0;  // where it is about one
  std::string child;       // where it is about one
  Duration lasts{0};
  friend bool operator==(const Happening&, const Happening&) = default;
};

struct Scenario {
  std::uint64_t seed = 0;
  std::vector<HostPlan> hosts;
  std::vector<TunnelPlan> tunnels;
  std::vector<Happening> happenings;  // by time
  Duration traffic_from{std::chrono::seconds(2)};
  Duration faults_end{std::chrono::seconds(30)};          // then everything heals
  Duration convergence_bound{std::chrono::seconds(240)};  // and within this long everything must be up
  Duration proof{std::chrono::seconds(15)};               // and for this long not one packet may be lost
  std::string summary;                                    // one line for people
};

// The scenario of a seed. `gateways`: 2 to 200; 0 draws it too (2 to 4).
[[nodiscard]] Scenario draw_scenario(std::uint64_t seed, unsigned gateways = 0);

// Two gateways, no faults, short lifetimes on both sides and much traffic: not one packet may be lost while everything is rekeyed.
[[nodiscard]] Scenario rekey_scenario(std::uint64_t seed);

}  // namespace merlon::sim
