#include "io/tun.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "io/kernel_settings.h"
#include "io/system_error.h"
#include "io/vnet_header.h"

namespace merlon::io {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::copy_n(name.data(), std::min(name.size(), sizeof request.ifr_name - 1), request.ifr_name);
  return request;
}

// Interface ioctls go through any socket of the namespace.
Result<Fd> ioctl_socket() {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) fd = Fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "open a socket for interface settings");
  return fd;
}

}  // namespace

Result<Tun> Tun::open(const TunOptions& options) {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ)
    return fail(ErrorCode::kInvalidArgument, "a device name has 1 to {} bytes, '{}' has {}", IFNAMSIZ - 1,
                options.name, options.name.size());
  Fd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open /dev/net/tun");
  ifreq request = request_for(options.name);
  int flags = IFF_TUN | IFF_NO_PI;
  if (options.vnet_header) flags |= IFF_VNET_HDR;
  if (options.multi_queue) flags |= IFF_MULTI_QUEUE;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
    return fail_errno(errno, fmt::format("create the TUN device '{}'", options.name));
  if (options.vnet_header) {
    int size = kVnetHeaderSize;
    if (ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0)
      return fail_errno(errno, "set the size of TUN's vnet header");
  }
  std::string name(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
  MERLON_TRY(const Fd control, ioctl_socket());
  ifreq query = request_for(name);
  if (ioctl(control.get(), SIOCGIFINDEX, &query) != 0)
    return fail_errno(errno, fmt::format("find the index of '{}'", name));
  return Tun(std::move(fd), std::move(name), query.ifr_ifindex, options.vnet_header);
}

TunOffloads Tun::enable_offloads() {
  if (!has_vnet_header_) return {};
  // Debian 12's headers lack the last two.
  constexpr unsigned kUso4 = 0x20, kUso6 = 0x40;
  constexpr unsigned kTso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  const auto accepts = [this](unsigned offloads) { return ioctl(fd_.get(), TUNSETOFFLOAD, offloads) == 0; };
  if (accepts(kTso | kUso4 | kUso6)) return {true, true, true};
  if (accepts(kTso)) return {true, true, false};
  if (accepts(TUN_F_CSUM)) return {true, false, false};
  return {};
}

Result<unsigned> Tun::mtu() const {
  return link_mtu(name_);
}

Result<> Tun::set_mtu(unsigned mtu) {
  MERLON_TRY(const Fd control, ioctl_socket());
  ifreq request = request_for(name_);
  request.ifr_mtu = static_cast<int>(std::min(mtu, 1U << 30U));
  if (ioctl(control.get(), SIOCSIFMTU, &request) != 0)
    return fail_errno(errno, fmt::format("set the MTU of {} to {}", name_, mtu));
  return {};
}

Result<> Tun::set_up(bool up) {
  MERLON_TRY(const Fd control, ioctl_socket());
  ifreq request = request_for(name_);
  if (ioctl(control.get(), SIOCGIFFLAGS, &request) != 0)
    return fail_errno(errno, fmt::format("read the flags of {}", name_));
  const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0)
    return fail_errno(errno, fmt::format("set {} {}", name_, up ? "up" : "down"));
  return {};
}

Result<std::size_t> Tun::read(MutableByteView buffer) {
  for (;;) {
    const ssize_t length = ::read(fd_.get(), buffer.data(), buffer.size());
    if (length >= 0) return static_cast<std::size_t>(length);
    if (errno == EAGAIN) return std::size_t{0};
    if (errno != EINTR) return fail_errno(errno, fmt::format("read from {}", name_));
  }
}

Result<std::size_t> Tun::read_burst(std::span<TunSlot> slots) {
  std::size_t count = 0;
  for (TunSlot& slot : slots) {
    const Result<std::size_t> length = read(slot.buffer);
    if (!length && count == 0) return tl::unexpected<Error>(length.error());
    if (!length || *length == 0) break;
    slot.length = *length;
    ++count;
  }
  return count;
}

SendOutcome Tun::write(ByteView packet) {
  for (;;) {
    if (::write(fd_.get(), packet.data(), packet.size()) >= 0) return SendOutcome::kSent;
    if (errno != EINTR) return classify_send_errno(errno);
  }
}

std::size_t Tun::write_burst(std::span<const ByteView> packets, std::span<SendOutcome> outcomes) {
  MERLON_ASSERT(outcomes.size() >= packets.size());
  std::size_t sent = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    outcomes[i] = write(packets[i]);
    if (outcomes[i] == SendOutcome::kSent) ++sent;
    if (outcomes[i] != SendOutcome::kWouldBlock) continue;
    std::fill(outcomes.begin() + static_cast<std::ptrdiff_t>(i), outcomes.end(), SendOutcome::kWouldBlock);
    break;
  }
  return sent;
}

}  // namespace merlon::io
