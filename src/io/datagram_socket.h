// What the UDP sockets and the raw ESP sockets have in common: bursts of datagrams with their addresses and
// traffic class, replies that leave from the address that was addressed, and the queue of ICMP errors that
// path MTU is learnt from.
#pragma once

#include <linux/filter.h>

#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "base/iana.h"
#include "base/ip_address.h"
#include "io/fd.h"
#include "io/segment_refusals.h"
#include "io/send_outcome.h"

namespace merlon::io {

// One slot of a receive burst: the caller gives the buffer, the burst sets everything else.
struct ReceivedDatagram {
  MutableByteView buffer = {};     // for raw IPv4 sockets: room for the IP header (up to 60 bytes) as well
  MutableByteView payload = {};    // within buffer: the UDP payload, or the ESP packet from its SPI on
  Endpoint source = {};            // raw sockets: port 0
  Endpoint destination = {};       // the address that was addressed, and our port
  unsigned interface_index = 0;    // the interface it arrived on
  std::uint8_t traffic_class = 0;  // DSCP and ECN: the whole TOS or Traffic Class octet
  bool truncated = false;          // did not fit in the buffer: drop it
  // UDP_GRO put several datagrams into the payload, of this many bytes each but the last; 0: it is one.
  std::uint16_t segment_size = 0;
};

struct OutgoingDatagram {
  ByteView head = {};  // sent before payload, may be empty: a non-ESP marker (RFC 7296 3.1), for one
  ByteView payload = {};
  IpAddress source = {};         // unspecified (of either family): the kernel chooses by route
  Endpoint destination = {};     // raw sockets: the port is ignored
  unsigned interface_index = 0;  // 0: by route. Needed for IPv6 link-local destinations
  std::uint8_t traffic_class = 0;
  // False: DF is set (IPv4), nothing is fragmented, and too big is kTooBig. True: DF is clear, and the kernel
  // cuts the packet to the path MTU it knows where it must.
  bool may_fragment = false;
  // With may_fragment: bytes of the largest IP packet that the path carries, where more is known than the kernel knows; 0:
  // nothing is. Over IPv6 larger ones leave in fragments of this size, since no router makes them.
  unsigned path_mtu = 0;
  // The payload is several datagrams of this many bytes each but the last; 0: it is one. `head` is empty then.
  // They leave in one send (UDP_SEGMENT) of at most kMaxSegments and kMaxSegmentedBytes, which is the caller's
  // promise; one by one where the socket is raw, the kernel has no UDP_SEGMENT, or the destination's device refused that.
  std::uint16_t segment_size = 0;
};
inline constexpr std::size_t kMaxSegments = 64;  // the kernel's UDP_MAX_SEGMENTS (128 since 6.9)
inline constexpr std::size_t kMaxSegmentedBytes = 65507;

// How the kernel treats path MTU for datagrams with may_fragment == false.
enum class PathMtuMode {
  kProbe,  // DF set; what the kernel has learnt is not enforced: our own path MTU rules (IP_PMTUDISC_PROBE)
  kDo,     // DF set; larger than what the kernel has learnt is refused with kTooBig (IP_PMTUDISC_DO)
  kDont,   // DF clear, the kernel fragments; no path MTU is learnt (IP_PMTUDISC_DONT)
};

// One entry of the socket's error queue: an ICMP error about a datagram of ours, or the kernel's own refusal.
struct SocketError {
  enum class Origin { kLocal, kIcmp, kIcmp6 };
  Origin origin = Origin::kLocal;
  Endpoint destination = {};               // where the datagram was going; raw sockets: port 0
  std::optional<IpAddress> reporter = {};  // the router or host that sent the ICMP message
  int error_number = 0;                    // EMSGSIZE, ECONNREFUSED, EHOSTUNREACH, ...
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::uint32_t mtu =
      0;  // with EMSGSIZE: the IP packet size that fits, as reported; 0 otherwise. Not authenticated!
  // What the ICMP message quoted of our payload (UDP payload, or ESP from the SPI on), up to kMaxQuoted
  // bytes: who forges a report must have seen the packet. May be empty: routers need quote only 8 bytes of
  // transport.
  Bytes quoted = {};
  static constexpr std::size_t kMaxQuoted = 128;
};

struct DatagramSocketOptions {
  std::uint32_t mark = 0;       // SO_MARK for everything sent; 0: none. Needs CAP_NET_ADMIN
  std::string device = {};      // SO_BINDTODEVICE; empty: any
  bool free_bind = false;       // IP_FREEBIND: bind to an address that is not (yet) ours
  unsigned receive_buffer = 0;  // bytes; 0: the system's default. Beyond rmem_max only with CAP_NET_ADMIN
  unsigned send_buffer = 0;
  PathMtuMode path_mtu_mode = PathMtuMode::kProbe;
};

// Move-only and nonblocking. Several threads may send at once; one receives. Errors of setup are Results,
// what happens to datagrams are values.
class DatagramSocket {
 public:
  static constexpr std::size_t kMaxBurst = 64;  // larger bursts are cut into calls of this many

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] IpFamily family() const { return family_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }  // raw sockets: 0

