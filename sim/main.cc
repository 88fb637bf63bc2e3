// merlon-sim: runs scenarios from their seeds, and says what was violated and how to see it again.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

#include "sim/directed.h"
#include "sim/rare_paths.h"
#include "sim/shrink.h"
#include "sim/small_scope.h"
#include "sim/world.h"

namespace merlon::sim {
namespace {

struct Options {
  std::uint64_t seed = 0, count = 0;
  std::string seeds, program = "merlon-sim";
  std::uint64_t shrink = 0;
  unsigned shrink_runs = 1000;
  std::string scenario, write;  // files
  unsigned gateways = 0;
  bool beyond_narrowed = false;
  bool trace = false, rekey = false, pace = false, first = false, verbose = false, rare_paths = false;
  bool small_scope = false, slow_crypto = false, pfs = false;
  unsigned faults = 1;
  std::string directed;    // of a name
  std::string operations;  // "rekey Child SA/delete IKE SA"; empty: every pair
};

// The CPU's time, for the figure at the end; nothing in a run ever sees it.
double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

std::string replay_command(const Options& options, std::uint64_t seed) {
  return fmt::format("{} --seed {}{}{}{}{}{} --trace", options.program, seed,
                     options.gateways != 0 ? fmt::format(" --gateways {}", options.gateways) : "",
                     options.rekey ? " --rekey" : "", options.pace ? " --pace" : "",
                     options.first ? " --first-repertoire" : "",
                     options.beyond_narrowed ? " --beyond-narrowed" : "");
}

struct Totals {
  std::uint64_t runs = 0, failures = 0, packets = 0, pairs = 0;
  double gateway_hours = 0;
  RarePathTable rare_paths;
  Duration slowest{0};
  std::uint64_t slowest_seed = 0;
};

Origin origin_of(const Options& options, std::uint64_t seed) {
  const auto kind = options.rekey  ? Origin::Kind::kRekey
                    : options.pace ? Origin::Kind::kPace
                                   : Origin::Kind::kDraw;
  return {kind, seed, options.gateways, options.first ? Repertoire::kFirst : Repertoire::kAll};
}

RunOptions run_options(const Options& options) {
  RunOptions made;
  if (options.trace) {
    made.trace = Trace::Mode::kPrint;
    made.print = [](const std::string& line) { std::puts(line.c_str()); };
  }
  return made;
}

void run_seed(const Options& options, std::uint64_t seed, Totals& totals) {
  Scenario scenario = make(origin_of(options, seed));
  scenario.beyond_narrowed = options.beyond_narrowed;
  const RunReport report = run_and_explain(scenario, run_options(options));
  ++totals.runs;
  totals.packets += report.traffic.delivered;
  totals.pairs += report.child_sa_pairs;
  totals.rare_paths.add(report.counters, report.drops);
  totals.gateway_hours += std::chrono::duration<double, std::ratio<3600>>(report.elapsed).count() *
                          static_cast<double>(report.hosts);
  if (report.converged_after > totals.slowest) {
    totals.slowest = report.converged_after;
    totals.slowest_seed = seed;
  }
  if (report.violation) {
    ++totals.failures;
    fmt::print("{}\n", explain(report, scenario, replay_command(options, seed)));
  } else if (options.verbose || options.count + options.seeds.size() == 0) {
    fmt::print(
        "seed {}: {}\n  converged after {} s, {} s in all; {} of {} packets, {} Child SA pairs, {} of {} "
        "datagrams lost, digest {:016x}\n",
        seed, scenario.summary, seconds_text(report.converged_after), seconds_text(report.elapsed),
        report.traffic.delivered, report.traffic.sent, report.child_sa_pairs, report.datagrams_lost,
        report.datagrams, report.digest);
  }
  std::fflush(stdout);
}

// What random scenarios seldom reach: also part of a campaign that looks at rare paths.
void run_directed(const Options& options, Totals& totals) {
  for (const Directed& one : directed_scenarios()) {
    if (!options.directed.empty() && one.name.find(options.directed) == std::string::npos) continue;
    if (!options.directed.empty() && options.seed != 0 && one.scenario.seed != options.seed) continue;
    const RunReport report = run_and_explain(one.scenario, run_options(options));
    ++totals.runs;
    totals.packets += report.traffic.delivered;
    totals.pairs += report.child_sa_pairs;
    totals.rare_paths.add(report.counters, report.drops);
    if (options.verbose)
      fmt::print("{}, seed {}: converged after {} s, {} Child SA pairs\n", one.name, one.scenario.seed,
                 seconds_text(report.converged_after), report.child_sa_pairs);
    if (!report.violation) continue;
    ++totals.failures;
    fmt::print("{}\n", explain(report, one.scenario,
                               fmt::format("{} --directed \"{}\" --seed {} --trace", options.program,
                                           one.name, one.scenario.seed)));
  }
}

void run_rekeys(const Options& options, Totals& totals) {
  Options rekey = options;
  rekey.rekey = true;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) run_seed(rekey, seed, totals);
}

int main_with(const Options& options) {
  std::uint64_t first = options.seed, last = options.seed;
  if (options.count != 0) {
    first = options.seed != 0 ? options.seed : 1;
    last = first + options.count - 1;
  }
  if (!options.seeds.empty()) {
    const std::size_t dots = options.seeds.find("..");
    const auto number = [](const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); };
    first = number(options.seeds.substr(0, dots));
    last = dots == std::string::npos ? first : number(options.seeds.substr(dots + 2));
  }
  if (last < first) {
    fmt::print(stderr, "merlon-sim: --seeds wants A..B with A not above B\n");
    return 2;
  }
  Totals totals;
  const double begun = cpu_seconds();
  if (options.directed.empty()) {
    for (std::uint64_t seed = first; seed <= last; ++seed) run_seed(options, seed, totals);
    if (options.rare_paths) run_rekeys(options, totals);
  }
  if (options.rare_paths || !options.directed.empty()) run_directed(options, totals);
  const double minutes = (cpu_seconds() - begun) / 60;
  if (totals.runs > 1 || options.pace)
    fmt::print(
        "{} runs, {} failed; {} packets delivered, {} Child SA pairs compared; slowest to converge: seed {} "
        "with {} s\n"
        "{:.1f} simulated gateway-hours in {:.2f} CPU minutes: {:.0f} a minute\n",
        totals.runs, totals.failures, totals.packets, totals.pairs, totals.slowest_seed,
        seconds_text(totals.slowest), totals.gateway_hours, minutes,
        totals.gateway_hours / std::max(minutes, 1e-9));
  if (options.rare_paths) fmt::print("\n{}", totals.rare_paths.text());
  const bool missed = options.rare_paths && options.directed.empty() && !totals.rare_paths.missed().empty();
  return totals.failures == 0 && !missed ? 0 : 1;
}

