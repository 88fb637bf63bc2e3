// A failing scenario made small: fewer gateways, happenings, faults, and less time, as long as the same invariant is still violated
// (delta debugging). What is taken out is a list of reductions in words, so the small scenario can be written to a file, read by people,
// and run again. Nothing that stays draws other random numbers than before, since every host, link and tunnel has a stream of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sim/world.h"

namespace merlon::sim {

// Where a scenario came from.
struct Origin {
  enum class Kind { kDraw, kRekey, kPace } kind = Kind::kDraw;
  std::uint64_t seed = 0;
  unsigned gateways = 0;
  Repertoire repertoire = Repertoire::kAll;
};
[[nodiscard]] Scenario make(const Origin& origin);

// One thing less, in words: "without tunnel A-B", "without happening 12.345678 crash B", "without loss", "half the rates",
// "faults end at 12.5". False where the scenario has nothing of that, or does not know the words; then it is as before.
bool reduce(Scenario& scenario, const std::string& reduction);
// Reductions that need no name: whole classes of faults; and those that may hold again and again.
[[nodiscard]] std::vector<std::string> fault_classes();
[[nodiscard]] std::vector<std::string> repeatable_reductions();
// "12.345678 crash B", "3.000000 rekey child A A-B.net0".
[[nodiscard]] std::string happening_text(const Scenario& scenario, const Happening& one);

// The scenario for people: gateways, tunnels, links and happenings, a line each.
[[nodiscard]] std::string in_words(const Scenario& scenario);
// Gateways that take part: those of a tunnel, and impostors.
[[nodiscard]] std::vector<std::size_t> participants(const Scenario& scenario);

struct Shrunk {
  Scenario scenario;
  std::vector<std::string> reductions;  // that lead from the origin to it, in order
  RunReport report;                     // of the small one; with its trace
  unsigned runs = 0;                    // that it took
};
// The scenario must violate something under `options`; `most_runs` bounds the search. `progress`: a line for each step that holds.
[[nodiscard]] Shrunk shrink(const Origin& origin, const RunOptions& options, unsigned most_runs = 1000,
                            const std::function<void(const std::string&)>& progress = {});

// A plain text: a "from" line, a line for each reduction; what begins with # is for people.
[[nodiscard]] std::string to_file(const Origin& origin, const std::vector<std::string>& reductions,
                                  std::string_view comment);
struct ScenarioFile {
  Origin origin;
  Scenario scenario;
};
// Errors: kMalformed with the line that is not understood, or that fits nothing in the scenario.
[[nodiscard]] Result<ScenarioFile> from_file(std::string_view text);

}  // namespace merlon::sim
