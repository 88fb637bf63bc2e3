// The kernel as the oracle: what it makes of a super-packet is what ours is cut into, and the packets that we join are
// what it cuts it into again.
//
//   written to TUN "in", with a vnet header  ->  the kernel forwards and cuts  ->  read from TUN "out", which takes
//   no super-packets
#include <gmock/gmock.h>

#include "esp/coalescer.h"
#include "io/kernel_settings.h"
#include "io/test_namespace.h"
#include "io/tun_packet.h"
#include "packet/pool.h"
#include "wire/ip/segment.h"
#include "wire/test_segments.h"

namespace merlon::daemon {
namespace {

using io::test::shell;
using wire::test::FlowPacket;

class SuperPacketTest : public io::test::NamespaceTest {};

io::Tun tun(const std::string& name, bool vnet_header) {
  auto opened = io::Tun::open({.name = name, .vnet_header = vnet_header});
  EXPECT_TRUE(opened) << opened.error().message;
  static_cast<void>(io::disable_ipv6_autoconfiguration(name));
  EXPECT_TRUE(opened->set_up(true));
  return std::move(*opened);
}

struct Kernel {
  Kernel() : in(tun("in", true)), out(tun("out", false)) {
    offloads = in.enable_offloads();
    shell(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 "
        "net.ipv4.conf.in.rp_filter=0;"
        "ip addr add 10.1.0.1/24 dev in; ip addr add 10.2.0.1/24 dev out;"
        "ip -6 addr add fd00:1::1/64 dev in nodad; ip -6 addr add fd00:2::1/64 dev out nodad");
  }
  io::Tun in, out;
  io::TunOffloads offloads;
  packet::PacketPool pool{200, 65600};

