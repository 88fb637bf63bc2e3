#include "io/datagram_socket.h"

#include <fmt/format.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "io/control_message.h"
#include "io/socket_address.h"
#include "io/system_error.h"
#include "io/system_rng.h"
#include "wire/ip/fragment.h"
#include "wire/ip/ipv6.h"
#include "wire/ip/udp.h"

namespace merlon::io {
namespace {

constexpr std::size_t kMaxIpPacket = 65535;

int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno;
}

// What ICMP messages about earlier datagrams leave behind on a socket. The next call fails with it, whatever
// its own datagram, so it is no verdict on that one.
bool may_be_left_by_icmp(int error_number) {
  switch (error_number) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case EMSGSIZE:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EACCES:
      return true;
    default:
      return false;
  }
}

// What the kernel says to UDP_SEGMENT where the device cannot do it, or a segment does not fit its MTU.
bool is_segment_refusal(int error_number) {
  return error_number == EIO || error_number == EINVAL || error_number == EMSGSIZE;
}

Result<> set_buffer(int fd, int forced, int plain, unsigned size) {
  if (size == 0) return {};
  const int value = static_cast<int>(std::min(size, 1U << 30U));
  if (set_option(fd, SOL_SOCKET, forced, value) == 0) return {};
  if (const int error = set_option(fd, SOL_SOCKET, plain, value))
    return fail_errno(error, fmt::format("set a socket buffer of {} bytes", size));
  return {};
}

Result<> set_common_options(int fd, const DatagramSocketOptions& options) {
  if (options.mark != 0)
    if (const int error = set_option(fd, SOL_SOCKET, SO_MARK, static_cast<int>(options.mark)))
      return fail_errno(error, fmt::format("set the mark 0x{:x} on a socket", options.mark));
  if (!options.device.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options.device.data(),
                                            static_cast<socklen_t>(options.device.size())) != 0)
    return fail_errno(errno, fmt::format("bind a socket to the device '{}'", options.device));
  MERLON_TRY_VOID(set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer));
  return set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer);
}

