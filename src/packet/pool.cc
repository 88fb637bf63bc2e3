#include "packet/pool.h"

#include "base/check.h"

namespace merlon::packet {

PacketPool::PacketPool(std::size_t count, std::size_t packet_size, std::size_t most_adopted)
    : count_(count), packet_size_(packet_size) {
  // Whole cache lines, so that no two packets share one; an odd number of them, so that what stands at the same place of each packet
  // of a burst is spread over all sets of a cache, and over all places within a page.
  const std::size_t lines =
      (kDefaultHeadroom + kEspHeaderRoom + packet_size + kDefaultTailroom + kCacheLine - 1) / kCacheLine | 1U;
  const std::size_t capacity = lines * kCacheLine;
  MERLON_ASSERT(count <= UINT32_MAX && capacity <= UINT32_MAX);
  // Not zeroed: pages that no packet ever used cost no memory.
  storage_ = std::make_unique_for_overwrite<Line[]>(count * lines);
  packets_ = std::unique_ptr<Packet[]>(new Packet[count]);
  free_.reserve(count + most_adopted);
  for (std::size_t i = count; i-- > 0;) {
    packets_[i].storage_ = storage_[i * lines].bytes;
    packets_[i].capacity_ = static_cast<std::uint32_t>(capacity);
    packets_[i].pool_ = this;
    free_.push_back(&packets_[i]);
  }
}

PacketPool::~PacketPool() {
  MERLON_ASSERT(in_use() == 0);
}

PacketPtr PacketPool::allocate_with(std::size_t more_headroom) {
  if (free_.empty()) {
    ++exhausted_;
    return nullptr;
  }
  Packet* packet = free_.back();
  free_.pop_back();
  packet->reset(more_headroom);
  return PacketPtr(packet);
}

PacketPtr PacketPool::copy_of(ByteView bytes) {
  PacketPtr packet = allocate();
  if (packet && !packet->assign(bytes)) return nullptr;
  return packet;
}

Packet* PacketPool::hand_over(PacketPtr packet) {
  MERLON_ASSERT(packet != nullptr && packet->pool_ == this);
  --count_;
  return packet.release();
}

PacketPtr PacketPool::adopt(Packet* packet) {
  MERLON_ASSERT(count_ < free_.capacity());
  ++count_;
  packet->pool_ = this;
  return PacketPtr(packet);
}

}  // namespace merlon::packet
