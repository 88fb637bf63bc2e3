// The kernel of gcm_vaes.cc: AES-GCM over ESP packets with VAES and VPCLMULQDQ in 512-bit registers. Plain data only, since it is
// compiled for a CPU that others may not have: an inline function of a shared header must not exist in its machine code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace merlon::crypto::vaes {

// Does this CPU have the instructions, and does the system keep the registers (XGETBV)? Asked once.
[[nodiscard]] bool is_available();

// A key as the kernel reads it. Its first bytes stand where a cipher's object has room in front of them, so that the round keys
// begin 16 bytes into a cache line: with what stands before them a short packet reads three lines there for AES-128, four for longer
// keys, and the last three.
struct alignas(4) Key {
  static constexpr std::size_t kPowers = 20;  // what the end of a long packet takes at once
  std::uint8_t rounds;                        // 10, 12, 14
  std::uint8_t icv_size;                      // 8, 12, 16
  bool esn;
  std::uint8_t unused;
  std::uint8_t
      round_keys[15 * 16];  // the first one XORed with the salt, which every counter block begins with
  // H^20 to H^1 in the form of RFC 8452's POLYVAL; zeros behind them, for what a packet's last register has too much.
  std::uint8_t powers[kPowers * 16];
  std::uint8_t zeros[3 * 16];
};
static_assert(sizeof(Key) == 612);

// A packet: header (8) | IV (8) | data (length) | ICV, in one piece. Without initialisers: hundreds stand on the stack for each burst,
// and only those that were written are read.
struct Packet {
  std::uint8_t* header;
  const Key* key;
  bool* ok;              // open() says here whether the ICV was right
  std::uint32_t length;  // 1 to 65,500
  std::uint32_t high;    // of the sequence number, host order; 0 without ESN
};

inline constexpr std::size_t kShortChunks = 5;  // a packet is short up to so many registers

// How many registers a packet fills: header and IV, data, and the block with the lengths.
constexpr std::size_t chunks_of(std::uint32_t length) {
  return ((std::size_t{length} + 15) / 16 + 2 + 3) / 4;
}

// `key`: 16, 24 or 32 bytes. Everything is written but icv_size and esn.
void expand(Key& out, const std::uint8_t* key, std::size_t key_size, const std::uint8_t salt[4]);

// Packets of `chunks` registers each, `chunks` being up to kShortChunks, and of one number of rounds. Where the ICV of a packet
// is wrong, open_short() leaves it as it came.
void seal_short(const Packet* packets, std::size_t count, std::size_t chunks);
void open_short(const Packet* packets, std::size_t count, std::size_t chunks);
// Packets of `blocks` blocks of data each, kLeastLaneBlocks to kMostLaneBlocks, of keys of 128 or of 256 bits: of a key only what
// stands before the fourth round key is read, and so one cache line. For packets of different keys, whose lines come from afar.
// Where the ICV of a packet is wrong, open_lanes() leaves it as it came.
inline constexpr std::size_t kLeastLaneBlocks = 2, kMostLaneBlocks = 6;
void seal_lanes(const Packet* packets, std::size_t count, std::size_t blocks);
void open_lanes(const Packet* packets, std::size_t count, std::size_t blocks);
// One packet of more, or two of as many. Where the ICV is wrong, open_long() overwrites the data with zeros.
void seal_long(const Packet* packets, std::size_t count);
void open_long(const Packet* packets, std::size_t count);

// Overwrites the registers, and the stack below the caller's frame: they may hold keys and key stream. To be called behind each
// burst. `of_lanes`: may packets have been in lanes, whose functions take more of the stack?
void clear_traces(bool of_lanes);

}  // namespace merlon::crypto::vaes
