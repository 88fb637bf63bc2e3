// The TUN device: the kernel routes packets that need protection to it, and gets the decrypted ones from it.
#pragma once

#include <span>
#include <string>

#include "base/bytes.h"
#include "io/fd.h"
#include "io/send_outcome.h"

namespace merlon::io {

struct TunOptions {
  // A fixed name, or a template with one %d that the kernel numbers ("merlon%d": merlon0, merlon1, ...). At
  // most 15 bytes. Our devices are not persistent: they vanish with the process, so a killed daemon leaves
  // none to adopt. A fixed name that another process holds is an error.
  std::string name = "merlon%d";
  // IFF_VNET_HDR: each packet read and written begins with a vnet header (vnet_header.h), and the device takes
  // super-packets and unfinished checksums; tun_packet.h reads and writes such packets.
  bool vnet_header = false;
  // IFF_MULTI_QUEUE: the device may be opened several times by name, a queue each.
  bool multi_queue = false;
};

// What a device with vnet headers may exchange with the kernel.
struct TunOffloads {
  bool checksum = false;          // packets with unfinished checksums
  bool tcp_segmentation = false;  // TSO for both families, and with ECN
  bool udp_segmentation = false;  // USO for both families: kernel 6.2 and later
  friend bool operator==(const TunOffloads&, const TunOffloads&) = default;
};

// One packet slot of a read burst: the caller gives the buffer, the burst sets the length.
struct TunSlot {
  MutableByteView buffer;
  std::size_t length = 0;
};

// Nonblocking. Not for two threads at once, except that one may read while another writes.
class Tun {
 public:
  // Creates the device, or (with multi_queue) adds a queue to it. It starts down, with the kernel's MTU of
  // 1,500.
  [[nodiscard]] static Result<Tun> open(const TunOptions& options);

  // Lets the kernel hand over whatever of this it can (a device with vnet headers only; others: nothing). The
  // kernel takes super-packets of the same kinds from us.
  TunOffloads enable_offloads();
  [[nodiscard]] bool has_vnet_header() const { return has_vnet_header_; }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int index() const { return index_; }  // interface index

  [[nodiscard]] Result<unsigned> mtu() const;
  [[nodiscard]] Result<> set_mtu(unsigned mtu);  // bytes, 68 to 65,535; IPv6 needs 1,280
  [[nodiscard]] Result<> set_up(bool up);

  // One packet; its length, or 0 when none waits. A packet larger than the buffer is cut.
  [[nodiscard]] Result<std::size_t> read(MutableByteView buffer);
  // Fills slots from the first one on; how many, 0 when no packet waits. An error only when the first read
  // fails (the device is gone or down: EBADFD, EIO).
  [[nodiscard]] Result<std::size_t> read_burst(std::span<TunSlot> slots);

  // One IP packet to the kernel's stack. kFailed: the kernel saw no IP packet in it.
  [[nodiscard]] SendOutcome write(ByteView packet);
  // Writes in order and says what became of each (outcomes has the size of packets); how many were taken.
  // Stops at the first kWouldBlock, and gives the rest the same outcome.
  std::size_t write_burst(std::span<const ByteView> packets, std::span<SendOutcome> outcomes);

 private:
  Tun(Fd fd, std::string name, int index, bool has_vnet_header)
      : fd_(std::move(fd)), name_(std::move(name)), index_(index), has_vnet_header_(has_vnet_header) {}
  Fd fd_;
  std::string name_;
  int index_;
  bool has_vnet_header_;
};

}  // namespace merlon::io
