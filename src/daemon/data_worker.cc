#include "daemon/data_worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/system_clock.h"
#include "io/thread_name.h"
#include "wire/udp_encap.h"

namespace merlon::daemon {
namespace {

// One buffer holds the largest datagram, so that IKE messages of any size pass. The pool hands out the buffer used last,
// so memory is only touched as far as packets are in flight.
constexpr std::size_t kPacketSize = 65535;
constexpr std::size_t kPackets = 2048;
constexpr std::uint64_t kPollInterval_ms = 500;

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
      switch (events[i].data.u32) {
        case kTun:
          read_tun(now);
          break;
        case kNattV4:
          read_natt(*sockets_.natt_v4, now);
          break;
        case kNattV6:
          read_natt(*sockets_.natt_v6, now);
          break;
        case kEspV4:
          read_esp(*sockets_.esp_v4, now);
          break;
        case kEspV6:
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
  while (!burst_.full()) {
    packet::PacketPtr packet = pool_->allocate();
    if (packet == nullptr) {
      counters_.buffers_exhausted.fetch_add(1, std::memory_order_relaxed);
      break;  // what is in the kernel's queue waits there
    }
    const auto length = tun_.read(packet->receive_area());
    if (!length || *length == 0) break;
    packet->set_length(*length);
    burst_.push(std::move(packet));
  }
  if (burst_.empty()) return;
  data_plane_->worker().outbound(now, burst_, outbound_);
  send_out();
}

std::size_t DataWorker::receive(io::DatagramSocket& socket) {
  std::size_t slots = 0;
  for (; slots < spare_.size(); ++slots) {
    if (spare_[slots] == nullptr) spare_[slots] = pool_->allocate();
    if (spare_[slots] == nullptr) break;
    received_[slots].buffer = spare_[slots]->receive_area();
  }
  const auto count = socket.receive_burst(std::span(received_).first(slots));
  if (!count || *count < slots) read_errors(socket);
  return count.value_or(0);
}

// Takes the packet out of `slot` and makes it what was received: payload within the buffer.
static void fit(packet::Packet& packet, const io::ReceivedDatagram& datagram, ByteView payload) {
  const auto before = static_cast<std::size_t>(payload.data() - datagram.buffer.data());
  packet.set_length(before + payload.size());
  packet.trim_front(before);
  packet.meta.source = datagram.source;
  packet.meta.destination = datagram.destination;
  packet.meta.tos = datagram.traffic_class;
}

void DataWorker::read_natt(io::UdpSocket& socket, Instant now) {
  sort_natt(receive(socket));
  deliver_inbound(now);
}

// RFC 3948 2: on the port for NAT traversal a datagram is ESP, IKE behind a marker, or a keepalive.
void DataWorker::sort_natt(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const io::ReceivedDatagram& datagram = received_[i];
    const auto kind =
        datagram.truncated ? wire::UdpEncapDatagram{} : wire::classify_udp_encap(datagram.payload);
    switch (kind.kind) {
      case wire::UdpEncapKind::kIke:
        mailbox_.post(IkeMessageArrived{datagram.destination, datagram.source, true, to_bytes(kind.payload)});
        break;
      case wire::UdpEncapKind::kEsp: {
        packet::PacketPtr packet = std::move(spare_[i]);
        fit(*packet, datagram, kind.payload);
        packet->meta.udp_encapsulated = true;
        burst_.push(std::move(packet));
        break;
      }
      case wire::UdpEncapKind::kKeepalive:
        counters_.keepalives.fetch_add(1, std::memory_order_relaxed);
        break;
      default:
        counters_.invalid_datagrams.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

void DataWorker::read_esp(io::RawEspSocket& socket, Instant now) {
  const std::size_t count = receive(socket);
  for (std::size_t i = 0; i < count; ++i) {
    if (received_[i].truncated) continue;
    packet::PacketPtr packet = std::move(spare_[i]);
    fit(*packet, received_[i], received_[i].payload);
    burst_.push(std::move(packet));
  }
  deliver_inbound(now);
}

void DataWorker::deliver_inbound(Instant now) {
  if (burst_.empty()) return;
  data_plane_->worker().inbound(now, burst_, inbound_);
  write_tun(inbound_.to_tun);
  inbound_.clear();
}

void DataWorker::write_tun(packet::PacketList& packets) {
  for (const packet::PacketPtr& packet : packets)
    if (tun_.write(packet->bytes()) != io::SendOutcome::kSent)
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
  }
  socket.send_burst(std::span(datagrams).first(packets.size()), std::span(outcomes).first(packets.size()));
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (outcomes[i] == io::SendOutcome::kSent) continue;
    if (outcomes[i] == io::SendOutcome::kTooBig)
      mailbox_.post(PathTooSmall{packets[i]->meta.destination.address, 0});
    const bool blocked =
        outcomes[i] == io::SendOutcome::kWouldBlock || outcomes[i] == io::SendOutcome::kNoBuffers;
    (blocked ? counters_.send_blocked : counters_.send_failed).fetch_add(1, std::memory_order_relaxed);
  }
}

void DataWorker::read_errors(io::DatagramSocket& socket) {
  // Bounded: a flood of ICMP must not keep the worker from its packets.
  for (int i = 0; i < 32; ++i) {
    const auto error = socket.read_error();
    if (!error) return;
    if (error->error_number == EMSGSIZE && error->mtu != 0)
      mailbox_.post(PathTooSmall{error->destination.address, error->mtu});
  }
}

}  // namespace merlon::daemon
