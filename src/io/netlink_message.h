// rtnetlink messages composed and parsed (RFC 3549, rtnetlink(7)), behind netlink.h.
#pragma once

#include <linux/netlink.h>

#include <memory>

#include "io/netlink_types.h"

struct nl_msg;

namespace merlon::io::netlink {

struct MessageDeleter {
  void operator()(nl_msg* message) const;
};
using Message = std::unique_ptr<nl_msg, MessageDeleter>;

// Composing never fails but for memory or a bug of ours, and asserts then. type: RTM_*; flags: NLM_F_* beside
// NLM_F_REQUEST.
[[nodiscard]] Message dump_request(int type, IpFamily family);
[[nodiscard]] Message link_dump_request();
[[nodiscard]] Message link_request(int index, std::string_view name);  // by name where index is 0
[[nodiscard]] Message link_up_request(int index, bool up);
[[nodiscard]] Message link_mtu_request(int index, unsigned mtu);
[[nodiscard]] Message address_request(int type, int flags, const LinkAddress& address);
[[nodiscard]] Message route_request(int type, int flags, const Route& route);
[[nodiscard]] Message rule_request(int type, int flags, const Rule& rule);
[[nodiscard]] Message lookup_request(const RouteQuery& query);

// nullopt: not a message of that kind, or of a family or shape that is not spoken of here.
[[nodiscard]] std::optional<Link> parse_link(nlmsghdr& header);
// tx_dropped of a link's counters.
[[nodiscard]] std::optional<std::uint64_t> parse_link_drops(nlmsghdr& header);
[[nodiscard]] std::optional<LinkAddress> parse_address(nlmsghdr& header);
[[nodiscard]] std::optional<Route> parse_route(nlmsghdr& header);
[[nodiscard]] std::optional<Rule> parse_rule(nlmsghdr& header);
// An answer to lookup_request; mtu stays 0 where only the link says it. `refused` is set for blackhole,
// unreachable and prohibit routes.
struct ParsedAnswer {
  RouteAnswer answer;
  bool refused = false;
};
[[nodiscard]] std::optional<ParsedAnswer> parse_answer(nlmsghdr& header);

}  // namespace merlon::io::netlink
