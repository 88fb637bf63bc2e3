// The control messages beside a datagram (cmsg(3)): its addresses, its traffic class, and what the error
// queue says.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "io/datagram_socket.h"

namespace merlon::io {

// Room for the control messages of one datagram in either direction: packet info, traffic class, or an
// extended error with the address of its reporter.
struct ControlBuffer {
  alignas(cmsghdr) std::uint8_t bytes[192];
};

// Composes the control messages of an outgoing datagram, and gives them to its header.
class ControlWriter {
 public:
  explicit ControlWriter(ControlBuffer& buffer) : buffer_(buffer) {}
  // Nothing where the source is unspecified and the index 0.
  void packet_info(IpFamily family, const IpAddress& source, unsigned interface_index);
  void traffic_class(IpFamily family, std::uint8_t value);  // nothing for 0, the sockets' default
  void segment_size(std::uint16_t bytes);                   // UDP_SEGMENT
  void attach(msghdr& header);

 private:
  template <class T>
  void add(int level, int type, const T& value);
  ControlBuffer& buffer_;
  std::size_t used_ = 0;
};

struct ReceivedControl {
  std::optional<IpAddress> destination = {};
  unsigned interface_index = 0;
  std::uint8_t traffic_class = 0;
  std::uint16_t segment_size = 0;  // UDP_GRO; 0: one datagram
};
[[nodiscard]] ReceivedControl read_control(const msghdr& header);

// Everything of a SocketError but the destination and the quoted bytes.
[[nodiscard]] SocketError read_error_control(const msghdr& header);

}  // namespace merlon::io