  // What the kernel forwards; the TTL as it was sent.
  std::vector<Bytes> forwarded(std::size_t count) {
    std::vector<Bytes> packets;
    Bytes buffer(65600);
    while (packets.size() < count && io::test::wait_for(out.fd())) {
      const auto length = out.read(buffer);
      if (!length || *length == 0) break;
      Bytes packet(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*length));
      const auto view = wire::parse_packet(packet);
      if (!view || view->upper != wire::UpperFields::kPorts) continue;  // the kernel's own
      if (view->family == IpFamily::kIpv4) {
        wire::set_ipv4_ttl(packet, 64);
      } else {
        packet[7] = 64;
      }
      packets.push_back(std::move(packet));
    }
    return packets;
  }
};

FlowPacket flow_of(bool v4, IpProtocol protocol, std::size_t size) {
  FlowPacket flow;
  flow.source = io::test::ip(v4 ? "10.1.0.7" : "fd00:1::7");
  flow.destination = io::test::ip(v4 ? "10.2.0.9" : "fd00:2::9");
  flow.protocol = protocol;
  flow.identification = 0xfff0;
  flow.sequence = 0xfffff000;
  flow.options = protocol == IpProtocol::kTcp ? Bytes{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2} : Bytes{};
  flow.payload.resize(size);
  for (std::size_t i = 0; i < size; ++i) flow.payload[i] = static_cast<std::uint8_t>(i * 31);
  return flow;
}

TEST_F(SuperPacketTest, IsCutAsTheKernelCutsIt) {
  in_namespace([] {
    Kernel kernel;
    if (!kernel.offloads.tcp_segmentation) GTEST_SKIP() << "the kernel has no TSO for TUN";
    for (const bool v4 : {true, false})
      for (const IpProtocol protocol : {IpProtocol::kTcp, IpProtocol::kUdp})
        for (const bool dont_fragment : {true, false}) {
          if (protocol == IpProtocol::kUdp && !kernel.offloads.udp_segmentation) continue;
          FlowPacket flow = flow_of(v4, protocol, 30001);
          flow.flags = protocol == IpProtocol::kTcp ? 0x99 : 0;  // CWR, ACK, PSH, FIN
          flow.dont_fragment = dont_fragment;
          packet::PacketPtr packet = kernel.pool.copy_of(wire::test::super_packet_of(flow));
          packet->meta.segment_size = 1200;
          packet->meta.checksum_start = v4 ? 20 : 40;
          packet->meta.checksum_offset = protocol == IpProtocol::kTcp ? 16 : 6;
          ASSERT_EQ(io::write_packet(kernel.in, *packet), io::SendOutcome::kSent);

          const auto cutter =
              wire::SegmentCutter::make(packet->bytes(), wire::parse_packet(packet->bytes()).value(), 1200);
          std::vector<Bytes> ours;
          for (std::size_t i = 0; i < cutter->count(); ++i) {
            ours.emplace_back(cutter->size_of(i));
            cutter->cut(i, ours.back());
          }
          EXPECT_EQ(kernel.forwarded(ours.size()), ours) << v4 << static_cast<unsigned>(protocol);
        }
  });
}

TEST_F(SuperPacketTest, WhatWasJoinedIsCutIntoTheSamePacketsByTheKernel) {
  in_namespace([] {
    Kernel kernel;
    if (!kernel.offloads.udp_segmentation) GTEST_SKIP() << "the kernel has no USO for TUN";
    esp::EngineConfig config;
    config.coalesce_tcp = config.coalesce_udp = true;
    esp::Reporter reporter(config);
    esp::Coalescer coalescer(config, kernel.pool, reporter);
    for (const bool v4 : {true, false})
      for (const IpProtocol protocol : {IpProtocol::kTcp, IpProtocol::kUdp}) {
        FlowPacket flow = flow_of(v4, protocol, 30001);
        flow.flags = 0x18;
        flow.dont_fragment = false;
        const std::vector<Bytes> packets = wire::test::segments_of(flow, 1000);
        packet::PacketList joined;
        for (const Bytes& bytes : packets) {
          packet::PacketPtr packet = kernel.pool.copy_of(bytes);
          const MutableByteView inner = packet->bytes();
          coalescer.add(inner, wire::parse_packet(inner).value(), packet, joined);
        }
        coalescer.finish();
        ASSERT_EQ(joined.size(), 1U);
        ASSERT_EQ(io::write_packet(kernel.in, *joined[0]), io::SendOutcome::kSent);
        EXPECT_EQ(kernel.forwarded(packets.size()), packets) << v4 << static_cast<unsigned>(protocol);
      }
  });
}

// From the kernel's own TCP: what it hands over is understood, with unfinished checksums and all.
TEST_F(SuperPacketTest, TheKernelsOwnArriveAsSuperPackets) {
  in_namespace([] {
    Kernel kernel;
    if (!kernel.offloads.udp_segmentation) GTEST_SKIP() << "the kernel has no USO for TUN";
    shell(R"(python3 -c '
import socket
for family, to in ((socket.AF_INET, "10.1.0.9"), (socket.AF_INET6, "fd00:1::9")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
    s.sendto(bytes(20500), (to, 9))
')");
    unsigned supers = 0;
    while (io::test::wait_for(kernel.in.fd()) && supers < 2) {
      packet::PacketPtr packet = kernel.pool.allocate();
      const auto read = io::read_packet(kernel.in, *packet);
      ASSERT_TRUE(read);
      if (*read != io::TunRead::kPacket || packet->meta.segment_size == 0) continue;
      ++supers;
      EXPECT_EQ(packet->meta.segment_size, 1000);
      const auto cutter =
          wire::SegmentCutter::make(packet->bytes(), wire::parse_packet(packet->bytes()).value(), 1000);
      ASSERT_TRUE(cutter);
      EXPECT_EQ(cutter->count(), 21U);
      for (std::size_t i = 0; i < cutter->count(); ++i) {
        Bytes segment(cutter->size_of(i));
        cutter->cut(i, segment);
        EXPECT_TRUE(wire::are_checksums_right(segment, wire::parse_packet(segment).value()));
      }
    }
    EXPECT_EQ(supers, 2U);
  });
}

}  // namespace
}  // namespace merlon::daemon
