// Inner packets as they come out of a tunnel, or do not; inner_packet.cc makes them.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/reader.h"
#include "policy/traffic_selector.h"
#include "sim/checker.h"
#include "sim/inner_packet.h"
#include "wire/ip/icmp.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::sim {
namespace {

constexpr std::size_t kIcmpHeader = 8;

}  // namespace

std::optional<std::uint64_t> Checker::number_in(ByteView packet, std::size_t header_length) const {
  const std::size_t at = header_length + wire::kUdpHeaderSize;
  if (packet.size() < at + kInnerMark.size() + 8) return std::nullopt;
  ByteReader reader(packet.subspan(at));
  if (!equal(*reader.take(kInnerMark.size()), as_bytes(kInnerMark))) return std::nullopt;
  const std::uint64_t number = *reader.u64();
  return number < inner_.size() ? std::optional(number) : std::nullopt;
}

void Checker::check_clear(std::size_t host, const WireDatagram& datagram) {
  if (memmem(datagram.payload.data(), datagram.payload.size(), kInnerMark.data(), kInnerMark.size()) !=
      nullptr)
    fail("nothing in clear", fmt::format("{} sends an inner packet unprotected to {}",
                                         scenario_.hosts[host].name, datagram.destination));
}

// RFC 4301 5.2 step 4: some SA that the host has installed was negotiated for the packet.
bool Checker::selected(std::size_t host, ByteView packet) const {
  const auto view = wire::parse_packet(packet);
  if (!view) return false;
  return std::any_of(live_[host].begin(), live_[host].end(), [&](const auto& entry) {
    return policy::matches(entry.second.local_ts, entry.second.remote_ts, *view, policy::Direction::kInbound);
  });
}

bool Checker::may_get(std::size_t host, std::uint64_t number, ByteView packet) {
  const std::string& who = scenario_.hosts[host].name;
  const InnerPacket& known = inner_[number];
  const auto outside = [&](std::string_view what) {
    fail("nothing outside its selectors", fmt::format("{} gets packet {}, {}", who, number, what));
    return false;
  };
  if (known.kept_back == kPacketTooLong) {
    fail("what must stay whole stays whole",
         fmt::format("{} gets packet {}, {}", who, number, known.kept_back));
    return false;
  }
  if (!known.kept_back.empty()) return outside(known.kept_back);
  const TunnelPlan& tunnel = scenario_.tunnels[known.tunnel];
  if (const std::size_t to = tunnel.hosts[1 - known.direction]; to != host)
    return outside("which is for " + scenario_.hosts[to].name);
  return selected(host, packet) || outside("for which it has no SA");
}

void Checker::delivered(std::size_t host, ByteView packet) {
  const std::string& who = scenario_.hosts[host].name;
  const auto view = wire::parse_packet(packet);
  if (view && view->is_fragment) return delivered_fragment(host, *view, packet);
  const auto number = view ? number_in(packet, view->header_length) : std::nullopt;
  if (!number)
    return fail("only what was sent comes out",
                fmt::format("{} gets {} bytes that nobody sent", who, packet.size()));
  InnerPacket& known = inner_[*number];
  if (known.digest != digest_of(packet.subspan(view->header_length)) || view->source != known.source ||
      view->destination != known.destination)
    return fail("what comes out is what went in", fmt::format("{} gets packet {} changed", who, *number));
  if (!may_get(host, *number, packet)) return;
  if (known.delivered)
    return fail("no packet accepted twice", fmt::format("{} gets packet {} of {} again", who, *number,
                                                        scenario_.tunnels[known.tunnel].connection));
  known.delivered = true;
  ++traffic_.delivered;
}

// Its identification is the lower half of its number.
std::optional<std::uint64_t> Checker::number_of_fragment(const wire::PacketView& view,
                                                         ByteView packet) const {
  const auto header = wire::parse_ipv4(packet);
  if (!header) return std::nullopt;
  constexpr std::uint64_t kIdentifications = 0x10000;
  const std::uint64_t newest = inner_.size() / kIdentifications * kIdentifications + header->identification;
  for (std::uint64_t back = 0; back <= newest; back += kIdentifications) {
    const std::uint64_t number = newest - back;
    if (!fragmented_.contains(number)) continue;
    if (inner_[number].source == view.source && inner_[number].destination == view.destination) return number;
  }
  return std::nullopt;
}

