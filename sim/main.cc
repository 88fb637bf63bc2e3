// merlon-sim: runs scenarios from their seeds, and says what was violated and how to see it again.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

#include "sim/small_scope.h"
#include "sim/world.h"

namespace merlon::sim {
namespace {

struct Options {
  std::uint64_t seed = 0, count = 0;
  std::string seeds, program = "merlon-sim";
  unsigned gateways = 0;
  bool trace = false, rekey = false, verbose = false;
  bool small_scope = false, slow_crypto = false, pfs = false;
  unsigned faults = 1;
  std::string operations;  // "rekey Child SA/delete IKE SA"; empty: every pair
};

// The CPU's time, for the figure at the end; nothing in a run ever sees it.
double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

std::string replay_command(const Options& options, std::uint64_t seed) {
  return fmt::format("{} --seed {}{}{} --trace", options.program, seed,
                     options.gateways != 0 ? fmt::format(" --gateways {}", options.gateways) : "",
                     options.rekey ? " --rekey" : "");
}

struct Totals {
  std::uint64_t runs = 0, failures = 0, packets = 0, pairs = 0;
  double gateway_hours = 0;
  Duration slowest{0};
  std::uint64_t slowest_seed = 0;
};

void run_seed(const Options& options, std::uint64_t seed, Totals& totals) {
  const Scenario scenario = options.rekey ? rekey_scenario(seed) : draw_scenario(seed, options.gateways);
  RunOptions run_options;
  if (options.trace) {
    run_options.trace = Trace::Mode::kPrint;
    run_options.print = [](const std::string& line) { std::puts(line.c_str()); };
  }
  const RunReport report = run_and_explain(scenario, run_options);
  ++totals.runs;
  totals.packets += report.traffic.delivered;
  totals.pairs += report.child_sa_pairs;
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
  for (std::uint64_t seed = first; seed <= last; ++seed) run_seed(options, seed, totals);
  const double minutes = (cpu_seconds() - begun) / 60;
  if (totals.runs > 1)
    fmt::print(
        "{} runs, {} failed; {} packets delivered, {} Child SA pairs compared; slowest to converge: seed {} "
        "with {} s\n"
        "{:.1f} simulated gateway-hours in {:.2f} CPU minutes: {:.0f} a minute\n",
        totals.runs, totals.failures, totals.packets, totals.pairs, totals.slowest_seed,
        seconds_text(totals.slowest), totals.gateway_hours, minutes,
        totals.gateway_hours / std::max(minutes, 1e-9));
  return totals.failures == 0 ? 0 : 1;
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
  app.add_flag("--trace", options.trace, "every message as it happens");
  app.add_flag("--verbose", options.verbose, "a line for each run");
  app.add_flag(
      "--small-scope", options.small_scope,
      "two peers, every pair of operations begun at once, every order, loss and doubling of the messages");
  app.add_option("--operations", options.operations,
                 "only this pair, or those that begin so: \"rekey Child SA / delete IKE SA\"");
  app.add_option("--faults", options.faults, "messages lost or doubled on one path")->check(CLI::Range(0, 5));
  app.add_flag("--slow-crypto", options.slow_crypto, "a key exchange may end at any later moment");
  app.add_flag("--pfs", options.pfs, "Child SAs with a key exchange of their own");
  CLI11_PARSE(app, argc, argv);
  return options.small_scope ? merlon::sim::small_scope(options) : merlon::sim::main_with(options);
}
