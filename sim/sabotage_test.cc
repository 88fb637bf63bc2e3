// Every invariant can fail: each fault of a gateway that is put in on purpose is found, under its own name.
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/directed.h"
#include "sim/scenario_draw.h"
#include "sim/world.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;

struct Case {
  Sabotage sabotage;
  std::string invariant;
};

using Invariants = testing::TestWithParam<Case>;

// Not every scenario comes by the place; some of a few must, and none may blame something else.
template <class Draw>
void expect_found(const Case& wanted, Draw draw) {
  RunOptions options;
  options.sabotage = wanted.sabotage;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const RunReport report = run(draw(seed), options);
    if (!report.violation) continue;
    EXPECT_EQ(report.violation->invariant, wanted.invariant)
        << "seed " << seed << ": " << report.violation->detail;
    return;
  }
  FAIL() << "nothing was found";
}

std::string name_of(const testing::TestParamInfo<Case>& one) {
  return "Number" + std::to_string(static_cast<int>(one.param.sabotage));
}

class Sabotaged : public Invariants {};
TEST_P(Sabotaged, IsFound) {
  expect_found(GetParam(), rekey_scenario);
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
                    Case{Sabotage::kLosePackets, "nothing is lost without faults"},
                    Case{Sabotage::kRepeatRequests, "bounded retransmissions"},
                    Case{Sabotage::kMistakePeer, "the peer is whom the PAD names"},
                    Case{Sabotage::kNeverRest, "timers come to rest"},
                    Case{Sabotage::kReuseIv, "no IV twice"}, Case{Sabotage::kRepeatIkeIv, "no IKE IV twice"},
                    Case{Sabotage::kTwoRequests, "one request outstanding"},
                    Case{Sabotage::kTruncateMessages, "IKE messages have a header"},
                    Case{Sabotage::kOtherAlgorithms, "same algorithms at both ends"},
                    Case{Sabotage::kOtherChild, "same child at both ends"},
                    Case{Sabotage::kOtherConnection, "only configured connections"},
                    Case{Sabotage::kWidenBothEnds, "selectors within the policy"},
                    Case{Sabotage::kOneKeyBothWays, "each direction has its own keys"},
                    Case{Sabotage::kShortKey, "a negotiated Child SA can be installed"},
                    Case{Sabotage::kAlterPackets, "what comes out is what went in"},
                    Case{Sabotage::kKeepBuffers, "buffers are given back"},
                    Case{Sabotage::kReleaseTwice, "an SPI is given back once"},
                    Case{Sabotage::kRemoveTwice, "what is removed was there"},
                    Case{Sabotage::kUpdateRemoved, "what is updated is there"},
                    Case{Sabotage::kSendUnderRemoved, "ESP only under an SA"},
                    Case{Sabotage::kRefuseWhatFits, "no ICMP error without a cause"},
                    Case{Sabotage::kHoardTimers, "bounded timers"}),
    name_of);

// Somebody on the path sends everything again from addresses of nobody, and the gateways take few half-open IKE SAs.
Scenario hostile_scenario(std::uint64_t seed) {
  Scenario made = rekey_scenario(seed);
  made.faults_end = 20s;
  made.convergence_bound = 120s;
  made.traffic_from = 20s;  // what is sent again is IKE
  made.replays = {20ms, 64, 1000, 0};
  for (HostPlan& host : made.hosts) {
    host.options.cookie_threshold = 1000;
    host.options.half_open_limit = 3;
    host.options.half_open_limit_per_source = 2;
  }
  return made;
}

class SabotagedUnderReplays : public Invariants {};
TEST_P(SabotagedUnderReplays, IsFound) {
  expect_found(GetParam(), hostile_scenario);
}
INSTANTIATE_TEST_SUITE_P(All, SabotagedUnderReplays,
                         testing::Values(Case{Sabotage::kAnswerTooMuch, "answers to the unproven are small"},
                                         Case{Sabotage::kForgetLimits, "bounded memory"}),
                         name_of);

// Between networks that a tunnel joins, some addresses are not for it.
TEST(Sabotage, ExceptionsThatAreForgottenAreFound) {
  expect_found({Sabotage::kForgetExceptions, "nothing outside its selectors"}, [](std::uint64_t seed) {
    Scenario made = rekey_scenario(seed);
    for (const std::size_t end : {0U, 1U}) {
      policy::Connection connection = *made.hosts[end].connections[0];
      add_exceptions(connection, made.tunnels[0], end);
      made.hosts[end].connections = {std::make_shared<const policy::Connection>(connection)};
    }
    return made;
  });
}

