#include "packet/packet.h"

#include <algorithm>

#include "base/check.h"
#include "packet/pool.h"

namespace merlon::packet {

MutableByteView Packet::receive_area() {
  MERLON_ASSERT(offset_ + kDefaultTailroom <= capacity_);
  return {storage_ + offset_, capacity_ - offset_ - kDefaultTailroom};
}

void Packet::set_length(std::size_t length) {
  MERLON_ASSERT(length <= capacity_ - offset_);
  length_ = static_cast<std::uint32_t>(length);
}

bool Packet::assign(ByteView bytes) {
  if (bytes.size() > capacity_ - kDefaultHeadroom - kDefaultTailroom) return false;
  offset_ = kDefaultHeadroom;
  length_ = static_cast<std::uint32_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), storage_ + offset_);
  return true;
}

MutableByteView Packet::prepend(std::size_t size) {
  MERLON_ASSERT(size <= headroom());
  offset_ -= static_cast<std::uint32_t>(size);
  length_ += static_cast<std::uint32_t>(size);
  return {storage_ + offset_, size};
}

MutableByteView Packet::extend(std::size_t size) {
  MERLON_ASSERT(size <= tailroom());
  std::uint8_t* end = storage_ + offset_ + length_;
  length_ += static_cast<std::uint32_t>(size);
  return {end, size};
}

void Packet::trim_front(std::size_t size) {
  MERLON_ASSERT(size <= length_);
  offset_ += static_cast<std::uint32_t>(size);
  length_ -= static_cast<std::uint32_t>(size);
}

void Packet::trim_back(std::size_t size) {
  MERLON_ASSERT(size <= length_);
  length_ -= static_cast<std::uint32_t>(size);
}

void Packet::narrow_to(ByteView part) {
  MERLON_ASSERT(part.data() >= storage_ + offset_ &&
                part.data() + part.size() <= storage_ + offset_ + length_);
  offset_ = static_cast<std::uint32_t>(part.data() - storage_);
  length_ = static_cast<std::uint32_t>(part.size());
}

void Packet::reset() {
  meta = PacketMeta{};
  offset_ = kDefaultHeadroom;
  length_ = 0;
}

void PacketReturner::operator()(Packet* packet) const noexcept {
  packet->pool_->release(packet);
}

}  // namespace merlon::packet
