// A tunnel without protection, for "latency": TUN to UDP and back, with the calls that merlond's data worker makes for a
// packet (wait, read until there is nothing more, send; wait, receive a burst, write) and nothing between them.
//
//   bench-relay DEVICE LOCAL-ADDRESS REMOTE-ADDRESS
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr std::uint16_t kPort = 4500;
constexpr std::size_t kBurst = 64, kBuffer = 65536;

// virtio_net_hdr, all zero: a single packet with its checksum done. <linux/virtio_net.h> is no C++.
using VnetHeader = std::array<std::uint8_t, 10>;

void must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::exit(1);
}

sockaddr_in at(const char* address) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(kPort);
  must(inet_pton(AF_INET, address, &made.sin_addr) == 1, address);
  return made;
}

int open_tun(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  must(fd >= 0, "/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  must(ioctl(fd, TUNSETIFF, &request) == 0, "TUNSETIFF");
  return fd;
}

int open_udp(const char* local) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const sockaddr_in own = at(local);
  must(fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0, "bind");
  return fd;
}

class Relay {
 public:
  Relay(int tun, int udp, const sockaddr_in& remote)
      : tun_(tun), udp_(udp), remote_(remote), buffers_(kBurst * kBuffer) {}

  [[noreturn]] void run() {
    const int epoll = epoll_create1(0);
    for (const int fd : {tun_, udp_}) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
    }
    for (;;) {
      std::array<epoll_event, 8> events;
      const int count = epoll_wait(epoll, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        if (events[static_cast<std::size_t>(i)].data.fd == tun_) {
          out();
        } else {
          in();
        }
      }
    }
  }

 private:
  void out() {
    std::size_t count = 0;
    for (; count < kBurst; ++count) {
      VnetHeader header{};
      iovec parts[2] = {{header.data(), header.size()}, {buffer(count), kBuffer}};
      const ssize_t read = readv(tun_, parts, 2);
      if (read <= static_cast<ssize_t>(header.size())) break;
      prepare(count, static_cast<std::size_t>(read) - header.size());
    }
    if (count != 0) sendmmsg(udp_, messages_.data(), static_cast<unsigned>(count), 0);
  }
  void in() {
    for (std::size_t i = 0; i < kBurst; ++i) prepare(i, kBuffer);
    const int count = recvmmsg(udp_, messages_.data(), kBurst, 0, nullptr);
    for (int i = 0; i < count; ++i) {
      const auto slot = static_cast<std::size_t>(i);
      VnetHeader header{};
      iovec parts[2] = {{header.data(), header.size()}, {buffer(slot), messages_[slot].msg_len}};
      [[maybe_unused]] const ssize_t written = writev(tun_, parts, 2);
    }
  }
  void prepare(std::size_t slot, std::size_t size) {
    spans_[slot] = {buffer(slot), size};
    names_[slot] = remote_;
    messages_[slot] = {};
    messages_[slot].msg_hdr.msg_iov = &spans_[slot];
    messages_[slot].msg_hdr.msg_iovlen = 1;
    messages_[slot].msg_hdr.msg_name = &names_[slot];
    messages_[slot].msg_hdr.msg_namelen = sizeof names_[slot];
  }
  [[nodiscard]] std::uint8_t* buffer(std::size_t slot) { return buffers_.data() + slot * kBuffer; }

  int tun_, udp_;
  sockaddr_in remote_;
  std::vector<std::uint8_t> buffers_;
  std::array<iovec, kBurst> spans_{};
  std::array<sockaddr_in, kBurst> names_{};
  std::array<mmsghdr, kBurst> messages_{};
};

}  // namespace

int main(int count, char** words) {
  if (count != 4) {
    std::fprintf(stderr, "bench-relay DEVICE LOCAL REMOTE\n");
    return 2;
  }
  Relay(open_tun(words[1]), open_udp(words[2]), at(words[3])).run();
}
