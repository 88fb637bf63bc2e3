// The table that comes out:
//
//   input        lo, TUN, inside devices, outer packets: accept; the rest -> inbound_policy
//   forward      TUN, inside devices:                    accept; the rest -> inbound_policy
//   postrouting  lo, TUN, inside devices, our mark:      accept; the rest -> outbound_policy
//
//   inbound_policy, outbound_policy: the entries in order, each direction's packets: bypass accepts, protect
//   and discard drop.
//
// postrouting and not output, since only there the device is final, for forwarded packets too; before source
// NAT (100), while the addresses are those of the SPD. Accepting ends this table only: other tables still
// have their say.
#include "io/nft_guard_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>

namespace merlon::io {
namespace {

constexpr unsigned kTcp = 6, kUdp = 17, kDccp = 33, kIcmp = 1, kIcmpv6 = 58, kSctp = 132, kUdpLite = 136;

bool is_icmp(const GuardEntry& entry) {
  const unsigned protocol = entry.protocol.value_or(0);
  return protocol == kIcmp || protocol == kIcmpv6;
}

bool has_ports(unsigned protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kDccp || protocol == kSctp ||
         protocol == kUdpLite;
}

bool restricts_ports(const GuardEntry& entry) {
  return !entry.local_ports.is_any() || !entry.remote_ports.is_any();
}

bool is_everything(const AddressRange& range) {
  return range.first == IpAddress::any(range.first.family()) &&
         range.last == IpAddress::last(range.last.family());
}

bool overlap(const AddressRange& a, const AddressRange& b) {
  return a.first <= b.last && b.first <= a.last;
}

Result<> check_range(const AddressRange& range) {
  if (range.first.family() == range.last.family() && range.first <= range.last) return {};
  return fail(ErrorCode::kInvalidArgument, "{}-{} is no range of addresses", range.first, range.last);
}

Result<> check_entry(const GuardEntry& entry) {
  MERLON_TRY_VOID(check_range(entry.local));
  MERLON_TRY_VOID(check_range(entry.remote));
  if (entry.local.first.family() != entry.remote.first.family())
    return fail(ErrorCode::kInvalidArgument, "the guard's local {} and remote {} are of two IP versions",
                entry.local.first, entry.remote.first);
  if (entry.local_ports.first > entry.local_ports.last || entry.remote_ports.first > entry.remote_ports.last)
    return fail(ErrorCode::kInvalidArgument, "a range of ports in the guard begins behind its end");
  if (restricts_ports(entry) && !is_icmp(entry) && !(entry.protocol && has_ports(*entry.protocol)))
    return fail(ErrorCode::kInvalidArgument,
                "the guard can match ports only for TCP, UDP, UDP-Lite, DCCP, SCTP and ICMP");
  return {};
}

// Device names go into quotes; the kernel allows nearly any byte in them.
Result<> check_device(std::string_view device) {
  const std::string_view stem = device.ends_with('*') ? device.substr(0, device.size() - 1) : device;
  const auto allowed = [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '/' && c != '*';
  };
  if (!stem.empty() && device.size() <= 15 && std::ranges::all_of(stem, allowed)) return {};
  return fail(ErrorCode::kInvalidArgument, "'{}' can not be a device name", device);
}

Result<> check(const GuardSpec& spec) {
  for (const GuardEntry& entry : spec.entries) MERLON_TRY_VOID(check_entry(entry));
  for (const std::string& device : spec.tun_devices) MERLON_TRY_VOID(check_device(device));
  for (const std::string& device : spec.inside_devices) MERLON_TRY_VOID(check_device(device));
  const bool protects = std::ranges::any_of(
      spec.entries, [](const GuardEntry& entry) { return entry.action == GuardEntry::Action::kProtect; });
  if (protects && spec.tun_devices.empty())
    return fail(ErrorCode::kInvalidArgument,
                "the guard needs the TUN device that protected packets may take");
  return {};
}

// 10.0.0.0/8, 10.0.0.1 or 10.0.0.5-10.0.0.9
std::string range_text(const AddressRange& range) {
  if (range.first == range.last) return range.first.to_string();
  const auto prefixes = prefixes_of_range(range.first, range.last);
  if (prefixes.size() == 1) return fmt::format("{}/{}", prefixes.front().address, prefixes.front().length);
  return fmt::format("{}-{}", range.first, range.last);
}

std::string range_text(const PortRange& ports) {
  return ports.first == ports.last ? fmt::format("{}", ports.first)
                                   : fmt::format("{}-{}", ports.first, ports.last);
}

enum class Direction { kInbound, kOutbound };

std::string verdict(GuardEntry::Action action, Direction direction) {
  if (action == GuardEntry::Action::kBypass) return "accept";
  return fmt::format("counter name {} drop",
                     direction == Direction::kInbound ? kInboundCounter : kOutboundCounter);
}

std::string_view family_word(const GuardEntry& entry) {
  return entry.local.first.is_v4() ? "ip" : "ip6";
}

std::string match_addresses(const GuardEntry& entry, Direction direction) {
  const bool inbound = direction == Direction::kInbound;
  const AddressRange& source = inbound ? entry.remote : entry.local;
  const AddressRange& destination = inbound ? entry.local : entry.remote;
  std::string text;
  if (!is_everything(source)) text += fmt::format("{} saddr {} ", family_word(entry), range_text(source));
  if (!is_everything(destination))
    text += fmt::format("{} daddr {} ", family_word(entry), range_text(destination));
  if (text.empty()) text = entry.local.first.is_v4() ? "meta nfproto ipv4 " : "meta nfproto ipv6 ";
  if (entry.protocol) text += fmt::format("meta l4proto {} ", *entry.protocol);
  return text;
}

std::string match_ports(const GuardEntry& entry, Direction direction) {
  const bool inbound = direction == Direction::kInbound;
  const PortRange& source = inbound ? entry.remote_ports : entry.local_ports;
  const PortRange& destination = inbound ? entry.local_ports : entry.remote_ports;
  if (is_icmp(entry)) {  // type and code are the first two octets
    std::string text;
    if (!source.is_any()) text += fmt::format("@th,0,16 {} ", range_text(source));
    if (!destination.is_any() && destination != source)
      text += fmt::format("@th,0,16 {} ", range_text(destination));
    return text;
  }
  std::string text;
  if (!source.is_any()) text += fmt::format("th sport {} ", range_text(source));
  if (!destination.is_any()) text += fmt::format("th dport {} ", range_text(destination));
  return text;
}

void append_entry(std::string& out, const GuardEntry& entry, Direction direction) {
  const std::string addresses = match_addresses(entry, direction);
  const std::string ports = match_ports(entry, direction);
  out += fmt::format("    {}{}{}\n", addresses, ports, verdict(entry.action, direction));
  if (ports.empty() || entry.action == GuardEntry::Action::kBypass) return;
  // RFC 4301 7: fragments behind the first do not show their ports. What may belong to protected traffic does
  // not pass.
  out += fmt::format("    {}{} {}\n", addresses,
                     entry.local.first.is_v4() ? "ip frag-off & 0x1fff != 0" : "frag frag-off != 0",
                     verdict(entry.action, direction));
}

// ---- Many entries: a set is looked up in time that hardly grows with their number.

struct Group {  // entries that follow each other with one action, so their order does not matter
  GuardEntry::Action action = GuardEntry::Action::kProtect;
  std::vector<const GuardEntry*> in_set_v4;
  std::vector<const GuardEntry*> in_set_v6;
  std::vector<const GuardEntry*> single;
};

// nftables refuses overlapping elements, so those that overlap one before them stay single. Sweeps over the
// remote ranges.
void choose_for_set(std::vector<const GuardEntry*> candidates, std::vector<const GuardEntry*>& chosen,
                    std::vector<const GuardEntry*>& single) {
  constexpr std::size_t kWorthASet = 8;
  if (candidates.size() < kWorthASet) {
    single.insert(single.end(), candidates.begin(), candidates.end());
    return;
  }
  std::ranges::stable_sort(candidates, {}, [](const GuardEntry* entry) { return entry->remote.first; });
  std::vector<const GuardEntry*> active;
  for (const GuardEntry* entry : candidates) {
    std::erase_if(active,
                  [entry](const GuardEntry* before) { return before->remote.last < entry->remote.first; });
    const bool clashes = std::ranges::any_of(active, [entry](const GuardEntry* before) {
      return overlap(before->local, entry->local) && overlap(before->remote, entry->remote);
    });
    (clashes ? single : chosen).push_back(entry);
    if (!clashes) active.push_back(entry);
  }
}

std::vector<Group> groups_of(const std::vector<GuardEntry>& entries) {
  std::vector<Group> out;
  for (auto begin = entries.begin(); begin != entries.end();) {
    const auto end = std::find_if(begin, entries.end(),
                                  [begin](const GuardEntry& e) { return e.action != begin->action; });
    Group& group = out.emplace_back();
    group.action = begin->action;
    std::vector<const GuardEntry*> v4;
    std::vector<const GuardEntry*> v6;
    for (auto entry = begin; entry != end; ++entry) {
      if (entry->protocol || is_everything(entry->local) || is_everything(entry->remote))
        group.single.push_back(&*entry);
      else
        (entry->local.first.is_v4() ? v4 : v6).push_back(&*entry);
    }
    choose_for_set(std::move(v4), group.in_set_v4, group.single);
    choose_for_set(std::move(v6), group.in_set_v6, group.single);
    begin = end;
  }
  return out;
}

void append_set(std::string& out, std::size_t number, IpFamily family,
                const std::vector<const GuardEntry*>& entries) {
  if (entries.empty()) return;
  const char* version = family == IpFamily::kIpv4 ? "v4" : "v6";
  const char* type = family == IpFamily::kIpv4 ? "ipv4_addr . ipv4_addr" : "ipv6_addr . ipv6_addr";
  out += fmt::format("  set group_{}_{} {{\n    type {}; flags interval\n    elements = {{\n", number,
                     version, type);
  for (const GuardEntry* entry : entries)
    out += fmt::format("      {} . {},\n", range_text(entry->local), range_text(entry->remote));
  out += "    }\n  }\n";
}

void append_set_rule(std::string& out, std::size_t number, const Group& group, IpFamily family,
                     Direction direction) {
  const bool v4 = family == IpFamily::kIpv4;
  if ((v4 ? group.in_set_v4 : group.in_set_v6).empty()) return;
  const char* word = v4 ? "ip" : "ip6";
  const bool inbound = direction == Direction::kInbound;
  out += fmt::format("    {0} {1} . {0} {2} @group_{3}_{4} {5}\n", word, inbound ? "daddr" : "saddr",
                     inbound ? "saddr" : "daddr", number, v4 ? "v4" : "v6", verdict(group.action, direction));
}

void append_policy_chain(std::string& out, const std::vector<Group>& groups, Direction direction) {
  out += direction == Direction::kInbound ? "  chain inbound_policy {\n" : "  chain outbound_policy {\n";
  for (std::size_t i = 0; i < groups.size(); ++i) {
    append_set_rule(out, i, groups[i], IpFamily::kIpv4, direction);
    append_set_rule(out, i, groups[i], IpFamily::kIpv6, direction);
    for (const GuardEntry* entry : groups[i].single) append_entry(out, *entry, direction);
  }
  out += "  }\n";
}

// ---- The chains that the kernel's hooks call.

void append_devices(std::string& out, std::string_view key, const GuardSpec& spec) {
  out += fmt::format("    {} \"lo\" accept\n", key);
  for (const auto* devices : {&spec.tun_devices, &spec.inside_devices})
    for (const std::string& device : *devices) out += fmt::format("    {} \"{}\" accept\n", key, device);
}

// Neighbour discovery never crosses a router (RFC 4861 6.1, 7.1: hop limit 255), and without it there is no
// link at all.
constexpr std::string_view kNeighbourDiscovery = "    ip6 hoplimit 255 icmpv6 type 133-137 accept\n";

// The outer packets to this host: ESP, AH, IKE and ESP in UDP, and ICMP errors (RFC 4301 6.1) that quote one
// of these. The quoted IP header begins at the ICMP header's octet 8.
void append_outer_exemptions(std::string& out, const GuardSpec& spec) {
  out += "    meta l4proto { 50, 51 } accept\n";
  constexpr std::string_view kErrors4 =
      "icmp type { destination-unreachable, time-exceeded, parameter-problem }";
  constexpr std::string_view kErrors6 =
      "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }";
  out += fmt::format("    {} @th,136,8 {{ 50, 51 }} accept\n", kErrors4);
  out += fmt::format("    {} @th,112,8 {{ 50, 51 }} accept\n", kErrors6);
  std::string ports;
  for (const std::uint16_t port : spec.ike_ports)
    ports += fmt::format("{}{}", ports.empty() ? "" : ", ", port);
  if (ports.empty()) return;
  out += fmt::format("    udp dport {{ {} }} accept\n", ports);
  out += fmt::format("    {} @th,136,8 17 @th,224,16 {{ {} }} accept\n", kErrors4, ports);
  out += fmt::format("    {} @th,112,8 17 @th,384,16 {{ {} }} accept\n", kErrors6, ports);
}

void append_hooks(std::string& out, const GuardSpec& spec) {
  // RFC 4301 5.2: what should have come through an SA and did not is dropped.
  out += "  chain input {\n    type filter hook input priority -150; policy accept;\n";
  append_devices(out, "iifname", spec);
  append_outer_exemptions(out, spec);
  out += kNeighbourDiscovery;
  out += "    jump inbound_policy\n  }\n";
  out += "  chain forward {\n    type filter hook forward priority -150; policy accept;\n";
  append_devices(out, "iifname", spec);
  out += "    jump inbound_policy\n  }\n";
  out += "  chain postrouting {\n    type filter hook postrouting priority 90; policy accept;\n";
  append_devices(out, "oifname", spec);
  if (spec.mark != 0)
    out += fmt::format("    meta mark & 0x{:x} == 0x{:x} accept\n", spec.mask, spec.mark & spec.mask);
  out += kNeighbourDiscovery;
  out += "    jump outbound_policy\n  }\n";
}

}  // namespace

Result<std::string> guard_ruleset(const GuardSpec& spec, const GuardCounters& start) {
  MERLON_TRY_VOID(check(spec));
  const std::vector<Group> groups = groups_of(spec.entries);
  std::string out =
      fmt::format("add table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n", NftGuard::kTable);
  out += fmt::format("  counter {} {{ packets {} bytes {} }}\n", kInboundCounter, start.inbound_packets,
                     start.inbound_bytes);
  out += fmt::format("  counter {} {{ packets {} bytes {} }}\n", kOutboundCounter, start.outbound_packets,
                     start.outbound_bytes);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    append_set(out, i, IpFamily::kIpv4, groups[i].in_set_v4);
    append_set(out, i, IpFamily::kIpv6, groups[i].in_set_v6);
  }
  append_policy_chain(out, groups, Direction::kInbound);
  append_policy_chain(out, groups, Direction::kOutbound);
  append_hooks(out, spec);
  out += "}\n";
  return out;
}

}  // namespace merlon::io
