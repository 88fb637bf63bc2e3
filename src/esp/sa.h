// One SA direction: what is published (immutable, replaced as a whole) beside what changes with packets
// (never copied, owned by one worker, outliving every publication: a copied sequence number is a reused
// nonce). What 100,000 SAs cost is decided here: sizes are asserted.
#pragma once

#include <atomic>
#include <memory>
#include <new>

#include "base/iana.h"
#include "base/large_memory.h"
#include "crypto/packet_cipher.h"
#include "esp/compact_endpoint.h"
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

// --- What is the same for both directions and all publications of a Child SA, and mostly for all SAs of a child.

// Limits of one direction; UINT64_MAX = none.
struct SaLimits {
  std::uint64_t soft_bytes = UINT64_MAX, hard_bytes = UINT64_MAX;
  std::uint64_t soft_packets = UINT64_MAX, hard_packets = UINT64_MAX;
  friend bool operator==(const SaLimits&, const SaLimits&) = default;
};

struct Child;  // children.h

struct SaRules {
  policy::ConnectionPtr connection;
  Child* child = nullptr;
  policy::SelectorView local_ts, remote_ts;  // as negotiated; the child's own as configured, or `narrowed`
  SaLimits limits;
  std::unique_ptr<const policy::TrafficSelector[]> narrowed;
  std::uint32_t child_index = 0;
  std::uint32_t users = 0;  // SAs, and the child itself; the control side's

  [[nodiscard]] const policy::ChildConfig& config() const { return connection->children[child_index]; }
};

// --- What changes with packets.

class OutboundSet;
struct OutboundNode;

struct alignas(64) OutboundState {
  std::uint64_t last_sequence = 0;  // used; 0 = none
  TrafficCounters counters;
  // Up to one packet less than that no limit has anything to say, nor has the end of the sequence numbers.
  std::uint64_t quiet_packets = 0;
  // Written by the control side alone: it is a hint that follows the path. Here since each packet asks for it.
  std::atomic<std::uint32_t> path_mtu{0};
  std::uint8_t flags = 0;          // SaFlag
  OutboundNode* node = nullptr;    // the control side's (outbound_set.h)
  const SaRules* rules = nullptr;  // immutable
};
static_assert(sizeof(OutboundState) == 64, "one cache line a packet");

struct alignas(64) InboundState {
  InboundState(unsigned window_size, std::uint64_t* window_bits) : window(window_size, window_bits) {}
  ReplayWindow window;
  TrafficCounters counters;
  std::uint64_t quiet_packets = 0;    // as outbound
  std::uint32_t reported_source = 0;  // what PeerMoved told last, and about when: see inbound.cc
  std::uint8_t flags = 0;             // SaFlag
};
static_assert(sizeof(InboundState) == 64, "one cache line, and one of the window's bits, a packet");

// The selectors of most SAs in a form that is compared at once: one pair of IPv4 ranges, for every protocol and port.
// Where they are not of that kind, or do not hold a packet, SaRules decides.
struct PlainSelectors {
  std::uint32_t local_first = 1, local_last = 0, remote_first = 1,
                remote_last = 0;  // host order; as made: nothing

  static PlainSelectors of(policy::SelectorView local, policy::SelectorView remote);
  // Both addresses are IPv4.
  [[nodiscard]] bool hold(const IpAddress& local, const IpAddress& remote) const {
    return hold(number(local), number(remote));
  }
  [[nodiscard]] bool hold(std::uint32_t at_local, std::uint32_t at_remote) const {
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
  std::uint16_t tunnel_mtu = 0;  // as configured; 0 = from the path
  std::uint8_t alignment = 4;    // of payload and trailer; a power of two
  std::uint8_t iv = 0, icv = 0;  // the cipher's, here so that its cache lines are not asked for early
  bool over_ipv6 : 1 = false;    // outside
  bool in_lanes : 1 = false;  // the cipher works on packets side by side: kCipherBytes does not count for it

  // The least path MTU that is believed. RFC 791 asks every host to take 576 bytes; a smaller path MTU is more likely
  // an attack than a path. RFC 8200 5: 1,280 for IPv6.
  [[nodiscard]] std::size_t mtu_floor() const { return over_ipv6 ? 1280 : 576; }
  // The largest inner packet whose ESP packet fits the path whole.
  [[nodiscard]] std::size_t inner_mtu(std::size_t path_mtu) const {
    const std::size_t room = (path_mtu < mtu_floor() ? mtu_floor() : path_mtu) - overhead;
    const std::size_t largest = (room & ~(std::size_t{alignment} - 1)) - wire::kEspTrailerSize;
    return tunnel_mtu == 0 || largest < tunnel_mtu ? largest : tunnel_mtu;
  }
  // A whole ESP packet around `inner_size` bytes.
  [[nodiscard]] std::size_t esp_size(std::size_t inner_size) const {
    return wire::kEspHeaderSize + iv + inner_size + wire::esp_pad_length(inner_size, alignment) +
           wire::kEspTrailerSize + icv;
  }
};

// --- What is published. Mostly what changes with packets stands in the next cache line (SaMaterial).

struct SaMaterial;

struct alignas(64) InboundSa {
  void prefetch() const {
    prefetch_line_to_second(this);
    prefetch_line_to_second(this + 1);
  }
  // The second stage, when the first has arrived, for a packet of about so many bytes of data.
  void prefetch_behind(std::size_t data) const;
  [[nodiscard]] InboundState& state() const;
  [[nodiscard]] const SaRules& rules() const;
  [[nodiscard]] std::uint32_t path_mtu() const;

