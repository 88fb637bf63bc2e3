// IKEv2 message fragmentation (RFC 7383).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/ip_address.h"
#include "ikev2/memory_budget.h"
#include "ikev2/message_protection.h"

namespace merlon::ikev2 {

// RFC 7383 2.5.1: how large one IP datagram may become.
struct DatagramLimit {
  std::size_t bytes =
      1280;  // of the whole IP datagram; what cannot hold anything is raised to the family's minimum
  IpFamily family = IpFamily::kIpv4;
  bool natt = false;  // the four bytes of the non-ESP marker are in the datagram too

  // Bytes left for the IKE message behind IP, UDP and the marker.
  [[nodiscard]] std::size_t ike_message_bytes() const;
};

// RFC 7383 2.5: seals `payloads` into one SK message when it fits into the limit (or `allowed` is false: the
// peer did not agree to fragments, or the exchange is IKE_SA_INIT), else into SKF messages. Errors as
// MessageProtection::seal, and kExhausted when more than kMaxFragments would be needed.
[[nodiscard]] Result<std::vector<Bytes>> seal_fragmented(MessageProtection& protection,
                                                         const wire::IkeHeader& header,
                                                         std::span<const wire::Payload> payloads,
                                                         const DatagramLimit& limit, bool allowed, Rng& rng);

inline constexpr std::uint16_t kMaxFragments = 255;               // of one message, either direction
inline constexpr std::size_t kMaxReassembledBytes = 256U * 1024;  // of one message's decrypted content
// The same while the peer is nobody yet: IKE_AUTH with a chain of certificates fits.
inline constexpr std::size_t kMaxUnprovenBytes = 64U * 1024;
inline constexpr Duration kFragmentPatience = std::chrono::seconds(30);  // for the rest of a message

// Collects the fragments of one message. An IKE SA has one for requests and one for responses: with a window
// of one, at most one Message ID is being collected in each. Only authenticated fragments come here (RFC
// 7383 2.6), so what is stored was sent by the peer; the limits hold all the same.
class Reassembly {
 public:
  enum class Outcome {
    kStored,     // more are missing
    kComplete,   // message() has it
    kDuplicate,  // a fragment that is here already, or belongs to a message that is complete
    kDropped,    // contradicts those before it, or is beyond a limit
    kNoMemory,   // all IKE SAs together keep too much
  };
  // RFC 7383 2.6.1: a larger total replaces what was collected with a smaller one (the sender made them anew
  // after path MTU discovery); a smaller total is dropped. Another Message ID replaces the set: the caller
  // decides by its window what is current before it calls. `budget`: of all IKE SAs together, when there is one; it
  // must outlive the set.
  Outcome add(MessageId id, OpenedFragment fragment, Instant now, MemoryBudget* budget = nullptr);
  void set_limit(std::size_t bytes) { limit_ = bytes; }
  // When what was collected is to be dropped, unless it is whole by then; kNever: nothing is being collected.
  [[nodiscard]] Instant deadline() const { return parts_.empty() ? kNever : since_ + kFragmentPatience; }

  struct Whole {
    wire::PayloadType first = wire::PayloadType::kNone;
    Bytes content;
    std::uint16_t fragments = 0;
  };
  // Once after kComplete: the joined content, for wire::parse_payloads(first, content). The set remembers
  // that the message is complete, so late duplicates stay duplicates.
  [[nodiscard]] std::optional<Whole> take();

  // Whether this Message ID was completed here. RFC 7383 2.6.1: a retransmitted request is answered only when
  // its fragment number 1 comes again.
  [[nodiscard]] bool is_complete(MessageId id) const { return id_ == id && complete_; }
  [[nodiscard]] std::size_t stored_bytes() const { return bytes_; }
  [[nodiscard]] std::size_t fragments() const { return parts_.size(); }
  void clear();

 private:
  std::optional<MessageId> id_;
  std::uint16_t total_ = 0;
  bool complete_ = false;
  wire::PayloadType first_ = wire::PayloadType::kNone;
  std::map<std::uint16_t, Bytes> parts_;
  std::size_t bytes_ = 0, limit_ = kMaxUnprovenBytes;
  MemoryShare share_;
  Instant since_{};  // of the first fragment
};

}  // namespace merlon::ikev2
