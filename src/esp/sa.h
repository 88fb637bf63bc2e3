// One SA direction: what is published (immutable, replaced as a whole) beside what changes with packets
// (never copied, owned by one worker, outliving every publication: a copied sequence number is a reused
// nonce).
#pragma once

#include <atomic>
#include <memory>

#include "base/iana.h"
#include "crypto/packet_cipher.h"
#include "esp/counters.h"
#include "esp/replay_window.h"
#include "esp/worker_index.h"
#include "policy/sad.h"
#include "wire/esp.h"

namespace merlon::esp {

// Which events were raised already; bits of SaFlags.
enum SaFlag : std::uint8_t {
  kSoftBytesRaised = 1,
  kSoftPacketsRaised = 2,
  kSoftSequenceRaised = 4,
  kHardRaised = 8,
  kFirstInboundRaised = 16,
};

// --- What changes with packets.

struct alignas(64) OutboundState {
  std::uint64_t last_sequence = 0;  // used; 0 = none
  TrafficCounters counters;
  // Up to one packet less than that no limit has anything to say (quiet_packets() in reporter.h).
  std::uint64_t quiet_packets = 0;
  // Written by the control side alone: it is a hint that follows the path. Here since each packet asks for it.
  std::atomic<std::uint32_t> path_mtu{0};
  std::uint8_t flags = 0;  // SaFlag
};
static_assert(sizeof(OutboundState) == 64, "one cache line a packet");

struct alignas(64) InboundState {
  explicit InboundState(unsigned window_size) : window(window_size) {}
  ReplayWindow window;
  TrafficCounters counters;
  std::uint64_t quiet_packets = 0;    // as outbound
  std::uint32_t reported_source = 0;  // what PeerMoved told last, and about when: see inbound.cc
  std::uint8_t flags = 0;             // SaFlag
};
static_assert(sizeof(InboundState) == 64, "one cache line, and one of the window's bits, a packet");

// --- What is the same for both directions and all publications of a Child SA.

// Limits of one direction; UINT64_MAX = none.
struct SaLimits {
  std::uint64_t soft_bytes = UINT64_MAX, hard_bytes = UINT64_MAX;
  std::uint64_t soft_packets = UINT64_MAX, hard_packets = UINT64_MAX;
};

struct SaRules {
  policy::ConnectionPtr connection;
  std::size_t child_index = 0;
  policy::TrafficSelectors local_ts, remote_ts;  // as negotiated
  SaLimits limits;
};

// The selectors of most SAs in a form that is compared at once: one pair of IPv4 ranges, for every protocol and port.
// Where they are not of that kind, or do not hold a packet, SaRules decides.
struct PlainSelectors {
  std::uint32_t local_first = 1, local_last = 0, remote_first = 1,
                remote_last = 0;  // host order; as made: nothing

  static PlainSelectors of(policy::SelectorView local, policy::SelectorView remote);
  // Both addresses are IPv4.
  [[nodiscard]] bool hold(const IpAddress& local, const IpAddress& remote) const {
    const std::uint32_t at_local = number(local), at_remote = number(remote);
    return local_first <= at_local && at_local <= local_last && remote_first <= at_remote &&
           at_remote <= remote_last;
  }

 private:
  static std::uint32_t number(const IpAddress& address) {
    return static_cast<std::uint32_t>(address.words()[0] >> 32U);
  }
};

// How large packets may be inside. All in bytes.
struct TunnelSizes {
  std::uint16_t overhead = 0;    // outer IP and UDP headers, ESP header, IV, ICV
  std::uint16_t mtu_floor = 0;   // the least path MTU that is believed
  std::uint16_t tunnel_mtu = 0;  // as configured; 0 = from the path
  std::uint8_t alignment = 4;    // of payload and trailer; a power of two
  std::uint8_t iv = 0, icv = 0;  // the cipher's, here so that its cache lines are not asked for early