  Spi spi;
  WorkerIndex owner;
  bool esn : 1 = false;
  bool udp_encapsulation : 1 = false;
  bool tcp_mss_clamp : 1 = false;
  TunnelSizes sizes;
  crypto::PacketCipher::Footprint footprint;
  PlainSelectors plain;
  CompactEndpoint remote;
  crypto::PacketCipher* cipher = nullptr;  // used by the owner only
  SaMaterial* material = nullptr;          // what changes in it is the owner's
  policy::ChildSaId id;
};
static_assert(sizeof(InboundSa) == 64, "one cache line a packet");

struct alignas(64) OutboundSa {
  void prefetch() const {
    prefetch_line_to_second(this);
    prefetch_line_to_second(this + 1);
  }
  void prefetch_behind(std::size_t data) const;
  [[nodiscard]] OutboundState& state() const;
  [[nodiscard]] const SaRules& rules() const;

  Spi spi;
  WorkerIndex owner;
  bool udp_encapsulation : 1 = false;
  bool copy_dscp : 1 = true;
  bool tcp_mss_clamp : 1 = false;
  bool esn : 1 = false;
  bool use_outbound : 1 = true;                      // policy::ChildSa's
  bool is_bound : 1 = false;                         // RFC 9611: its owner's packets prefer it
  bool clears_df : 1 = false, copies_df : 1 = true;  // policy::DfBit; neither: kSet
  TunnelSizes sizes;
  crypto::PacketCipher::Footprint footprint;
  CompactEndpoint local, remote;
  crypto::PacketCipher* cipher = nullptr;
  SaMaterial* material = nullptr;
  policy::ChildSaId id;
  // The next older of the child's SAs where they are few (outbound_set.h): the one thing here that changes.
  mutable std::atomic<const OutboundSa*> older{nullptr};

  [[nodiscard]] policy::DfBit df() const {
    return copies_df ? policy::DfBit::kCopy : clears_df ? policy::DfBit::kClear : policy::DfBit::kSet;
  }
};
static_assert(sizeof(OutboundSa) == 64, "one cache line a packet");

// Everything of one Child SA in one piece of memory: what was published first, each direction's beside what changes, and
// the window's bits. Both ciphers are its own. It is freed, and its keys wiped, a grace period after the last
// publication was taken back.
struct SaMaterial {
  // Bits for `replay_window` packets (ReplayWindow) stand behind the object.
  [[nodiscard]] static std::unique_ptr<SaMaterial> make(unsigned replay_window);
  ~SaMaterial();
  SaMaterial(const SaMaterial&) = delete;
  SaMaterial& operator=(const SaMaterial&) = delete;
  // With the size of the whole; found by unique_ptr.
  static void operator delete(SaMaterial* material, std::destroying_delete_t /*tag*/);

  OutboundSa outbound;
  OutboundState outbound_state;
  InboundSa inbound;
  InboundState inbound_state;

 private:
  explicit SaMaterial(unsigned replay_window);
};
static_assert(sizeof(SaMaterial) == 256, "and the window's bits");

inline InboundState& InboundSa::state() const {
  return material->inbound_state;
}
inline const SaRules& InboundSa::rules() const {
  return *material->outbound_state.rules;
}
inline std::uint32_t InboundSa::path_mtu() const {
  return material->outbound_state.path_mtu.load(std::memory_order_relaxed);
}
inline void InboundSa::prefetch_behind(std::size_t data) const {
  prefetch_line_to_second(&material->inbound_state);
  cipher->prefetch(footprint, data);
}
inline OutboundState& OutboundSa::state() const {
  return material->outbound_state;
}
inline const SaRules& OutboundSa::rules() const {
  return *material->outbound_state.rules;
}
inline void OutboundSa::prefetch_behind(std::size_t data) const {
  prefetch_line_to_second(&material->outbound_state);
  cipher->prefetch(footprint, data);
}

// --- Making them (control side).

struct SaParameters {
  std::uint64_t first_sequence = 1;  // EngineConfig::first_sequence
  unsigned path_mtu = 1500;          // EngineConfig::default_path_mtu
  WorkerIndex owner;
};

// Expands the keys; both directions are ready to be published. `rules`: the SA's; they outlive it. Errors: kUnsupported,
// kInvalidArgument.
[[nodiscard]] Result<std::unique_ptr<SaMaterial>> make_material(const policy::ChildSa& sa,
                                                                const SaParameters& parameters,
                                                                const SaRules& rules);
// The same SA by another path.
[[nodiscard]] std::unique_ptr<InboundSa> moved(const InboundSa& sa, const policy::OuterPath& path);
[[nodiscard]] std::unique_ptr<OutboundSa> moved(const OutboundSa& sa, const policy::OuterPath& path,
                                                bool use_outbound);

// The last sequence number that an SA may use, and the one with which the rekey is asked for.
struct SequenceLimits {
  std::uint64_t hard = 0, soft = 0;
  // `configured`: EngineConfig::sequence_limit.
  static SequenceLimits of(bool esn, std::uint64_t configured) {
    // RFC 4303 3.3.3: a sequence number is never sent twice, so the last one ends the SA. The rekey is asked for when an
    // eighth is left.
    const std::uint64_t last = esn ? UINT64_MAX : std::uint64_t{UINT32_MAX};
    const std::uint64_t hard = configured < last ? configured : last;
    const std::uint64_t soft = hard - hard / 8;
    return {hard, soft == 0 ? 1 : soft};
  }
};

}  // namespace merlon::esp
