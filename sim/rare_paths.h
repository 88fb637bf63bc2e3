// Which rare paths the gateways of a run went, and which a campaign never reached. A rare path counts as tested when a counter shows
// that it ran; the engines count them anyway, for the metrics.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "esp/drop_reason.h"
#include "ike/counters.h"

namespace merlon::sim {

// By esp::DropReason.
using DropCounts = std::array<std::uint64_t, esp::kDropReasons>;
void add(DropCounts& sum, const DropCounts& counts);

// One path: a row of the collision table, a notification sent or received, a counter, a rare path of ike/rare_path.h, a drop reason.
struct RarePathInfo {
  std::string
      name;  // "collision rekey-child/live", "sent TEMPORARY_FAILURE", "path twin_deleted", "drop replayed"
  std::string_view unreached;  // why a campaign need not reach it; empty: each must
};
// All there are, in the order of the table.
[[nodiscard]] const std::vector<RarePathInfo>& rare_paths();

class RarePathTable {
 public:
  void add(const ike::Counters& counters, const DropCounts& drops);

  [[nodiscard]] std::uint64_t times(const std::string& path) const;
  // Paths that every campaign must reach and this one has not; and notifications that were sent and are none of the paths.
  [[nodiscard]] std::vector<std::string> missed() const;
  // Path, how often, in how many runs; then those that were never reached, with the reason where there is one.
  [[nodiscard]] std::string text() const;

 private:
  struct Count {
    std::uint64_t times = 0, runs = 0;
  };
  void count(const std::string& path, std::uint64_t times);
  [[nodiscard]] static bool is_known(const std::string& path);

  std::map<std::string, Count> counts_;
  std::set<std::string> unlisted_;
  std::uint64_t runs_ = 0;
};

}  // namespace merlon::sim
