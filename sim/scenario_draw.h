// How one tunnel's configuration is drawn. Only scenario*.cc include this.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "sim/key_store.h"
#include "sim/scenario.h"

namespace merlon::sim {

// What the simulator itself writes is always right.
template <class T>
[[nodiscard]] T need(Result<T> result) {
  MERLON_ASSERT(result.has_value());
  return std::move(*result);
}

struct TunnelDraw {
  Rng* rng = nullptr;
  std::size_t number = 0;  // of the tunnel: its inner networks are 10.NUMBER.0.0/16
  // The IKE proposal of each end. A host has one for all its connections: as a responder it answers IKE_SA_INIT before it knows for which of
  // them, where their peers have no fixed addresses.
  std::array<std::string, 2> ike_proposals;
  bool behind_nat = false;  // hosts[1]
  bool lifetimes = false, volume = false, small_path = false, narrowing = false, wrong_secret = false;
  bool client = false;    // hosts[1] calls when it has traffic
  bool only_esn = false;  // the Child SAs have extended sequence numbers
  bool short_lived_certificates =
      false;  // they end hours after the first moment, and the clock may be set beyond
};

struct TunnelEnds {
  std::array<policy::Connection, 2> connections;
  policy::AuthKind auth = policy::AuthKind::kPsk;
  KeyPlan key = KeyPlan::kEd25519;
};

// Whom such a happening may befall: an end of the tunnel; of a NAT whoever is behind one, and perhaps that is nobody.
[[nodiscard]] std::vector<std::size_t> may_befall(const Scenario& scenario, HappeningKind kind,
                                                  const TunnelPlan& tunnel);

// What the tunnel's first child does not hold, though it lies between its networks: a child that discards, and one that bypasses.
inline constexpr std::string_view kDiscarded = "discarded", kBypassed = "bypassed";
void add_exceptions(policy::Connection& connection, const TunnelPlan& tunnel, std::size_t end);
// Each selector of IPv4 addresses also for their IPv6 twins.
void add_ipv6(policy::Connection& connection);

// Fills in the tunnel's children and what is expected of it.
[[nodiscard]] TunnelEnds draw_tunnel(const TunnelDraw& draw, TunnelPlan& tunnel,
                                     const std::vector<HostPlan>& hosts);
[[nodiscard]] ike::ConnectionCredentials credentials_for(const TunnelDraw& draw, const TunnelEnds& ends,
                                                         const TunnelPlan& tunnel, std::size_t end);

}  // namespace merlon::sim
