#include "packet/packet.h"

#include <algorithm>

#include "base/check.h"
#include "packet/pool.h"

namespace merlon::packet {

MutableByteView Packet::receive_area() {
  MERLON_ASSERT(offset_ + kDefaultTailroom <= capacity_);
  return {storage_ + offset_, capacity_ - offset_ - kDefaultTailroom};
}

bool Packet::assign(ByteView bytes) {
  if (bytes.size() > capacity_ - kDefaultHeadroom - kDefaultTailroom) return false;
  offset_ = kDefaultHeadroom;
  length_ = static_cast<std::uint32_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), storage_ + offset_);
  return true;
}

void Packet::reset(std::size_t more_headroom) {
  // Built in place: a PacketMeta made elsewhere and copied would wait for the stores of its parts.
  std::destroy_at(&meta);
  std::construct_at(&meta);
  offset_ = static_cast<std::uint32_t>(kDefaultHeadroom + more_headroom);
  length_ = 0;
}

void PacketReturner::operator()(Packet* packet) const noexcept {
  packet->pool_->release(packet);
}

}  // namespace merlon::packet