  // Fills slots from the first one on (at most kMaxBurst) in one system call; how many, 0 when none waits.
  // Errors that ICMP left on the socket are not errors here: they wait in the error queue.
  [[nodiscard]] Result<std::size_t> receive_burst(std::span<ReceivedDatagram> slots);

  // Sends in order and says what became of each (outcomes has the size of datagrams); how many were sent.
  // After a kWouldBlock, the rest has the same outcome. All must be of the socket's family (kFailed
  // otherwise).
  std::size_t send_burst(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes);
  [[nodiscard]] SendOutcome send(const OutgoingDatagram& datagram);
  // A destination that refused several datagrams in one send, each told once; they go one by one now.
  // Datagrams with a segment size come from one thread alone, and so does this call.
  [[nodiscard]] std::optional<SegmentRefusals::Refusal> take_refusal() { return refusals_->take_new(); }

  // The oldest entry of the error queue; nullopt when it is empty. The descriptor polls as EPOLLERR while it
  // is not.
  [[nodiscard]] std::optional<SocketError> read_error();
  // How much the kernel dropped at this socket since it was opened, modulo 2^32: what came while the receive buffer was full,
  // and datagrams with a wrong UDP checksum. What UDP_GRO had joined counts once. 0 where the kernel does not say (before 4.12).
  // Costs the receiver nothing: the kernel is asked when somebody wants to know (SO_MEMINFO). Any thread.
  [[nodiscard]] std::uint32_t dropped() const;

  [[nodiscard]] Result<> set_path_mtu_mode(PathMtuMode mode);
  // A classic BPF program that every incoming datagram must pass (SO_ATTACH_FILTER). It sees UDP from its
  // header on, raw IPv4 from the IP header on, raw IPv6 from the ESP header on.
  [[nodiscard]] Result<> attach_filter(std::span<const sock_filter> program);

 protected:
  // Whether the kernel takes several datagrams in one send.
  void set_joins(bool joins) { joins_ = joins; }
  [[nodiscard]] bool joins() const { return joins_; }

  // Takes a socket that was just made, sets what both kinds need and binds it to the address and port.
  [[nodiscard]] static Result<DatagramSocket> set_up(Fd fd, bool raw, const Endpoint& local,
                                                     const DatagramSocketOptions& options);

 private:
  DatagramSocket(Fd fd, IpFamily family, bool raw);
  [[nodiscard]] int set_path_mtu_option(PathMtuMode mode) const;  // an errno value, 0: done
  std::size_t send_run(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes);
  [[nodiscard]] Result<> open_fragment_socket(const DatagramSocketOptions& options);
  [[nodiscard]] bool needs_fragments(const OutgoingDatagram& datagram) const;
  [[nodiscard]] SendOutcome send_fragments(const OutgoingDatagram& datagram);
  std::size_t send_mode(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes);
  [[nodiscard]] bool goes_in_slices(const OutgoingDatagram& datagram) const;
  [[nodiscard]] SendOutcome send_slices(const OutgoingDatagram& datagram);
  [[nodiscard]] SendOutcome after_refusal(const OutgoingDatagram& datagram, int error_number);

  Fd fd_;
  IpFamily family_;
  bool raw_, joins_ = false;
  IpProtocol protocol_ = IpProtocol::kUdp;
  std::uint16_t port_ = 0;
  PathMtuMode path_mtu_mode_ = PathMtuMode::kProbe;
  // IPv4 has no per-datagram way to clear DF, so the socket's option is changed around such sends, one sender
  // at a time. What another thread sends meanwhile may go out without DF too: fragmented instead of lost.
  std::unique_ptr<std::mutex> may_fragment_mutex_;
  // IPv6: sends whole IP packets, for what must be fragmented to less than the kernel believes to pass. The kernel's own
  // IPV6_MTU does not do it: it holds only for packets that are larger than the path MTU in the kernel's tables. Null:
  // IPv4, or no CAP_NET_RAW.
  std::unique_ptr<DatagramSocket> fragment_socket_;
  std::unique_ptr<SegmentRefusals> refusals_;
};

}  // namespace merlon::io
