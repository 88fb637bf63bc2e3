// The data worker's way in: from the sockets to TUN.
#include <algorithm>

#include "daemon/data_worker.h"
#include "wire/ip/byte_order.h"
#include "wire/udp_encap.h"

namespace merlon::daemon {
namespace {

// As in read_tun(): what is received should still be in the cache when it is worked on. So many datagrams at once where
// each may be 64 KiB of them.
constexpr std::size_t kJoinedDatagrams = 4;

// Makes the packet what was received: `part` of its buffer.
void fit(packet::Packet& packet, const io::ReceivedDatagram& datagram, ByteView part) {
  packet.set_length(datagram.buffer.size());
  packet.narrow_to(part);
  packet.meta.source = datagram.source;
  packet.meta.destination = datagram.destination;
  packet.meta.tos = datagram.traffic_class;
}

// Calls visit(bytes) for each datagram that the kernel had joined.
template <class Visit>
void for_each_datagram(const io::ReceivedDatagram& received, Visit visit) {
  const std::size_t segment_size =
      received.segment_size == 0 ? received.payload.size() : received.segment_size;
  ByteView rest = received.payload;
  do {
    const ByteView one = rest.first(std::min(segment_size, rest.size()));
    visit(one);
    rest = rest.subspan(one.size());
  } while (!rest.empty());
}

}  // namespace

std::size_t DataWorker::receive(io::DatagramSocket& socket, std::size_t most) {
  std::size_t slots = 0;
  for (; slots < most; ++slots) {
    if (spare_[slots] == nullptr) spare_[slots] = site_.pool.allocate();
    if (spare_[slots] == nullptr) {
      counters_.buffers_exhausted.fetch_add(1, std::memory_order_relaxed);
      break;  // what is in the socket's queue waits there
    }
    received_[slots].buffer = spare_[slots]->receive_area();
  }
  return socket.receive_burst(std::span(received_).first(slots)).value_or(0);
}

void DataWorker::read_natt(io::UdpSocket& socket, Instant now) {
  // Few slots where each may be 64 KiB, all of them where datagrams come one by one; and bounded: TUN has its turn too.
  for (std::size_t taken = 0; taken < packet::kBurstCapacity;) {
    const std::size_t most = joined_lately_ ? kJoinedDatagrams : packet::kBurstCapacity;
    const std::size_t count = receive(socket, most);
    if (count != 0) joined_lately_ = received_[count - 1].segment_size != 0;
    sort_natt(count, now);
    deliver_inbound(now);
    if (count < most) break;
    taken += count;
  }
}

// Joined datagrams that are all ESP go on as they are; else each goes its own way.
void DataWorker::sort_natt(std::size_t count, Instant now) {
  for (std::size_t i = 0; i < count; ++i) {
    const io::ReceivedDatagram& datagram = received_[i];
    if (datagram.truncated) {
      counters_.invalid_datagrams.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    bool all_esp = datagram.segment_size != 0;
    if (all_esp)
      for_each_datagram(datagram, [&](ByteView one) {
        all_esp = all_esp && wire::classify_udp_encap(one).kind == wire::UdpEncapKind::kEsp;
      });
    if (all_esp) {
      fit(*spare_[i], datagram, datagram.payload);
      spare_[i]->meta.segment_size = datagram.segment_size;
      take_inbound(std::move(spare_[i]), now);
      continue;
    }
    packet::PacketPtr none;
    for_each_datagram(datagram, [&](ByteView one) {
      take_datagram(datagram, one, datagram.segment_size == 0 ? spare_[i] : none, now);
    });
  }
}

// RFC 3948 2: on the port for NAT traversal a datagram is ESP, IKE behind a marker, or a keepalive. `owner` has it in its
// buffer, or is empty where others stand there too.
void DataWorker::take_datagram(const io::ReceivedDatagram& datagram, ByteView bytes, packet::PacketPtr& owner,
                               Instant now) {
  const auto kind = wire::classify_udp_encap(bytes);
  switch (kind.kind) {
    case wire::UdpEncapKind::kIke:
      site_.mailbox.post(
          IkeMessageArrived{datagram.destination, datagram.source, true, to_bytes(kind.payload)});
      break;
    case wire::UdpEncapKind::kEsp: {
      packet::PacketPtr packet = std::move(owner);
      if (packet != nullptr) {
        fit(*packet, datagram, bytes);
      } else if ((packet = site_.pool.copy_of(bytes)) != nullptr) {
        packet->meta.source = datagram.source;
        packet->meta.destination = datagram.destination;
        packet->meta.tos = datagram.traffic_class;
      } else {
        counters_.buffers_exhausted.fetch_add(1, std::memory_order_relaxed);
        break;
      }
      take_inbound(std::move(packet), now);
      break;
    }
    case wire::UdpEncapKind::kKeepalive:
      counters_.keepalives.fetch_add(1, std::memory_order_relaxed);
      break;
    default:
      counters_.invalid_datagrams.fetch_add(1, std::memory_order_relaxed);
  }
}

void DataWorker::take_inbound(packet::PacketPtr packet, Instant now) {
  packet->meta.udp_encapsulated = true;
  burst_.push(std::move(packet));
  if (burst_.full()) deliver_inbound(now);
}

void DataWorker::read_esp(io::RawEspSocket& socket, Instant now) {
  const std::size_t count = receive(socket, spare_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (received_[i].truncated) {
      counters_.invalid_datagrams.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    packet::PacketPtr packet = std::move(spare_[i]);
    fit(*packet, received_[i], received_[i].payload);
    burst_.push(std::move(packet));
  }
  deliver_inbound(now);
}

void DataWorker::deliver_inbound(Instant now) {
  if (burst_.empty()) return;
  site_.engine.inbound(now, burst_, inbound_);
  wake_receivers();
  write_tun(inbound_.to_tun);
  inbound_.clear();
}

void DataWorker::read_errors(io::DatagramSocket& socket) {
  // Bounded: a flood of ICMP must not keep the worker from its packets.
  for (int i = 0; i < 32; ++i) {
    const auto error = socket.read_error();
    if (!error) return;
    // The kernel's own refusal was heard of when it was sent. What quotes no SPI proves nothing (RFC 8899 4.6.1).
    if (error->error_number != EMSGSIZE || error->mtu == 0 || error->quoted.size() < sizeof(Spi)) continue;
    site_.mailbox.post(
        PathTooSmall{error->destination.address, error->mtu, Spi{wire::load_u32(error->quoted, 0)}});
  }
}

}  // namespace merlon::daemon
