// What the data worker hands to the control thread: IKE messages that came to the port for NAT traversal, and what the
// sockets learnt about paths. Bounded: under a flood the newest are dropped and counted.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <variant>

#include "base/ip_address.h"
#include "io/fd.h"
#include "policy/sad.h"

namespace merlon::daemon {

struct IkeMessageArrived {
  Endpoint local, remote;
  bool natt = false;
  Bytes payload;
};
// A datagram to `destination` was too big for the path. mtu 0: the kernel only refused it, ask the routing table.
struct PathTooSmall {
  IpAddress destination;
  unsigned mtu = 0;  // bytes of the outer IP packet
};
// A destination's device does not take several ESP packets in one send; they go one by one now.
struct SegmentsRefused {
  Endpoint destination;
  int error_number = 0;  // EIO, EINVAL or EMSGSIZE
};
using Mail = std::variant<IkeMessageArrived, PathTooSmall, SegmentsRefused>;

class Mailbox {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Mailbox>> open();

  // Any thread. False when the box is full. Messages are bounded in number and bytes; reports about paths, which a forged ICMP
  // error can cause, and refusals, of which every train may bring one where many ways refuse, have small rooms of their own, one for
  // each destination: they cannot crowd IKE out.
  bool post(Mail mail);
  // Readable while there is mail.
  [[nodiscard]] int fd() const { return event_.get(); }
  [[nodiscard]] std::deque<Mail> take_all();
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kMaxMessages = 4096, kMaxMessageBytes = 4U << 20U, kMaxPaths = 64;
  bool keep(IkeMessageArrived message);
  bool keep(const PathTooSmall& report);
  bool keep(const SegmentsRefused& report);

  std::mutex mutex_;
  std::deque<Mail> messages_;
  std::size_t message_bytes_ = 0;
  std::map<IpAddress, unsigned> paths_;  // the smallest MTU told, 0 = only refused
  std::map<Endpoint, int> refusals_;     // the error number told last
  std::atomic<std::uint64_t> dropped_{0};
  io::Fd event_;
};

}  // namespace merlon::daemon
