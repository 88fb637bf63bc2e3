// Small scenarios that go where random ones seldom or never come: each is made for a few rare paths.
#pragma once

#include <string>
#include <vector>

#include "sim/scenario.h"

namespace merlon::sim {

struct Directed {
  std::string name;  // "few Message IDs"
  Scenario scenario;
};
[[nodiscard]] std::vector<Directed> directed_scenarios();

}  // namespace merlon::sim
