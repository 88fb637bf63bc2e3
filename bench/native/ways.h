// Ways of moving packets of protocol 50 between the kernel and a program, each behind the same two interfaces.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/native/link.h"

namespace merlon::bench {

inline constexpr std::size_t kBurst = 64;
inline constexpr std::size_t kBuffer = 2048;

class WayIn {
 public:
  virtual ~WayIn() = default;
  // Takes what waits, up to a burst a worker, and puts each packet into a buffer of the program's own, since it is decrypted there
  // while the next ones arrive; how many.
  virtual std::size_t receive() = 0;
  [[nodiscard]] virtual int fd() const = 0;  // readable when something waits
};

class WayOut {
 public:
  virtual ~WayOut() = default;
  // Sends so many packets, at most a burst; how many the kernel took.
  virtual std::size_t send(std::size_t count) = 0;
};

// `workers` sockets, of which each takes its part by the SPI.
std::unique_ptr<WayIn> raw_in(const Link& link, IpFamily family, unsigned workers);
enum class RingVersion { kV2, kV3 };
// What comes through the ring must not go up the kernel's stack as well, where nobody waits for it.
enum class Beside {
  kDeviceDrops,  // nftables in `ingress`; the ring sees all that the device receives, also of bridges' ports and VLANs
  kStackDrops,  // nftables in `prerouting`, before fragments are put together, what is for this host; the ring sees what the IP
                // stack sees: the form that would be right with any devices
};
std::unique_ptr<WayIn> ring_in(const Link& link, RingVersion version, unsigned workers,
                               Beside beside = Beside::kDeviceDrops);
enum class XdpMode { kGeneric, kDriver };
std::unique_ptr<WayIn> xdp_in(const Link& link, XdpMode mode);
// A program that passes everything to the stack: what AF_XDP costs all else that comes through the device. Stays while the
// descriptor does.
[[nodiscard]] io::Fd attach_idle_xdp(const std::string& device, XdpMode mode);
// Nobody listens: what sending, and the device alone, cost.
std::unique_ptr<WayIn> drop_in(const Link& link);

enum class RawOut {
  kAsMerlon,     // DatagramSocket: the source address and the TOS with each packet
  kBare,         // destination only
  kConnected,    // not even that: the socket is connected
  kWithHeaders,  // IP_HDRINCL: headers are ours
};
std::unique_ptr<WayOut> raw_out(const Link& link, IpFamily family, std::size_t size, RawOut how);
std::unique_ptr<WayOut> packet_out(const Link& link, IpFamily family, std::size_t size);
std::unique_ptr<WayOut> ring_out(const Link& link, IpFamily family, std::size_t size);
std::unique_ptr<WayOut> xdp_out(const Link& link, IpFamily family, std::size_t size);

}  // namespace merlon::bench
