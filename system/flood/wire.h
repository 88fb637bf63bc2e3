// A network device from below: whole Ethernet frames to one gateway, at a steady rate; and what it answers, to whomever.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/iana.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/rng.h"

namespace merlon::flood {

class Wire {
 public:
  // `gateway`: its Ethernet address, "02:00:00:00:00:01".
  [[nodiscard]] static Result<Wire> open(const std::string& device, const std::string& gateway);
  Wire(Wire&& from) noexcept;
  Wire& operator=(Wire&&) = delete;
  ~Wire();

  // An IP packet, to be sent with the next flush() or when enough are there.
  void send(ByteView ip_packet);
  void flush();
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

  struct Datagram {
    Endpoint source, destination;
    Bytes payload;
  };
  // The next UDP datagram over IPv4 that came from the gateway, if one comes in time.
  [[nodiscard]] std::optional<Datagram> receive(std::chrono::milliseconds patience);

 private:
  explicit Wire(int fd) : fd_(fd) {}
  int fd_ = -1;
  Bytes ethernet_;  // destination and source; the type follows
  std::vector<Bytes> frames_;
  std::uint64_t sent_ = 0, refused_ = 0;
};

// Calls `one` so often a second for so many seconds; says how long it took.
double at_rate(Wire& wire, double per_second, double seconds, const std::function<void()>& one);

// A random address of the prefix.
[[nodiscard]] IpAddress any_of(const IpPrefix& prefix, Rng& rng);

// An IP packet with this payload behind its header.
[[nodiscard]] Bytes ip_packet(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                              ByteView payload);
// The first fragment of one that goes on, and never will.
[[nodiscard]] Bytes first_fragment(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                                   ByteView payload, Rng& rng);

}  // namespace merlon::flood
