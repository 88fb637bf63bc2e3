#include "io/vnet_header.h"

#include <cstring>

namespace merlon::io {
namespace {

// VIRTIO 1.2 5.1.6, as linux/virtio_net.h has it, which is not C++ (and, in Debian 12, lacks the UDP kind).
struct Fields {
  std::uint8_t flags = 0, gso_type = 0;
  std::uint16_t hdr_len = 0, gso_size = 0, csum_start = 0, csum_offset = 0;
};
static_assert(sizeof(Fields) == kVnetHeaderSize);
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kGsoNone = 0, kGsoTcpV4 = 1, kGsoTcpV6 = 4, kGsoUdpL4 = 5, kGsoEcn = 0x80;

constexpr std::uint16_t kTcpChecksumOffset = 16, kUdpChecksumOffset = 6;
constexpr std::size_t kUdpHeaderSize = 8, kTcpHeaderSize = 20, kTcpDataOffset = 12;

std::uint16_t checksum_offset_of(std::uint8_t gso_type) {
  return gso_type == kGsoUdpL4 ? kUdpChecksumOffset : kTcpChecksumOffset;
}

// For a super-packet: the kernel is told its kind, and it told its checksum's place.
std::optional<std::uint8_t> gso_type_of(const packet::Packet& packet) {
  if (packet.meta.checksum_offset == kUdpChecksumOffset) return kGsoUdpL4;
  if (packet.meta.checksum_offset != kTcpChecksumOffset) return std::nullopt;
  return packet.bytes()[0] >> 4U == 4 ? kGsoTcpV4 : kGsoTcpV6;
}

}  // namespace

bool take_vnet_header(const VnetHeader& bytes, packet::Packet& packet) {
  Fields header;
  std::memcpy(&header, bytes.data(), sizeof header);
  packet::PacketMeta& meta = packet.meta;
  if ((header.flags & kNeedsChecksum) != 0) {
    if (std::size_t{header.csum_start} + header.csum_offset + 2 > packet.size() || header.csum_start == 0)
      return false;
    meta.checksum_start = header.csum_start;
    meta.checksum_offset = header.csum_offset;
  }
  const auto gso_type = static_cast<std::uint8_t>(header.gso_type & ~kGsoEcn);
  if (gso_type == kGsoNone) return true;
  if (gso_type != kGsoTcpV4 && gso_type != kGsoTcpV6 && gso_type != kGsoUdpL4) return false;
  if (meta.checksum_start != 0 && meta.checksum_offset != checksum_offset_of(gso_type)) return false;
  if (header.gso_size == 0) return false;
  meta.segment_size = header.gso_size;
  return true;
}

std::optional<VnetHeader> vnet_header_of(const packet::Packet& packet) {
  Fields header;
  const packet::PacketMeta& meta = packet.meta;
  if (meta.checksum_start != 0) {
    header.flags = kNeedsChecksum;
    header.csum_start = meta.checksum_start;
    header.csum_offset = meta.checksum_offset;
  }
  if (meta.segment_size != 0) {
    const auto gso_type = gso_type_of(packet);
    if (!gso_type || packet.size() < meta.checksum_start + kTcpHeaderSize) return std::nullopt;
    const std::size_t upper_header =
        *gso_type == kGsoUdpL4
            ? kUdpHeaderSize
            : (packet.bytes()[meta.checksum_start + kTcpDataOffset] >> 4U) * std::size_t{4};
    header.gso_type = *gso_type;
    header.gso_size = meta.segment_size;
    header.hdr_len = static_cast<std::uint16_t>(meta.checksum_start + upper_header);
  }
  VnetHeader bytes;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

}  // namespace merlon::io
