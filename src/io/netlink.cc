#include "io/netlink.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>

#include "base/check.h"
#include "io/netlink_message.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

constexpr IpFamily kBothFamilies[] = {IpFamily::kIpv4, IpFamily::kIpv6};

// One request and everything that comes back for it.
struct Conversation {
  std::function<void(nlmsghdr&)> on_message;
  std::uint32_t sequence = 0;  // of the request, and so of its answers
  bool done = false;
  int error_number = 0;
  std::string explanation;  // the kernel's extended acknowledgement
};

int on_valid(nl_msg* message, void* argument) {
  auto& conversation = *static_cast<Conversation*>(argument);
  if (conversation.on_message) conversation.on_message(*nlmsg_hdr(message));
  return NL_OK;
}

// What an earlier request, whose conversation failed, left to come is passed over. libnl's own check would take the first number
// that does not fit for an error, and each one after it: a request that once failed to leave would be the last that works.
int on_sequence(nl_msg* message, void* argument) {
  return nlmsg_hdr(message)->nlmsg_seq == static_cast<Conversation*>(argument)->sequence ? NL_OK : NL_SKIP;
}

int on_end(nl_msg* /*message*/, void* argument) {
  static_cast<Conversation*>(argument)->done = true;
  return NL_STOP;
}

int on_error(sockaddr_nl* /*sender*/, nlmsgerr* error, void* argument) {
  auto& conversation = *static_cast<Conversation*>(argument);
  conversation.done = true;
  conversation.error_number = -error->error;
  // The explanation stands behind the error and the request, of which only the header is returned where it
  // was capped.
  auto* header = reinterpret_cast<nlmsghdr*>(reinterpret_cast<char*>(error) - NLMSG_HDRLEN);
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return NL_STOP;
  const bool capped = (header->nlmsg_flags & NLM_F_CAPPED) != 0;
  const std::size_t returned = capped ? sizeof(nlmsghdr) : error->msg.nlmsg_len;
  nlattr* attributes[NLMSGERR_ATTR_MAX + 1] = {};
  const auto skipped = static_cast<int>(sizeof(int) + NLMSG_ALIGN(returned));
  if (header->nlmsg_len < NLMSG_LENGTH(static_cast<std::size_t>(skipped))) return NL_STOP;
  if (nlmsg_parse(header, skipped, attributes, NLMSGERR_ATTR_MAX, nullptr) != 0) return NL_STOP;
  if (const nlattr* text = attributes[NLMSGERR_ATTR_MSG])
    conversation.explanation.assign(
        static_cast<const char*>(nla_data(text)),
        strnlen(static_cast<const char*>(nla_data(text)), static_cast<std::size_t>(nla_len(text))));
  return NL_STOP;
}

struct CallbackDeleter {
  void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

tl::unexpected<Error> fail_libnl(int status, std::string_view attempt) {
  return fail(ErrorCode::kSystem, "cannot {}: {}", attempt, nl_geterror(status));
}

// Sends a request and reads until its end. Returns an errno value (0: fine); an Error only when netlink
// itself fails.
Result<int> converse(nl_sock* socket, const netlink::Message& request, std::string_view attempt,
                     Conversation& conversation) {
  const std::unique_ptr<nl_cb, CallbackDeleter> callbacks(nl_cb_alloc(NL_CB_DEFAULT));
  MERLON_ASSERT(callbacks != nullptr);
  nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_valid, &conversation);
  nl_cb_set(callbacks.get(), NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence, &conversation);
  nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_end, &conversation);
  nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_end, &conversation);
  nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &conversation);
  if (const int status = nl_send_auto(socket, request.get()); status < 0) return fail_libnl(status, attempt);
  conversation.sequence = nlmsg_hdr(request.get())->nlmsg_seq;
  while (!conversation.done) {
    const int status = nl_recvmsgs(socket, callbacks.get());
    if (status < 0 && !conversation.done && status != -NLE_INTR) return fail_libnl(status, attempt);
  }
  return conversation.error_number;
}

tl::unexpected<Error> fail_request(const Conversation& conversation, std::string_view attempt) {
  auto failure = fail_errno(conversation.error_number, attempt);
  if (!conversation.explanation.empty())
    failure.value().message += fmt::format(" ({})", conversation.explanation);
  return failure;
}

// A request without an answer. An errno value that is `fine` counts as success.
Result<> command(nl_sock* socket, const netlink::Message& request, std::string_view attempt, int fine = 0) {
  Conversation conversation;
  MERLON_TRY(const int error, converse(socket, request, attempt, conversation));
  if (error == 0 || error == fine) return {};
  return fail_request(conversation, attempt);
}

