// Packets of one size, made once: nothing is allocated on a packet's path, and exhaustion is a counted
// refusal.
#pragma once

#include <memory>
#include <vector>

#include "packet/packet.h"

namespace merlon::packet {

// Belongs to one thread, as do the packets taken from it: a worker has its own. It must outlive its packets.
class PacketPool {
 public:
  // `packet_size`: the longest packet, in bytes, that a reader may put into a buffer; head- and tailroom come
  // on top.
  PacketPool(std::size_t count, std::size_t packet_size);
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();

  // An empty packet with the default headroom and clean metadata; null, and counted, when all are in use.
  [[nodiscard]] PacketPtr allocate();
  // allocate() and assign() in one; null where either fails.
  [[nodiscard]] PacketPtr copy_of(ByteView bytes);

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t available() const { return free_.size(); }
  [[nodiscard]] std::size_t in_use() const { return count_ - free_.size(); }
  [[nodiscard]] std::size_t packet_size() const { return packet_size_; }
  [[nodiscard]] std::uint64_t exhausted() const { return exhausted_; }  // refusals so far

 private:
  friend struct PacketReturner;
  void release(Packet* packet) noexcept;

  std::size_t count_, packet_size_;
  std::unique_ptr<std::uint8_t[]> storage_;
  std::unique_ptr<Packet[]> packets_;
  std::vector<std::uint32_t> free_;  // a stack: the packet used last is the warmest
  std::uint64_t exhausted_ = 0;
};

}  // namespace merlon::packet
