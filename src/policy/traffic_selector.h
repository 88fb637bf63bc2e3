// Traffic selectors as sets of packets (RFC 4301 4.4.1.1, RFC 7296 2.9 and 3.13.1): text, matching, set
// algebra.
//
// A selector is a box: protocol x ports x addresses. A list of selectors is the union of its boxes. Ports 0
// to 65535 are ANY and hold OPAQUE ("the port cannot be seen") as well; OPAQUE alone is start 65535, end 0;
// every other range holds visible ports only. A selector whose start lies above its end is empty: it matches
// nothing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "wire/ike/ts.h"
#include "wire/ip/packet_view.h"

namespace merlon::policy {

using TrafficSelector = wire::TrafficSelector;
using TrafficSelectors = std::vector<TrafficSelector>;
using SelectorView = std::span<const TrafficSelector>;
// RFC 4301 4.4.1.1: what a packet shows of itself. Local and remote follow from the direction.
using PacketSelectors = wire::PacketView;

enum class Direction { kOutbound, kInbound };

// ---- Text. ADDRESSES or ADDRESSES[PROTOCOL] or ADDRESSES[PROTOCOL/PORTS]:
//   ADDRESSES  "10.1.0.0/16", "10.1.0.7", "10.1.0.5-10.1.0.9", "2001:db8::/32"; empty or "any": every address
//   PROTOCOL   "tcp", "udp", "icmp", "icmpv6", "sctp", "gre", ... or a number 1 to 255
//   PORTS      "443", "1000-2000", "any", "opaque"; ICMP: "TYPE" (all its codes) or "TYPE/CODE"; "mh": a
//   message type
// One text gives one selector, or two where no address tells the family ("[udp/53]"; ICMP tells it by
// itself). Errors: kInvalidArgument with the word that is wrong and what was expected.
[[nodiscard]] Result<TrafficSelectors> parse_traffic_selectors(std::string_view text);
// The same, where exactly one selector is wanted.
[[nodiscard]] Result<TrafficSelector> parse_traffic_selector(std::string_view text);
// What parse_traffic_selectors reads: "10.1.0.0/16[tcp/443]". Prefixes where the range is one. Never
// ambiguous.
[[nodiscard]] std::string to_text(const TrafficSelector& selector);
[[nodiscard]] std::string to_text(SelectorView selectors);  // comma-separated; "nothing" when empty
// "10.1.0.0/16 === 10.2.0.0/16"
[[nodiscard]] std::string to_text(SelectorView local, SelectorView remote);

// ---- Building.
[[nodiscard]] TrafficSelector selector_for(const IpPrefix& prefix);
[[nodiscard]] TrafficSelector selector_for(const IpAddress& first, const IpAddress& last);
// The narrowest selectors {local, remote} that hold the packet: what an initiator puts first into TSi and TSr
// when a packet triggered the exchange (RFC 7296 2.9). ICMP: type and code on both sides, as common peers do,
// since some of them do not let ANY meet the OPAQUE that RFC 4301 4.4.1.3 wants on the receiver's side.
[[nodiscard]] std::pair<TrafficSelector, TrafficSelector> selectors_of_packet(const PacketSelectors& packet,
                                                                              Direction direction);

// ---- Matching packets. `source_side` tells whether the selector is compared with the packet's source or
// destination. ICMP and mobility headers have one field in place of two ports: the source side must hold it;
// on the destination side ANY and OPAQUE match, and so does a range that holds it, since people write the
// type on both sides.
enum class PacketSide { kSource, kDestination };
[[nodiscard]] bool matches(const TrafficSelector& selector, const PacketSelectors& packet, PacketSide side);
[[nodiscard]] bool matches_any(SelectorView selectors, const PacketSelectors& packet, PacketSide side);
// RFC 4301 5.1 and 5.2 step 4: does the SA (or SPD entry) with these selectors carry this packet in this
// direction?
[[nodiscard]] bool matches(SelectorView local, SelectorView remote, const PacketSelectors& packet,
                           Direction direction);

// ---- Sets.
[[nodiscard]] bool is_empty(const TrafficSelector& selector);
[[nodiscard]] bool overlaps(const TrafficSelector& a, const TrafficSelector& b);
// nullopt where they share nothing. Commutative, associative, idempotent.
[[nodiscard]] std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b);
// Every pairwise intersection, in the order of `a` then `b`, without those that another one holds.
[[nodiscard]] TrafficSelectors intersect(SelectorView a, SelectorView b);
[[nodiscard]] bool contains(const TrafficSelector& outer, const TrafficSelector& inner);
// Every packet of `inner` is a packet of the union of `outer`, also where no single selector of `outer` holds
// it. The work is bounded: lists of thousands of cunningly overlapping boxes are said not to contain what
// they may contain.
[[nodiscard]] bool contains(SelectorView outer, SelectorView inner);
[[nodiscard]] bool same_set(SelectorView a, SelectorView b);
// The same intersection, given up once it has more than `limit` selectors: then it holds limit + 1 of them.
[[nodiscard]] TrafficSelectors intersect(SelectorView a, SelectorView b, std::size_t limit);
// Drops empty selectors and those that another one holds; keeps the order. Each result is one of the
// arguments.
[[nodiscard]] TrafficSelectors without_redundant(SelectorView selectors);
// The same set in fewer selectors: also joins neighbours, and sorts. Idempotent.
[[nodiscard]] TrafficSelectors normalised(SelectorView selectors);

}  // namespace merlon::policy