// All that `parse` makes of a dump's messages. A dump that a change interrupted is made again.
template <class T, class MakeRequest, class Parse>
Result<std::vector<T>> dump(nl_sock* socket, MakeRequest make_request, Parse parse,
                            std::string_view attempt) {
  constexpr unsigned kMaxAttempts = 10;
  for (unsigned attempts = 1;; ++attempts) {
    std::vector<T> out;
    bool interrupted = false;
    Conversation conversation;
    conversation.on_message = [&](nlmsghdr& header) {
      interrupted |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (auto value = parse(header)) out.push_back(std::move(*value));
    };
    auto error = converse(socket, make_request(), attempt, conversation);
    if (!error && !interrupted) return tl::unexpected<Error>(std::move(error).error());
    if (error && *error != 0) return fail_request(conversation, attempt);
    if (!interrupted) return out;
    if (attempts == kMaxAttempts) return fail(ErrorCode::kExhausted, "cannot {}: it keeps changing", attempt);
  }
}

// What `parse` makes of the answer to a request for one thing.
template <class T, class Parse>
Result<T> ask(nl_sock* socket, const netlink::Message& request, Parse parse, std::string_view attempt) {
  std::optional<T> found;
  Conversation conversation;
  conversation.on_message = [&](nlmsghdr& header) { found = parse(header); };
  MERLON_TRY(const int error, converse(socket, request, attempt, conversation));
  if (error != 0) return fail_request(conversation, attempt);
  if (!found) return fail(ErrorCode::kNotFound, "cannot {}: no answer", attempt);
  return *found;
}
template <class T, class Parse>
Result<T> ask_link(nl_sock* socket, int index, Parse parse, std::string_view attempt) {
  if (index <= 0) return fail(ErrorCode::kNotFound, "cannot {}: numbers begin with 1", attempt);
  return ask<T>(socket, netlink::link_request(index, ""), parse, attempt);
}

std::string describe(const Route& route) {
  std::string text = fmt::format("{} in table {}", route.destination, route.table);
  if (route.type == RouteType::kBlackhole) text = "blackhole " + text;
  if (route.gateway) text += fmt::format(" via {}", *route.gateway);
  if (route.link_index != 0) text += fmt::format(" over interface {}", route.link_index);
  return text;
}

std::string describe(const Rule& rule) {
  return fmt::format("with priority {} (IPv{}, table {})", rule.priority,
                     rule.family == IpFamily::kIpv4 ? 4 : 6, rule.table);
}

// As the kernel shows it: what a wanted route or rule is compared with.
Route as_shown(Route route) {
  constexpr std::uint32_t kIpv6DefaultMetric = 1024;
  route.destination.address = route.destination.address.masked(route.destination.length);
  if (route.destination.address.is_v6() && route.metric == 0) route.metric = kIpv6DefaultMetric;
  if (route.type != RouteType::kUnicast && route.type != RouteType::kLocal) {
    route.link_index = 0;
    route.gateway.reset();
  }
  route.protocol = kRouteProtocol;
  return route;
}

bool same(Route wanted, Route present) {
  wanted = as_shown(wanted);
  if (wanted.link_index == 0) present.link_index = 0;  // found by gateway
  return wanted == present;
}

bool same(Rule wanted, const Rule& present) {
  for (std::optional<IpPrefix>* prefix : {&wanted.from, &wanted.to}) {
    if (!*prefix) continue;
    (*prefix)->address = (*prefix)->address.masked((*prefix)->length);
    if ((*prefix)->length == 0) prefix->reset();
  }
  if (!wanted.mark) wanted.mask = 0xffffffff;
  if (wanted.action != RuleAction::kLookup) wanted.table = 0;
  wanted.protocol = kRouteProtocol;
  return wanted == present;
}

}  // namespace

void NetlinkSocketDeleter::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

Netlink::Netlink(NetlinkSocket socket) : socket_(std::move(socket)) {}

