#include "packet/pool.h"

#include "base/check.h"

namespace merlon::packet {

PacketPool::PacketPool(std::size_t count, std::size_t packet_size, std::size_t most_adopted)
    : count_(count), packet_size_(packet_size) {
  // Whole cache lines, so that no two packets share one.
  const std::size_t capacity = (kDefaultHeadroom + packet_size + kDefaultTailroom + 63) / 64 * 64;
  MERLON_ASSERT(count <= UINT32_MAX && capacity <= UINT32_MAX);
  // Not zeroed: pages that no packet ever used cost no memory.
  storage_ = std::make_unique_for_overwrite<std::uint8_t[]>(count * capacity);
  packets_ = std::unique_ptr<Packet[]>(new Packet[count]);
  free_.reserve(count + most_adopted);
  for (std::size_t i = count; i-- > 0;) {
    packets_[i].storage_ = storage_.get() + i * capacity;
    packets_[i].capacity_ = static_cast<std::uint32_t>(capacity);
    packets_[i].pool_ = this;
    free_.push_back(&packets_[i]);
  }
}

PacketPool::~PacketPool() {
  MERLON_ASSERT(in_use() == 0);
}

PacketPtr PacketPool::allocate() {
  if (free_.empty()) {
    ++exhausted_;
    return nullptr;
  }
  Packet* packet = free_.back();
  free_.pop_back();
  packet->reset();
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
