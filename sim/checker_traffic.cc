// Inner packets: each carries a mark and a number, so it can be told on the wire and where it comes out.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/reader.h"
#include "base/writer.h"
#include "policy/traffic_selector.h"
#include "sim/checker.h"
#include "sim/stream.h"
#include "wire/ip/packet_view.h"
#include "wire/ip/udp.h"

namespace merlon::sim {
namespace {

constexpr std::string_view kMark = "<merlon inner packet>";
constexpr std::size_t kInnerHeaders = 20 + 8;

IpAddress plus(const IpAddress& address, std::uint64_t number) {
  return IpAddress::v4(address.v4_host_order() + static_cast<std::uint32_t>(number));
}

}  // namespace

Bytes Checker::make(InnerPacket packet, Rng& rng) {
  ByteWriter payload;
  payload.bytes(as_bytes(kMark));
  payload.u64(inner_.size());
  payload.bytes(rng.bytes(static_cast<std::size_t>(between(rng, 0, 120))));
  Bytes made = wire::build_udp_packet({packet.source, static_cast<std::uint16_t>(between(rng, 1024, 65000))},
                                      {packet.destination, 2000}, payload.view());
  packet.at = queue_.elapsed();
  packet.strict = strict_;
  packet.digest = digest_of(ByteView(made).subspan(20));
  inner_.push_back(packet);
  return made;
}

Bytes Checker::make_inner(std::size_t tunnel, std::size_t child, unsigned direction, Rng& rng) {
  const ChildPlan& plan = scenario_.tunnels[tunnel].children[child];
  InnerPacket packet;
  packet.tunnel = static_cast<std::uint32_t>(tunnel);
  packet.child = static_cast<std::uint32_t>(child);
  packet.direction = static_cast<std::uint8_t>(direction);
  packet.source = plus(plan.first_address[direction], rng.below(kInnerHosts));
  packet.destination = plus(plan.first_address[1 - direction], rng.below(kInnerHosts));
  ++traffic_.sent;
  return make(packet, rng);
}

Bytes Checker::make_stray(std::size_t host, Rng& rng) {
  InnerPacket packet;
  packet.stray = true;
  packet.source = IpAddress::v4(0xac100000U + static_cast<std::uint32_t>(host << 8U) + 1);  // 172.16.HOST.1
  packet.destination = IpAddress::v4(0xac1f0000U + static_cast<std::uint32_t>(rng.below(1000)));
  return make(packet, rng);
}

void Checker::check_clear(std::size_t host, const WireDatagram& datagram) {
  if (memmem(datagram.payload.data(), datagram.payload.size(), kMark.data(), kMark.size()) != nullptr)
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

void Checker::delivered(std::size_t host, ByteView packet) {
  const std::string& who = scenario_.hosts[host].name;
  const auto unsent = [&] {
    fail("only what was sent comes out",
         fmt::format("{} gets {} bytes that nobody sent", who, packet.size()));
  };
  if (packet.size() < kInnerHeaders + kMark.size() + 8) return unsent();
  const ByteView payload = packet.subspan(kInnerHeaders);
  if (!equal(payload.first(kMark.size()), as_bytes(kMark))) return unsent();
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8U | payload[kMark.size() + i];
  if (number >= inner_.size()) return unsent();
  InnerPacket& known = inner_[number];
  if (known.digest != digest_of(packet.subspan(20)) || !equal(packet.subspan(12, 4), known.source.bytes()) ||
      !equal(packet.subspan(16, 4), known.destination.bytes()))
    return fail("what comes out is what went in", fmt::format("{} gets packet {} changed", who, number));
  if (known.stray)
    return fail("nothing outside its selectors",
                fmt::format("{} gets packet {}, which no policy speaks of", who, number));
  const TunnelPlan& tunnel = scenario_.tunnels[known.tunnel];
  if (tunnel.hosts[1 - known.direction] != host)
    return fail("nothing outside its selectors",
                fmt::format("{} gets packet {}, which is for {}", who, number,
                            scenario_.hosts[tunnel.hosts[1 - known.direction]].name));
  if (!selected(host, packet))
    return fail("nothing outside its selectors",
                fmt::format("{} gets packet {}, for which it has no SA", who, number));
  if (known.delivered)
    return fail("no packet accepted twice",
                fmt::format("{} gets packet {} of {} again", who, number, tunnel.connection));
  known.delivered = true;
  ++traffic_.delivered;
}

std::string Checker::why_not_flowing() const {
  constexpr Duration kOldest = std::chrono::seconds(6), kYoungest = std::chrono::seconds(2);
  std::set<std::tuple<std::uint32_t, std::uint32_t, unsigned>> seen;
  for (auto packet = inner_.rbegin(); packet != inner_.rend(); ++packet) {
    const Duration age = queue_.elapsed() - packet->at;
    if (age > kOldest) break;
    const TunnelPlan& tunnel = scenario_.tunnels[packet->tunnel];
    if (age < kYoungest || packet->stray || !tunnel.should_be_up) continue;
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
    if (!packet.strict || packet.stray || !scenario_.tunnels[packet.tunnel].should_be_up) continue;
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
    if (!packet.strict || packet.stray || !scenario_.tunnels[packet.tunnel].should_be_up) continue;
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