Result<Netlink> Netlink::open() {
  NetlinkSocket socket(nl_socket_alloc());
  if (!socket) return fail(ErrorCode::kExhausted, "cannot open a netlink socket: out of memory");
  if (const int status = nl_connect(socket.get(), NETLINK_ROUTE); status < 0) {
    // libnl has no word for some errors of the system, such as too many open files.
    if (status == -NLE_FAILURE && errno != 0) return fail_errno(errno, "open a netlink socket");
    return fail_libnl(status, "open a netlink socket");
  }
  // Old kernels explain nothing, and need not.
  const int on = 1;
  setsockopt(nl_socket_get_fd(socket.get()), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  return Netlink(std::move(socket));
}

Result<std::vector<Link>> Netlink::links() {
  return dump<Link>(socket_.get(), netlink::link_dump_request, netlink::parse_link,
                    "list the network interfaces");
}

Result<Link> Netlink::link(std::string_view name) {
  if (name.empty() || name.size() > 15)
    return fail(ErrorCode::kNotFound, "there is no network interface '{}': names have 1 to 15 bytes", name);
  return ask<Link>(socket_.get(), netlink::link_request(0, name), netlink::parse_link,
                   fmt::format("find the network interface '{}'", name));
}

Result<Link> Netlink::link(int index) {
  return ask_link<Link>(socket_.get(), index, netlink::parse_link,
                        fmt::format("find network interface {}", index));
}

Result<std::uint64_t> Netlink::dropped_by_link(int index) {
  return ask_link<std::uint64_t>(socket_.get(), index, netlink::parse_link_drops,
                                 fmt::format("read the counters of network interface {}", index));
}

Result<> Netlink::set_link_up(int index, bool up) {
  return command(socket_.get(), netlink::link_up_request(index, up),
                 fmt::format("set interface {} {}", index, up ? "up" : "down"));
}

Result<> Netlink::set_link_mtu(int index, unsigned mtu) {
  return command(socket_.get(), netlink::link_mtu_request(index, mtu),
                 fmt::format("set the MTU of interface {} to {}", index, mtu));
}

Result<std::vector<LinkAddress>> Netlink::addresses() {
  std::vector<LinkAddress> all;
  for (const IpFamily family : kBothFamilies) {
    const auto parse = [family](nlmsghdr& header) {
      auto address = netlink::parse_address(header);
      return address && address->address.family() == family ? address : std::nullopt;
    };
    MERLON_TRY(const auto some,
               dump<LinkAddress>(
                   socket_.get(), [family] { return netlink::dump_request(RTM_GETADDR, family); }, parse,
                   "list the addresses"));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Result<std::vector<LinkAddress>> Netlink::addresses(int link_index) {
  MERLON_TRY(auto all, addresses());
  std::erase_if(all, [link_index](const LinkAddress& address) { return address.link_index != link_index; });
  return all;
}

Result<> Netlink::add_address(int link_index, const IpAddress& address, unsigned prefix_length) {
  const LinkAddress wanted{.link_index = link_index, .address = address, .prefix_length = prefix_length};
  return command(socket_.get(), netlink::address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, wanted),
                 fmt::format("add the address {}/{} to interface {}", address, prefix_length, link_index),
                 EEXIST);
}

Result<> Netlink::remove_address(int link_index, const IpAddress& address, unsigned prefix_length) {
  const LinkAddress unwanted{.link_index = link_index, .address = address, .prefix_length = prefix_length};
  const std::string attempt =
      fmt::format("remove the address {}/{} from interface {}", address, prefix_length, link_index);
  Conversation conversation;
  MERLON_TRY(const int error, converse(socket_.get(), netlink::address_request(RTM_DELADDR, 0, unwanted),
                                       attempt, conversation));
  if (error == EADDRNOTAVAIL) return fail(ErrorCode::kNotFound, "cannot {}: it does not have it", attempt);
  if (error != 0) return fail_request(conversation, attempt);
  return {};
}

Result<> Netlink::add_route(const Route& route) {
  const std::string attempt = fmt::format("add the route {}", describe(route));
  Conversation conversation;
  MERLON_TRY(const int error,
             converse(socket_.get(), netlink::route_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route),
                      attempt, conversation));
  if (error == EEXIST)
    return fail(ErrorCode::kInvalidArgument, "cannot {}: such a route is there already", attempt);
  if (error != 0) return fail_request(conversation, attempt);
  return {};
}

Result<> Netlink::replace_route(const Route& route) {
  return command(socket_.get(), netlink::route_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route),
                 fmt::format("put the route {} in place", describe(route)));
}

Result<> Netlink::remove_route(const Route& route) {
  return command(socket_.get(), netlink::route_request(RTM_DELROUTE, 0, route),
                 fmt::format("remove the route {}", describe(route)));
}

