#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "io/netlink_message.h"

namespace merlon::io::netlink {
namespace {

// The attributes behind a message's header, by number.
template <std::size_t kMax>
class Attributes {
 public:
  explicit Attributes(nlattr* nest) { ok_ = nla_parse_nested(table_.data(), kMax, nest, nullptr) == 0; }
  Attributes(nlmsghdr& header, int header_size) {
    ok_ = nlmsg_parse(&header, header_size, table_.data(), kMax, nullptr) == 0;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool has(std::size_t number) const { return table_[number] != nullptr; }
  [[nodiscard]] nlattr* at(std::size_t number) const { return table_[number]; }

  template <class T>
  [[nodiscard]] std::optional<T> value(std::size_t number) const {
    T out{};
    if (!has(number) || nla_len(table_[number]) < static_cast<int>(sizeof out)) return std::nullopt;
    std::memcpy(&out, nla_data(table_[number]), sizeof out);
    return out;
  }
  [[nodiscard]] std::optional<IpAddress> address(std::size_t number) const {
    if (!has(number)) return std::nullopt;
    const auto parsed = IpAddress::from_bytes({static_cast<const std::uint8_t*>(nla_data(table_[number])),
                                               static_cast<std::size_t>(nla_len(table_[number]))});
    return parsed ? std::optional(*parsed) : std::nullopt;
  }
  [[nodiscard]] std::string text(std::size_t number) const {
    if (!has(number)) return {};
    const auto* data = static_cast<const char*>(nla_data(table_[number]));
    return {data, strnlen(data, static_cast<std::size_t>(nla_len(table_[number])))};
  }

 private:
  std::array<nlattr*, kMax + 1> table_{};
  bool ok_ = false;
};

template <class Header>
const Header* header_of(nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(Header))) return nullptr;
  return static_cast<const Header*>(nlmsg_data(&message));
}

std::optional<IpFamily> family_of(int family) {
  if (family == AF_INET) return IpFamily::kIpv4;
  if (family == AF_INET6) return IpFamily::kIpv6;
  return std::nullopt;
}

// nullopt where the attribute does not fit the family.
std::optional<IpPrefix> prefix_of(IpFamily family, const std::optional<IpAddress>& address, unsigned length) {
  const IpAddress base = address.value_or(IpAddress::any(family));
  if (base.family() != family || length > base.bit_width()) return std::nullopt;
  return IpPrefix{base.masked(length), length};
}

std::optional<RulePorts> ports_of(const std::optional<fib_rule_port_range>& range) {
  if (!range) return std::nullopt;
  return RulePorts{range->start, range->end};
}

}  // namespace

std::optional<Link> parse_link(nlmsghdr& message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family == AF_BRIDGE) return std::nullopt;
  const Attributes<IFLA_MAX> attributes(message, sizeof *header);
  if (!attributes.ok()) return std::nullopt;
  Link link;
  link.index = header->ifi_index;
  link.name = attributes.text(IFLA_IFNAME);
  link.mtu = attributes.value<std::uint32_t>(IFLA_MTU).value_or(0);
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.running = (header->ifi_flags & IFF_RUNNING) != 0;
  link.loopback = (header->ifi_flags & IFF_LOOPBACK) != 0;
  if (attributes.has(IFLA_LINKINFO))
    link.kind = Attributes<IFLA_INFO_MAX>(attributes.at(IFLA_LINKINFO)).text(IFLA_INFO_KIND);
  return link;
}

std::optional<std::uint64_t> parse_link_drops(nlmsghdr& message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr) return std::nullopt;
  const Attributes<IFLA_MAX> attributes(message, sizeof *header);
  // Kernels add fields behind those that older headers know, and older kernels lack some: as much as reaches to the one.
  struct Counters {
    std::array<std::uint64_t, offsetof(rtnl_link_stats64, tx_dropped) / sizeof(std::uint64_t)> others;
    std::uint64_t tx_dropped;
  };
  const auto counters = attributes.value<Counters>(IFLA_STATS64);
  if (!attributes.ok() || !counters) return std::nullopt;
  return counters->tx_dropped;
}

std::optional<LinkAddress> parse_address(nlmsghdr& message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr || !family_of(header->ifa_family)) return std::nullopt;
  const Attributes<IFA_MAX> attributes(message, sizeof *header);
  // On point-to-point links IFA_ADDRESS is the far end's.
  const auto address =
      attributes.has(IFA_LOCAL) ? attributes.address(IFA_LOCAL) : attributes.address(IFA_ADDRESS);
  if (!attributes.ok() || !address) return std::nullopt;
  const std::uint32_t flags = attributes.value<std::uint32_t>(IFA_FLAGS).value_or(header->ifa_flags);
  LinkAddress out;
  out.link_index = static_cast<int>(header->ifa_index);
  out.address = *address;
  out.prefix_length = header->ifa_prefixlen;
  out.tentative = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0;
  out.deprecated = (flags & IFA_F_DEPRECATED) != 0;
  return out;
}