Result<> set_family_options(int fd, IpFamily family, bool raw, bool free_bind) {
  struct Option {
    int level, name, value;
    const char* what;
  };
  static constexpr std::array kIpv4 = {
      Option{IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO"},
      Option{IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
      Option{IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR"},
  };
  static constexpr std::array kIpv6 = {
      Option{IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
      Option{IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
      Option{IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR"},
  };
  const std::span<const Option> wanted =
      family == IpFamily::kIpv4 ? std::span<const Option>(kIpv4) : std::span<const Option>(kIpv6);
  for (const Option& option : wanted)
    if (const int error = set_option(fd, option.level, option.name, option.value))
      return fail_errno(error, fmt::format("set {} on a socket", option.what));
  // Raw sockets receive one family only, and refuse the option.
  const int v6only = family == IpFamily::kIpv6 && !raw ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
  if (v6only != 0) return fail_errno(v6only, "set IPV6_V6ONLY on a socket");
  constexpr int kIpv6FreeBind = 78;  // IPV6_FREEBIND, which glibc's header lacks
  const int error = !free_bind                  ? 0
                    : family == IpFamily::kIpv4 ? set_option(fd, IPPROTO_IP, IP_FREEBIND, 1)
                                                : set_option(fd, IPPROTO_IPV6, kIpv6FreeBind, 1);
  if (error != 0) return fail_errno(error, "set IP_FREEBIND on a socket");
  return {};
}

// The kernel's view of up to kMaxBurst datagrams: one mmsghdr each, and what it points to.
// Not zeroed as a whole, which would cost more than a small burst: prepare_* sets what is used.
struct Burst {  // NOLINT(cppcoreguidelines-pro-type-member-init)
  static constexpr std::size_t kSize = DatagramSocket::kMaxBurst;
  std::array<mmsghdr, kSize> messages;
  std::array<std::array<iovec, 2>, kSize> parts;
  std::array<SocketAddress, kSize> addresses;
  std::array<ControlBuffer, kSize> controls;
};

iovec part_of(ByteView bytes) {
  return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

void prepare_send(Burst& burst, std::size_t i, const OutgoingDatagram& datagram, bool raw) {
  burst.parts[i] = {part_of(datagram.head), part_of(datagram.payload)};
  // raw(7), ipv6(7): in a raw socket's address the port stands for the protocol; IPv6 refuses any other than its own.
  const Endpoint destination{datagram.destination.address,
                             raw ? std::uint16_t{0} : datagram.destination.port};
  burst.addresses[i] = socket_address(destination, datagram.interface_index);
  msghdr& header = burst.messages[i].msg_hdr;
  header = {};
  header.msg_name = &burst.addresses[i].storage;
  header.msg_namelen = burst.addresses[i].length;
  header.msg_iov = burst.parts[i].data();
  header.msg_iovlen = 2;
  ControlWriter control(burst.controls[i]);
  const IpFamily family = datagram.destination.address.family();
  control.packet_info(family, datagram.source, datagram.interface_index);
  control.traffic_class(family, datagram.traffic_class);
  // One segment is no more than a datagram, and some kernels refuse the message then.
  if (datagram.segment_size != 0 && datagram.payload.size() > datagram.segment_size)
    control.segment_size(datagram.segment_size);
  control.attach(header);
}

void prepare_receive(Burst& burst, std::size_t i, MutableByteView buffer) {
  burst.parts[i][0] = {buffer.data(), buffer.size()};
  msghdr& header = burst.messages[i].msg_hdr;
  header = {};
  header.msg_name = &burst.addresses[i].storage;
  header.msg_namelen = sizeof burst.addresses[i].storage;
  header.msg_iov = burst.parts[i].data();
  header.msg_iovlen = 1;
  header.msg_control = burst.controls[i].bytes;
  header.msg_controllen = sizeof burst.controls[i].bytes;
}

// A raw IPv4 socket delivers the IP header too. The kernel has checked it, but nothing here relies on that.
MutableByteView without_ipv4_header(MutableByteView packet) {
  if (packet.size() < sizeof(iphdr)) return {};
  const std::size_t header = std::size_t{packet[0] & 0x0fU} * 4;
  if (header < sizeof(iphdr) || header > packet.size()) return {};
  return packet.subspan(header);
}

void take_received(const mmsghdr& message, bool strip_ipv4_header, std::uint16_t port,
                   ReceivedDatagram& slot) {
  const msghdr& header = message.msg_hdr;
  slot.payload = slot.buffer.first(std::min<std::size_t>(message.msg_len, slot.buffer.size()));
  if (strip_ipv4_header) slot.payload = without_ipv4_header(slot.payload);
  slot.truncated = (header.msg_flags & MSG_TRUNC) != 0;
  slot.source = endpoint_of(header.msg_name, header.msg_namelen).value_or(Endpoint{});
  const ReceivedControl control = read_control(header);
  slot.destination = {control.destination.value_or(IpAddress{}), port};
  slot.interface_index = control.interface_index;
  slot.traffic_class = control.traffic_class;
  slot.segment_size = control.segment_size < slot.payload.size() ? control.segment_size : std::uint16_t{0};
}

}  // namespace

DatagramSocket::DatagramSocket(Fd fd, IpFamily family, bool raw)
    : fd_(std::move(fd)),
      family_(family),
      raw_(raw),
      may_fragment_mutex_(std::make_unique<std::mutex>()),
      refusals_(std::make_unique<SegmentRefusals>()) {}

Result<DatagramSocket> DatagramSocket::set_up(Fd fd, bool raw, const Endpoint& local,
                                              const DatagramSocketOptions& options) {
  DatagramSocket socket(std::move(fd), local.address.family(), raw);
  MERLON_TRY_VOID(set_common_options(socket.fd(), options));
  MERLON_TRY_VOID(set_family_options(socket.fd(), socket.family_, raw, options.free_bind));
  MERLON_TRY_VOID(socket.set_path_mtu_mode(options.path_mtu_mode));
  const SocketAddress address = socket_address(local, if_nametoindex(options.device.c_str()));
  if (bind(socket.fd(), address.get(), address.length) != 0)
    return fail_errno(errno, raw ? fmt::format("bind a raw ESP socket to {}", local.address)
                                 : fmt::format("bind a UDP socket to {}", local));
  SocketAddress bound;
  bound.length = sizeof bound.storage;
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.length) != 0)
    return fail_errno(errno, "read a socket's own address");
  const auto endpoint = endpoint_of(&bound.storage, bound.length);
  if (endpoint && !raw) socket.port_ = endpoint->port;
  int protocol = 0;
  socklen_t size = sizeof protocol;
  if (getsockopt(socket.fd(), SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0)
    return fail_errno(errno, "read a socket's protocol");
  socket.protocol_ = static_cast<IpProtocol>(protocol);
  if (socket.family_ == IpFamily::kIpv6 && protocol != IPPROTO_RAW)
    static_cast<void>(socket.open_fragment_socket(options));  // without it the kernel does what it can
  return socket;
}

Result<> DatagramSocket::open_fragment_socket(const DatagramSocketOptions& options) {
  Fd fd(::socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW));  // takes whole packets
  if (!fd) return fail_errno(errno, "open a raw socket for fragments");
  DatagramSocketOptions wanted = options;
  wanted.receive_buffer = 0;  // nothing is received on it
  wanted.path_mtu_mode = PathMtuMode::kProbe;
  MERLON_TRY(DatagramSocket socket, set_up(std::move(fd), true, {IpAddress::any(family_), 0}, wanted));
  fragment_socket_ = std::make_unique<DatagramSocket>(std::move(socket));
  return {};
}

Result<std::size_t> DatagramSocket::receive_burst(std::span<ReceivedDatagram> slots) {
  Burst burst;
  const std::size_t count = std::min(slots.size(), kMaxBurst);
  for (std::size_t i = 0; i < count; ++i) prepare_receive(burst, i, slots[i].buffer);
  for (unsigned attempts = 0;; ++attempts) {
    const int received =
        recvmmsg(fd_.get(), burst.messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
    if (received >= 0) {
      const auto filled = static_cast<std::size_t>(received);
      const bool strip = raw_ && family_ == IpFamily::kIpv4;
      for (std::size_t i = 0; i < filled; ++i) take_received(burst.messages[i], strip, port_, slots[i]);
      return filled;
    }
    if (errno == EAGAIN) return std::size_t{0};
    constexpr unsigned kMaxAttempts = 16;  // a stream of ICMP errors must not hold the caller for ever
    const bool again = errno == EINTR || may_be_left_by_icmp(errno);
    if (!again) return fail_errno(errno, raw_ ? "receive ESP packets" : "receive UDP datagrams");
    if (attempts == kMaxAttempts) return std::size_t{0};
  }
}

std::size_t DatagramSocket::send_run(std::span<const OutgoingDatagram> datagrams,
                                     std::span<SendOutcome> outcomes) {
  Burst burst;
  for (std::size_t i = 0; i < datagrams.size(); ++i) prepare_send(burst, i, datagrams[i], raw_);
  std::size_t sent = 0;
  bool retried = false;
  for (std::size_t done = 0; done < datagrams.size();) {
    const int result = sendmmsg(fd_.get(), &burst.messages[done],
                                static_cast<unsigned>(datagrams.size() - done), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result > 0) {
      std::fill_n(&outcomes[done], result, SendOutcome::kSent);
      done += static_cast<std::size_t>(result);
      sent += static_cast<std::size_t>(result);
      retried = false;
      continue;
    }
    if (errno == EINTR) continue;
    const int error_number = errno;
    if (!std::exchange(retried, true) && may_be_left_by_icmp(error_number)) continue;
    SendOutcome outcome = classify_send_errno(error_number);
    // Neither family's route lookup accepts a source that is not ours: EINVAL.
    if (error_number == EINVAL && !datagrams[done].source.is_unspecified())
      outcome = SendOutcome::kNoSourceAddress;
    if (datagrams[done].segment_size != 0 && is_segment_refusal(error_number)) {
      outcome = after_refusal(datagrams[done], error_number);
      if (outcome == SendOutcome::kSent) ++sent;
    }
    if (outcome == SendOutcome::kWouldBlock) {
      std::fill(outcomes.begin() + static_cast<std::ptrdiff_t>(done), outcomes.end(), outcome);
      break;
    }
    outcomes[done++] = outcome;
    retried = false;
  }
  return sent;
}

// Without a source nobody but the kernel could write the IP header.
bool DatagramSocket::needs_fragments(const OutgoingDatagram& datagram) const {
  if (!fragment_socket_ || !datagram.may_fragment || datagram.path_mtu == 0 || datagram.segment_size != 0 ||
      datagram.source.is_unspecified())
    return false;
  const std::size_t headers = wire::kIpv6HeaderSize + (raw_ ? 0 : wire::kUdpHeaderSize);
  const std::size_t size = headers + datagram.head.size() + datagram.payload.size();
  return size > datagram.path_mtu && size <= kMaxIpPacket;
}

// RFC 8200 4.5.
SendOutcome DatagramSocket::send_fragments(const OutgoingDatagram& datagram) {
  const IpAddress& source = datagram.source;
  const IpAddress& destination = datagram.destination.address;
  const Bytes data = concat(datagram.head, datagram.payload);
  Bytes packet;
  if (raw_) {
    packet.resize(wire::kIpv6HeaderSize);
    wire::Ipv6Header header;
    header.payload_length = static_cast<std::uint16_t>(data.size());
    header.next_header = protocol_;
    header.source = source;
    header.destination = destination;
    wire::write_ipv6(packet, header);
    append(packet, data);
  } else {
    packet = wire::build_udp_packet({source, port_}, datagram.destination, data);
  }
  wire::set_ipv6_traffic_class(packet, datagram.traffic_class);
  const std::size_t mtu = std::max<std::size_t>(datagram.path_mtu, wire::kIpv6MinimumMtu);
  // RFC 7739: not to be foreseen.
  const auto fragments = wire::fragment_ipv6(packet, mtu, SystemRng().uniform<std::uint32_t>());
  if (!fragments) return SendOutcome::kTooBig;
  for (const Bytes& fragment : *fragments) {
    OutgoingDatagram one;
    one.payload = fragment;
    one.source = source;
    one.destination = {destination, 0};
    one.interface_index = datagram.interface_index;
    if (const SendOutcome outcome = fragment_socket_->send(one); outcome != SendOutcome::kSent)
      return outcome;
  }
  return SendOutcome::kSent;
}

bool DatagramSocket::goes_in_slices(const OutgoingDatagram& datagram) const {
  return datagram.segment_size != 0 && (!joins_ || refusals_->contains(datagram.destination));
}

// Every segment as a datagram of its own, straight from where it stands. The first outcome that is not kSent
// speaks for all.
SendOutcome DatagramSocket::send_slices(const OutgoingDatagram& datagram) {
  std::array<OutgoingDatagram, kMaxBurst> slices;
  std::array<SendOutcome, kMaxBurst> outcomes{};
  SendOutcome outcome = SendOutcome::kSent;
  for (ByteView rest = datagram.payload; !rest.empty();) {
    std::size_t count = 0;
    for (; count < slices.size() && !rest.empty(); ++count) {
      const std::size_t size = std::min<std::size_t>(datagram.segment_size, rest.size());
      slices[count] = datagram;
      slices[count].segment_size = 0;
      slices[count].payload = rest.first(size);
      rest = rest.subspan(size);
    }
    send_run(std::span(slices).first(count), std::span(outcomes).first(count));
    for (std::size_t i = 0; i < count && outcome == SendOutcome::kSent; ++i) outcome = outcomes[i];
    if (outcome == SendOutcome::kWouldBlock) break;
  }
  return outcome;
}

// The kernel refused several datagrams in one send. Whether it is that, or the datagrams themselves, shows when
// they go one by one.
SendOutcome DatagramSocket::after_refusal(const OutgoingDatagram& datagram, int error_number) {
  const SendOutcome outcome = send_slices(datagram);
  if (error_number == EIO || outcome == SendOutcome::kSent)
    refusals_->add({datagram.destination, error_number});
  return outcome;
}

// Datagrams of one kind of fragmentation, as many in one call as stand together.
std::size_t DatagramSocket::send_mode(std::span<const OutgoingDatagram> datagrams,
                                      std::span<SendOutcome> outcomes) {
  std::size_t sent = 0;
  for (std::size_t begin = 0; begin < datagrams.size();) {
    std::size_t end = begin;
    while (end < datagrams.size() && !goes_in_slices(datagrams[end])) ++end;
    if (end == begin) {
      outcomes[end] = send_slices(datagrams[end]);
      if (outcomes[end] == SendOutcome::kSent) ++sent;
      ++end;
    } else {
      sent += send_run(datagrams.subspan(begin, end - begin), outcomes.subspan(begin, end - begin));
    }
    if (outcomes[end - 1] == SendOutcome::kWouldBlock) {
      std::fill(outcomes.begin() + static_cast<std::ptrdiff_t>(end), outcomes.end(),
                SendOutcome::kWouldBlock);
      break;
    }
    begin = end;
  }
  return sent;
}

std::size_t DatagramSocket::send_burst(std::span<const OutgoingDatagram> datagrams,
                                       std::span<SendOutcome> outcomes) {
  MERLON_ASSERT(outcomes.size() >= datagrams.size());
  const auto fits = [this](const OutgoingDatagram& datagram) {
    const bool source_fits = datagram.source.is_unspecified() || datagram.source.family() == family_;
    return source_fits && datagram.destination.address.family() == family_;
  };
  std::size_t sent = 0;
  for (std::size_t begin = 0; begin < datagrams.size();) {
    if (!fits(datagrams[begin])) {
      outcomes[begin++] = SendOutcome::kFailed;
      continue;
    }
    if (needs_fragments(datagrams[begin])) {
      outcomes[begin] = send_fragments(datagrams[begin]);
      if (outcomes[begin++] == SendOutcome::kSent) ++sent;
      continue;
    }
    const bool may_fragment = datagrams[begin].may_fragment;
    std::size_t end = begin + 1;
    while (end < datagrams.size() && end - begin < kMaxBurst && datagrams[end].may_fragment == may_fragment &&
           fits(datagrams[end]) && !needs_fragments(datagrams[end]))
      ++end;
    const auto run = datagrams.subspan(begin, end - begin);
    const auto run_outcomes = outcomes.subspan(begin, end - begin);
    if (may_fragment && path_mtu_mode_ != PathMtuMode::kDont) {
      const std::lock_guard lock(*may_fragment_mutex_);
      MERLON_ASSERT(set_path_mtu_option(PathMtuMode::kDont) == 0);  // was set before: can not fail
      sent += send_mode(run, run_outcomes);
      MERLON_ASSERT(set_path_mtu_option(path_mtu_mode_) == 0);
    } else {
      sent += send_mode(run, run_outcomes);
    }
    if (run_outcomes.back() == SendOutcome::kWouldBlock) {
      std::fill(outcomes.begin() + static_cast<std::ptrdiff_t>(end), outcomes.end(),
                SendOutcome::kWouldBlock);
      break;
    }
    begin = end;
  }
  return sent;
}

SendOutcome DatagramSocket::send(const OutgoingDatagram& datagram) {
  SendOutcome outcome = SendOutcome::kFailed;
  send_burst({&datagram, 1}, {&outcome, 1});
  return outcome;
}

std::optional<SocketError> DatagramSocket::read_error() {
  std::array<std::uint8_t, SocketError::kMaxQuoted> quoted{};
  iovec part{quoted.data(), quoted.size()};
  SocketAddress destination;
  ControlBuffer control{};
  msghdr header{};
  header.msg_name = &destination.storage;
  header.msg_namelen = sizeof destination.storage;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  ssize_t length = 0;
  do {
    length = recvmsg(fd_.get(), &header, MSG_ERRQUEUE | MSG_DONTWAIT);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return std::nullopt;
  SocketError error = read_error_control(header);
  if (const auto endpoint = endpoint_of(header.msg_name, header.msg_namelen)) error.destination = *endpoint;
  if (raw_) error.destination.port = 0;
  if (error.origin != SocketError::Origin::kLocal)
    error.quoted.assign(quoted.begin(),
                        quoted.begin() + std::min<std::ptrdiff_t>(length, SocketError::kMaxQuoted));
  return error;
}

std::uint32_t DatagramSocket::dropped() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
  socklen_t size = sizeof values;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0) return 0;
  return values[SK_MEMINFO_DROPS];
}

int DatagramSocket::set_path_mtu_option(PathMtuMode mode) const {
  // The values are the same for both families.
  const int value = mode == PathMtuMode::kProbe ? IP_PMTUDISC_PROBE
                    : mode == PathMtuMode::kDo  ? IP_PMTUDISC_DO
                                                : IP_PMTUDISC_DONT;
  if (family_ == IpFamily::kIpv4) return set_option(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, value);
  if (const int error = set_option(fd_.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)) return error;
  // No router fragments IPv6, and some do not say that a packet was too big for them: what the first link does not
  // carry as a whole leaves in fragments that fit every path (RFC 8200 5).
  constexpr int kEveryPath = 1280;
  if (const int error =
          set_option(fd_.get(), IPPROTO_IPV6, IPV6_MTU, mode == PathMtuMode::kDont ? kEveryPath : 0))
    return error;
  return set_option(fd_.get(), IPPROTO_IPV6, IPV6_DONTFRAG, mode == PathMtuMode::kDont ? 0 : 1);
}

Result<> DatagramSocket::set_path_mtu_mode(PathMtuMode mode) {
  const std::lock_guard lock(*may_fragment_mutex_);
  if (const int error = set_path_mtu_option(mode))
    return fail_errno(error, "set a socket's path MTU discovery");
  path_mtu_mode_ = mode;
  return {};
}

Result<> DatagramSocket::attach_filter(std::span<const sock_filter> program) {
  sock_fprog filter{};
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = const_cast<sock_filter*>(program.data());
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
    return fail_errno(errno, "attach a filter to a socket");
  return {};
}

}  // namespace merlon::io
