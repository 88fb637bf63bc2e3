// Traffic selector negotiation (RFC 7296 2.9): the responder's choice, the initiator's check, and what to
// tell people.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "policy/connection.h"
#include "policy/traffic_selector.h"

namespace merlon::policy {

enum class NarrowVerdict {
  kAccepted,
  kTsUnacceptable,      // answer with TS_UNACCEPTABLE
  kSinglePairRequired,  // answer with SINGLE_PAIR_REQUIRED
};

struct NarrowResult {
  NarrowVerdict verdict = NarrowVerdict::kTsUnacceptable;
  TrafficSelectors local_ts,
      remote_ts;  // as a responder: TSr is local, TSi is remote; 1 to 255 each when accepted
  bool additional_possible =
      false;                 // MAY add ADDITIONAL_TS_POSSIBLE: more of the proposal could have been accepted
  bool holds_first = false;  // the proposal's first selectors, the triggering packet's, lie within
};

struct NarrowOptions {
  bool single_pair_required = false;  // one SA carries one pair of addresses only
};

// The largest part of the proposal that the configuration accepts. Selectors that could match no packet
// because the other side has none of their family or protocol are left out.
[[nodiscard]] NarrowResult narrow(SelectorView configured_local, SelectorView configured_remote,
                                  SelectorView proposed_local, SelectorView proposed_remote,
                                  NarrowOptions options = {});

struct ChildChoice {
  std::size_t child_index = 0;  // into connection.children
  NarrowResult narrowed;        // verdict: kAccepted
};

// As a responder: which child of the connection the proposal is for. Only protect children count. First those
// that hold the proposal's first selectors, then those that need the least narrowing, then the order of the
// configuration. additional_possible is set, too, when another child would accept something that the chosen
// one does not. nullopt: no child accepts anything (TS_UNACCEPTABLE).
[[nodiscard]] std::optional<ChildChoice> choose_child(const Connection& connection, SelectorView tsi,
                                                      SelectorView tsr);

// As an initiator: the answer must be a subset of what was proposed, and must not be empty (RFC 7296 2.9).
// kPolicy otherwise.
[[nodiscard]] Result<> verify_narrowed(SelectorView proposed_local, SelectorView proposed_remote,
                                       SelectorView answered_local, SelectorView answered_remote);

// As an initiator: TSi or TSr for a child, 1 to 255 selectors. The triggering packet's selector, if any,
// comes first (RFC 7296 2.9), then the configured ones.
[[nodiscard]] TrafficSelectors selectors_to_propose(SelectorView configured,
                                                    const std::optional<TrafficSelector>& triggering);

// For people. "traffic selectors do not overlap: we protect 10.1.0.0/16 === 10.2.0.0/16 (office-a.toml:12),
// the peer proposed 10.1.0.0/24 === 10.9.0.0/16; change remote_ts on this side to include 10.9.0.0/16, or
// ...".
[[nodiscard]] std::string explain_ts_mismatch(SelectorView configured_local, SelectorView configured_remote,
                                              std::string_view source, SelectorView proposed_local,
                                              SelectorView proposed_remote);
// The same for a responder's whole connection: the sentence about the child that comes nearest.
[[nodiscard]] std::string explain_ts_mismatch(const Connection& connection, SelectorView tsi,
                                              SelectorView tsr);
// As an initiator that received TS_UNACCEPTABLE: the peer does not say what it would accept.
[[nodiscard]] std::string explain_ts_refused(const Connection& connection, const ChildConfig& child);

}  // namespace merlon::policy
