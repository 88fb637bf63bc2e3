#include "packet/pool.h"

#include "base/check.h"

namespace merlon::packet {

PacketPool::PacketPool(std::size_t count, std::size_t packet_size)
    : count_(count), packet_size_(packet_size) {
  // Whole cache lines, so that no two packets share one.
  const std::size_t capacity = (kDefaultHeadroom + packet_size + kDefaultTailroom + 63) / 64 * 64;
  MERLON_ASSERT(count <= UINT32_MAX && capacity <= UINT32_MAX);
  // Not zeroed: pages that no packet ever used cost no memory.
  storage_ = std::make_unique_for_overwrite<std::uint8_t[]>(count * capacity);
  packets_ = std::unique_ptr<Packet[]>(new Packet[count]);
  free_.reserve(count);
  for (std::size_t i = count; i-- > 0;) {
    packets_[i].storage_ = storage_.get() + i * capacity;
    packets_[i].capacity_ = static_cast<std::uint32_t>(capacity);
    packets_[i].index_ = static_cast<std::uint32_t>(i);
    packets_[i].pool_ = this;
    free_.push_back(static_cast<std::uint32_t>(i));
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
  Packet* packet = &packets_[free_.back()];
  free_.pop_back();
  packet->reset();
  return PacketPtr(packet);
}

PacketPtr PacketPool::copy_of(ByteView bytes) {
  PacketPtr packet = allocate();
  if (packet && !packet->assign(bytes)) return nullptr;
  return packet;
}

void PacketPool::release(Packet* packet) noexcept {
  free_.push_back(packet->index_);  // never beyond what was reserved, so it cannot throw
}

}  // namespace merlon::packet
