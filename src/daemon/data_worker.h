// The thread that carries packets: TUN on one side, UDP and raw ESP sockets on the other, the packet engine between them.
//
//   TUN   -- super-packets, a call each --> outbound -- trains of ESP packets, all in one call --> UDP, raw
//   TUN  <-- super-packets, a call each --  inbound <-- what UDP_GRO joined, all in one call --    UDP, raw
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "daemon/mailbox.h"
#include "daemon/sockets.h"
#include "esp/engine.h"
#include "io/system_rng.h"
#include "io/tun.h"

namespace merlon::daemon {

struct WorkerCounters {  // written by the worker, read by anyone
  std::atomic<std::uint64_t> tun_write_failed{0}, send_failed{0}, send_blocked{0}, invalid_datagrams{0},
      keepalives{0}, buffers_exhausted{0}, odd_tun_packets{0};
};

class DataWorker {
 public:
  // `sockets`, `tun` and `mailbox` must outlive the worker.
  [[nodiscard]] static Result<std::unique_ptr<DataWorker>> create(const esp::EngineConfig& config,
                                                                  io::Tun& tun, Sockets& sockets,
                                                                  Mailbox& mailbox);
  ~DataWorker();  // stops

  void start();
  void stop();  // returns when the thread has ended
  // Something was installed: packets that wait for it can go. Any thread.
  void wake();

  [[nodiscard]] esp::DataPlane& data_plane() { return *data_plane_; }
  [[nodiscard]] const WorkerCounters& counters() const { return counters_; }
  // Grows while the thread runs its loop; a watchdog that sees it stand still knows that the worker hangs.
  [[nodiscard]] std::uint64_t heartbeat() const { return heartbeat_.load(std::memory_order_relaxed); }

 private:
  DataWorker(io::Tun& tun, Sockets& sockets, Mailbox& mailbox);

  void run();
  void watch(int fd, std::uint32_t tag);
  void read_tun(Instant now);
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

  io::Tun& tun_;
  Sockets& sockets_;
  Mailbox& mailbox_;
  io::SystemRng rng_;
  std::unique_ptr<packet::PacketPool> pool_;
  std::unique_ptr<esp::DataPlane> data_plane_;
  io::Fd epoll_, wake_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> heartbeat_{0};
  std::thread thread_;
  WorkerCounters counters_;

  // Reused from burst to burst.
  std::array<packet::PacketPtr, packet::kBurstCapacity> spare_;  // buffers that wait for the next receive
  std::array<io::ReceivedDatagram, packet::kBurstCapacity> received_;
  bool joined_lately_ = true;  // did UDP_GRO join what was received last?
  packet::Burst burst_;
  esp::OutboundResult outbound_;
  esp::InboundResult inbound_;
};

}  // namespace merlon::daemon
