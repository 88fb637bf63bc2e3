#include "sim/rare_paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/directed.h"
#include "sim/world.h"
#include "wire/ike/notify_type.h"

namespace merlon::sim {
namespace {

TEST(RarePaths, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const RarePathInfo& path : rare_paths()) EXPECT_TRUE(names.insert(path.name).second) << path.name;
  EXPECT_TRUE(names.contains("collision rekey-child/rekeying-it"));
  EXPECT_TRUE(names.contains("sent TEMPORARY_FAILURE"));
  EXPECT_TRUE(names.contains("received COOKIE"));
  EXPECT_TRUE(names.contains("path twin_deleted"));
  EXPECT_TRUE(names.contains("drop replayed"));
  EXPECT_TRUE(names.contains("counter drop_bad_icv"));
  const auto must = std::count_if(rare_paths().begin(), rare_paths().end(),
                                  [](const auto& path) { return path.unreached.empty(); });
  EXPECT_GT(must, 120) << "most of them must be reached";
}

TEST(RarePaths, ATableSaysWhatIsMissing) {
  RarePathTable table;
  EXPECT_FALSE(table.missed().empty());
  ike::Counters counters;
  counters.add(ike::RarePath::kTwinDeleted);
  counters.add(ike::RarePath::kTwinDeleted);
  DropCounts drops{};
  drops[static_cast<std::size_t>(esp::DropReason::kReplayed)] = 5;
  table.add(counters, drops);
  table.add(counters, {});
  EXPECT_EQ(table.times("path twin_deleted"), 4U);
  EXPECT_EQ(table.times("drop replayed"), 5U);
  const auto missed = table.missed();
  EXPECT_EQ(std::count(missed.begin(), missed.end(), "path twin_deleted"), 0);
  EXPECT_EQ(std::count(missed.begin(), missed.end(), "path twin_left_to_peer"), 1);
  EXPECT_NE(table.text().find("NEVER REACHED, and must be:"), std::string::npos);
}

TEST(RarePaths, ANotificationOfNoListIsMissed) {
  ike::Counters counters;
  counters.add_notify_sent(static_cast<std::uint16_t>(wire::NotifyType::kCookie));
  RarePathTable table;
  table.add(counters, {});
  const auto unlisted = [&] {
    const auto missed = table.missed();
    return std::count_if(missed.begin(), missed.end(),
                         [](const auto& path) { return path.find("no list") != std::string::npos; });
  };
  EXPECT_EQ(unlisted(), 0);
  counters.add_notify_sent(static_cast<std::uint16_t>(wire::NotifyType::kRedirect));
  table.add(counters, {});
  EXPECT_EQ(unlisted(), 1);
}

// Each directed scenario goes where it is meant to go.
TEST(Directed, ScenariosReachTheirPaths) {
  const std::map<std::string, std::vector<std::string>> meant = {
      {"key exchange methods that do not fit",
       {"collision answer/rekey-child-refused", "path rekey_child_backs_off", "sent NO_PROPOSAL_CHOSEN"}},
      {"selectors that do not fit", {"collision answer/create-child-refused", "sent TS_UNACCEPTABLE"}},
      {"hard lifetimes", {"path child_hard_lifetime", "drop sa_expired"}},
      {"few Message IDs", {"path message_ids_nearly_exhausted"}},
      {"crossings",
       {"path crossing_child_rekey_won", "path crossing_ike_rekey_lost", "path delete_ike_sent_again"}},
      {"damaged answers", {"path second_candidate", "path no_candidate_left"}},
      {"damaged versions", {"sent INVALID_MAJOR_VERSION", "received INVALID_MAJOR_VERSION"}},
      {"damaged sequence numbers", {"drop invalid_sequence"}},
      {"proposals that do not fit", {"path init_given_up_on_hint"}},
      {"closed while it is rekeyed",
       {"collision rekey-child/rekeying-ike-unknown", "collision answer/rekey-child-not-found"}},
      {"a Delete before its answer", {"path child_deleted_before_it_stands"}},
      {"silent after a rekey", {"path replaced_given_up"}},
      {"few sequence numbers", {"drop sequence_exhausted"}},
      {"certificates that end", {"counter peer_certificates_ended"}},
      {"a child that spans two", {"sent ADDITIONAL_TS_POSSIBLE", "received ADDITIONAL_TS_POSSIBLE"}},
      {"little memory", {"counter drop_memory_limit"}},
      {"few IKE SAs", {"counter drop_ike_sa_limit"}},
      {"few places for SAs",
       {"path no_spi_left", "path ike_sa_made_anew", "sent NO_ADDITIONAL_SAS", "received NO_ADDITIONAL_SAS",
        "collision answer/rekey-child-no-additional"}},
      {"several Child SAs", {"sent SA_RESOURCE_INFO", "received SA_RESOURCE_INFO"}},
      {"more Child SAs than the peer wants", {"sent TS_MAX_QUEUE", "received TS_MAX_QUEUE"}},
      {"a full gateway", {"counter drop_half_open_total", "path cookie_after_invalid_ke"}},
  };
  std::map<std::string, RarePathTable> tables;
  for (const Directed& one : directed_scenarios()) {
    const RunReport report = run_and_explain(one.scenario);
    EXPECT_FALSE(report.violation) << one.name << "\n" << explain(report, one.scenario, "--rare-paths");
    tables[one.name].add(report.counters, report.drops);
  }
  for (const auto& [name, paths] : meant)
    for (const std::string& path : paths) EXPECT_GT(tables[name].times(path), 0U) << name << ": " << path;
}

}  // namespace
}  // namespace merlon::sim
