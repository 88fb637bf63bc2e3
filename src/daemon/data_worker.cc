#include "daemon/data_worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/system_clock.h"
#include "io/thread_name.h"
#include "io/tun_packet.h"

namespace merlon::daemon {
namespace {

// What is read before it is worked on should still be in the cache then: so many bytes from TUN.
constexpr std::size_t kTunBytes = 128U << 10U;

enum Tag : std::uint32_t { kTun, kNattV4, kNattV6, kNattIkeV4, kNattIkeV6, kEspV4, kEspV6, kWake };

}  // namespace

DataWorker::DataWorker(Site site, WakeOthers wake_others)
    : site_(std::move(site)), wake_others_(std::move(wake_others)) {}

Result<std::unique_ptr<DataWorker>> DataWorker::create(Site site, WakeOthers wake_others) {
  auto worker = std::unique_ptr<DataWorker>(new DataWorker(std::move(site), std::move(wake_others)));
  worker->epoll_ = io::Fd(epoll_create1(EPOLL_CLOEXEC));
  worker->wake_ = io::Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!worker->epoll_ || !worker->wake_)
    return fail(ErrorCode::kSystem, "epoll: {}", std::generic_category().message(errno));
  WorkerSockets& sockets = worker->site_.sockets;
  worker->watch(worker->site_.tun.fd(), kTun);
  worker->watch(worker->wake_.get(), kWake);
  if (auto* socket = sockets.natt(IpFamily::kIpv4)) worker->watch(socket->fd(), kNattV4);
  if (auto* socket = sockets.natt(IpFamily::kIpv6)) worker->watch(socket->fd(), kNattV6);
  if (auto* socket = sockets.natt_ike(IpFamily::kIpv4)) worker->watch(socket->fd(), kNattIkeV4);
  if (auto* socket = sockets.natt_ike(IpFamily::kIpv6)) worker->watch(socket->fd(), kNattIkeV6);
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

void DataWorker::wake_if_asleep() {
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst)) wake();
}

void DataWorker::run() {
  io::set_thread_name(site_.name);
  last_poll_ = io::monotonic_now();
  std::array<epoll_event, 8> events{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    heartbeat_.store(heartbeat_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const int count = wait(events);
    const Instant now = io::monotonic_now();
    if (now - last_poll_ >= kLongestSleep) woken_ = true;
    // What others read came before what waits here.
    if (wake_others_) take_crossed(now);
    for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)], now);
    if (woken_) poll(now);
  }
}

// Who hands packets over sees that we sleep, or we see that they are there.
int DataWorker::wait(std::span<epoll_event> events) {
  auto timeout = static_cast<int>(kLongestSleep.count());
  if (wake_others_) {
    asleep_.store(true, std::memory_order_seq_cst);
    if (site_.engine.has_crossed()) timeout = 0;
  }
  const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
  if (wake_others_) asleep_.store(false, std::memory_order_relaxed);
  return count;
}

void DataWorker::handle(const epoll_event& event, Instant now) {
  const auto read_socket = [&](auto* socket, auto read) {
    if ((event.events & EPOLLERR) != 0) read_errors(*socket);  // the error queue holds something
    (this->*read)(*socket, now);
  };
  switch (event.data.u32) {
    case kTun:
      if ((event.events & EPOLLERR) != 0) return lose_tun();
      return read_tun(now);
    case kNattV4:
      return read_socket(site_.sockets.natt(IpFamily::kIpv4), &DataWorker::read_natt);
    case kNattV6:
      return read_socket(site_.sockets.natt(IpFamily::kIpv6), &DataWorker::read_natt);
    case kNattIkeV4:
      return read_socket(site_.sockets.natt_ike(IpFamily::kIpv4), &DataWorker::read_natt);
    case kNattIkeV6:
      return read_socket(site_.sockets.natt_ike(IpFamily::kIpv6), &DataWorker::read_natt);
    case kEspV4:
      return read_socket(site_.sockets.esp(IpFamily::kIpv4), &DataWorker::read_esp);
    case kEspV6:
      return read_socket(site_.sockets.esp(IpFamily::kIpv6), &DataWorker::read_esp);
    default: {
      std::uint64_t ignored = 0;
      [[maybe_unused]] const auto got = read(wake_.get(), &ignored, sizeof ignored);
      woken_ = true;
    }
  }
}

void DataWorker::poll(Instant now) {
  woken_ = false;
  last_poll_ = now;
  site_.engine.poll(now, outbound_);
  send_out();
  wake_receivers();
}

void DataWorker::take_crossed(Instant now) {
  site_.engine.crossed(now, outbound_, inbound_);
  send_out();
  write_tun(inbound_.to_tun);
  inbound_.clear();
  wake_receivers();
}

void DataWorker::wake_receivers() {
  if (!wake_others_) return;
  if (const std::uint64_t mask = site_.engine.take_sent_to(); mask != 0) wake_others_(mask);
}

void DataWorker::read_tun(Instant now) {
  for (std::size_t bytes = 0; !burst_.full() && bytes < kTunBytes;) {
    packet::PacketPtr packet = site_.pool.allocate_inner();
    if (packet == nullptr) {
      counters_.buffers_exhausted.fetch_add(1, std::memory_order_relaxed);
      break;  // what is in the kernel's queue waits there
    }
    const auto read = io::read_packet(site_.tun, *packet);
    if (!read || *read == io::TunRead::kEmpty) break;
    bytes += packet->size();
    if (*read == io::TunRead::kOdd) {
      counters_.odd_tun_packets.fetch_add(1, std::memory_order_relaxed);
    } else {
      burst_.push(std::move(packet));
    }
  }
  if (burst_.empty()) return;
  site_.engine.outbound(now, burst_, outbound_);
  wake_receivers();
  send_out();
}

// For ever ready, and never to be read again: it must not keep this thread busy.
void DataWorker::lose_tun() {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, site_.tun.fd(), nullptr);
  counters_.tun_lost.store(true, std::memory_order_relaxed);
}

void DataWorker::write_tun(packet::PacketList& packets) {
  for (const packet::PacketPtr& packet : packets)
    if (io::write_packet(site_.tun, *packet) != io::SendOutcome::kSent)
      counters_.tun_write_failed.fetch_add(1, std::memory_order_relaxed);
}

// Packets to one socket that stand together leave in one call; the order stays.
void DataWorker::send_out() {
  packet::PacketList& packets = outbound_.transmit;
  WorkerSockets& sockets = site_.sockets;
  const auto socket_of = [&sockets](const packet::Packet& packet) -> io::DatagramSocket* {
    const IpFamily family = packet.meta.destination.address.family();
    if (packet.meta.udp_encapsulated) return sockets.natt(family);
    return sockets.esp(family);
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
    site_.mailbox.post(SegmentsRefused{refusal->destination, refusal->error_number});
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (outcomes[i] == io::SendOutcome::kSent) continue;
    if (outcomes[i] == io::SendOutcome::kTooBig)
      site_.mailbox.post(PathTooSmall{packets[i]->meta.destination.address, 0, {}});
    const bool blocked =
        outcomes[i] == io::SendOutcome::kWouldBlock || outcomes[i] == io::SendOutcome::kNoBuffers;
    (blocked ? counters_.send_blocked : counters_.send_failed).fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace merlon::daemon