Result<std::vector<Route>> Netlink::routes(std::optional<std::uint8_t> protocol) {
  std::vector<Route> all;
  for (const IpFamily family : kBothFamilies) {
    const auto parse = [family, protocol](nlmsghdr& header) {
      auto route = netlink::parse_route(header);
      if (!route || route->destination.address.family() != family || route->table == kLocalTable ||
          (protocol && route->protocol != *protocol))
        route.reset();
      return route;
    };
    MERLON_TRY(const auto some,
               dump<Route>(
                   socket_.get(), [family] { return netlink::dump_request(RTM_GETROUTE, family); }, parse,
                   "list the routes"));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Result<> Netlink::add_rule(const Rule& rule) {
  return command(socket_.get(), netlink::rule_request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule),
                 fmt::format("add the routing rule {}", describe(rule)), EEXIST);
}

Result<> Netlink::remove_rule(const Rule& rule) {
  return command(socket_.get(), netlink::rule_request(RTM_DELRULE, 0, rule),
                 fmt::format("remove the routing rule {}", describe(rule)));
}

Result<std::vector<Rule>> Netlink::rules(std::optional<std::uint8_t> protocol) {
  std::vector<Rule> all;
  for (const IpFamily family : kBothFamilies) {
    const auto parse = [family, protocol](nlmsghdr& header) {
      auto rule = netlink::parse_rule(header);
      if (!rule || rule->family != family || (protocol && rule->protocol != *protocol)) rule.reset();
      return rule;
    };
    MERLON_TRY(const auto some,
               dump<Rule>(
                   socket_.get(), [family] { return netlink::dump_request(RTM_GETRULE, family); }, parse,
                   "list the routing rules"));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

namespace {

// Only items of one key can be the same.
auto key(const Route& route) {
  return std::pair(
      IpPrefix{route.destination.address.masked(route.destination.length), route.destination.length},
      route.table);
}
auto key(const Rule& rule) {
  return std::pair(rule.family, rule.priority);
}

// The items of a list by key, so that 100,000 routes are compared in time that does not grow with their
// square.
template <class T>
auto by_key(std::span<const T> items) {
  std::multimap<decltype(key(std::declval<const T&>())), const T*> out;
  for (const T& item : items) out.emplace(key(item), &item);
  return out;
}

// The shape of both reconciliations. Adding may change what was there (a replaced route), so what is too many
// is listed anew.
template <class T, class List, class Add, class Remove>
Result<ReconcileReport> reconcile(std::span<const T> wanted, List list, Add add, Remove remove) {
  const auto holds = [](const auto& index, const T& item, auto is_same) {
    const auto [begin, end] = index.equal_range(key(item));
    return std::any_of(begin, end, [&](const auto& entry) { return is_same(*entry.second, item); });
  };
  ReconcileReport report;
  MERLON_TRY(const std::vector<T> before, list());
  const auto present_before = by_key(std::span(before));
  for (const T& item : wanted) {
    if (holds(present_before, item, [](const T& present, const T& want) { return same(want, present); })) {
      ++report.kept;
      continue;
    }
    MERLON_TRY_VOID(add(item));
    ++report.added;
  }
  MERLON_TRY(const std::vector<T> after, list());
  const auto wanted_by_key = by_key(wanted);
  for (const T& present : after) {
    if (holds(wanted_by_key, present, [](const T& want, const T& shown) { return same(want, shown); }))
      continue;
    const Result<> removed = remove(present);
    // A route may have gone by itself meanwhile, with its interface.
    if (!removed && removed.error().code != ErrorCode::kNotFound)
      return tl::unexpected<Error>(removed.error());
    ++report.removed;
  }
  return report;
}

}  // namespace

Result<ReconcileReport> Netlink::reconcile_routes(std::span<const Route> wanted) {
  return reconcile(
      wanted, [this] { return routes(); }, [this](const Route& route) { return replace_route(route); },
      [this](const Route& route) { return remove_route(route); });
}

Result<ReconcileReport> Netlink::reconcile_rules(std::span<const Rule> wanted) {
  return reconcile(
      wanted, [this] { return rules(); }, [this](const Rule& rule) { return add_rule(rule); },
      [this](const Rule& rule) { return remove_rule(rule); });
}

Result<RouteAnswer> Netlink::lookup_route(const RouteQuery& query) {
  std::optional<netlink::ParsedAnswer> found;
  Conversation conversation;
  conversation.on_message = [&found](nlmsghdr& header) { found = netlink::parse_answer(header); };
  const std::string attempt = fmt::format("find a route to {}", query.destination);
  MERLON_TRY(const int error, converse(socket_.get(), netlink::lookup_request(query), attempt, conversation));
  // Each type of route that refuses has its errno: blackhole EINVAL, unreachable EHOSTUNREACH, prohibit
  // EACCES; none: ENETUNREACH.
  const bool no_route = error == ENETUNREACH || error == EHOSTUNREACH || error == EACCES ||
                        (error == EINVAL && conversation.explanation.empty());
  if (no_route)
    return fail(ErrorCode::kNotFound, "cannot {}: {}", attempt,
                error == EINVAL ? "it leads into a blackhole" : errno_text(error));
  if (error != 0) return fail_request(conversation, attempt);
  if (!found || found->refused)
    return fail(ErrorCode::kNotFound, "cannot {}: the route there refuses packets", attempt);
  if (found->answer.mtu == 0) {
    MERLON_TRY(const Link output, link(found->answer.link_index));
    found->answer.mtu = output.mtu;
  }
  return found->answer;
}

}  // namespace merlon::io
