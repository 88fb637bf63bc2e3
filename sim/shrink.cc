#include "sim/shrink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace merlon::sim {
namespace {

using Reductions = std::vector<std::string>;

// No run of a campaign took as long to converge (the longest 166 s): one that has not by then will not.
constexpr Duration kLongEnough = std::chrono::seconds(200);

class Shrinker {
 public:
  Shrinker(const Origin& origin, const RunOptions& options, unsigned most_runs,
           const std::function<void(const std::string&)>& progress)
      : origin_(origin), options_(options), most_runs_(most_runs), progress_(progress) {
    options_.trace = Trace::Mode::kOff;
    made_.scenario = fresh();
    made_.report = run(made_.scenario, options_);
    ++made_.runs;
  }

  Shrunk shrink() {
    while (made_.report.violation && round() && made_.runs < most_runs_) {
    }
    options_.trace = Trace::Mode::kKeep;
    made_.scenario = fresh();
    made_.report = run(made_.scenario, options_);
    return std::move(made_);
  }

 private:
  // Each run has its own: keys keep what they drew for blinding.
  [[nodiscard]] Scenario fresh() const {
    Scenario made = make(origin_);
    for (const std::string& one : made_.reductions) static_cast<void>(reduce(made, one));
    return made;
  }

  // What goes first spares the most time to what follows. True when anything held.
  bool round() {
    bool any = take_of(happenings(false));  // those after the violation
    any |= take_of(tunnels());
    any |= take_of(happenings(true));
    any |= shorten();
    any |= take_of(fault_classes());
    any |= take_of(children());
    for (const std::string& one : repeatable_reductions())
      while (take({one})) any = true;
    return any;
  }

  // Takes those that there are, all at once, where the same invariant is still violated without them.
  bool take(Reductions reductions) {
    if (made_.runs >= most_runs_) return false;
    Scenario next = fresh();
    std::erase_if(reductions, [&](const std::string& one) { return !reduce(next, one); });
    if (reductions.empty()) return false;
    ++made_.runs;
    RunReport report = run(next, options_);
    if (!report.violation || report.violation->invariant != made_.report.violation->invariant) return false;
    for (std::string& one : reductions) {
      if (progress_) progress_(one);
      made_.reductions.push_back(std::move(one));
    }
    made_.scenario = std::move(next);
    made_.report = std::move(report);
    return true;
  }

  // First all at once, then halves, at last one by one.
  bool take_of(Reductions all) {
    bool any = false;
    for (std::size_t size = all.size(); size > 0; size /= 2)
      for (std::size_t at = 0; at < all.size();) {
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(at);
        const auto last = first + static_cast<std::ptrdiff_t>(std::min(size, all.size() - at));
        if (take({first, last})) {
          all.erase(first, last);
          any = true;
        } else {
          at += size;
        }
      }
    return any;
  }

  [[nodiscard]] Reductions tunnels() const {
    Reductions all;
    for (const TunnelPlan& tunnel : made_.scenario.tunnels)
      if (!tunnel.children.empty()) all.push_back("without tunnel " + tunnel.connection);
    for (const HostPlan& host : made_.scenario.hosts)
      if (host.impostor && !host.connections.empty()) all.push_back("without impostor " + host.name);
    return all;
  }
  [[nodiscard]] Reductions children() const {
    Reductions all;
    for (const TunnelPlan& tunnel : made_.scenario.tunnels)
      for (const ChildPlan& child : tunnel.children)
        all.push_back("without child " + tunnel.connection + "." + child.name);
    return all;
  }
  [[nodiscard]] Reductions happenings(bool before) const {
    Reductions all;
    for (const Happening& one : made_.scenario.happenings)
      if (before == (one.at <= made_.report.violation->at))
        all.push_back("without happening " + happening_text(made_.scenario, one));
    return all;
  }

