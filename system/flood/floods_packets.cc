#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/writer.h"
#include "floods.h"
#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::flood {
namespace {

// RFC 4303 2, 3948 2.1: an ESP packet whose inside nobody has sealed.
Bytes esp_packet(const IpAddress& source, const Target& target, std::uint32_t spi, std::uint32_t sequence,
                 std::size_t size, bool udp, Rng& rng) {
  ByteWriter out;
  out.u32(spi);
  out.u32(sequence);
  const Bytes esp = concat(std::move(out).take(), rng.bytes(size & ~std::size_t{3}));
  if (udp) return wire::build_udp_packet({source, 4500}, {target.gateway, 4500}, esp);
  return ip_packet(source, target.gateway, IpProtocol::kEsp, esp);
}

bool leads_to(ByteView packet, const IpAddress& gateway) {
  const auto v4 = wire::parse_ipv4(packet);
  if (v4) return v4->destination == gateway;
  const auto v6 = wire::parse_ipv6(packet);
  return v6 && v6->destination == gateway;
}

// A little-endian pcap of Ethernet frames.
std::vector<Bytes> packets_of(const std::string& path, const IpAddress& gateway) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  constexpr std::size_t kFileHeader = 24, kRecordHeader = 16, kEthernet = 14;
  std::vector<Bytes> packets;
  for (std::size_t at = kFileHeader; at + kRecordHeader <= all.size();) {
    const std::size_t size = all[at + 8] | (std::size_t{all[at + 9]} << 8U);
    at += kRecordHeader;
    if (at + size > all.size()) break;
    if (size > kEthernet)
      if (const auto packet = ByteView(all).subspan(at + kEthernet, size - kEthernet);
          leads_to(packet, gateway))
        packets.push_back(to_bytes(packet));
    at += size;
  }
  return packets;
}

}  // namespace

Report replay(Wire& wire, const Target& target, const std::string& file) {
  const auto packets = packets_of(file, target.gateway);
  Report report{{"packets", static_cast<double>(packets.size())}};
  if (packets.empty()) return report;
  std::size_t next = 0;
  at_rate(wire, target.rate, target.seconds, [&] { wire.send(packets[next++ % packets.size()]); });
  report["rounds"] = static_cast<double>(next) / static_cast<double>(packets.size());
  return report;
}

Report ip_fragments(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  at_rate(wire, target.rate, target.seconds, [&] {
    const auto source = any_of(target.from, rng);
    if (rng.below(2) == 0) {
      const auto whole = wire::build_udp_packet(
          {source, 500}, {target.gateway, static_cast<std::uint16_t>(rng.below(2) == 0 ? 500 : 4500)},
          rng.bytes(1300));
      const auto datagram =
          ByteView(whole).subspan(source.is_v4() ? wire::kIpv4HeaderSize : wire::kIpv6HeaderSize);
      wire.send(first_fragment(source, target.gateway, IpProtocol::kUdp, datagram, rng));
    } else {
      wire.send(first_fragment(source, target.gateway, IpProtocol::kEsp, rng.bytes(1300), rng));
    }
  });
  return {};
}

Report unknown_spis(Wire& wire, const Target& target) {
  SeededRng rng(target.seed);
  at_rate(wire, target.rate, target.seconds, [&] {
    const auto spi = std::max<std::uint32_t>(256, rng.uniform<std::uint32_t>());
    wire.send(esp_packet(any_of(target.from, rng), target, spi, rng.uniform<std::uint32_t>(),
                         60 + rng.below(1300), rng.below(2) == 0, rng));
  });
  return {};
}

Report bad_icvs(Wire& wire, const Target& target, const std::vector<std::uint32_t>& spis, bool udp) {
  SeededRng rng(target.seed);
  if (spis.empty()) return {};
  std::uint32_t sequence = 1000;
  at_rate(wire, target.rate, target.seconds, [&] {
    wire.send(esp_packet(any_of(target.from, rng), target, spis[rng.below(spis.size())], ++sequence,
                         60 + rng.below(1300), udp, rng));
  });
  return {};
}

}  // namespace merlon::flood