void Checker::delivered_fragment(std::size_t host, const wire::PacketView& view, ByteView packet) {
  const std::string& who = scenario_.hosts[host].name;
  const auto number = number_of_fragment(view, packet);
  if (!number)
    return fail("only what was sent comes out", fmt::format("{} gets a fragment that nobody sent", who));
  Fragmented& whole = fragmented_[*number];
  const ByteView part = packet.subspan(view.header_length, view.total_length - view.header_length);
  if (view.fragment_offset + part.size() > whole.data.size() ||
      !equal(part, ByteView(whole.data).subspan(view.fragment_offset, part.size())))
    return fail("what comes out is what went in",
                fmt::format("{} gets a fragment of {} changed", who, *number));
  if (!may_get(host, *number, packet)) return;
  if (!whole.offsets.insert(view.fragment_offset).second)
    return fail("no packet accepted twice", fmt::format("{} gets a fragment of {} again", who, *number));
  whole.arrived += part.size();
  if (whole.arrived < whole.data.size()) return;
  inner_[*number].delivered = true;
  ++traffic_.delivered;
}

// RFC 4301 8.2.1: who sent what does not fit hears of it, and nobody else of anything.
void Checker::refused(std::size_t host, ByteView answer) {
  const auto unasked = [&](std::string_view what) {
    fail("no ICMP error without a cause", fmt::format("{} answers {}", scenario_.hosts[host].name, what));
  };
  const auto error = wire::parse_icmp_error(answer);
  const auto view = wire::parse_packet(answer);
  if (!error || !view || !error->is_packet_too_big) return unasked("an inner packet with something else");
  const std::size_t header = error->family == IpFamily::kIpv4 ? wire::kIpv4HeaderSize : wire::kIpv6HeaderSize;
  const auto number = number_in(answer.subspan(view->upper_offset + kIcmpHeader), header);
  if (!number) return unasked("a packet that nobody sent");
  if (inner_[*number].kept_back != kPacketTooLong || view->destination != inner_[*number].source)
    return unasked(fmt::format("packet {}, which is not too long", *number));
}

std::string Checker::why_not_flowing() const {
  constexpr Duration kOldest = std::chrono::seconds(6), kYoungest = std::chrono::seconds(2);
  std::set<std::tuple<std::uint32_t, std::uint32_t, unsigned>> seen;
  for (auto packet = inner_.rbegin(); packet != inner_.rend(); ++packet) {
    const Duration age = queue_.elapsed() - packet->at;
    if (age > kOldest) break;
    const TunnelPlan& tunnel = scenario_.tunnels[packet->tunnel];
    if (age < kYoungest || !packet->kept_back.empty() || !tunnel.should_be_up) continue;
    if (!seen.emplace(packet->tunnel, packet->child, packet->direction).second || packet->delivered) continue;
    return fmt::format("{}.{} lost a packet from {} at {}", tunnel.connection,
                       tunnel.children[packet->child].name,
                       scenario_.hosts[tunnel.hosts[packet->direction]].name, seconds_text(packet->at));
  }
  return {};
}

void Checker::judge_flows() {
  std::map<std::tuple<std::uint32_t, std::uint32_t, unsigned>, std::pair<std::uint64_t, std::uint64_t>> flows;
  for (const InnerPacket& packet : inner_) {
    if (!packet.strict || !packet.kept_back.empty() || !scenario_.tunnels[packet.tunnel].should_be_up)
      continue;
    auto& [sent, delivered] = flows[{packet.tunnel, packet.child, packet.direction}];
    ++sent;
    if (packet.delivered) ++delivered;
  }
  for (const auto& [flow, counts] : flows) {
    const auto& [tunnel, child, direction] = flow;
    if (counts.second * 2 >= counts.first) continue;
    fail("traffic flows",
         fmt::format("{} of {} packets of {}.{} from {} arrive", counts.second, counts.first,
                     scenario_.tunnels[tunnel].connection, scenario_.tunnels[tunnel].children[child].name,
                     scenario_.hosts[scenario_.tunnels[tunnel].hosts[direction]].name));
  }
}

void Checker::judge_losses() {
  if (scenario_.may_lose) return judge_flows();
  std::uint64_t lost = 0, judged = 0;
  const InnerPacket* first = nullptr;
  for (const InnerPacket& packet : inner_) {
    if (!packet.strict || !packet.kept_back.empty() || !scenario_.tunnels[packet.tunnel].should_be_up)
      continue;
    ++judged;
    if (packet.delivered) continue;
    ++lost;
    if (first == nullptr) first = &packet;
  }
  if (first == nullptr) return;
  const TunnelPlan& tunnel = scenario_.tunnels[first->tunnel];
  fail("nothing is lost without faults",
       fmt::format("{} of {} packets; the first is number {} of {}.{}, sent by {} at {}", lost, judged,
                   first - inner_.data(), tunnel.connection, tunnel.children[first->child].name,
                   scenario_.hosts[tunnel.hosts[first->direction]].name, seconds_text(first->at)));
}

}  // namespace merlon::sim
