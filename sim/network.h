// The network between the gateways: datagrams with a delay, lost, doubled, out of order or cut off by rates of each link; NATs whose
// mappings may change; partitions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/rng.h"
#include "sim/event_queue.h"
#include "sim/trace.h"

namespace merlon::sim {

enum class Carrier : std::uint8_t { kUdp, kEsp };  // UDP, or IP protocol 50 (ports do not count)

// What stands on the wire between outer IP header and its end.
struct WireDatagram {
  Carrier carrier = Carrier::kUdp;
  Endpoint source, destination;
  std::uint8_t tos = 0;
  Bytes payload;  // of UDP, or an ESP packet
};

// Of one direction between two hosts. Rates in thousandths.
struct LinkFaults {
  Duration delay{std::chrono::milliseconds(10)};
  Duration jitter{0};  // up to this much more, drawn for each datagram: reorders those that follow closely
  unsigned loss = 0, duplicate = 0, late = 0;
  Duration lateness{0};  // how much later a late datagram, or the second of a pair, may be
  unsigned largest_ike =
      1U << 16;  // bytes of an IP datagram; longer IKE messages never arrive (a path that loses fragments)
  friend bool operator==(const LinkFaults&, const LinkFaults&) = default;
};

class Network {
 public:
  using Receiver = std::function<void(const WireDatagram&)>;

  Network(EventQueue& queue, Trace& trace, std::uint64_t seed) : queue_(queue), trace_(trace), seed_(seed) {}

  // `outside`: the address of the NAT in front of the host, when there is one. Hosts are numbered as they are attached.
  void attach(std::string name, const IpAddress& address, std::optional<IpAddress> outside,
              Receiver receiver);
  void set_link(std::size_t from, std::size_t to, const LinkFaults& faults);
  // Nothing passes from `from` to `to` until then.
  void block(std::size_t from, std::size_t to, Instant until);
  // The host's NAT forgets its mappings; what it sends next comes from other ports.
  void rebind(std::size_t host);
  // From now on nothing is lost, doubled, late or out of order; delays and largest_ike stay, since paths have them.
  void heal();

  void send(std::size_t from, WireDatagram datagram);

  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  struct Link {
    LinkFaults faults;
    Instant blocked_until{};
    std::unique_ptr<SeededRng> rng;
  };
  struct Nat {
    explicit Nat(const IpAddress& address) : outside(address), next_port(20000) {}
    IpAddress outside;
    std::map<Endpoint, std::uint16_t> out;  // inside endpoint -> outside port
    std::map<std::uint16_t, Endpoint> in;
    std::uint16_t next_port;
  };
  struct Port {
    std::string name;
    IpAddress address;
    std::optional<Nat> nat;
    Receiver receiver;
  };

  Link& link(std::size_t from, std::size_t to);
  [[nodiscard]] bool translate_source(Port& port, WireDatagram& datagram);
  // The host that a datagram is for, after its NAT.
  [[nodiscard]] std::optional<std::size_t> translate_destination(WireDatagram& datagram);
  void deliver(std::size_t from, std::size_t to, Duration delay, std::shared_ptr<WireDatagram> datagram);
  void note(std::size_t from, std::string_view to, const WireDatagram& datagram, std::string_view fate);

  EventQueue& queue_;
  Trace& trace_;
  std::uint64_t seed_;
  std::vector<Port> ports_;
  std::map<IpAddress, std::size_t> by_address_;
  std::map<std::pair<std::size_t, std::size_t>, Link> links_;
  std::uint64_t sent_ = 0, lost_ = 0;
};

// "IKE_AUTH request 1, SPIs ..., 300 bytes", "ESP SPI 0x1234abcd, sequence number 7, 120 bytes", "NAT keepalive".
[[nodiscard]] std::string describe(const WireDatagram& datagram);
// The IKE message in a datagram; empty where it is none.
[[nodiscard]] ByteView ike_message_of(const WireDatagram& datagram);
// The ESP packet in a datagram; empty where it is none.
[[nodiscard]] ByteView esp_packet_of(const WireDatagram& datagram);

}  // namespace merlon::sim