std::optional<Route> parse_route(nlmsghdr& message) {
  const auto* header = header_of<rtmsg>(message);
  const auto family = header == nullptr ? std::nullopt : family_of(header->rtm_family);
  if (!family || (header->rtm_flags & RTM_F_CLONED) != 0)
    return std::nullopt;  // cloned: a cache entry, not a route
  const Attributes<RTA_MAX> attributes(message, sizeof *header);
  const auto destination = prefix_of(*family, attributes.address(RTA_DST), header->rtm_dst_len);
  if (!attributes.ok() || !destination) return std::nullopt;
  Route route;
  route.destination = *destination;
  route.table = attributes.value<std::uint32_t>(RTA_TABLE).value_or(header->rtm_table);
  route.metric = attributes.value<std::uint32_t>(RTA_PRIORITY).value_or(0);
  route.type = static_cast<RouteType>(header->rtm_type);
  route.protocol = header->rtm_protocol;
  // IPv6 shows the loopback device as the next hop of routes that have none.
  if (route.type == RouteType::kUnicast || route.type == RouteType::kLocal) {
    route.link_index = attributes.value<int>(RTA_OIF).value_or(0);
    route.gateway = attributes.address(RTA_GATEWAY);
  }
  route.preferred_source = attributes.address(RTA_PREFSRC);
  if (attributes.has(RTA_METRICS)) {
    const Attributes<RTAX_MAX> metrics(attributes.at(RTA_METRICS));
    route.mtu = metrics.value<std::uint32_t>(RTAX_MTU).value_or(0);
    route.advertised_mss = metrics.value<std::uint32_t>(RTAX_ADVMSS).value_or(0);
  }
  return route;
}

std::optional<Rule> parse_rule(nlmsghdr& message) {
  const auto* header = header_of<fib_rule_hdr>(message);
  const auto family = header == nullptr ? std::nullopt : family_of(header->family);
  if (!family) return std::nullopt;
  const Attributes<FRA_MAX> attributes(message, sizeof *header);
  if (!attributes.ok()) return std::nullopt;
  Rule rule;
  rule.family = *family;
  rule.priority = attributes.value<std::uint32_t>(FRA_PRIORITY).value_or(0);
  rule.action = static_cast<RuleAction>(header->action);
  rule.table = attributes.value<std::uint32_t>(FRA_TABLE).value_or(header->table);
  rule.invert = (header->flags & FIB_RULE_INVERT) != 0;
  if (const auto mask = attributes.value<std::uint32_t>(FRA_FWMASK)) {
    rule.mask = *mask;
    rule.mark = attributes.value<std::uint32_t>(FRA_FWMARK).value_or(0);
  }
  if (attributes.has(FRA_SRC)) rule.from = prefix_of(*family, attributes.address(FRA_SRC), header->src_len);
  if (attributes.has(FRA_DST)) rule.to = prefix_of(*family, attributes.address(FRA_DST), header->dst_len);
  rule.ip_protocol = attributes.value<std::uint8_t>(FRA_IP_PROTO);
  rule.source_ports = ports_of(attributes.value<fib_rule_port_range>(FRA_SPORT_RANGE));
  rule.destination_ports = ports_of(attributes.value<fib_rule_port_range>(FRA_DPORT_RANGE));
  rule.input_device = attributes.text(FRA_IIFNAME);
  rule.output_device = attributes.text(FRA_OIFNAME);
  const auto suppressed = attributes.value<std::uint32_t>(FRA_SUPPRESS_PREFIXLEN);
  if (suppressed && *suppressed != 0xffffffff) rule.suppress_prefix_length = suppressed;
  rule.protocol = attributes.value<std::uint8_t>(FRA_PROTOCOL).value_or(0);
  return rule;
}

std::optional<ParsedAnswer> parse_answer(nlmsghdr& message) {
  const auto* header = header_of<rtmsg>(message);
  const auto family = header == nullptr ? std::nullopt : family_of(header->rtm_family);
  if (!family) return std::nullopt;
  const Attributes<RTA_MAX> attributes(message, sizeof *header);
  if (!attributes.ok()) return std::nullopt;
  ParsedAnswer out;
  out.refused = header->rtm_type == RTN_BLACKHOLE || header->rtm_type == RTN_UNREACHABLE ||
                header->rtm_type == RTN_PROHIBIT || header->rtm_type == RTN_THROW;
  out.answer.type = header->rtm_type == RTN_LOCAL ? RouteType::kLocal : RouteType::kUnicast;
  out.answer.link_index = attributes.value<int>(RTA_OIF).value_or(0);
  out.answer.source = attributes.address(RTA_PREFSRC).value_or(IpAddress::any(*family));
  out.answer.gateway = attributes.address(RTA_GATEWAY);
  out.answer.table = attributes.value<std::uint32_t>(RTA_TABLE).value_or(header->rtm_table);
  if (attributes.has(RTA_METRICS))
    out.answer.mtu =
        Attributes<RTAX_MAX>(attributes.at(RTA_METRICS)).value<std::uint32_t>(RTAX_MTU).value_or(0);
  return out;
}

}  // namespace merlon::io::netlink