  // The largest inner packet whose ESP packet fits the path whole.
  [[nodiscard]] std::size_t inner_mtu(std::size_t path_mtu) const {
    const std::size_t room = (path_mtu < mtu_floor ? mtu_floor : path_mtu) - overhead;
    const std::size_t largest = (room & ~(std::size_t{alignment} - 1)) - wire::kEspTrailerSize;
    return tunnel_mtu == 0 || largest < tunnel_mtu ? largest : tunnel_mtu;
  }
  // A whole ESP packet around `inner_size` bytes.
  [[nodiscard]] std::size_t esp_size(std::size_t inner_size) const {
    return wire::kEspHeaderSize + iv + inner_size + wire::esp_pad_length(inner_size, alignment) +
           wire::kEspTrailerSize + icv;
  }
};

// --- What is published.

struct InboundSa {
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const std::uint8_t*>(this) + 64);
  }

  Spi spi;
  WorkerIndex owner;
  bool esn = false;
  bool udp_encapsulation = false;
  bool tcp_mss_clamp = false;
  policy::ChildSaId id;
  crypto::PacketCipher* cipher = nullptr;  // used by the owner only
  InboundState* mutable_part = nullptr;    // the owner's
  const SaRules* rules = nullptr;
  TunnelSizes sizes;
  PlainSelectors plain;
  Endpoint remote;
  const std::atomic<std::uint32_t>* path_mtu = nullptr;
};
static_assert(sizeof(InboundSa) <= 128);

struct OutboundSa {
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const std::uint8_t*>(this) + 64);
  }

  Spi spi;
  WorkerIndex owner;
  bool udp_encapsulation = false;
  bool random_iv = false;  // CBC; else the IV is the sequence number
  bool copy_dscp = true;
  bool tcp_mss_clamp = false;
  bool is_bound = false;  // ChildSa::worker: its owner's packets prefer it
  policy::DfBit df = policy::DfBit::kCopy;
  policy::ChildSaId id;
  crypto::PacketCipher* cipher = nullptr;
  OutboundState* mutable_part = nullptr;
  const SaRules* rules = nullptr;
  std::uint64_t sequence_limit = 0;       // the last that may be used
  std::uint64_t soft_sequence_limit = 0;  // where the rekey is asked for
  TunnelSizes sizes;
  Endpoint local, remote;
};
static_assert(sizeof(OutboundSa) <= 128);

// Everything behind one Child SA. The published objects point into it; it is freed, and its keys wiped, a
// grace period after the last of them was taken back.
struct SaMaterial {
  SaMaterial(unsigned replay_window, std::uint32_t path_mtu) : inbound_state(replay_window) {
    outbound_state.path_mtu.store(path_mtu, std::memory_order_relaxed);
  }
  std::unique_ptr<crypto::PacketCipher> inbound_cipher, outbound_cipher;
  InboundState inbound_state;
  OutboundState outbound_state;
  SaRules rules;
  policy::EspAlgorithms algorithms;
};

// --- Making them (control side).

struct SaParameters {
  std::uint64_t sequence_limit = UINT64_MAX;  // EngineConfig::sequence_limit
  std::uint64_t first_sequence = 1;           // EngineConfig::first_sequence
  unsigned path_mtu = 1500;                   // EngineConfig::default_path_mtu
  WorkerIndex owner;
};

// Expands the keys. Errors: kUnsupported, kInvalidArgument.
[[nodiscard]] Result<std::unique_ptr<SaMaterial>> make_material(const policy::ChildSa& sa,
                                                                const SaParameters& parameters);
[[nodiscard]] std::shared_ptr<const InboundSa> make_inbound(const policy::ChildSa& sa,
                                                            const SaParameters& parameters,
                                                            SaMaterial& material);
[[nodiscard]] std::shared_ptr<const OutboundSa> make_outbound(const policy::ChildSa& sa,
                                                              const SaParameters& parameters,
                                                              SaMaterial& material);

}  // namespace merlon::esp
