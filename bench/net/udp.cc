// UDP through a tunnel.
//
//   bench-udp echo PORT                        answers every datagram
//   bench-udp ping ADDRESS PORT COUNT SIZE     "ping T ...": microseconds of each that was answered; one under way at a time
//   bench-udp sink PORT                        counts, and tells the sender now and then
//   bench-udp flood ADDRESS PORT SECONDS SIZE  "flood PACKETS-PER-SECOND LOST-PER-SECOND": as many as arrive, with a
//                                              window of packets under way, so that what is counted was carried and not
//                                              only sent
// SIZE is that of the inner IP packet.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr std::size_t kHeaders = 28;    // IPv4 and UDP
constexpr std::size_t kBatch = 32;      // of the flood, in one call
constexpr std::uint64_t kWindow = 384;  // below a TUN device's queue of 500
constexpr int kTellEvery = 32;

void must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::exit(1);
}

int open_socket(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(port);
  must(fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0, "bind");
  const int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  return fd;
}

int open_to(const char* address, const char* port) {
  const int fd = open_socket(0);
  sockaddr_in remote{};
  remote.sin_family = AF_INET;
  remote.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  must(inet_pton(AF_INET, address, &remote.sin_addr) == 1, address);
  must(connect(fd, reinterpret_cast<const sockaddr*>(&remote), sizeof remote) == 0, "connect");
  return fd;
}

bool readable(int fd, int ms) {
  pollfd wanted{fd, POLLIN, 0};
  return poll(&wanted, 1, ms) == 1;
}

[[noreturn]] void echo(std::uint16_t port) {
  const int fd = open_socket(port);
  std::array<char, 2048> buffer;
  for (;;) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got > 0)
      sendto(fd, buffer.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<const sockaddr*>(&from),
             size);
  }
}

void ping(int fd, std::size_t count, std::size_t size) {
  std::vector<char> out(size - kHeaders), in(2048);
  std::vector<double> times;
  for (std::uint64_t number = 0; number < count; ++number) {
    std::memcpy(out.data(), &number, sizeof number);
    const auto begin = Clock::now();
    must(send(fd, out.data(), out.size(), 0) > 0 || errno == ENOBUFS, "send");
    for (;;) {
      if (!readable(fd, 200)) break;  // lost
      std::uint64_t came = 0;
      if (recv(fd, in.data(), in.size(), 0) < static_cast<ssize_t>(sizeof came)) continue;
      std::memcpy(&came, in.data(), sizeof came);
      if (came != number) continue;  // late
      times.push_back(duration<double, std::micro>(Clock::now() - begin).count());
      break;
    }
  }
  std::printf("ping");
  for (const double time : times) std::printf(" %.2f", time);
  std::printf("\n");
}

// What it tells: how many came in this burst of the sender's, named by the number in each packet.
struct Told {
  std::uint64_t epoch = 0, received = 0;
};

[[noreturn]] void sink(std::uint16_t port) {
  const int fd = open_socket(port);
  std::array<std::array<char, 64>, 64> buffers;
  std::array<iovec, 64> spans;
  std::array<sockaddr_in, 64> names;
  std::array<mmsghdr, 64> messages{};
  Told told;
  std::uint64_t said = 0;
  for (;;) {
    for (std::size_t i = 0; i < messages.size(); ++i) {
      spans[i] = {buffers[i].data(), buffers[i].size()};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &spans[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = &names[i];
      messages[i].msg_hdr.msg_namelen = sizeof names[i];
    }
    const int count = recvmmsg(fd, messages.data(), messages.size(), MSG_WAITFORONE, nullptr);
    for (int i = 0; i < count; ++i) {
      std::uint64_t epoch = 0;
      std::memcpy(&epoch, buffers[static_cast<std::size_t>(i)].data(), sizeof epoch);
      if (epoch != told.epoch) {
        told = {epoch, 0};
        said = 0;
      }
      ++told.received;
    }
    if (count <= 0 || told.received - said < kTellEvery) continue;
    said = told.received;
    sendto(fd, &told, sizeof told, 0, reinterpret_cast<const sockaddr*>(&names[0]), sizeof names[0]);
  }
}

void flood(int fd, double seconds, std::size_t size) {
  std::vector<char> payload(std::max(size - kHeaders, sizeof(std::uint64_t)));
  std::array<iovec, kBatch> spans;
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    spans[i] = {payload.data(), payload.size()};
    messages[i].msg_hdr.msg_iov = &spans[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::uint64_t arrived = 0, lost = 0, sent = 0, epoch = static_cast<std::uint64_t>(getpid()) << 32U;
  Told told{++epoch, 0};
  const auto begin = Clock::now();
  for (;;) {
    const double passed = duration<double>(Clock::now() - begin).count();
    if (passed > seconds) break;
    while (recv(fd, &told, sizeof told, MSG_DONTWAIT) > 0) {
    }
    if (told.epoch != epoch) told = {epoch, 0};  // of packets given up before
    if (sent - told.received + kBatch > kWindow) {
      if (readable(fd, 20)) continue;
      // Some were lost: what is missing is counted, and the window begins anew.
      lost += sent - told.received;
      arrived += told.received;
      told = {++epoch, 0};
      sent = 0;
      continue;
    }
    std::memcpy(payload.data(), &epoch, sizeof epoch);
    const int gone = sendmmsg(fd, messages.data(), kBatch, 0);
    if (gone > 0) sent += static_cast<std::uint64_t>(gone);
  }
  arrived += told.received;
  const double passed = duration<double>(Clock::now() - begin).count();
  std::printf("flood %.0f %.0f\n", static_cast<double>(arrived) / passed, static_cast<double>(lost) / passed);
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "";
  if (what == "echo" && count == 3) echo(static_cast<std::uint16_t>(std::atoi(words[2])));
  if (what == "sink" && count == 3) sink(static_cast<std::uint16_t>(std::atoi(words[2])));
  if (what == "ping" && count == 6) {
    ping(open_to(words[2], words[3]), static_cast<std::size_t>(std::atoi(words[4])),
         static_cast<std::size_t>(std::atoi(words[5])));
  } else if (what == "flood" && count == 6) {
    flood(open_to(words[2], words[3]), std::atof(words[4]), static_cast<std::size_t>(std::atoi(words[5])));
  } else {
    std::fprintf(stderr, "bench-udp echo|ping|sink|flood ...\n");
    return 2;
  }
}