// A failing seed made small: sim/shrink.h.
int shrink_seed(const Options& options) {
  const Origin origin = origin_of(options, options.shrink);
  const Shrunk shrunk = shrink(origin, {}, options.shrink_runs, [](const std::string& step) {
    fmt::print("{}\n", step);
    std::fflush(stdout);
  });
  if (!shrunk.report.violation) {
    fmt::print("seed {} violates nothing: there is nothing to shrink\n", origin.seed);
    return 2;
  }
  const std::string path =
      options.write.empty() ? fmt::format("seed-{}.scenario", origin.seed) : options.write;
  const std::string words = in_words(shrunk.scenario);
  std::ofstream(path) << to_file(origin, shrunk.reductions,
                                 fmt::format("violates: {}: {}\n{}", shrunk.report.violation->invariant,
                                             shrunk.report.violation->detail, words));
  fmt::print(
      "\n{}\n{}\n{} runs; written to {}\n",
      explain(shrunk.report, shrunk.scenario, fmt::format("{} --scenario {} --trace", options.program, path)),
      words, shrunk.runs, path);
  return 1;
}

int run_file(const Options& options) {
  std::ostringstream text;
  text << std::ifstream(options.scenario).rdbuf();
  const auto file = from_file(text.str());
  if (!file) {
    fmt::print(stderr, "merlon-sim: {}: {}\n", options.scenario, file.error().message);
    return 2;
  }
  const RunReport report = run_and_explain(file->scenario, run_options(options));
  fmt::print("{}\n{}", in_words(file->scenario),
             explain(report, file->scenario,
                     fmt::format("{} --scenario {} --trace", options.program, options.scenario)));
  return report.violation ? 1 : 0;
}

