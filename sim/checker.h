// The invariants that hold at every step, whatever the network does. Hosts and network tell it what happens; the first thing that must
// not be ends the run.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ike/events.h"
#include "policy/sad.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/scenario.h"
#include "wire/ike/header.h"
#include "wire/ip/packet_view.h"

namespace merlon::sim {

struct Violation {
  std::string invariant;  // a short name, which tests know: "same keys at both ends"
  std::string detail;
  Duration at{0};
};

struct TrafficStats {
  std::uint64_t sent = 0, delivered = 0;
};

class Checker {
 public:
  Checker(const Scenario& scenario, const EventQueue& queue);

  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }
  // Only the first one counts.
  void fail(std::string_view invariant, std::string detail);

  // ---- SAs. `id` of the host's own.
  void established(std::size_t host, const ike::IkeSaEstablished& event);
  void installed(std::size_t host, const policy::ChildSaPtr& sa);
  void removed(std::size_t host, policy::ChildSaId id);
  // Forgets what the host had installed, not what was ever used.
  void crashed(std::size_t host);

  // ---- the wire. `sa` is the Child SA that made an ESP packet.
  void sent(std::size_t host, const WireDatagram& datagram, policy::ChildSaId sa);
  void arrived(std::size_t host, const WireDatagram& datagram);

  // ---- inner packets. `direction` 0: from the tunnel's hosts[0].
  [[nodiscard]] Bytes make_inner(std::size_t tunnel, std::size_t child, unsigned direction, Rng& rng);
  // A packet that no policy speaks of: it must go nowhere.
  [[nodiscard]] Bytes make_stray(std::size_t host, Rng& rng);
  // One of what else a network sends: of any protocol, long or short, from and to addresses in and around what the host's tunnels carry,
  // and sometimes no packet at all. Whether it arrives is what RFC 4301 makes of the policies of both ends.
  [[nodiscard]] Bytes make_odd(std::size_t host, Rng& rng);
  // An ICMP error for the inner network.
  void refused(std::size_t host, ByteView answer);
  void delivered(std::size_t host, ByteView packet);
  // From now on a packet that is not delivered is a violation: judged by judge_losses().
  void nothing_may_be_lost(bool strict) { strict_ = strict; }
  void judge_losses();
  // Empty when in each direction of each child the newest packet arrived that had the time for it; otherwise one that did not.
  [[nodiscard]] std::string why_not_flowing() const;
  [[nodiscard]] const TrafficStats& traffic() const { return traffic_; }

  [[nodiscard]] std::uint64_t child_sa_pairs() const { return agreed_pairs_; }

 private:
  struct InnerPacket {
    Duration at{0};
    std::uint32_t tunnel = 0, child = 0;
    std::uint8_t direction = 0;
    bool delivered = false, strict = false;
    std::string_view kept_back;  // empty: it must arrive; else why it must not: "which no policy speaks of"
    std::uint64_t digest = 0;    // of everything behind the IP header
    IpAddress source, destination;
  };
  // A packet that may arrive in fragments.
  struct Fragmented {
    Bytes data;  // of the whole, behind the IP header
    std::set<std::uint16_t> offsets;
    std::size_t arrived = 0;
  };
  // What is remembered of an installed SA; not its keys, which must be gone when it is.
  struct Installed {
    policy::ChildSa sa;                                 // without keys
    std::uint64_t inbound_keys = 0, outbound_keys = 0;  // digests
  };
  struct Outbound {
    std::uint64_t key = 0;
    EncrId encr = EncrId::kAesGcm16;
    bool esn = false, live = true;
    Spi spi;
  };
  struct Sequence {
    std::uint64_t last = 0, last_iv = 0;
  };
  using Sends = std::map<std::uint64_t, unsigned>;  // of one fragment, by the digest of its bytes
  // One host's messages of one IKE SA.
  struct Window {
    bool any_request = false;
    std::uint32_t last_request = 0;
    bool answered = true;
    std::map<std::uint32_t, Sends> request_parts;  // by fragment number
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>
        response_parts;  // digests by Message ID, fragment number
    // What was sent under each IV, or under the first 8 bytes of a longer one. The smallest goes when there are too many: counters grow.
    std::map<std::uint64_t, std::set<std::uint64_t>> ivs;
  };
  struct Exchanged {
    std::uint64_t bytes_in = 0, bytes_out = 0;
  };
  struct KeyHolder {
    std::size_t host = 0;
    std::size_t tunnel = 0;
  };
  using HostAnd = std::pair<std::size_t, std::uint64_t>;
  using EndsKey =
      std::tuple<std::size_t, std::uint32_t, std::uint32_t>;  // tunnel; inbound SPIs at hosts[0] and hosts[1]

