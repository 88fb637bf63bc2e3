#include "wire.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <thread>
#include <utility>

#include "wire/ip/ipv4.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::flood {
namespace {

constexpr std::size_t kBatch = 64, kEthernetHeader = 14, kAddresses = 12;

std::string reason() {
  return std::generic_category().message(errno);
}

}  // namespace

Result<Wire> Wire::open(const std::string& device, const std::string& gateway) {
  Bytes ethernet(kAddresses, 0);
  std::array<unsigned, 6> mac{};
  if (std::sscanf(gateway.c_str(), "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
                  &mac[5]) != 6)
    return fail(ErrorCode::kInvalidArgument, "expected an Ethernet address, got \"{}\"", gateway);
  for (std::size_t i = 0; i < mac.size(); ++i) ethernet[i] = static_cast<std::uint8_t>(mac[i]);
  ethernet[6] = 2;  // from an address that nobody has

  Wire wire(::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (wire.fd_ < 0 || ::bind(wire.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail(ErrorCode::kSystem, "cannot send through {}: {}", device, reason());
  wire.ethernet_ = std::move(ethernet);
  return wire;
}

Wire::Wire(Wire&& from) noexcept
    : fd_(std::exchange(from.fd_, -1)),
      ethernet_(std::move(from.ethernet_)),
      frames_(std::move(from.frames_)),
      sent_(from.sent_),
      refused_(from.refused_) {}

Wire::~Wire() {
  if (fd_ >= 0) ::close(fd_);
}

void Wire::send(ByteView ip_packet) {
  const bool v4 = !ip_packet.empty() && ip_packet[0] >> 4U == 4;
  static constexpr std::array<std::uint8_t, 2> kV4 = {0x08, 0x00}, kV6 = {0x86, 0xdd};
  frames_.push_back(concat(ethernet_, v4 ? kV4 : kV6, ip_packet));
  if (frames_.size() >= kBatch) flush();
}

void Wire::flush() {
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    parts[i] = {frames_[i].data(), frames_[i].size()};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (std::size_t done = 0; done < frames_.size();) {
    const int count = ::sendmmsg(fd_, &messages[done], static_cast<unsigned>(frames_.size() - done), 0);
    if (count > 0) {
      done += static_cast<std::size_t>(count);
      sent_ += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      ++done;
      ++refused_;
    }
  }
  frames_.clear();
}

std::optional<Wire::Datagram> Wire::receive(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  Bytes frame(65536);
  for (;;) {
    const auto rest =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{fd_, POLLIN, 0};
    if (rest.count() <= 0 || ::poll(&readable, 1, static_cast<int>(rest.count())) <= 0) return std::nullopt;
    sockaddr_ll from{};
    socklen_t from_size = sizeof from;
    const auto size = ::recvfrom(fd_, frame.data(), frame.size(), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size <= static_cast<ssize_t>(kEthernetHeader) || from.sll_pkttype == PACKET_OUTGOING) continue;
    const auto packet = ByteView(frame).first(static_cast<std::size_t>(size)).subspan(kEthernetHeader);
    const auto ip = wire::parse_ipv4(packet);
    if (!ip || ip->protocol != IpProtocol::kUdp || ip->fragment_offset != 0) continue;
    const auto datagram = packet.first(ip->total_length).subspan(ip->header_length);
    const auto udp = wire::parse_udp(datagram);
    if (!udp) continue;
    return Datagram{{ip->source, udp->source_port},
                    {ip->destination, udp->destination_port},
                    to_bytes(datagram.first(udp->length).subspan(wire::kUdpHeaderSize))};
  }
}

double at_rate(Wire& wire, double per_second, double seconds, const std::function<void()>& one) {
  const auto begun = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  for (double done = 0; passed() < seconds;) {
    const double due = passed() * per_second;
    // What a busy machine did not let us send is sent late, but not all of it in one burst.
    if (due - done > per_second / 10) done = due - per_second / 10;
    for (; done < due; ++done) one();
    wire.flush();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return passed();
}

IpAddress any_of(const IpPrefix& prefix, Rng& rng) {
  Bytes bytes = to_bytes(prefix.address.bytes());
  for (unsigned bit = prefix.length; bit < prefix.address.bit_width(); ++bit)
    if (rng.below(2) == 1) bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80U >> (bit % 8)));
  return IpAddress::from_bytes(bytes).value_or(prefix.address);
}

Bytes ip_packet(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                ByteView payload) {
  if (source.is_v4()) {
    wire::Ipv4Header header;
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderSize + payload.size());
    header.protocol = protocol;
    header.source = source;
    header.destination = destination;
    Bytes head(wire::kIpv4HeaderSize);
    wire::write_ipv4(head, header);
    return concat(head, payload);
  }
  wire::Ipv6Header header;
  header.payload_length = static_cast<std::uint16_t>(payload.size());
  header.next_header = protocol;
  header.source = source;
  header.destination = destination;
  Bytes head(wire::kIpv6HeaderSize);
  wire::write_ipv6(head, header);
  return concat(head, payload);
}

Bytes first_fragment(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                     ByteView payload, Rng& rng) {
  const auto part = payload.first(payload.size() & ~std::size_t{7});
  if (source.is_v4()) {
    wire::Ipv4Header header;
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderSize + part.size());
    header.identification = rng.uniform<std::uint16_t>();
    header.more_fragments = true;
    header.protocol = protocol;
    header.source = source;
    header.destination = destination;
    Bytes head(wire::kIpv4HeaderSize);
    wire::write_ipv4(head, header);
    return concat(head, part);
  }
  Bytes extension(wire::kIpv6FragmentHeaderSize);
  wire::write_ipv6_fragment_header(extension, {protocol, 0, true, rng.uniform<std::uint32_t>()});
  return ip_packet(source, destination, static_cast<IpProtocol>(44), concat(extension, part));
}

}  // namespace merlon::flood