std::vector<Scenario> directed(std::string_view name) {
  std::vector<Scenario> made;
  for (Directed& one : directed_scenarios())
    if (one.name == name) made.push_back(std::move(one.scenario));
  return made;
}

// There are more gateways than the hub takes.
std::vector<Scenario> few_ike_sas() {
  auto made = directed("few IKE SAs");
  for (Scenario& one : made) one.hosts[0].options.ike_sa_limit = 3;
  return made;
}

// Of requests in many fragments most are lost on the way, and what arrived waits for the rest.
std::vector<Scenario> little_memory() {
  auto made = directed("little memory");
  for (Scenario& one : made) {
    for (HostPlan& host : one.hosts) host.options.memory_limit = 100;
    for (TunnelPlan& tunnel : one.tunnels)
      for (LinkFaults& link : tunnel.links) link.loss = 600;
  }
  return made;
}

// Each IKE SA that was replaced is to go at once.
std::vector<Scenario> none_may_linger() {
  std::vector<Scenario> made{rekey_scenario(1), rekey_scenario(2)};
  for (Scenario& one : made)
    for (HostPlan& host : one.hosts) host.options.lingering_limit = 0;
  return made;
}

// An engine that forgets the limits holds more than each of them allows.
struct Limit {
  std::vector<Scenario> (*draw)();
  std::string of;  // in the detail of the violation
};
class ForgottenLimits : public testing::TestWithParam<Limit> {};
TEST_P(ForgottenLimits, AreFound) {
  RunOptions options;
  options.sabotage = Sabotage::kForgetLimits;
  for (const Scenario& scenario : GetParam().draw()) {
    const RunReport report = run(scenario, options);
    if (!report.violation) continue;
    EXPECT_EQ(report.violation->invariant, "bounded memory");
    EXPECT_NE(report.violation->detail.find(GetParam().of), std::string::npos) << report.violation->detail;
    return;
  }
  FAIL() << "nothing was found";
}
INSTANTIATE_TEST_SUITE_P(Each, ForgottenLimits,
                         testing::Values(Limit{few_ike_sas, "IKE SAs for its limit"},
                                         Limit{little_memory, "bytes of unfinished messages"},
                                         Limit{none_may_linger, "IKE SAs that linger"}),
                         [](const auto& one) { return "Number" + std::to_string(one.index); });
// And one that keeps them does not.
TEST(Unsabotaged, LimitsAreKept) {
  for (const Scenario& scenario : none_may_linger()) {
    const RunReport report = run_and_explain(scenario);
    ASSERT_FALSE(report.violation) << explain(report, scenario, "");
  }
}

TEST(Unsabotaged, ReplaysViolateNothing) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Scenario scenario = hostile_scenario(seed);
    const RunReport report = run_and_explain(scenario);
    ASSERT_FALSE(report.violation) << explain(report, scenario, "");
  }
}

// Where SAs may end before they are replaced, half of the packets must come through.
TEST(Sabotage, PacketsThatDoNotFlowAreFound) {
  expect_found({Sabotage::kLoseMostPackets, "traffic flows"}, [](std::uint64_t seed) {
    Scenario made = rekey_scenario(seed);
    made.may_lose = true;
    return made;
  });
}

// An impostor who has the key of the one he claims to be: every check of the gateways holds, and only the simulator knows better.
TEST(Sabotage, AStolenKeyIsFound) {
  unsigned found = 0;
  for (std::uint64_t seed = 1; seed <= 100 && found < 2; ++seed) {
    Scenario scenario = draw_scenario(seed);
    const auto impostor = std::find_if(scenario.hosts.begin(), scenario.hosts.end(),
                                       [](const HostPlan& host) { return host.impostor; });
    if (impostor == scenario.hosts.end()) continue;
    const policy::Connection& connection = *impostor->connections.front();
    const auto tunnel = std::find_if(scenario.tunnels.begin(), scenario.tunnels.end(),
                                     [&](const auto& one) { return one.connection == connection.name; });
    ASSERT_NE(tunnel, scenario.tunnels.end());
    for (const std::size_t end : tunnel->hosts)
      for (const auto& own : scenario.hosts[end].connections)
        if (own->name == connection.name && own->local_auth.front() == connection.local_auth.front())
          impostor->credentials = scenario.hosts[end].credentials;
    const RunReport report = run(scenario);
    if (!report.violation) continue;  // what else goes wrong may keep him out
    EXPECT_EQ(report.violation->invariant, "no SA without an authenticated peer") << "seed " << seed;
    ++found;
  }
  EXPECT_EQ(found, 2U);
}

}  // namespace
}  // namespace merlon::sim
