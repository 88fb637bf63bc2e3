// Bursts of packets: what every interface of the packet path takes.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "base/check.h"
#include "packet/packet.h"

namespace merlon::packet {

inline constexpr std::size_t kBurstCapacity = 64;

// Up to 64 packets in order. An element may be null after its packet was moved out; clear() frees what is
// left.
class Burst {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == kBurstCapacity; }

  void push(PacketPtr packet) {
    MERLON_ASSERT(!full());
    packets_[size_++] = std::move(packet);
  }
  void clear() {
    for (PacketPtr& packet : *this)
      if (packet) packet.reset();
    size_ = 0;
  }

  [[nodiscard]] PacketPtr& operator[](std::size_t index) { return packets_[index]; }
  [[nodiscard]] const PacketPtr& operator[](std::size_t index) const { return packets_[index]; }
  [[nodiscard]] PacketPtr* begin() { return packets_.data(); }
  [[nodiscard]] PacketPtr* end() { return packets_.data() + size_; }
  [[nodiscard]] const PacketPtr* begin() const { return packets_.data(); }
  [[nodiscard]] const PacketPtr* end() const { return packets_.data() + size_; }

 private:
  std::array<PacketPtr, kBurstCapacity> packets_;
  std::size_t size_ = 0;
};

// What a stage hands on: it may be longer than the burst that went in (segments, fragments, released
// packets). Reused from burst to burst, so that its memory is allocated once.
using PacketList = std::vector<PacketPtr>;

}  // namespace merlon::packet
