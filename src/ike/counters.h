// What an IKE engine counts: for the metrics, and so that a test can see that a rare path ran. A fixed array;
// adding is one increment. Not thread-safe: each engine has its own, and merge() adds them up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ike/rare_path.h"

namespace merlon::ike {

enum class Counter : std::uint8_t {
  kMessagesSent,
  kMessagesReceived,
  kRetransmissionsSent,      // our request once more
  kDuplicatesAnswered,       // the peer's request once more: answered with the stored bytes
  kDuplicatesIgnored,        // a response that was answered for already; a request too often
  kDropMalformed,            // the header or an unprotected payload does not follow its format
  kDropVersion,              // a major version that is not ours
  kDropBadIcv,               // RFC 7296 2.21.2: not authentic
  kDropMalformedContent,     // authentic, but malformed inside
  kDropUnknownSpi,           // RFC 7296 2.21.4
  kDropWrongPhase,           // an exchange that this phase of the IKE SA does not know
  kDropWindow,               // RFC 7296 2.3: a Message ID outside the window
  kDropUnprotected,          // in clear where protection is needed
  kDropUnsupportedCritical,  // RFC 7296 2.5
  kDropIkeSaLimit,
  kDropHalfOpenTotal,
  kDropHalfOpenPerSource,
  kDropNoConnection,  // nothing configured answers this address
  kCookiesSent,       // RFC 7296 2.6, by us as a responder
  kCookiesVerified,
  kCookiesRejected,
  kCookiesReturned,   // ours, as an initiator
  kInvalidKeSent,     // RFC 7296 1.3, as a responder
  kInvalidKeRetries,  // as an initiator
  kCandidatesKept,    // RFC 7296 2.4: answers to IKE_SA_INIT kept
  kCandidatesDiscarded,
  kUnprotectedErrorsDelayed,  // RFC 7296 2.21.1: an error in clear that only made us wait or try otherwise
  kFragmentsSent,             // RFC 7383
  kFragmentsReceived,
  kFragmentsReassembled,  // whole messages
  kFragmentsDropped,
  kIkeSasEstablished,
  kIkeSasRekeyed,
  kIkeSasClosed,
  kChildSasEstablished,
  kChildSasRekeyed,
  kChildSasClosed,
  kIkeDeletesSent,
  kIkeDeletesReceived,
  kChildDeletesSent,
  kChildDeletesReceived,
  kLivenessChecks,
  kLivenessFailures,
  kKeepalivesSent,
  kAuthenticationFailures,  // of peers
  kInitialContactsReceived,
  kPeersMoved,             // RFC 7296 2.23
  kDropMemoryLimit,        // a fragment or an early IKE_AUTH beyond what a shard keeps of unfinished messages
  kPeerCertificatesEnded,  // IKE SAs that ended since the peer's certificate expired or was revoked
  kReauthentications,      // new IKE SAs begun before the peer's certificate expires
  kLostChildSasHeard,      // RFC 7296 1.5: INVALID_SPI inside an IKE SA named a Child SA of ours
  kCount,
};
inline constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::kCount);

// "messages_sent": lower case, words joined by underscores, for metrics.
[[nodiscard]] std::string_view name(Counter counter);

enum class ExchangeKind : std::uint8_t {
  kIkeSaInit,
  kIkeAuth,
  kCreateChild,
  kRekeyChild,
  kRekeyIkeSa,
  kDelete,
  kLiveness,
  kOtherInformational,
  kCount,
};
enum class ExchangeRole : std::uint8_t { kInitiator, kResponder, kCount };
enum class ExchangeResult : std::uint8_t {
  kOk,
  kRefusedByPeer,
  kRefusedByUs,
  kTimeout,
  kProtocolError,
  kCount
};
[[nodiscard]] std::string_view name(ExchangeKind kind);
[[nodiscard]] std::string_view name(ExchangeRole role);
[[nodiscard]] std::string_view name(ExchangeResult result);

