#include "cli/status_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>

#include "cli/printable.h"

namespace merlon::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json two_connections() {
  return json::parse(R"json({"connections": [
    {"name": "paris", "phase": "up", "children": [], "children_missing": [],
     "ike_sas": [{"spi_i": "0000000000000001", "spi_r": "0000000000000002", "phase": "established",
       "local": "192.0.2.1:4500", "remote": "192.0.2.2:4500", "natt": true, "local_id": "berlin", "remote_id": "paris",
       "algorithms": "AES_GCM_16-256/HMAC_SHA2_384/CURVE25519", "age_s": 61, "rekey_in_s": 28000, "expires_in_s": null,
       "child_sas": [{"child": "offices", "spi_in": "0x00000101", "spi_out": "0x00000202",
         "algorithms": "AES_GCM_16-256", "local_ts": "10.1.0.0/16", "remote_ts": "10.2.0.0/16",
         "udp_encapsulation": true, "rekeying": false, "age_s": 60, "rekey_in_s": 3000, "expires_in_s": 4100,
         "packets_in": 3, "bytes_in": 1234567, "packets_out": 4, "bytes_out": 999, "mtu": 1400}]}]},
    {"name": "rome", "phase": "backing off", "next_attempt_in_s": 30, "children": [], "ike_sas": [],
     "children_missing": ["rome"],
     "last_error": {"sentence": "nobody answers", "over": false}},
    {"name": "(policy)", "ike_sas": [], "children": [
      {"action": "bypass", "local_ts": "10.1.0.0/16", "remote_ts": "10.2.7.0/24"}]}],
    "unconfigured_ike_sas": [], "drops": {"no-policy": 7}})json");
}

TEST(StatusView, ShowsWhatTheIssueAsksFor) {
  const std::string text = status_text(two_connections(), "", false);
  for (const char* words :
       {"paris  up", "IKE SA 0000000000000001_i 0000000000000002_r  established",
        "192.0.2.1:4500 [berlin] === ", "(NAT)", "AES_GCM_16-256/HMAC_SHA2_384/CURVE25519",
        "established 61 s", "rekey in 7 h 46 min",
        "Child SA offices  0x00000101 in  0x00000202 out  ESP in UDP", "10.1.0.0/16 === 10.2.0.0/16",
        "in 1.2 MB in 3 packets, out 999 B in 4 packets, MTU 1400", "rome  backing off  next attempt in 30 s",
        "last error: nobody answers", "child rome is not up", "bypass 10.1.0.0/16 === 10.2.7.0/24",
        "no-policy 7"})
    EXPECT_THAT(text, HasSubstr(words));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, Not(HasSubstr("ends in null")));
}

TEST(StatusView, SeveralDataWorkersAreShownAndOneThatStandsStill) {
  json status = two_connections();
  status["workers"] = json::parse(R"json([{"worker": 0, "sas": 3, "stalled_s": null}])json");
  EXPECT_THAT(status_text(status, "", false), Not(HasSubstr("orker")));
  status["workers"].push_back(json::parse(R"json({"worker": 1, "sas": 2, "stalled_s": 7})json"));
  const std::string text = status_text(status, "", false);
  EXPECT_THAT(text, HasSubstr("Data workers: 2, with 3, 2 Child SAs\n"));
  EXPECT_THAT(text, HasSubstr("Data worker 1 has not moved for 7 s\n"));
  EXPECT_THAT(text, Not(HasSubstr("Data worker 0")));
}

TEST(StatusView, OnlyOneConnection) {
  const std::string text = status_text(two_connections(), "rome", false);
  EXPECT_THAT(text, HasSubstr("rome"));
  EXPECT_THAT(text, Not(HasSubstr("paris")));
  EXPECT_THAT(text, Not(HasSubstr("no-policy")));
}

TEST(StatusView, NothingConfiguredSaysWhatToDo) {
  EXPECT_THAT(status_text(json::object(), "", false), HasSubstr("merlon pair"));
  EXPECT_THAT(status_text(json::parse(R"({"connections": [], "drops": {}})"), "", false),
              HasSubstr("merlon pair"));
}

// Sentences and identities come from peers.
TEST(StatusView, PeerCannotMoveTheCursor) {
  json status = two_connections();
  status["connections"][0]["ike_sas"][0]["remote_id"] = "evil\033[2J\r\nfake line\x7f";
  status["connections"][1]["last_error"]["sentence"] =
      "\xc2\x9b"
      "31m";
  const std::string text = status_text(status, "", false);
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(text, HasSubstr("evil?[2J??fake line?"));
}

TEST(Printable, KeepsTextAndDropsControl) {
  EXPECT_EQ(printable("Zürich 10.1.0.0/16 €"), "Zürich 10.1.0.0/16 €");
  EXPECT_EQ(printable("a\tb\nc"), "a?b?c");
  EXPECT_TRUE(rc::check("never a control character", [](const std::string& text) {
    for (const char c : printable(text)) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }));
}

TEST(StatusView, Durations) {
  EXPECT_EQ(duration_text(-3), "0 s");
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(119), "119 s");
  EXPECT_EQ(duration_text(120), "2 min");
  EXPECT_EQ(duration_text(7200), "2 h 00 min");
  EXPECT_EQ(duration_text(3 * 3600 + 125), "3 h 02 min");
  EXPECT_EQ(duration_text(2 * 86400), "2 days");
}

TEST(StatusView, Sizes) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(1000), "1.0 kB");
  EXPECT_EQ(size_text(12'345'678), "12.3 MB");
  EXPECT_EQ(size_text(999'999), "1.0 MB");
  EXPECT_EQ(size_text(5'000'000'000'000'000), "5000.0 TB");
}

}  // namespace
}  // namespace merlon::cli