  [[nodiscard]] std::optional<std::size_t> tunnel_of(const std::string& connection) const;
  // False, and a violation, where the tunnel's secrets do not fit.
  bool may_be_at(std::size_t host, std::size_t tunnel);
  void check_mate(std::size_t host, std::size_t tunnel, const Installed& sa);
  void compare_ends(const Installed& a, const Installed& b);
  void check_answer(std::size_t host, const WireDatagram& datagram, ByteView message);
  void count_send(const std::string& who, std::size_t host, std::uint32_t id, unsigned sends);
  void check_clear(std::size_t host, const WireDatagram& datagram);
  void check_sequence(std::size_t host, ByteView packet, policy::ChildSaId sa);
  void check_message(std::size_t host, ByteView message);
  void check_ike_iv(const std::string& who, Window& window, const wire::IkeHeader& header, ByteView message);
  // Returns how often these bytes were sent.
  unsigned check_request(const std::string& who, Window& window, const wire::IkeHeader& header,
                         std::uint32_t part, std::uint64_t digest);
  // How an inner packet looks beside its addresses.
  struct Shape {
    IpProtocol protocol = IpProtocol::kUdp;
    bool dont_fragment = false;
    std::size_t more = 0;  // bytes behind its mark
  };
  Bytes make(InnerPacket packet, const Shape& shape, Rng& rng);
  [[nodiscard]] static Shape small(Rng& rng);
  // RFC 4301 5.1, with what the other end configures: fills in where the packet goes, or why it does not.
  void decide(std::size_t host, const wire::PacketView& view, InnerPacket& packet) const;
  [[nodiscard]] const policy::Connection* connection_at(std::size_t host, std::size_t tunnel) const;
  // The number in a packet, or in the beginning of one.
  [[nodiscard]] std::optional<std::uint64_t> number_in(ByteView packet, std::size_t header_length) const;
  [[nodiscard]] std::optional<std::uint64_t> number_of_fragment(const wire::PacketView& view,
                                                                ByteView packet) const;
  void delivered_fragment(std::size_t host, const wire::PacketView& view, ByteView packet);
  // False, and a violation: this host may not get it.
  bool may_get(std::size_t host, std::uint64_t number, ByteView packet);
  void judge_flows();
  [[nodiscard]] bool selected(std::size_t host, ByteView packet) const;

  const Scenario& scenario_;
  const EventQueue& queue_;
  std::optional<Violation> violation_;
  bool strict_ = false;
  std::vector<InnerPacket> inner_;
  std::unordered_map<std::uint64_t, Fragmented> fragmented_;  // by number
  TrafficStats traffic_;
  std::uint64_t agreed_pairs_ = 0;
  std::unordered_map<std::string, std::size_t> tunnels_;  // by connection
  std::vector<unsigned> tries_;                           // by host: how often it may send one request
  std::map<EndsKey, std::array<std::optional<Installed>, 2>> ends_;  // until both are there
  std::vector<std::map<std::uint64_t, policy::ChildSa>> live_;       // by host and id: what it has installed
  std::map<HostAnd, Outbound> outbound_;                             // by host and id, also after removal
  std::unordered_map<std::uint64_t, KeyHolder> outbound_keys_, inbound_keys_;  // ever installed, by anybody
  std::unordered_map<std::uint64_t, Sequence> sequences_;                      // by key
  std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, Window> windows_;
  std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, unsigned>
      init_requests_;  // by host, SPI and digest: sends
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::array<std::optional<std::size_t>, 2>>
      ike_ends_;  // initiator and responder of each IKE SA
  std::map<std::pair<std::size_t, IpAddress>, Exchanged>
      nobodys_;  // with addresses that never prove anything
};

}  // namespace merlon::sim
