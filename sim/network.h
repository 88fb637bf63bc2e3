// The network between the gateways: datagrams with a delay, lost (also in bursts), doubled, out of order, damaged, cut short or cut off by
// rates of each link; NATs, also with several hosts behind one, whose mappings and addresses may change; partitions; and somebody on
// the path who sends old datagrams again.
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
  // Bursts of loss (Gilbert and Elliott): with each datagram a burst begins or ends; while one lasts `burst_loss` counts beside `loss`.
  unsigned burst_begins = 0, burst_ends = 0, burst_loss = 0;
  unsigned corrupt =
      0;  // one to eight bits of the payload are flipped (its UDP checksum is right all the same)
  std::size_t corrupt_from = 0, corrupt_within = 0;  // only these bytes of it; 0, 0: anywhere
  unsigned truncate = 0;                             // the payload is cut off somewhere
  friend bool operator==(const LinkFaults&, const LinkFaults&) = default;
};

// Somebody on the path who has kept datagrams, also such as never arrived, and sends them once more.
struct Replays {
  Duration interval{0};         // between two of them, on average; 0: nobody does
  std::size_t kept = 256;       // so many are kept; a new one takes the place of any of them
  unsigned foreign_source = 0;  // of 1000: they come from an address of nobody, or of another host
  unsigned other_host = 0;      // of 1000: they go to another host than the first time
  friend bool operator==(const Replays&, const Replays&) = default;
};
// An address that no host ever has, so that whoever sends from it has proved nothing: 203.0.113.0/24, 2001:db8:dead::/48.
[[nodiscard]] bool is_nobodys(const IpAddress& address);

class Network {
 public:
  using Receiver = std::function<void(const WireDatagram&)>;

  Network(EventQueue& queue, Trace& trace, std::uint64_t seed) : queue_(queue), trace_(trace), seed_(seed) {}

  // `outside`: the address of the NAT in front of the host, when there is one; hosts with the same one share the NAT. Hosts are numbered
  // as they are attached.
  void attach(std::string name, const IpAddress& address, std::optional<IpAddress> outside,
              Receiver receiver);
  void set_link(std::size_t from, std::size_t to, const LinkFaults& faults);
  // Nothing passes from `from` to `to` until then.
  void block(std::size_t from, std::size_t to, Instant until);
  // Nothing passes to or from `host` until then.
  void isolate(std::size_t host, Instant until);
  // The host's NAT forgets its mappings; what it sends next comes from other ports, and where `address` is given from there.
  void rebind(std::size_t host, std::optional<IpAddress> address = std::nullopt);
  // The host has this address instead of the one it had; what it sends from another one goes nowhere.
  void move(std::size_t host, const IpAddress& address);
  void replay(const Replays& replays);
  // From now on nothing is lost, doubled, damaged, replayed, late or out of order; delays and largest_ike stay, since paths have them.
  void heal();

  void send(std::size_t from, WireDatagram datagram);

  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::uint64_t replayed() const { return replayed_; }

 private:
  struct Link {
    LinkFaults faults;
    Instant blocked_until{};
    bool in_burst = false;
    std::unique_ptr<SeededRng> rng;
  };
  struct Nat {
    explicit Nat(const IpAddress& address) : outside(address), next_port(20000) {}
    IpAddress outside;
    std::map<Endpoint, std::uint16_t> out;  // inside endpoint -> outside port
    std::map<std::uint16_t, Endpoint> in;
    std::uint16_t next_port;
    std::vector<std::size_t> hosts;  // behind it
  };
  struct Port {
    std::string name;
    IpAddress address;
    Nat* nat = nullptr;
    Receiver receiver;
    Instant isolated_until{};
  };

  Link& link(std::size_t from, std::size_t to);
  [[nodiscard]] bool translate_source(Port& port, WireDatagram& datagram);
  // The host that a datagram is for, after its NAT.
  [[nodiscard]] std::optional<std::size_t> translate_destination(WireDatagram& datagram);
  // Whose link a datagram takes: the host, or one behind the NAT, that has its destination.
  [[nodiscard]] std::optional<std::size_t> towards(const WireDatagram& datagram) const;
  [[nodiscard]] bool lost_on(Link& link);
  [[nodiscard]] std::string_view damage(Link& link, Bytes& payload);  // what was done, for the trace
  void deliver(std::size_t from, std::size_t to, Duration delay, std::shared_ptr<WireDatagram> datagram);
  void arrive(std::size_t from, WireDatagram& datagram, std::size_t towards);
  // Where the others see the host: its own address, or its NAT's.
  [[nodiscard]] const IpAddress& outside_of(std::size_t host) const {
    return ports_[host].nat != nullptr ? ports_[host].nat->outside : ports_[host].address;
  }
  void keep(const WireDatagram& datagram);
  void replay_next();
  void replay_one();
  void note(std::optional<std::size_t> from, std::optional<std::size_t> to, const WireDatagram& datagram,
            std::string_view fate);

  EventQueue& queue_;
  Trace& trace_;
  std::uint64_t seed_;
  std::vector<Port> ports_;
  std::map<IpAddress, std::size_t> by_address_;  // hosts, by their own address
  std::map<IpAddress, Nat*> by_outside_;         // the addresses of NATs
  std::vector<std::unique_ptr<Nat>> nats_;
  Replays replays_;
  std::unique_ptr<SeededRng> replay_rng_;
  std::vector<WireDatagram> kept_;  // as they were on the outside
  std::map<std::pair<std::size_t, std::size_t>, Link> links_;
  std::uint64_t sent_ = 0, lost_ = 0, replayed_ = 0;
};

// "IKE_AUTH request 1, SPIs ..., 300 bytes", "ESP SPI 0x1234abcd, sequence number 7, 120 bytes", "NAT keepalive".
[[nodiscard]] std::string describe(const WireDatagram& datagram);
// Whether it is of the port for NAT traversal, with its marker before IKE messages (RFC 3948).
[[nodiscard]] bool is_encapsulated(const WireDatagram& datagram);
// How the ladder shows it; `from` and `to` are for the caller to say.
[[nodiscard]] Sight sight_of(const WireDatagram& datagram);
// The IKE message in a datagram; empty where it is none.
[[nodiscard]] ByteView ike_message_of(const WireDatagram& datagram);
// The ESP packet in a datagram; empty where it is none.
[[nodiscard]] ByteView esp_packet_of(const WireDatagram& datagram);

}  // namespace merlon::sim
