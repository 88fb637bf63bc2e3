// Packets of one size, made once: nothing is allocated on a packet's path, and exhaustion is a counted
// refusal.
#pragma once

#include <memory>
#include <vector>

#include "base/large_memory.h"
#include "packet/packet.h"

namespace merlon::packet {

// Belongs to one thread, as do the packets taken from it: a worker has its own. It must outlive its packets, and all
// pools that exchange buffers (hand_over(), adopt()) end together.
class PacketPool {
 public:
  // `packet_size`: the longest packet, in bytes, that a reader may put into a buffer; head- and tailroom come
  // on top. `most_adopted`: how many buffers of other pools may be this one's besides.
  PacketPool(std::size_t count, std::size_t packet_size, std::size_t most_adopted = 0);
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();

  // An empty packet with the default headroom and clean metadata; null, and counted, when all are in use.
  [[nodiscard]] PacketPtr allocate() { return allocate_with(0); }
  // The same for an inner packet, with kEspHeaderRoom beside the default headroom.
  [[nodiscard]] PacketPtr allocate_inner() { return allocate_with(kEspHeaderRoom); }
  // allocate() and assign() in one; null where either fails.
  [[nodiscard]] PacketPtr copy_of(ByteView bytes);

  // The buffer leaves this pool for good, with what stands in it: adopt() makes it another pool's, whose thread it now
  // belongs to, so that nothing is copied. Null is not allowed. To be balanced by buffers that come back.
  [[nodiscard]] Packet* hand_over(PacketPtr packet);
  // The other end; room for that was reserved where no more buffers come than `most_adopted` of the constructor says.
  [[nodiscard]] PacketPtr adopt(Packet* packet);

  [[nodiscard]] std::size_t size() const { return count_; }  // buffers that are this pool's now
  [[nodiscard]] std::size_t available() const { return free_.size(); }
  [[nodiscard]] std::size_t in_use() const { return count_ - free_.size(); }
  [[nodiscard]] std::size_t packet_size() const { return packet_size_; }
  [[nodiscard]] std::uint64_t exhausted() const { return exhausted_; }  // refusals so far

 private:
  friend struct PacketReturner;
  [[nodiscard]] PacketPtr allocate_with(std::size_t more_headroom);
  void release(Packet* packet) noexcept {
    free_.push_back(packet);
  }  // into room that was reserved: it cannot throw

  std::size_t count_, packet_size_;
  struct alignas(kCacheLine) Line {
    std::uint8_t bytes[kCacheLine];
  };
  std::unique_ptr<Line[]> storage_;
  std::unique_ptr<Packet[]> packets_;
  std::vector<Packet*> free_;  // a stack: the packet used last is the warmest
  std::uint64_t exhausted_ = 0;
};

}  // namespace merlon::packet