  bool shorten() {
    bool any = false;
    const auto try_parts = [&](std::string_view words, Duration now) {
      for (const double part : {0.125, 0.25, 0.5, 0.75, 0.9}) {
        const auto shorter = Duration(static_cast<std::int64_t>(static_cast<double>(now.count()) * part));
        if (!take({fmt::format("{}{}", words, seconds_text(shorter))})) continue;
        any = true;
        return;
      }
    };
    try_parts("faults end at ", made_.scenario.faults_end);
    if (made_.report.converged_after.count() != 0)  // else it never came to the proof
      try_parts("proof lasts ", made_.scenario.proof);
    else
      any |= take({"converges within " + seconds_text(kLongEnough)});
    return any;
  }

  const Origin& origin_;
  RunOptions options_;
  unsigned most_runs_;
  const std::function<void(const std::string&)>& progress_;
  Shrunk made_;
};

}  // namespace

Shrunk shrink(const Origin& origin, const RunOptions& options, unsigned most_runs,
              const std::function<void(const std::string&)>& progress) {
  return Shrinker(origin, options, most_runs, progress).shrink();
}

// ---- files -----------------------------------------------------------------------------------------------------------------------------

namespace {

constexpr std::array<std::string_view, 3> kKinds = {"draw", "rekey", "pace"};

// "from draw seed 7 gateways 0 repertoire all"
Result<Origin> parse_origin(const std::string& line) {
  std::array<char, 16> kind{}, repertoire{};
  unsigned long long seed = 0;
  unsigned gateways = 0;
  Origin origin;
  const int read = std::sscanf(line.c_str(), "from %15s seed %llu gateways %u repertoire %15s", kind.data(),
                               &seed, &gateways, repertoire.data());
  const auto known = std::find(kKinds.begin(), kKinds.end(), std::string_view(kind.data()));
  if (read != 4 || known == kKinds.end() || gateways > 200)
    return fail(ErrorCode::kMalformed,
                "expected 'from draw|rekey|pace seed N gateways N repertoire first|second|all', not '{}'",
                line);
  origin.kind = static_cast<Origin::Kind>(known - kKinds.begin());
  origin.seed = seed;
  origin.gateways = gateways;
  for (const Repertoire one : {Repertoire::kFirst, Repertoire::kSecond, Repertoire::kAll})
    if (name(one) == repertoire.data()) origin.repertoire = one;
  return origin;
}

}  // namespace

Scenario make(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::kRekey:
      return rekey_scenario(origin.seed);
    case Origin::Kind::kPace:
      return pace_scenario(origin.seed, origin.gateways != 0 ? origin.gateways : 10);
    case Origin::Kind::kDraw:
      break;
  }
  return draw_scenario(origin.seed, origin.gateways, origin.repertoire);
}

std::string to_file(const Origin& origin, const std::vector<std::string>& reductions,
                    std::string_view comment) {
  std::string text;
  for (std::size_t at = 0; at < comment.size();) {
    const std::size_t end = std::min(comment.find('\n', at), comment.size());
    text += fmt::format("# {}\n", comment.substr(at, end - at));
    at = end + 1;
  }
  text += fmt::format("from {} seed {} gateways {} repertoire {}\n",
                      kKinds[static_cast<std::size_t>(origin.kind)], origin.seed, origin.gateways,
                      name(origin.repertoire));
  for (const std::string& one : reductions) text += one + "\n";
  return text;
}

Result<ScenarioFile> from_file(std::string_view text) {
  ScenarioFile made;
  bool begun = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line(text.substr(at, end - at));
    at = end + 1;
    if (line.empty() || line.front() == '#') continue;
    if (!begun) {
      MERLON_TRY(made.origin, parse_origin(line));
      made.scenario = make(made.origin);
      begun = true;
    } else if (!reduce(made.scenario, line)) {
      return fail(ErrorCode::kMalformed, "'{}' is no reduction, or fits nothing in the scenario", line);
    }
  }
  if (!begun) return fail(ErrorCode::kMalformed, "the file names no scenario ('from ...')");
  return made;
}

}  // namespace merlon::sim
