// The thread that carries packets: TUN on one side, UDP and raw ESP sockets on the other, the packet engine between them.
//
//   TUN   -- super-packets, a call each --> outbound -- trains of ESP packets, all in one call --> UDP, raw
//   TUN  <-- super-packets, a call each --  inbound <-- what UDP_GRO joined, all in one call --    UDP, raw
//
// There may be several (data_workers.h), each with a TUN queue and sockets of its own; between them packets cross inside the
// engine.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "daemon/mailbox.h"
#include "daemon/sockets.h"
#include "esp/engine.h"
#include "io/tun.h"

namespace merlon::daemon {

struct WorkerCounters {  // written by the worker, read by anyone
  std::atomic<std::uint64_t> tun_write_failed{0}, send_failed{0}, send_blocked{0}, invalid_datagrams{0},
      keepalives{0}, buffers_exhausted{0}, odd_tun_packets{0};
  std::atomic<bool> tun_lost{false};  // the device is gone: somebody removed it
};

class DataWorker {
 public:
  struct Site {  // what it works with; all outlives it
    io::Tun& tun;
    WorkerSockets& sockets;
    Mailbox& mailbox;
    packet::PacketPool& pool;
    esp::Worker& engine;
    std::string name;  // of the thread
  };
  // Carries out that the workers in `mask`, a bit each, were handed packets. Empty: there are no others.
  using WakeOthers = std::function<void(std::uint64_t mask)>;
  [[nodiscard]] static Result<std::unique_ptr<DataWorker>> create(Site site, WakeOthers wake_others);
  ~DataWorker();  // stops

  void start();
  void stop();  // returns when the thread has ended
  // Something was installed: packets that wait for it can go. Any thread.
  void wake();
  // The same from another worker that handed packets over: a system call only where this one sleeps.
  void wake_if_asleep();

  [[nodiscard]] const WorkerCounters& counters() const { return counters_; }
  // Grows while the thread runs its loop; a watchdog that sees it stand still knows that the worker hangs.
  [[nodiscard]] std::uint64_t heartbeat() const { return heartbeat_.load(std::memory_order_relaxed); }
  // The loop comes by at least this often.
  static constexpr std::chrono::milliseconds kLongestSleep{500};

 private:
  DataWorker(Site site, WakeOthers wake_others);

  void run();
  int wait(std::span<epoll_event> events);
  void handle(const epoll_event& event, Instant now);
  void poll(Instant now);
  void take_crossed(Instant now);
  void wake_receivers();
  void watch(int fd, std::uint32_t tag);
  void read_tun(Instant now);
  void lose_tun();
  void read_natt(io::UdpSocket& socket, Instant now);
  void read_esp(io::RawEspSocket& socket, Instant now);
  std::size_t receive(io::DatagramSocket& socket, std::size_t most);
  void sort_natt(std::size_t count, Instant now);
  void take_datagram(const io::ReceivedDatagram& datagram, ByteView bytes, packet::PacketPtr& owner,
                     Instant now);
  void take_inbound(packet::PacketPtr packet, Instant now);
  void deliver_inbound(Instant now);
  void send_out();
  void send_run(io::DatagramSocket& socket, std::span<packet::PacketPtr> packets);
  void write_tun(packet::PacketList& packets);
  void read_errors(io::DatagramSocket& socket);

  const Site site_;
  const WakeOthers wake_others_;
  io::Fd epoll_, wake_;
  std::atomic<bool> stopping_{false}, asleep_{false};
  std::atomic<std::uint64_t> heartbeat_{0};
  std::thread thread_;
  WorkerCounters counters_;

  // Reused from burst to burst.
  Instant last_poll_{};
  bool woken_ = false;
  std::array<packet::PacketPtr, packet::kBurstCapacity> spare_;  // buffers that wait for the next receive
  std::array<io::ReceivedDatagram, packet::kBurstCapacity> received_;
  bool joined_lately_ = true;  // did UDP_GRO join what was received last?
  packet::Burst burst_;
  esp::OutboundResult outbound_;
  esp::InboundResult inbound_;
};

}  // namespace merlon::daemon
