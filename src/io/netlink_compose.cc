#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>

#include "base/check.h"
#include "io/netlink_message.h"

namespace merlon::io::netlink {
namespace {

std::uint8_t family_of(IpFamily family) {
  return static_cast<std::uint8_t>(family == IpFamily::kIpv4 ? AF_INET : AF_INET6);
}

template <class Header>
Message compose(int type, int flags, const Header& header) {
  Message message(nlmsg_alloc_simple(type, NLM_F_REQUEST | flags));
  MERLON_ASSERT(message != nullptr);
  Header copy = header;
  MERLON_ASSERT(nlmsg_append(message.get(), &copy, sizeof copy, NLMSG_ALIGNTO) == 0);
  return message;
}

void put(const Message& message, int attribute, const void* data, std::size_t size) {
  MERLON_ASSERT(nla_put(message.get(), attribute, static_cast<int>(size), data) == 0);
}
void put_u8(const Message& message, int attribute, std::uint8_t value) {
  put(message, attribute, &value, sizeof value);
}
void put_u32(const Message& message, int attribute, std::uint32_t value) {
  put(message, attribute, &value, sizeof value);
}
void put_address(const Message& message, int attribute, const IpAddress& address) {
  put(message, attribute, address.bytes().data(), address.bytes().size());
}
void put_name(const Message& message, int attribute, std::string_view name) {
  const std::string terminated(name);
  put(message, attribute, terminated.c_str(), terminated.size() + 1);
}

// Table numbers beyond the header's octet stand in an attribute.
std::uint8_t header_table(std::uint32_t table) {
  return table < 256 ? static_cast<std::uint8_t>(table) : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
}

std::uint8_t scope_of(const Route& route) {
  if (route.type == RouteType::kLocal) return RT_SCOPE_HOST;
  return route.type == RouteType::kUnicast && !route.gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

void put_metrics(const Message& message, const Route& route) {
  if (route.mtu == 0 && route.advertised_mss == 0) return;
  nlattr* nest = nla_nest_start(message.get(), RTA_METRICS);
  MERLON_ASSERT(nest != nullptr);
  if (route.mtu != 0) put_u32(message, RTAX_MTU, route.mtu);
  if (route.advertised_mss != 0) put_u32(message, RTAX_ADVMSS, route.advertised_mss);
  nla_nest_end(message.get(), nest);
}

void put_ports(const Message& message, int attribute, const std::optional<RulePorts>& ports) {
  if (!ports) return;
  const fib_rule_port_range range{ports->first, ports->last};
  put(message, attribute, &range, sizeof range);
}

}  // namespace

void MessageDeleter::operator()(nl_msg* message) const {
  nlmsg_free(message);
}

Message dump_request(int type, IpFamily family) {
  rtmsg header{};  // fib_rule_hdr and ifaddrmsg begin with the family as well, and are not larger
  header.rtm_family = family_of(family);
  return compose(type, NLM_F_DUMP, header);
}

Message link_dump_request() {
  return compose(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
}

Message link_request(int index, std::string_view name) {
  ifinfomsg header{};
  header.ifi_index = index;
  Message message = compose(RTM_GETLINK, 0, header);
  if (index == 0) put_name(message, IFLA_IFNAME, name);
  return message;
}

Message link_up_request(int index, bool up) {
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = up ? IFF_UP : 0;
  header.ifi_change = IFF_UP;
  return compose(RTM_NEWLINK, 0, header);
}

Message link_mtu_request(int index, unsigned mtu) {
  ifinfomsg header{};
  header.ifi_index = index;
  Message message = compose(RTM_NEWLINK, 0, header);
  put_u32(message, IFLA_MTU, mtu);
  return message;
}

Message address_request(int type, int flags, const LinkAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = family_of(address.address.family());
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  header.ifa_index = static_cast<unsigned>(address.link_index);
  Message message = compose(type, flags, header);
  put_address(message, IFA_LOCAL, address.address);
  put_address(message, IFA_ADDRESS, address.address);
  if (type == RTM_NEWADDR) {
    const std::uint32_t no_dad = address.address.is_v6() ? std::uint32_t{IFA_F_NODAD} : 0U;
    put_u32(message, IFA_FLAGS, IFA_F_NOPREFIXROUTE | no_dad);
  }
  return message;
}

Message route_request(int type, int flags, const Route& route) {
  rtmsg header{};
  header.rtm_family = family_of(route.destination.address.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
  header.rtm_table = header_table(route.table);
  header.rtm_protocol = route.protocol;
  header.rtm_scope = type == RTM_DELROUTE ? std::uint8_t{RT_SCOPE_NOWHERE} : scope_of(route);
  header.rtm_type = static_cast<std::uint8_t>(route.type);
  Message message = compose(type, flags, header);
  put_address(message, RTA_DST, route.destination.address.masked(route.destination.length));
  put_u32(message, RTA_TABLE, route.table);
  if (route.metric != 0) put_u32(message, RTA_PRIORITY, route.metric);
  const bool has_next_hop = route.type == RouteType::kUnicast || route.type == RouteType::kLocal;
  if (has_next_hop && route.link_index != 0)
    put_u32(message, RTA_OIF, static_cast<std::uint32_t>(route.link_index));
  if (has_next_hop && route.gateway) put_address(message, RTA_GATEWAY, *route.gateway);
  if (type == RTM_DELROUTE) return message;
  if (route.preferred_source) put_address(message, RTA_PREFSRC, *route.preferred_source);
  put_metrics(message, route);
  return message;
}

Message rule_request(int type, int flags, const Rule& rule) {
  fib_rule_hdr header{};
  header.family = family_of(rule.family);
  header.dst_len = static_cast<std::uint8_t>(rule.to ? rule.to->length : 0);
  header.src_len = static_cast<std::uint8_t>(rule.from ? rule.from->length : 0);
  header.table = header_table(rule.table);
  header.action = static_cast<std::uint8_t>(rule.action);
  header.flags = rule.invert ? FIB_RULE_INVERT : 0;
  Message message = compose(type, flags, header);
  put_u32(message, FRA_PRIORITY, rule.priority);
  put_u8(message, FRA_PROTOCOL, rule.protocol);
  if (rule.action == RuleAction::kLookup) put_u32(message, FRA_TABLE, rule.table);
  if (rule.to) put_address(message, FRA_DST, rule.to->address);
  if (rule.from) put_address(message, FRA_SRC, rule.from->address);
  if (rule.mark) {
    put_u32(message, FRA_FWMARK, *rule.mark);
    put_u32(message, FRA_FWMASK, rule.mask);
  }
  if (rule.ip_protocol) put_u8(message, FRA_IP_PROTO, *rule.ip_protocol);
  put_ports(message, FRA_SPORT_RANGE, rule.source_ports);
  put_ports(message, FRA_DPORT_RANGE, rule.destination_ports);
  if (!rule.input_device.empty()) put_name(message, FRA_IIFNAME, rule.input_device);
  if (!rule.output_device.empty()) put_name(message, FRA_OIFNAME, rule.output_device);
  if (rule.suppress_prefix_length) put_u32(message, FRA_SUPPRESS_PREFIXLEN, *rule.suppress_prefix_length);
  return message;
}

Message lookup_request(const RouteQuery& query) {
  rtmsg header{};
  header.rtm_family = family_of(query.destination.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(query.destination.bit_width());
  header.rtm_src_len = static_cast<std::uint8_t>(query.source ? query.source->bit_width() : 0);
  header.rtm_flags = RTM_F_LOOKUP_TABLE;
  Message message = compose(RTM_GETROUTE, 0, header);
  put_address(message, RTA_DST, query.destination);
  if (query.source) put_address(message, RTA_SRC, *query.source);
  if (query.mark != 0) put_u32(message, RTA_MARK, query.mark);
  if (query.link_index != 0) put_u32(message, RTA_OIF, static_cast<std::uint32_t>(query.link_index));
  return message;
}

}  // namespace merlon::io::netlink