// Every pair of operations, every order of what may happen: sim/small_scope.h.
int small_scope(const Options& options) {
  std::uint64_t states = 0, endings = 0, failed = 0;
  const double begun = cpu_seconds();
  for (const Operation at_a : kOperations)
    for (const Operation at_b : kOperations) {
      const SmallScope scope{at_a, at_b, options.faults, options.slow_crypto, options.pfs, 0};
      if (!options.operations.empty() && describe(scope).find(options.operations) != 0) continue;
      const SmallScopeReport report = explore(scope);
      states += report.states;
      endings += report.endings;
      fmt::print(
          "{}: {} states, {} reached again, {} endings, {} of them after a failure that was told, at most {} "
          "steps\n",
          describe(scope), report.states, report.repeats, report.endings, report.failures, report.longest);
      if (report.violation) {
        ++failed;
        fmt::print("VIOLATED: {}\n", *report.violation);
        for (const auto& line : report.lines) fmt::print("  {}\n", line);
      }
      std::fflush(stdout);
    }
  fmt::print(
      "{} states, {} endings, {} pairs of operations violated something; up to {} messages lost or doubled; "
      "{:.0f} CPU seconds\n",
      states, endings, failed, options.faults, cpu_seconds() - begun);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace merlon::sim

int main(int argc, char** argv) {
  merlon::sim::Options options;
  options.program = argv[0];
  CLI::App app("Merlon's simulator: gateways in virtual time, from a seed");
  app.add_option("--seed", options.seed, "the seed of one run (or of the first, with --count)");
  app.add_option("--seeds", options.seeds, "the seeds A to B: \"A..B\"");
  app.add_option("--count", options.count, "so many seeds");
  app.add_option("--gateways", options.gateways, "so many gateways instead of what the seed draws")
      ->check(CLI::Range(2, 200));
  app.add_flag("--rekey", options.rekey,
               "the scenario without faults in which everything is rekeyed under traffic");
  app.add_flag(
      "--pace", options.pace,
      "the load that speed is measured with: an hour, each SA rekeyed every ten minutes, a packet a second "
      "a tunnel, a fault a minute");
  app.add_flag("--first-repertoire", options.first, "only the faults that the kept seeds were found with");
  app.add_flag(
      "--beyond-narrowed", options.beyond_narrowed,
      "also inner packets that their sender's policy protects and its peer, which gave less, does not take");
  app.add_flag("--trace", options.trace, "every message as it happens");
  app.add_flag(
      "--rare-paths", options.rare_paths,
      "a table of the rare paths that were reached, and how often; it fails when one that must be was not");
  app.add_option(
      "--directed", options.directed,
      "the scenarios made for rare paths whose names hold this; with --seed only that one of them");
  app.add_flag("--verbose", options.verbose, "a line for each run");
  app.add_flag(
      "--small-scope", options.small_scope,
      "two peers, every pair of operations begun at once, every order, loss and doubling of the messages");
  app.add_option("--operations", options.operations,
                 "only this pair, or those that begin so: \"rekey Child SA / delete IKE SA\"");
  app.add_option("--faults", options.faults, "messages lost or doubled on one path")->check(CLI::Range(0, 5));
  app.add_flag("--slow-crypto", options.slow_crypto, "a key exchange may end at any later moment");
  app.add_flag("--pfs", options.pfs, "Child SAs with a key exchange of their own");
  app.add_option("--shrink", options.shrink,
                 "a failing seed: made small, told in words, and written to a file for --scenario");
  app.add_option("--shrink-runs", options.shrink_runs, "so many runs at most while shrinking");
  app.add_option("--write", options.write, "where --shrink writes to, instead of seed-N.scenario");
  app.add_option("--scenario", options.scenario, "runs what --shrink has written")->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  if (options.shrink != 0) return merlon::sim::shrink_seed(options);
  if (!options.scenario.empty()) return merlon::sim::run_file(options);
  return options.small_scope ? merlon::sim::small_scope(options) : merlon::sim::main_with(options);
}
