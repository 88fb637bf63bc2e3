// Every invariant can fail: each fault of a gateway that is put in on purpose is found, under its own name.
#include <gtest/gtest.h>

#include "sim/world.h"

namespace merlon::sim {
namespace {

struct Case {
  Sabotage sabotage;
  std::string invariant;
};

class Sabotaged : public testing::TestWithParam<Case> {};

TEST_P(Sabotaged, IsFound) {
  RunOptions options;
  options.sabotage = GetParam().sabotage;
  std::string found;
  // Not every scenario comes by the place; some of a few must, and none may blame something else.
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const RunReport report = run(rekey_scenario(seed), options);
    if (report.violation) found += report.violation->invariant + "\n";
    if (found == GetParam().invariant + "\n") return;
    ASSERT_TRUE(found.empty()) << found;
  }
  FAIL() << "nothing was found";
}

INSTANTIATE_TEST_SUITE_P(
    All, Sabotaged,
    testing::Values(Case{Sabotage::kCorruptKey, "same keys at both ends"},
                    Case{Sabotage::kWidenSelectors, "mirrored selectors"},
                    Case{Sabotage::kReinstallKeys, "every SA has new keys"},
                    Case{Sabotage::kSendInClear, "nothing in clear"},
                    Case{Sabotage::kReuseSequence, "no sequence number twice"},
                    Case{Sabotage::kDeliverTwice, "no packet accepted twice"},
                    Case{Sabotage::kDeliverUnsent, "only what was sent comes out"},
                    Case{Sabotage::kDeliverElsewhere, "nothing outside its selectors"},
                    Case{Sabotage::kKeepChildSas, "bounded memory"},
                    Case{Sabotage::kKeepSpis, "nothing is left"},
                    Case{Sabotage::kSkipMessageId, "Message IDs in order"},
                    Case{Sabotage::kAlterRetransmission, "what is sent again is the same"},
                    Case{Sabotage::kNeverHeal, "everything converges"},
                    Case{Sabotage::kLosePackets, "nothing is lost without faults"}),
    [](const auto& one) { return "Number" + std::to_string(static_cast<int>(one.param.sabotage)); });

}  // namespace
}  // namespace merlon::sim
