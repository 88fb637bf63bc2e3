#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "io/netlink.h"
#include "io/netlink_message.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

std::optional<NetlinkChange> link_change(nlmsghdr& header) {
  const auto link = netlink::parse_link(header);
  if (!link) return std::nullopt;
  const auto kind = header.nlmsg_type == RTM_NEWLINK ? NetlinkChange::Kind::kLinkChanged
                                                     : NetlinkChange::Kind::kLinkRemoved;
  return NetlinkChange{kind, link->index, link, std::nullopt, std::nullopt};
}

std::optional<NetlinkChange> address_change(nlmsghdr& header) {
  const auto address = netlink::parse_address(header);
  if (!address) return std::nullopt;
  const auto kind = header.nlmsg_type == RTM_NEWADDR ? NetlinkChange::Kind::kAddressAdded
                                                     : NetlinkChange::Kind::kAddressRemoved;
  return NetlinkChange{kind, address->link_index, std::nullopt, address, std::nullopt};
}

std::optional<NetlinkChange> route_change(nlmsghdr& header) {
  const auto route = netlink::parse_route(header);
  if (!route || route->table == kLocalTable || route->destination.address.is_multicast()) return std::nullopt;
  const bool added = header.nlmsg_type == RTM_NEWROUTE, ours = route->protocol == kRouteProtocol;
  if (ours && added) return std::nullopt;
  const auto kind = added  ? NetlinkChange::Kind::kRouteAdded
                    : ours ? NetlinkChange::Kind::kOwnRouteRemoved
                           : NetlinkChange::Kind::kRouteRemoved;
  return NetlinkChange{kind, route->link_index, std::nullopt, std::nullopt, route};
}

std::optional<NetlinkChange> change_of(nlmsghdr& header) {
  switch (header.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return link_change(header);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return address_change(header);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return route_change(header);
    case RTM_DELRULE:
      return NetlinkChange{NetlinkChange::Kind::kRuleRemoved, 0, std::nullopt, std::nullopt, std::nullopt};
    default:
      return std::nullopt;
  }
}

}  // namespace

NetlinkMonitor::NetlinkMonitor(NetlinkSocket socket) : socket_(std::move(socket)) {}

Result<NetlinkMonitor> NetlinkMonitor::open() {
  NetlinkSocket socket(nl_socket_alloc());
  if (!socket) return fail(ErrorCode::kExhausted, "cannot open a netlink socket: out of memory");
  int status = nl_connect(socket.get(), NETLINK_ROUTE);
  if (status == -NLE_FAILURE && errno != 0) return fail_errno(errno, "watch the network interfaces");
  if (status == 0) {
    status = nl_socket_add_memberships(socket.get(), RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                       RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
                                       RTNLGRP_IPV6_RULE, RTNLGRP_NONE);
  }
  if (status == 0) status = nl_socket_set_nonblocking(socket.get());
  if (status < 0)
    return fail(ErrorCode::kSystem, "cannot watch the network interfaces: {}", nl_geterror(status));
  nl_socket_set_buffer_size(socket.get(), 1 << 20,
                            0);  // a burst of route changes; a lesser buffer only resyncs more often
  return NetlinkMonitor(std::move(socket));
}

int NetlinkMonitor::fd() const {
  return nl_socket_get_fd(socket_.get());
}

Result<NetlinkMonitor::Changes> NetlinkMonitor::read_changes() {
  Changes out;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled below
  alignas(nlmsghdr) std::array<char, 65536> buffer;
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof sender;
    const ssize_t received = recvfrom(fd(), buffer.data(), buffer.size(), MSG_TRUNC,
                                      reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == EAGAIN) return out;
    if (received < 0 && errno == ENOBUFS) {
      out.resync = true;
      continue;
    }
    if (received < 0) return fail_errno(errno, "read the changes of network interfaces");
    if (static_cast<std::size_t>(received) > buffer.size()) {
      out.resync = true;
      continue;
    }
    if (sender.nl_pid != 0) continue;  // only the kernel is believed
    int rest = static_cast<int>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(header, rest) != 0;
         header = nlmsg_next(header, &rest))
      if (auto change = change_of(*header)) out.changes.push_back(std::move(*change));
  }
}

}  // namespace merlon::io
