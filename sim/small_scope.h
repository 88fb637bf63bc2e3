// Small scope, exhaustively: two peers begin an operation each at the same time, and every order is tried in which the messages may be
// delivered, lost and doubled, with so many faults on one path. However it goes, the two must end agreed (RFC 7296 2.8.1, 2.8.2, 2.25).
//
// A state is reached by taking the same choices again from the start, since secrets cannot be copied. Two paths lead to one state where
// each peer was told the same things in the same order and at the same times, the same messages are under way and the clock shows the
// same: that is sound without a look into the engines, which have no other clock and no other randomness, and cuts what differs only in
// the order in which the two, far from one another, were told.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/duet.h"

namespace merlon::sim {

struct SmallScope {
  Operation at_a = Operation::kRekeyChild, at_b = Operation::kRekeyChild;
  unsigned faults = 1;  // messages lost or doubled on one path
  bool slow_crypto = false, pfs = false;
  std::uint64_t state_limit = 0;  // 0: none
};

struct SmallScopeReport {
  std::uint64_t states = 0;    // that differ
  std::uint64_t repeats = 0;   // reached again on another path
  std::uint64_t endings = 0;   // of them, where nothing is left to wait for
  std::uint64_t failures = 0;  // endings on whose path a peer said that a negotiation has failed
  std::size_t longest = 0;     // choices on the longest path
  bool complete = true;        // false: the state limit came first
  std::optional<std::string> violation;
  std::vector<std::string> lines;  // the path to it, message by message
};

[[nodiscard]] SmallScopeReport explore(const SmallScope& scope);

// "rekey Child SA / delete IKE SA".
[[nodiscard]] std::string describe(const SmallScope& scope);

}  // namespace merlon::sim
