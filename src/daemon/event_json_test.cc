#include "daemon/event_json.h"

#include <nlohmann/json.hpp>

#include "daemon/status_json.h"
#include "daemon/test_support.h"
#include "packet/pool.h"

namespace merlon::daemon {
namespace {

using namespace test;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::vector<ike::Event> every_event() {
  ike::Failure failure;
  failure.kind = ike::FailureKind::kAuthentication;
  failure.side = ike::FailureSide::kPeer;
  failure.notify_type = 24;
  failure.sentence = "the peer's pre-shared key is another";
  std::vector<ike::Event> out;
  out.emplace_back(ike::IkeSaEstablished{"paris", kIkeSa, true, false, at("192.0.2.1"), at("192.0.2.2"), true,
                                         "berlin", "paris.example", "AES_GCM_16-256", "PSK", "Ed25519"});
  out.emplace_back(ike::IkeSaClosed{"paris", kIkeSa, failure});
  out.emplace_back(ike::ChildSaEstablished{"paris",
                                           "offices",
                                           kIkeSa,
                                           {1},
                                           {0x101},
                                           {0x202},
                                           false,
                                           true,
                                           "AES_GCM_16-256",
                                           "10.1.0.0/16",
                                           "10.2.0.0/16"});
  out.emplace_back(ike::ChildSaClosed{"paris", "offices", {1}, {0x101}, {0x202}, true, "rekeyed"});
  out.emplace_back(ike::NegotiationFailed{"paris", "offices", at("192.0.2.2"), failure});
  out.emplace_back(ike::PeerMoved{"paris", kIkeSa, at("192.0.2.2"), at("198.51.100.2", 1024)});
  out.emplace_back(ike::ErrorNotified{"paris", kIkeSa, true, failure});
  out.emplace_back(ike::MessageTraced{
      "paris", kIkeSa, true, false, at("192.0.2.1"), at("192.0.2.2"), {"IKE_AUTH request", "IDi"}});
  ike::IkeKeysTraced keys;
  keys.id = kIkeSa;
  keys.sk_ei = secret(36);
  keys.sk_er = secret(36);
  keys.sk_ai = secret(32);
  keys.sk_ar = secret(32);
  keys.sk_d = secret(32);
  keys.sk_pi = secret(32);
  keys.sk_pr = secret(32);
  out.emplace_back(std::move(keys));
  out.emplace_back(ike::ChildKeysTraced{child_sa()});
  return out;
}

TEST(EventJson, EveryEventHasANameItsConnectionAndASentence) {
  std::size_t silent = 0;
  for (const ike::Event& event : every_event()) {
    const json body = event_json(event);
    if (body.is_null()) {
      ++silent;
      continue;
    }
    EXPECT_TRUE(body["event"].is_string());
    EXPECT_EQ(body["connection"], "paris");
    EXPECT_FALSE(body["text"].get<std::string>().empty());
    EXPECT_EQ(connection_of(event), "paris");
  }
  EXPECT_EQ(silent, 2U);
}

TEST(EventJson, KeysNeverBecomeJsonOrWords) {
  for (const ike::Event& event : every_event()) {
    EXPECT_THAT(event_json(event).dump(), Not(HasSubstr(kSecretHex)));
    EXPECT_THAT(event_sentence(event), Not(HasSubstr(kSecretHex)));
    if (std::holds_alternative<ike::IkeKeysTraced>(event) ||
        std::holds_alternative<ike::ChildKeysTraced>(event)) {
      EXPECT_TRUE(event_json(event).is_null());
      EXPECT_EQ(event_sentence(event), "");
    }
  }
}

TEST(EventJson, FailuresSayWhatAndOnWhichSide) {
  const auto events = every_event();
  const json failed = event_json(events[4]);
  EXPECT_EQ(failed["event"], "negotiation-failed");
  EXPECT_EQ(failed["failure"]["sentence"], "the peer's pre-shared key is another");
  EXPECT_EQ(failed["failure"]["notify"], 24);
  EXPECT_EQ(failed["failure"]["side"], ike::name(ike::FailureSide::kPeer));
  EXPECT_EQ(event_sentence(events[4]), "paris.offices: the peer's pre-shared key is another");
  EXPECT_TRUE(is_failure(events[4]));
  EXPECT_TRUE(is_failure(events[6]));
  EXPECT_EQ(event_json(events[6])["event"], "error-sent");
  EXPECT_TRUE(is_failure(events[1]));
  EXPECT_FALSE(is_failure(events[0]));
}

TEST(EventJson, ADeleteIsNoFailure) {
  for (const auto kind : {ike::FailureKind::kDeletedByPeer, ike::FailureKind::kDeletedByUs}) {
    ike::Failure failure;
    failure.kind = kind;
    EXPECT_FALSE(is_failure(ike::IkeSaClosed{"paris", kIkeSa, failure}));
  }
}

TEST(EventJson, ChildOfTheConnectionsOwnNameIsNamedOnce) {
  ike::ChildSaClosed closed{"paris", "paris", {1}, {0x101}, {0x202}, false, "gone"};
  EXPECT_THAT(event_sentence(closed), testing::StartsWith("paris: "));
  closed.child = "offices";
  EXPECT_THAT(event_sentence(closed), testing::StartsWith("paris.offices: "));
}

TEST(EventJson, RekeysHaveTheirOwnName) {
  ike::ChildSaEstablished child;
  EXPECT_EQ(event_json(child)["event"], "child-sa-established");
  child.rekeyed = true;
  EXPECT_EQ(event_json(child)["event"], "child-sa-rekeyed");
  ike::IkeSaEstablished sa;
  sa.rekeyed = true;
  EXPECT_EQ(event_json(sa)["event"], "ike-sa-rekeyed");
}

TEST(EventJson, SpisPrintAsTsharkDoes) {
  const json body = event_json(every_event()[2]);
  EXPECT_EQ(body["spi_in"], "0x00000101");
  EXPECT_EQ(body["ike_sa"]["spi_i"], "0001020304050607");
}

// ---- Status

class Status : public testing::Test {
 protected:
  static constexpr Instant kNow{std::chrono::seconds(10'000)};

  json build() {
    sources_.now = {kNow, UnixTime{std::chrono::seconds(1'700'000'000)}};
    sources_.data_plane = &plane_;
    sources_.connections = {connection()};
    return status_json(sources_);
  }
  static ike::IkeSaStatus ike_sa(const std::string& name) {
    ike::IkeSaStatus sa;
    sa.connection = name;
    sa.id = kIkeSa;
    sa.phase = "established";
    sa.local = at("192.0.2.1");
    sa.remote = at("192.0.2.2");
    sa.established = kNow - std::chrono::seconds(60);
    sa.soft_expiry = kNow + std::chrono::seconds(3000);
    sa.last_inbound = kNow - std::chrono::seconds(2);
    ike::ChildSaStatus child;
    child.id = {1};
    child.child = "offices";
    child.inbound_spi = {0x101};
    child.outbound_spi = {0x202};
    child.established = kNow - std::chrono::seconds(50);
    child.hard_expiry = kNow + std::chrono::seconds(4000);
    sa.children.push_back(child);
    return sa;
  }

  packet::PacketPool pool_{16, 2048};
  SeededRng rng_{1};
  static esp::EngineConfig small() {
    esp::EngineConfig out;
    out.sa_capacity = 64;
    return out;
  }
  esp::DataPlane plane_{small(), pool_, rng_};
  StatusSources sources_;
};

TEST_F(Status, ConnectionWithoutSas) {
  const json status = build();
  ASSERT_EQ(status["connections"].size(), 1U);
  const json& paris = status["connections"][0];
  EXPECT_EQ(paris["name"], "paris");
  EXPECT_EQ(paris["source"], "merlon.toml:1");
  EXPECT_EQ(paris["start"], "always");
  EXPECT_EQ(paris["children"][0]["local_ts"], "10.1.0.0/16");
  EXPECT_EQ(paris["children"][0]["action"], "protect");
  EXPECT_TRUE(paris["ike_sas"].empty());
  EXPECT_TRUE(status["unconfigured_ike_sas"].empty());
  EXPECT_TRUE(status["drops"].is_object());
}

TEST_F(Status, SasWithTimesFromNowAndTraffic) {
  ASSERT_TRUE(plane_.install(child_sa()));
  sources_.ike_sas = {ike_sa("paris"), ike_sa("gone")};
  const json status = build();
  const json& sa = status["connections"][0]["ike_sas"][0];
  EXPECT_EQ(sa["age_s"], 60);
  EXPECT_EQ(sa["rekey_in_s"], 3000);
  EXPECT_TRUE(sa["expires_in_s"].is_null());
  EXPECT_EQ(sa["last_heard_s"], 2);
  const json& child = sa["child_sas"][0];
  EXPECT_EQ(child["spi_in"], "0x00000101");
  EXPECT_EQ(child["expires_in_s"], 4000);
  EXPECT_TRUE(child["rekey_in_s"].is_null());
  EXPECT_EQ(child["packets_in"], 0);
  EXPECT_GT(child["mtu"], 1000);
  // An SA of a connection that a reload took away is still shown.
  ASSERT_EQ(status["unconfigured_ike_sas"].size(), 1U);
  EXPECT_EQ(status["unconfigured_ike_sas"][0]["connection"], "gone");
}

TEST_F(Status, LastErrorStandsThere) {
  ike::SupervisorStatus supervised;
  supervised.connection = "paris";
  supervised.phase = ike::SupervisorPhase::kBackingOff;
  supervised.next_attempt = kNow + std::chrono::seconds(5);
  supervised.last_error.emplace();
  supervised.last_error->sentence = "nobody answers at 192.0.2.2";
  supervised.children_missing = {"offices"};
  sources_.supervised = {supervised};
  const json paris = build()["connections"][0];
  EXPECT_EQ(paris["phase"], ike::name(ike::SupervisorPhase::kBackingOff));
  EXPECT_EQ(paris["next_attempt_in_s"], 5);
  EXPECT_EQ(paris["last_error"]["sentence"], "nobody answers at 192.0.2.2");
  EXPECT_EQ(paris["last_error"]["over"], false);
  EXPECT_EQ(paris["children_missing"][0], "offices");
}

TEST_F(Status, NeverHoldsASecret) {
  ASSERT_TRUE(plane_.install(child_sa()));
  sources_.ike_sas = {ike_sa("paris")};
  const std::string text = build().dump(-1, ' ', false, json::error_handler_t::replace);
  EXPECT_THAT(text, Not(HasSubstr(kSecretHex)));
  EXPECT_THAT(text, Not(HasSubstr(std::string(4, '\xa5'))));
  EXPECT_THAT(text, Not(HasSubstr("psk")));
}

}  // namespace
}  // namespace merlon::daemon
