// A packet on its way through the engine: bytes somewhere inside a fixed buffer, with room in front for
// headers and behind for a trailer, and what the layers tell each other about it. It may be a super-packet
// (segment_size != 0), of which there are two kinds:
//
//   inside (TUN)    IP header, TCP or UDP header | segment_size bytes | segment_size bytes | ... | the rest
//                   one packet with one header, that stands for as many packets as it has segments
//   outside (UDP)   a datagram of segment_size bytes | another | ... | one that may be shorter
//                   whole ESP packets (or, received, IKE messages) back to back, each with headers of its own
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "base/ip_address.h"

namespace merlon::packet {

class PacketPool;

// Room in front of a packet as the pool hands it out: an ESP header with the longest IV (8 + 16), an outer
// IPv6 and a UDP header (40 + 8) and a link layer header (16), rounded up to cache lines.
inline constexpr std::size_t kDefaultHeadroom = 128;
// What will stand in front of an inner packet: an ESP header with the IV of most ciphers. It should begin a cache line, as what is
// received does: a cipher's loads and stores across two lines cost it up to a tenth.
inline constexpr std::size_t kEspHeaderRoom = 16;
// Room that a reader leaves behind a packet: ESP padding to a block of 16 (15 + 2) and the longest ICV (32),
// rounded up.
inline constexpr std::size_t kDefaultTailroom = 64;

// The largest super-packet (IPv6: 65,535 bytes behind the header); no datagram is larger.
inline constexpr std::size_t kLargestPacket = 65535 + 40;

// What stands around the bytes. Inside the tunnel (TUN side) only the segment size, the checksum's place and
// `mark` mean something.
struct PacketMeta {
  // Outer addresses: of a received packet as it came, of one to be sent as it shall go. Ports only count with
  // UDP.
  Endpoint source, destination;
  std::uint64_t sa_id = 0;  // policy::ChildSaId of the SA that made an outbound ESP packet; 0 = none
  std::uint32_t mark = 0;   // the kernel's packet mark, carried through
  // Bytes of a segment of a super-packet, as drawn above; 0 = a single packet.
  std::uint16_t segment_size = 0;
  // Inside only: the transport checksum, from checksum_start to the end of the packet, is still to be
  // finished; its field, checksum_offset bytes behind checksum_start, holds the pseudo header's sum. A
  // super-packet is always so. 0 = the checksum is finished, or there is none.
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
  std::uint8_t tos = 0;               // outer TOS or Traffic Class, the whole octet: DSCP and ECN
  bool udp_encapsulated : 1 = false;  // ESP in UDP (RFC 3948), else IP protocol 50
  // May the outer datagram be fragmented on its way (IPv4: DF clear; IPv6: fragmented by the sender)?
  bool may_fragment_outer : 1 = false;
  // With it: bytes of the largest outer IP packet that the path is known to carry; 0: not known.
  std::uint32_t outer_mtu = 0;
};
static_assert(sizeof(PacketMeta) == 64, "it is copied for every packet");

class Packet {
 public:
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;

  PacketMeta meta;

  [[nodiscard]] ByteView bytes() const { return {storage_ + offset_, length_}; }
  [[nodiscard]] MutableByteView bytes() { return {storage_ + offset_, length_}; }
  [[nodiscard]] std::size_t size() const { return length_; }
  [[nodiscard]] std::size_t headroom() const { return offset_; }
  [[nodiscard]] std::size_t tailroom() const { return capacity_ - offset_ - length_; }

  // Where a reader puts a packet: all of the buffer behind the headroom, less the tailroom. set_length() says
  // afterwards how many bytes came; it must not exceed size() + tailroom().
  [[nodiscard]] MutableByteView receive_area();
  void set_length(std::size_t length);

  // Copies `bytes` in behind the default headroom; false, and unchanged, where they do not fit with the
  // tailroom.
  [[nodiscard]] bool assign(ByteView bytes);

  // Each grows the packet by `size` bytes, with whatever they held before, and returns the new bytes. The
  // caller has asked headroom() or tailroom() before: what does not fit is a broken invariant.
  MutableByteView prepend(std::size_t size);
  MutableByteView extend(std::size_t size);
  // Both at once; returns all bytes.
  MutableByteView surround(std::size_t before, std::size_t behind);
  // Each cuts bytes off; `size` must not exceed size().
  void trim_front(std::size_t size);
  void trim_back(std::size_t size);
  // Cuts everything off but `part`, which lies within bytes().
  void narrow_to(ByteView part);

 private:
  friend class PacketPool;
  friend struct PacketReturner;
  Packet() = default;
  void reset(std::size_t more_headroom);

  std::uint8_t* storage_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t offset_ = 0;
  std::uint32_t length_ = 0;
  PacketPool* pool_ = nullptr;
};

inline MutableByteView Packet::prepend(std::size_t size) {
  MERLON_ASSERT(size <= headroom());
  offset_ -= static_cast<std::uint32_t>(size);
  length_ += static_cast<std::uint32_t>(size);
  return {storage_ + offset_, size};
}

inline MutableByteView Packet::extend(std::size_t size) {
  MERLON_ASSERT(size <= tailroom());
  std::uint8_t* end = storage_ + offset_ + length_;
  length_ += static_cast<std::uint32_t>(size);
  return {end, size};
}

inline MutableByteView Packet::surround(std::size_t before, std::size_t behind) {
  MERLON_ASSERT(before <= headroom() && behind <= tailroom());
  offset_ -= static_cast<std::uint32_t>(before);
  length_ += static_cast<std::uint32_t>(before + behind);
  return bytes();
}

inline void Packet::trim_front(std::size_t size) {
  MERLON_ASSERT(size <= length_);
  offset_ += static_cast<std::uint32_t>(size);
  length_ -= static_cast<std::uint32_t>(size);
}

inline void Packet::trim_back(std::size_t size) {
  MERLON_ASSERT(size <= length_);
  length_ -= static_cast<std::uint32_t>(size);
}

inline void Packet::narrow_to(ByteView part) {
  MERLON_ASSERT(part.data() >= storage_ + offset_ &&
                part.data() + part.size() <= storage_ + offset_ + length_);
  offset_ = static_cast<std::uint32_t>(part.data() - storage_);
  length_ = static_cast<std::uint32_t>(part.size());
}

inline void Packet::set_length(std::size_t length) {
  MERLON_ASSERT(length <= capacity_ - offset_);
  length_ = static_cast<std::uint32_t>(length);
}

// Gives the packet back to its pool.
struct PacketReturner {
  void operator()(Packet* packet) const noexcept;
};

// The one owner of a packet; as large as a pointer.
using PacketPtr = std::unique_ptr<Packet, PacketReturner>;

}  // namespace merlon::packet