// One number as the metrics show it: "ike_exchanges" {kind="IKE_AUTH", role="initiator", result="ok"} 12.
struct CounterSample {
  std::string_view metric;
  std::vector<std::pair<std::string_view, std::string>> labels;
  std::uint64_t value = 0;
};

class Counters {
 public:
  static constexpr std::size_t kMaxCollisionRows = 96;

  void add(Counter counter, std::uint64_t count = 1) { values_[static_cast<std::size_t>(counter)] += count; }
  void add(ExchangeKind kind, ExchangeRole role, ExchangeResult result) {
    ++exchanges_[index(kind, role, result)];
  }
  void add(RarePath path) { ++rare_paths_[static_cast<std::size_t>(path)]; }
  // RFC 7296 3.10.1, by type. At most 512 types are told apart, so that a peer cannot grow this without end;
  // what is beyond counts as type 0.
  void add_notify_sent(std::uint16_t type) { add_notify(notifies_sent_, type); }
  void add_notify_received(std::uint16_t type) { add_notify(notifies_received_, type); }
  // A row of ikev2/collision.h's table ran. Rows beyond the array are not counted.
  void add_collision(std::size_t row) {
    if (row < kMaxCollisionRows) ++collisions_[row];
  }

  [[nodiscard]] std::uint64_t value(Counter counter) const {
    return values_[static_cast<std::size_t>(counter)];
  }
  [[nodiscard]] std::uint64_t value(ExchangeKind kind, ExchangeRole role, ExchangeResult result) const {
    return exchanges_[index(kind, role, result)];
  }
  [[nodiscard]] std::uint64_t value(RarePath path) const {
    return rare_paths_[static_cast<std::size_t>(path)];
  }
  [[nodiscard]] std::uint64_t notifies_sent(std::uint16_t type) const { return find(notifies_sent_, type); }
  [[nodiscard]] std::uint64_t notifies_received(std::uint16_t type) const {
    return find(notifies_received_, type);
  }
  [[nodiscard]] std::uint64_t collisions(std::size_t row) const {
    return row < kMaxCollisionRows ? collisions_[row] : 0;
  }

  void merge(const Counters& from);

  // Every plain counter; exchanges, notifications, collisions and rare paths only where they are not zero. Metrics:
  // "ike_<name of Counter>", "ike_exchanges" {kind, role, result}, "ike_notifies" {direction, type},
  // "ike_collisions" {row}, "ike_rare_paths" {path}.
  void for_each(const std::function<void(const CounterSample&)>& visit) const;

 private:
  using NotifyCounts = std::map<std::uint16_t, std::uint64_t>;
  static constexpr std::size_t kMaxNotifyTypes = 512;
  static constexpr std::size_t kRoles = static_cast<std::size_t>(ExchangeRole::kCount);
  static constexpr std::size_t kResults = static_cast<std::size_t>(ExchangeResult::kCount);
  static constexpr std::size_t kExchanges =
      static_cast<std::size_t>(ExchangeKind::kCount) * kRoles * kResults;

  static constexpr std::size_t index(ExchangeKind kind, ExchangeRole role, ExchangeResult result) {
    return (static_cast<std::size_t>(kind) * kRoles + static_cast<std::size_t>(role)) * kResults +
           static_cast<std::size_t>(result);
  }
  static void add_notify(NotifyCounts& counts, std::uint16_t type, std::uint64_t count = 1);
  static std::uint64_t find(const NotifyCounts& counts, std::uint16_t type);

  std::array<std::uint64_t, kCounterCount> values_{};
  std::array<std::uint64_t, kExchanges> exchanges_{};
  std::array<std::uint64_t, kMaxCollisionRows> collisions_{};
  std::array<std::uint64_t, kRarePathCount> rare_paths_{};
  NotifyCounts notifies_sent_, notifies_received_;
};

}  // namespace merlon::ike
