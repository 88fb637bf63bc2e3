#include "wire/ip/packet_error.h"

namespace merlon::wire {

std::string_view name(PacketError error) {
  switch (error) {
    case PacketError::kTruncated:
      return "truncated";
    case PacketError::kBadVersion:
      return "bad version";
    case PacketError::kBadHeaderLength:
      return "bad header length";
    case PacketError::kBadTotalLength:
      return "bad total length";
    case PacketError::kBadFragment:
      return "bad fragment";
    case PacketError::kBadExtension:
      return "bad extension header";
    case PacketError::kBadChecksum:
      return "bad checksum";
    case PacketError::kBadLength:
      return "bad length";
    case PacketError::kBadPadding:
      return "bad padding";
  }
  return "unknown";
}

}  // namespace merlon::wire
