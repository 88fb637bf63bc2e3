#include "daemon/data_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/system_clock.h"
#include "io/thread_name.h"
#include "io/tun_packet.h"

namespace merlon::daemon {
namespace {

// One buffer holds the largest super-packet (IPv6: 65,535 bytes behind the header) and the largest datagram. The pool hands
// out the buffer used last, so memory is only touched as far as packets are in flight.
constexpr std::size_t kPacketSize = 65535 + 40;
constexpr std::size_t kPackets = 2048;
constexpr std::uint64_t kPollInterval_ms = 500;
// What is read before it is worked on should still be in the cache then: so many bytes from TUN.
constexpr std::size_t kTunBytes = 128U << 10U;

enum Tag : std::uint32_t { kTun, kNattV4, kNattV6, kEspV4, kEspV6, kWake };

}  // namespace

DataWorker::DataWorker(io::Tun& tun, Sockets& sockets, Mailbox& mailbox)
    : tun_(tun), sockets_(sockets), mailbox_(mailbox) {}

Result<std::unique_ptr<DataWorker>> DataWorker::create(const esp::EngineConfig& config, io::Tun& tun,
                                                       Sockets& sockets, Mailbox& mailbox) {
  auto worker = std::unique_ptr<DataWorker>(new DataWorker(tun, sockets, mailbox));
  worker->pool_ = std::make_unique<packet::PacketPool>(kPackets, kPacketSize);
  worker->data_plane_ = std::make_unique<esp::DataPlane>(config, *worker->pool_, worker->rng_);
  worker->epoll_ = io::Fd(epoll_create1(EPOLL_CLOEXEC));
  worker->wake_ = io::Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!worker->epoll_ || !worker->wake_)
    return fail(ErrorCode::kSystem, "epoll: {}", std::generic_category().message(errno));
  worker->watch(tun.fd(), kTun);
  worker->watch(worker->wake_.get(), kWake);
  if (auto* socket = sockets.natt(IpFamily::kIpv4)) worker->watch(socket->fd(), kNattV4);
  if (auto* socket = sockets.natt(IpFamily::kIpv6)) worker->watch(socket->fd(), kNattV6);
  if (auto* socket = sockets.esp(IpFamily::kIpv4)) worker->watch(socket->fd(), kEspV4);
  if (auto* socket = sockets.esp(IpFamily::kIpv6)) worker->watch(socket->fd(), kEspV6);
  return worker;
}

DataWorker::~DataWorker() {
  stop();
}

void DataWorker::watch(int fd, std::uint32_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = tag;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void DataWorker::start() {
  thread_ = std::thread([this] { run(); });
}

void DataWorker::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  wake();
  thread_.join();
}

void DataWorker::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
}

void DataWorker::run() {
  io::set_thread_name("merlond-data");
  Instant last_poll = io::monotonic_now();
  while (!stopping_.load(std::memory_order_relaxed)) {
    heartbeat_.fetch_add(1, std::memory_order_relaxed);
    epoll_event events[8];
    const int count = epoll_wait(epoll_.get(), events, 8, static_cast<int>(kPollInterval_ms));
    const Instant now = io::monotonic_now();
    bool woken = now - last_poll >= std::chrono::milliseconds(kPollInterval_ms);
    for (int i = 0; i < count; ++i) {
      const bool has_error = (events[i].events & EPOLLERR) != 0;  // the error queue holds something
      switch (events[i].data.u32) {
        case kTun:
          read_tun(now);
          break;
        case kNattV4:
          if (has_error) read_errors(*sockets_.natt_v4);
          read_natt(*sockets_.natt_v4, now);
          break;
        case kNattV6:
          if (has_error) read_errors(*sockets_.natt_v6);
          read_natt(*sockets_.natt_v6, now);
          break;
        case kEspV4:
          if (has_error) read_errors(*sockets_.esp_v4);
          read_esp(*sockets_.esp_v4, now);
          break;
        case kEspV6:
          if (has_error) read_errors(*sockets_.esp_v6);
          read_esp(*sockets_.esp_v6, now);
          break;
        default: {
          std::uint64_t ignored = 0;
          [[maybe_unused]] const auto got = read(wake_.get(), &ignored, sizeof ignored);
          woken = true;
        }
      }
    }
    if (woken) {
      last_poll = now;
      data_plane_->worker().poll(now, outbound_);
      send_out();
    }
  }
}

