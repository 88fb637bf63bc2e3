// Runs a scenario: faults first while the invariants are watched, then everything heals and must converge, then not one packet may be
// lost, and at last everything is taken down and nothing may be left.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "ike/counters.h"
#include "sim/checker.h"
#include "sim/host.h"
#include "sim/rare_paths.h"
#include "sim/sabotage.h"
#include "sim/scenario.h"
#include "sim/trace.h"

namespace merlon::sim {

struct RunOptions {
  Trace::Mode trace = Trace::Mode::kOff;
  std::size_t keep_lines = 400;
  std::function<void(const std::string&)> print;  // for Trace::Mode::kPrint
  Sabotage sabotage = Sabotage::kNone;
  // For tests of what stays in memory: told every key; and called when the proof begins, when it has ended, and, the gateways still
  // standing, when everything was taken down.
  KeyWatch watch;
  enum class Moment { kConverged, kProved, kDismantled };
  std::function<void(Moment moment, Duration at)> look;
};

struct RunReport {
  std::uint64_t seed = 0;
  std::optional<Violation> violation;
  std::uint64_t digest = 0;     // of everything that happened
  Duration elapsed{0};          // virtual
  Duration converged_after{0};  // since the network healed
  std::size_t hosts = 0;
  std::uint64_t events = 0, datagrams = 0, datagrams_lost = 0;
  TrafficStats traffic;
  std::uint64_t child_sa_pairs = 0;  // whose two ends were compared
  ike::Counters counters;            // of all hosts
  DropCounts drops{};                // of all hosts
  std::string state;                 // of every host, when something was violated
  std::deque<std::string> lines;     // the first and the last part of the trace, where it was kept
};

[[nodiscard]] RunReport run(const Scenario& scenario, const RunOptions& options = {});

// The same; a run that fails is run once more for its trace.
[[nodiscard]] RunReport run_and_explain(const Scenario& scenario, RunOptions options = {});

// For people: what was violated, the first and the last part of the trace, the gateways as they were, and the command that replays it. `replay`:
// such as "merlon-sim --seed 7 --trace".
[[nodiscard]] std::string explain(const RunReport& report, const Scenario& scenario, std::string_view replay);

}  // namespace merlon::sim
