// Why a packet was dropped: every drop has one reason and one count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace merlon::esp {

enum class DropReason : std::uint8_t {
  // Outbound
  kMalformedInner,  // from TUN: not a whole IPv4 or IPv6 packet
  kPolicyDiscard,   // the SPD says discard
  kPolicyBypass,    // the SPD says bypass: it should not have come to the TUN device, since rules route it
                    // around it
  kNoPolicy,        // no entry of the SPD speaks of it, and what is not named is discarded (RFC 4301 4.4.1)
  kLinkLocal,  // no entry either, but it never was to leave this host's link: what kernels say to any device
               // (MLD, router solicitations)
  kNoSa,       // protect, but there is no SA and nobody will negotiate one for it
  kHoldFull,   // protect, an SA was asked for, and the packets held back are already many
  kHoldTimeout,          // held back for an SA that did not come in time
  kTooBig,               // does not fit and must not be fragmented: answered with an ICMP error
  kSequenceExhausted,    // the SA's last sequence number is used
  kSaExpired,            // a hard limit in bytes or packets is reached
  kNoBuffer,             // the packet pool is empty, or a packet has no room for its headers
  kUnsupportedSegments,  // a super-packet of a kind that cannot be segmented
  // Inbound
  kRunt,                // shorter than the SA's headers and ICV, or not whole cipher blocks
  kUnknownSpi,          // RFC 4301 5.2
  kReplayed,            // RFC 4303 3.4.3: seen before
  kTooOld,              // left of the replay window
  kInvalidSequence,     // zero, or beyond the last one
  kIntegrity,           // RFC 4303 3.4.4.1: the ICV does not match
  kPadding,             // RFC 4303 2.4: not 1, 2, 3...
  kNextHeader,          // neither IPv4 nor IPv6 inside a tunnel
  kDummy,               // RFC 4303 2.6: traffic flow confidentiality; not an error
  kMalformedDecrypted,  // authentic, but what is inside is not a whole IP packet
  kSelectorMismatch,    // RFC 4301 5.2: the packet is not what was negotiated for the SA
  kEcnInvalid,          // RFC 6040 4.2: congestion was marked on a packet that cannot carry the mark
  // Either
  kCrossingFull,  // the worker that owns the SA does not keep up with what others hand it
  kCount
};
inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::kCount);

// The label in metrics and status, such as "unknown_spi".
[[nodiscard]] std::string_view name(DropReason reason);
// True where RFC 4301 and RFC 4303 call the event auditable.
[[nodiscard]] bool is_auditable(DropReason reason);

// Of one worker. Written by that worker alone, read by anyone.
class DropCounters {
 public:
  void count(DropReason reason) {
    std::atomic<std::uint64_t>& counter = counters_[static_cast<std::size_t>(reason)];
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get(DropReason reason) const {
    return counters_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kDropReasons> counters_{};
};

}  // namespace merlon::esp