void DataWorker::read_tun(Instant now) {
  for (std::size_t bytes = 0; !burst_.full() && bytes < kTunBytes;) {
    packet::PacketPtr packet = pool_->allocate();
    if (packet == nullptr) {
      counters_.buffers_exhausted.fetch_add(1, std::memory_order_relaxed);
      break;  // what is in the kernel's queue waits there
    }
    const auto read = io::read_packet(tun_, *packet);
    if (!read || *read == io::TunRead::kEmpty) break;
    bytes += packet->size();
    if (*read == io::TunRead::kOdd) {
      counters_.odd_tun_packets.fetch_add(1, std::memory_order_relaxed);
    } else {
      burst_.push(std::move(packet));
    }
  }
  if (burst_.empty()) return;
  data_plane_->worker().outbound(now, burst_, outbound_);
  send_out();
}

void DataWorker::write_tun(packet::PacketList& packets) {
  for (const packet::PacketPtr& packet : packets)
    if (io::write_packet(tun_, *packet) != io::SendOutcome::kSent)
      counters_.tun_write_failed.fetch_add(1, std::memory_order_relaxed);
}

// Packets to one socket that stand together leave in one call; the order stays.
void DataWorker::send_out() {
  packet::PacketList& packets = outbound_.transmit;
  const auto socket_of = [this](const packet::Packet& packet) -> io::DatagramSocket* {
    const IpFamily family = packet.meta.destination.address.family();
    if (packet.meta.udp_encapsulated) return sockets_.natt(family);
    return sockets_.esp(family);
  };
  for (std::size_t begin = 0; begin < packets.size();) {
    io::DatagramSocket* const socket = socket_of(*packets[begin]);
    std::size_t end = begin + 1;
    while (end < packets.size() && end - begin < packet::kBurstCapacity && socket_of(*packets[end]) == socket)
      ++end;
    if (socket != nullptr) {
      send_run(*socket, std::span(packets).subspan(begin, end - begin));
    } else {
      counters_.send_failed.fetch_add(end - begin, std::memory_order_relaxed);
    }
    begin = end;
  }
  write_tun(outbound_.to_tun);
  outbound_.clear();
}

void DataWorker::send_run(io::DatagramSocket& socket, std::span<packet::PacketPtr> packets) {
  std::array<io::OutgoingDatagram, packet::kBurstCapacity> datagrams;
  std::array<io::SendOutcome, packet::kBurstCapacity> outcomes{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const packet::Packet& packet = *packets[i];
    datagrams[i].payload = packet.bytes();
    datagrams[i].source = packet.meta.source.address;
    datagrams[i].destination = packet.meta.destination;
    datagrams[i].traffic_class = packet.meta.tos;
    datagrams[i].may_fragment = packet.meta.may_fragment_outer;
    datagrams[i].path_mtu = packet.meta.outer_mtu;
    datagrams[i].segment_size = packet.meta.segment_size;
  }
  socket.send_burst(std::span(datagrams).first(packets.size()), std::span(outcomes).first(packets.size()));
  while (const auto refusal = socket.take_refusal())
    mailbox_.post(SegmentsRefused{refusal->destination, refusal->error_number});
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (outcomes[i] == io::SendOutcome::kSent) continue;
    if (outcomes[i] == io::SendOutcome::kTooBig)
      mailbox_.post(PathTooSmall{packets[i]->meta.destination.address, 0});
    const bool blocked =
        outcomes[i] == io::SendOutcome::kWouldBlock || outcomes[i] == io::SendOutcome::kNoBuffers;
    (blocked ? counters_.send_blocked : counters_.send_failed).fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace merlon::daemon
