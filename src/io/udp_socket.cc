#include "io/udp_socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>

#include "io/system_error.h"

namespace merlon::io {

constexpr int kNoCheck6Receive =
    102;  // UDP_NO_CHECK6_RX of linux/udp.h, which does not go with netinet/udp.h

Result<UdpSocket> UdpSocket::open(const UdpSocketOptions& options) {
  const bool v4 = options.local.address.is_v4();
  Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!fd) return fail_errno(errno, fmt::format("open an {} UDP socket", v4 ? "IPv4" : "IPv6"));
  const int on = 1;
  if (options.reuse_address && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    return fail_errno(errno, "set SO_REUSEADDR on a UDP socket");
  if (options.reuse_port && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
    return fail_errno(errno, "set SO_REUSEPORT on a UDP socket");
  if (v4 && !options.send_checksum && setsockopt(fd.get(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) != 0)
    return fail_errno(errno, "turn off a UDP socket's checksums");
  if (!v4 && options.accept_zero_checksum &&
      setsockopt(fd.get(), IPPROTO_UDP, kNoCheck6Receive, &on, sizeof on) != 0)
    return fail_errno(errno, "let a UDP socket take zero checksums");
  const auto takes = [&fd](int option, int value) {
    return setsockopt(fd.get(), IPPROTO_UDP, option, &value, sizeof value) == 0;
  };
  UdpOffloads offloads;
  offloads.segment =
      takes(UDP_SEGMENT, 0);  // a size for all sends: none, but a kernel without it refuses even that
  offloads.gro = options.receive_segments && takes(UDP_GRO, 1);
  MERLON_TRY(DatagramSocket socket, set_up(std::move(fd), false, options.local, options));
  return UdpSocket(std::move(socket), offloads);
}

}  // namespace merlon::io
