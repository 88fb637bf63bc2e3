#include "io/tun_packet.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <cerrno>

#include "io/system_error.h"
#include "io/vnet_header.h"

namespace merlon::io {

Result<TunRead> read_packet(Tun& tun, packet::Packet& packet) {
  VnetHeader header{};
  const MutableByteView area = packet.receive_area();
  const std::size_t before = tun.has_vnet_header() ? header.size() : 0;
  const iovec parts[] = {{header.data(), before}, {area.data(), area.size()}};
  ssize_t length = 0;
  do {
    length = readv(tun.fd(), parts, 2);
  } while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return TunRead::kEmpty;
  if (length < 0) return fail_errno(errno, fmt::format("read from {}", tun.name()));
  if (static_cast<std::size_t>(length) <= before) return TunRead::kEmpty;
  packet.set_length(static_cast<std::size_t>(length) - before);
  if (before != 0 && !take_vnet_header(header, packet)) return TunRead::kOdd;
  return TunRead::kPacket;
}

SendOutcome write_packet(Tun& tun, const packet::Packet& packet) {
  if (!tun.has_vnet_header()) {
    if (packet.meta.segment_size != 0 || packet.meta.checksum_start != 0) return SendOutcome::kFailed;
    return tun.write(packet.bytes());
  }
  auto header = vnet_header_of(packet);
  if (!header) return SendOutcome::kFailed;
  const ByteView bytes = packet.bytes();
  const iovec parts[] = {{header->data(), header->size()},
                         {const_cast<std::uint8_t*>(bytes.data()), bytes.size()}};
  for (;;) {
    if (writev(tun.fd(), parts, 2) >= 0) return SendOutcome::kSent;
    if (errno != EINTR) return classify_send_errno(errno);
  }
}

}  // namespace merlon::io
