// Child SAs as an IKE SA keeps them, and the steps that all three ways of making one share (RFC
// 7296 1.2, 1.3.1, 1.3.3).
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "ikev2/authentication.h"
#include "ikev2/channel.h"
#include "policy/narrow.h"
#include "policy/proposal_select.h"
#include "policy/sad.h"

namespace merlon::ikev2 {

struct Established;

// The selectors of the packet that asked for a Child SA (RFC 7296 2.9).
struct TriggeredBy {
  policy::TrafficSelector local, remote;
};
// A child that is to be negotiated.
struct ChildIntent {
  std::size_t child_index = 0;  // into the connection's children
  std::optional<TriggeredBy> packet;
  bool additional = false;  // one more beside those that stand (RFC 9611)
};

// A Child SA and the SAs that rekeys put in its place are one line: how the first of them came to be, which both ends
// know alike. For settle_twins().
struct ChildLine {
  bool initiated = false;  // by us
  Bytes lowest_nonce;      // the lower of the two of that exchange
};

// A rekey that failed does not end the SA (RFC 7296 1.3): it is tried again, less and less often.
struct RekeyBackoff {
  unsigned failures = 0;
  std::string told;  // to people, the last time
};

struct ChildSaRecord {
  policy::ChildSaPtr sa;        // as installed; shared with the packet engine
  std::size_t child_index = 0;  // into the children of the IKE SA's connection, which a reload may renumber
  Instant established, soft = kNever, hard = kNever;
  // Made as a responder: the peer may not have our answer yet. It has, once it begins another exchange (its
  // window is one) or sends on this SA, or this time is over. Until then neither a rekey nor a delete of ours
  // may name it.
  Instant unconfirmed_until{};
  Instant remove_at = kNever;  // deleted; late packets are still taken for a moment
  bool outbound_in_use = true;
  bool replaced = false;  // a rekey has taken its place; its delete is to come
  bool deleting = false;  // our delete is queued or in flight
  ChildLine line;
  RekeyBackoff rekey_backoff;

  [[nodiscard]] bool live() const { return !deleting && remove_at == kNever; }
};

// RFC 7296 2.8: packets on their way while an SA is deleted. They are taken for this long after the delete.
inline constexpr Duration kLateInbound = std::chrono::seconds(2);
// What one peer may hold, beyond what its connection has children (RFC 7296 1.3.1: NO_ADDITIONAL_SAS).
inline constexpr std::size_t kMaxSpareChildSas = 32;

// What both sides agreed upon.
struct ChildAgreement {
  std::size_t child_index = 0;
  policy::ChosenEsp chosen;
  Spi inbound_spi, outbound_spi;
  policy::TrafficSelectors local_ts, remote_ts;
  ByteView nonce_i, nonce_r;
  const Secret* shared_secret = nullptr;  // with PFS
  bool initiator = false;                 // of the exchange that made it: says which keys are outbound
  bool use_outbound = true;
  std::optional<policy::ChildSaId> replaces;
  std::optional<unsigned> resource;  // RFC 9611: where the peer takes part
  ChildLine line;  // of what it replaces; the exchange of one that replaces none begins its own
};

// Derives the keys, installs the SA, tells the world. Errors: kUnsupported algorithms.
Result<policy::ChildSaId> create_child_sa(Shard& shard, IkeSa& sa, Established& established,
                                          const ChildAgreement& agreement);

// The answer of a responder to SAi2, TSi, TSr, before keys: or the notification that refuses.
struct ChildAnswer {
  std::size_t child_index = 0;
  policy::EspSelection selection;
  policy::NarrowResult narrowed;
  Spi outbound_spi;
};
struct ChildRefusal {
  wire::NotifyPayload notify;
  ike::Failure failure;
  std::string child;  // the child that it is (or comes nearest to be) about
};
struct ChildQuestion {
  const wire::SaPayload* sa = nullptr;
  const wire::TsiPayload* tsi = nullptr;
  const wire::TsrPayload* tsr = nullptr;
  bool with_ke = false;
  KeMethod ke_received = KeMethod::kNone;
  std::optional<std::size_t> child_index;  // for a rekey: the child it must be
};
[[nodiscard]] tl::expected<ChildAnswer, ChildRefusal> answer_child(const IkeSa& sa,
                                                                   const policy::Connection& connection,
                                                                   const ChildQuestion& question);
// SAr, TSi, TSr (and what goes with them) of the response.
void append_child_answer(std::vector<wire::Payload>& payloads, const ChildAnswer& answer, Spi inbound_spi);

// As an initiator, what came back against what was sent. Errors: a Failure for people.
struct ChildProposed {
  policy::Proposals offer;
  policy::TrafficSelectors tsi, tsr;
};
struct ChildAccepted {
  policy::ChosenEsp chosen;
  Spi outbound_spi;
  policy::TrafficSelectors local_ts, remote_ts;
};
[[nodiscard]] ChildProposed propose_child(const policy::Connection& connection, const ChildIntent& intent,
                                          Spi inbound_spi, bool with_ke);
[[nodiscard]] tl::expected<ChildAccepted, ike::Failure> check_child_answer(
    const IkeSa& sa, const policy::Connection& connection, std::size_t child_index,
    const ChildProposed& proposed, std::span<const wire::Payload> payloads);

// The end of one: RemoveChildSa now, or after kLateInbound for one that a rekey replaced. Tells the world.
void close_child(Shard& shard, const IkeSa& sa, ChildSaRecord& record, std::string_view reason);
// Drops every record whose time has come.
void sweep_children(Shard& shard, Established& established);
// Packets go out on this one from now on (RFC 7296 2.8).
void use_outbound(Shard& shard, ChildSaRecord& record);
void update_child_paths(Shard& shard, IkeSa& sa, Established& established);

[[nodiscard]] policy::OuterPath outer_path(const Shard& shard, const IkeSa& sa, const Path& path);
[[nodiscard]] std::string describe(const policy::EspAlgorithms& algorithms);
// Drawn from [soft - jitter, soft]; kNever without a limit.
[[nodiscard]] Instant soft_expiry(Shard& shard, const policy::SaLifetime& lifetime);
[[nodiscard]] Instant hard_expiry(const Shard& shard, const policy::SaLifetime& lifetime);

}  // namespace merlon::ikev2
