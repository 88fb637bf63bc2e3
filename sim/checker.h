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

#include "policy/sad.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/scenario.h"

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
  Checker(const Scenario& scenario, const EventQueue& queue) : scenario_(scenario), queue_(queue) {}

  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }
  // Only the first one counts.
  void fail(std::string_view invariant, std::string detail);

  // ---- SAs. `id` of the host's own.
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
  void delivered(std::size_t host, ByteView packet);
  // From now on a packet that is not delivered is a violation: judged by judge_losses().
  void nothing_may_be_lost(bool strict) { strict_ = strict; }
  void judge_losses();
  [[nodiscard]] const TrafficStats& traffic() const { return traffic_; }

  [[nodiscard]] std::uint64_t child_sa_pairs() const { return agreed_pairs_; }

 private:
  struct InnerPacket {
    Duration at{0};
    std::uint32_t tunnel = 0, child = 0;
    std::uint8_t direction = 0;
    bool delivered = false, strict = false, stray = false;
    std::uint64_t digest = 0;  // of everything behind the IP header
    IpAddress source, destination;
  };
  struct Outbound {
    std::uint64_t key = 0;
    EncrId encr = EncrId::kAesGcm16;
    Spi spi;
  };
  struct Sequence {
    std::uint32_t last = 0;
    std::unordered_set<std::uint64_t> ivs;  // digests of the bytes where counter modes have their IV
  };
  // One host's messages of one IKE SA.
  struct Window {
    bool any_request = false;
    std::uint32_t last_request = 0;
    bool answered = true;
    std::map<std::uint32_t, std::uint64_t> request_parts;  // digests by fragment number
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>
        response_parts;  // by Message ID, fragment number
  };
  using EndsKey =
      std::tuple<std::size_t, std::uint32_t, std::uint32_t>;  // tunnel; inbound SPIs at hosts[0] and hosts[1]

  void compare_ends(const policy::ChildSa& a, const policy::ChildSa& b);
  void check_clear(std::size_t host, const WireDatagram& datagram);
  void check_sequence(std::size_t host, ByteView packet, policy::ChildSaId sa);
  void check_message(std::size_t host, ByteView message);
  void check_request(const std::string& who, Window& window, std::uint32_t id, std::uint32_t part,
                     std::uint64_t digest);
  Bytes make(InnerPacket packet, Rng& rng);
  [[nodiscard]] bool selected(std::size_t host, ByteView packet) const;

  const Scenario& scenario_;
  const EventQueue& queue_;
  std::optional<Violation> violation_;
  bool strict_ = false;
  std::vector<InnerPacket> inner_;
  TrafficStats traffic_;
  std::uint64_t agreed_pairs_ = 0;
  std::map<EndsKey, std::array<policy::ChildSaPtr, 2>> ends_;
  std::map<std::pair<std::size_t, std::uint64_t>, policy::ChildSaPtr>
      live_;                                                            // host, id: what it has installed
  std::map<std::pair<std::size_t, std::uint64_t>, Outbound> outbound_;  // the same, also after removal
  std::set<std::uint64_t> outbound_keys_, inbound_keys_;                // ever installed, by anybody
  std::unordered_map<std::uint64_t, Sequence> sequences_;               // by key
  std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, Window> windows_;
};

}  // namespace merlon::sim
