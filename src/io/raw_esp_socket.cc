#include "io/raw_esp_socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "io/socket_address.h"
#include "io/system_error.h"

namespace merlon::io {
namespace {

// The kernel passes over a raw socket that is connected to another than the sender. From this host to itself ESP may still
// come: that is what the filter is for, and for hosts whose loopback device is down.
Result<> receive_nothing(RawEspSocket& socket) {
  const auto loopback = IpAddress::parse(socket.family() == IpFamily::kIpv4 ? "127.0.0.1" : "::1");
  const SocketAddress address = socket_address({*loopback, 0});
  static_cast<void>(connect(socket.fd(), address.get(), address.length));
  static constexpr std::array kNothing = {sock_filter BPF_STMT(BPF_RET | BPF_K, 0)};
  return socket.attach_filter(kNothing);
}

}  // namespace

Result<RawEspSocket> RawEspSocket::open(const RawEspSocketOptions& options) {
  const bool v4 = options.local.is_v4();
  Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
               static_cast<int>(options.protocol)));
  if (!fd)
    return fail_errno(errno, fmt::format("open an {} raw socket for IP protocol {}", v4 ? "IPv4" : "IPv6",
                                         static_cast<unsigned>(options.protocol)));
  MERLON_TRY(DatagramSocket socket, set_up(std::move(fd), true, {options.local, 0}, options));
  RawEspSocket out(std::move(socket));
  if (options.send_only) MERLON_TRY_VOID(receive_nothing(out));
  return out;
}

}  // namespace merlon::io
