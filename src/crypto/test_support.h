// What the tests of this room share.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/rng.h"
#include "crypto/packet_cipher.h"

namespace merlon::crypto {

// Hexadecimal digits with blanks between them, as the RFCs print them.
inline Bytes hex(std::string_view text) {
  std::string digits;
  for (const char c : text)
    if (c != ' ' && c != '\n') digits.push_back(c);
  return from_hex(digits).value();
}

inline Bytes counting(std::size_t size, std::uint8_t first = 0) {
  Bytes out(size);
  for (std::uint8_t& byte : out) byte = first++;
  return out;
}

// Gives what it was given, then zeros.
class ScriptedRng final : public Rng {
 public:
  explicit ScriptedRng(Bytes script) : script_(std::move(script)) {}
  void fill(MutableByteView out) override {
    const std::size_t taken = std::min(out.size(), script_.size());
    std::copy_n(script_.begin(), taken, out.begin());
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(taken), out.end(), std::uint8_t{0});
    script_.erase(script_.begin(), script_.begin() + static_cast<std::ptrdiff_t>(taken));
  }

 private:
  Bytes script_;
};

// One ESP packet in the layout that PacketJob asks for.
class TestPacket {
 public:
  TestPacket(const PacketCipher& cipher, ByteView header, ByteView iv, ByteView data,
             std::uint32_t sequence_high = 0)
      : iv_size_(cipher.iv_size()), data_size_(data.size()), sequence_high_(sequence_high) {
    append(bytes_, header.first(8));
    append(bytes_, iv.first(iv_size_));
    append(bytes_, data);
    bytes_.resize(bytes_.size() + cipher.icv_size());
  }

  PacketJob job() {
    PacketJob out;
    out.header = bytes_.data();
    out.sequence_high = sequence_high_;
    out.length = static_cast<std::uint32_t>(data_size_);
    return out;
  }
  void set_icv(ByteView icv) {
    std::copy(icv.begin(), icv.end(), bytes_.end() - static_cast<std::ptrdiff_t>(icv.size()));
  }

  Bytes& bytes() { return bytes_; }
  [[nodiscard]] ByteView data() const { return ByteView(bytes_).subspan(8 + iv_size_, data_size_); }
  [[nodiscard]] ByteView icv() const { return ByteView(bytes_).subspan(8 + iv_size_ + data_size_); }

 private:
  std::size_t iv_size_;
  std::size_t data_size_;
  std::uint32_t sequence_high_;
  Bytes bytes_;
};

inline void seal_one(PacketCipher& cipher, TestPacket& packet) {
  PacketJob job = packet.job();
  cipher.seal({&job, 1});
}
inline bool open_one(PacketCipher& cipher, TestPacket& packet) {
  PacketJob job = packet.job();
  cipher.open({&job, 1});
  return job.ok;
}

}  // namespace merlon::crypto
