// Links, addresses, routes and rules as plain values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"

namespace merlon::io {

// The routing protocol number ("proto" in `ip route` and `ip rule`) of everything Merlon installs: by it,
// what a killed daemon left is found. Not taken in iproute2's rt_protos.
inline constexpr std::uint8_t kRouteProtocol = 77;

inline constexpr std::uint32_t kMainTable = 254;
inline constexpr std::uint32_t kLocalTable = 255;

struct Link {
  int index = 0;
  std::string name = {};
  std::string kind = {};  // "tun", "veth", ...; empty for hardware
  unsigned mtu = 0;
  bool up = false;       // IFF_UP: somebody wants it up
  bool running = false;  // IFF_RUNNING: and it can carry packets
  bool loopback = false;
  friend bool operator==(const Link&, const Link&) = default;
};

struct LinkAddress {
  int link_index = 0;
  IpAddress address = {};
  unsigned prefix_length = 0;
  bool tentative = false;   // IPv6, duplicate address detection still runs: can not be sent from yet
  bool deprecated = false;  // IPv6: not for new traffic
  friend bool operator==(const LinkAddress&, const LinkAddress&) = default;
};

// Values are the kernel's RTN_*.
enum class RouteType : std::uint8_t {
  kUnicast = 1,
  kLocal = 2,
  kBlackhole = 6,    // dropped without a word
  kUnreachable = 7,  // dropped with an ICMP error
  kProhibit = 8,
  kThrow = 9,  // leaves this table: the next rule decides
};

struct Route {
  IpPrefix destination = {};
  std::uint32_t table = kMainTable;
  // Lower is preferred. In IPv6, 0 means 1024 to the kernel. Give the guard behind a route a larger one than
  // the route.
  std::uint32_t metric = 0;
  RouteType type = RouteType::kUnicast;
  int link_index = 0;  // output interface; 0: found by gateway. Only for kUnicast and kLocal
  std::optional<IpAddress> gateway = {};
  std::optional<IpAddress> preferred_source = {};
  unsigned mtu = 0;             // bytes; 0: the link's
  unsigned advertised_mss = 0;  // bytes; 0: from the MTU
  std::uint8_t protocol = kRouteProtocol;
  friend bool operator==(const Route&, const Route&) = default;
};

struct RulePorts {  // inclusive
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  friend bool operator==(const RulePorts&, const RulePorts&) = default;
};

// Values are the kernel's FR_ACT_*.
enum class RuleAction : std::uint8_t {
  kLookup = 1,
  kNothing = 3,
  kBlackhole = 6,
  kUnreachable = 7,
  kProhibit = 8
};

// A routing policy rule (`ip rule`). All conditions that are given must hold; with invert, the rule applies
// where they do not.
struct Rule {
  IpFamily family = IpFamily::kIpv4;
  std::uint32_t priority = 0;  // lower is asked first; main is 32,766, local 0
  RuleAction action = RuleAction::kLookup;
  std::uint32_t table = 0;  // for kLookup
  bool invert = false;
  std::optional<std::uint32_t> mark = {};
  std::uint32_t mask = 0xffffffff;  // counts only with mark
  std::optional<IpPrefix> from = {};
  std::optional<IpPrefix> to = {};
  std::optional<std::uint8_t> ip_protocol = {};
  std::optional<RulePorts> source_ports = {};
  std::optional<RulePorts> destination_ports = {};
  std::string input_device = {};  // "lo": locally made packets
  std::string output_device = {};
  // Routes of the table with prefixes this long or shorter do not count (0: its default routes do not).
  std::optional<std::uint32_t> suppress_prefix_length = {};
  std::uint8_t protocol = kRouteProtocol;
  friend bool operator==(const Rule&, const Rule&) = default;
};

struct RouteQuery {
  IpAddress destination = {};
  std::optional<IpAddress> source = {};
  std::uint32_t mark = 0;
  int link_index = 0;  // only routes over this interface; 0: any
};

struct RouteAnswer {
  RouteType type = RouteType::kUnicast;  // kUnicast, or kLocal: one of this host's own addresses
  int link_index = 0;
  IpAddress source = {};  // what the kernel would send from
  std::optional<IpAddress> gateway = {};
  std::uint32_t table = 0;
  unsigned mtu = 0;  // bytes: the route's, or the learnt path MTU, or the link's
};

struct NetlinkChange {
  enum class Kind {
    kLinkChanged,
    kLinkRemoved,
    kAddressAdded,
    kAddressRemoved,
    kRouteAdded,
    kRouteRemoved,
    kOwnRouteRemoved,  // one of ours, by us or by others
    kRuleRemoved,      // anybody's: it may have been ours
  };
  Kind kind = Kind::kLinkChanged;
  int link_index = 0;                       // 0: a route without an interface
  std::optional<Link> link = {};            // with kLink...
  std::optional<LinkAddress> address = {};  // with kAddress...
  std::optional<Route> route = {};          // with kRoute... and kOwnRoute...
};

}  // namespace merlon::io
