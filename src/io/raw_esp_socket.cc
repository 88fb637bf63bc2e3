#include "io/raw_esp_socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "io/system_error.h"

namespace merlon::io {

Result<RawEspSocket> RawEspSocket::open(const RawEspSocketOptions& options) {
  const bool v4 = options.local.is_v4();
  Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
               static_cast<int>(options.protocol)));
  if (!fd)
    return fail_errno(errno, fmt::format("open an {} raw socket for IP protocol {}", v4 ? "IPv4" : "IPv6",
                                         static_cast<unsigned>(options.protocol)));
  MERLON_TRY(DatagramSocket socket, set_up(std::move(fd), true, {options.local, 0}, options));
  return RawEspSocket(std::move(socket));
}

}  // namespace merlon::io
