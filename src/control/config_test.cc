// What docs/configuration.md promises about errors: file, line, column, what was expected, the nearest valid
// key.
#include "control/config.h"

#include <rapidcheck.h>

#include "control/test_support.h"

namespace merlon::control {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(Config, EmptyTextIsGood) {
  const Config config = good("");
  EXPECT_TRUE(config.connections.empty());
  EXPECT_EQ(config.daemon.interface, "merlon0");
}

TEST(Config, ConnectionWithDefaultsOfTheDocumentation) {
  const Config config = good(kGood);
  ASSERT_EQ(config.connections.size(), 1U);
  const policy::Connection& paris = *config.connections[0];
  EXPECT_EQ(paris.name, "paris");
  EXPECT_EQ(paris.source, "merlon.toml:1");
  EXPECT_EQ(paris.start, policy::StartMode::kAlways);
  EXPECT_EQ(paris.ike_proposals, policy::default_ike_proposals());
  EXPECT_EQ(paris.ike_lifetime.soft, std::chrono::hours(8));
  EXPECT_EQ(paris.ike_lifetime.hard, std::chrono::hours(9));
  EXPECT_EQ(paris.ike_lifetime.jitter, std::chrono::minutes(48));
  ASSERT_EQ(paris.local_auth.size(), 1U);
  ASSERT_EQ(paris.remote_auth.size(), 1U);
  EXPECT_EQ(paris.local_auth[0].kind, policy::AuthKind::kPsk);
  EXPECT_EQ(as_text(paris.local_auth[0].psk.bytes()), "correct horse battery staple");
  EXPECT_EQ(as_text(paris.remote_auth[0].psk.bytes()), "correct horse battery staple");
  // Without child tables: one child of the connection's own name.
  ASSERT_EQ(paris.children.size(), 1U);
  const policy::ChildConfig& child = paris.children[0];
  EXPECT_EQ(child.name, "paris");
  EXPECT_EQ(child.proposals, policy::default_esp_proposals());
  EXPECT_EQ(child.lifetime.soft, std::chrono::hours(1));
  EXPECT_EQ(child.lifetime.hard, std::chrono::minutes(70));
  EXPECT_EQ(child.lifetime.jitter, std::chrono::minutes(6));
  EXPECT_EQ(policy::to_text(child.remote_ts), "10.2.0.0/16");
}

TEST(Config, UnknownKeyNamesPlaceAndNearest) {
  expect_error(std::string(kGood) + "remot_ts = \"10.3.0.0/16\"\n", 8, 1, "did you mean \"remote_ts\"?");
  expect_error("[daemon]\n  fwmrk = 5\n", 2, 3, "did you mean \"fwmark\"?");
  expect_error("[deamon]\n", 1, 2, "did you mean \"daemon\"?");
  expect_error(std::string(kGood) + "[connection.paris.child.a]\nreplay_widow = 64\n", 9, 1,
               "did you mean \"replay_window\"?");
  expect_error(
      "[[policy]]\naction = \"bypass\"\nlocal_ts = \"10.0.0.0/8\"\nremote_ts = \"10.0.0.0/8\"\npriorty = 1\n",
      5, 1, "did you mean \"priority\"?");
}

TEST(Config, UnknownKeyFarFromEveryOtherGetsNoGuess) {
  const LoadedConfig loaded = parse(std::string(kGood) + "zzzzzzzzzzzz = 1\n");
  EXPECT_THAT(all(loaded), HasSubstr("unknown key \"zzzzzzzzzzzz\" in [connection.paris]"));
  EXPECT_THAT(all(loaded), Not(HasSubstr("did you mean")));
}

TEST(Config, WrongTypeSaysBoth) {
  expect_error(replaced(kGood, "\"10.2.0.0/16\"", "5"), 7, 13,
               "remote_ts: expected a string or an array of strings, got an integer");
  expect_error("[daemon]\nike_port = \"500\"\n", 2, 12, "expected an integer, got a string");
  expect_error("[daemon]\nguard = 1\n", 2, 9, "expected true or false, got an integer");
  expect_error("daemon = 3\n", 1, 1, "expected a table");
  expect_error("connection = []\n", 1, 1, "expected a table");
  expect_error("[connection]\nparis = 1\n", 2, 1, "expected a table");
  expect_error("policy = 1\n", 1, 0, "[[policy]]");
  expect_error("[policy]\naction = \"bypass\"\n", 1, 0, "[[policy]]");
}

TEST(Config, SyntaxErrorHasItsPlace) {
  const LoadedConfig loaded = parse("[daemon]\nguard = tru\n");
  ASSERT_EQ(loaded.diagnostics.size(), 1U);
  EXPECT_FALSE(loaded.config);
  EXPECT_EQ(loaded.diagnostics[0].line, 2U);
  EXPECT_THAT(loaded.diagnostics[0].to_string(), HasSubstr("merlon.toml:2:"));
  EXPECT_THAT(loaded.diagnostics[0].to_string(), HasSubstr(": error: "));
}

TEST(Config, OneRunReportsEveryError) {
  const LoadedConfig loaded = parse(
      "[daemon]\nguard = 1\nnope = 2\n[connection.a]\nlocal_ts = 3\nstart = "
      "\"sometimes\"\n[[policy]]\naction = "
      "\"bypas\"\n");
  EXPECT_EQ(errors(loaded).size(), 5U) << all(loaded);
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml:2:9: error: guard"));
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml:3:1: error: unknown key \"nope\""));
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml:5:12: error: local_ts"));
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml:6:9: error: start: expected \"always\""));
  EXPECT_THAT(all(loaded),
              HasSubstr("merlon.toml:8:10: error: action: expected \"bypass\" or \"discard\", got \"bypas\"; "
                        "did you mean \"bypass\"?"));
}

// ---- Several files, and order.

TEST(Config, FilesAreReadAsOne) {
  const LoadedConfig loaded =
      parse_config({{"merlon.toml",
                     "[connection.z]\nremote_id = \"z.example\"\nlocal_id = \"a.example\"\nstart = "
                     "\"wait\"\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\nlocal_ts = "
                     "\"10.0.0.0/16\"\nremote_ts = \"10.1.0.0/16\"\n",
                     false},
                    {"conf.d/ca.toml", "[daemon]\nca = \"ca.pem\"\n", false},
                    {"conf.d/paris.toml", kGood, false}},
                   "/etc/merlon");
  ASSERT_TRUE(loaded.config) << all(loaded);
  // The CA stands behind the connection that needs it, in another file.
  EXPECT_THAT(loaded.config->daemon.ca_files, ElementsAre("/etc/merlon/ca.pem"));
  ASSERT_EQ(loaded.config->connections.size(), 2U);
  EXPECT_EQ(loaded.config->connections[0]->name, "z");
  EXPECT_EQ(loaded.config->connections[1]->source, "conf.d/paris.toml:1");
}

TEST(Config, DaemonTableBehindConnectionsCounts) {
  const Config config = good(
      "[connection.z]\nremote_id = \"z.example\"\nlocal_id = \"a.example\"\nstart = \"wait\"\ncertificate = "
      "\"a.pem\"\nprivate_key = \"a.key\"\nlocal_ts = \"10.0.0.0/16\"\nremote_ts = "
      "\"10.1.0.0/16\"\n[daemon]\nca = "
      "[\"ca.pem\", \"/other.pem\"]\n");
  EXPECT_THAT(config.daemon.ca_files, ElementsAre("/etc/merlon/ca.pem", "/other.pem"));
}

TEST(Config, SameConnectionInTwoFilesIsRefused) {
  const LoadedConfig loaded =
      parse_config({{"a.toml", kGood, false}, {"b.toml", kGood, false}}, "/etc/merlon");
  EXPECT_FALSE(loaded.config);
  ASSERT_EQ(loaded.diagnostics.size(), 1U) << all(loaded);
  EXPECT_EQ(loaded.diagnostics[0].to_string(),
            "b.toml:1:13: error: connection \"paris\" stands twice: also at a.toml:1");
}

TEST(Config, SameDaemonKeyInTwoFilesIsRefused) {
  const LoadedConfig loaded = parse_config(
      {{"a.toml", "[daemon]\nguard = true\n", false}, {"b.toml", "[daemon]\nguard = false\n", false}},
      "/etc/merlon");
  EXPECT_FALSE(loaded.config);
  EXPECT_THAT(all(loaded), HasSubstr("b.toml:2:1: error: guard stands in [daemon] twice: also at a.toml:2"));
}

TEST(Config, SameTableTwiceInOneFileIsRefused) {
  EXPECT_FALSE(parse(std::string(kGood) + kGood).config);
}

// docs/configuration.md, priority: "ties keep the order of the files".
TEST(Config, ConnectionsAndChildrenKeepTheirOrder) {
  const std::string rest = std::string(kGood).substr(std::string(kGood).find('\n') + 1);
  const Config config = good("[connection.zebra]\n" + rest +
                             "[connection.zebra.child.last]\n[connection.zebra.child.first]\nremote_ts = "
                             "\"10.9.0.0/16\"\n[connection.apple]\n" +
                             rest);
  ASSERT_EQ(config.connections.size(), 2U);
  EXPECT_EQ(config.connections[0]->name, "zebra");
  EXPECT_EQ(config.connections[1]->name, "apple");
  ASSERT_EQ(config.connections[0]->children.size(), 2U);
  EXPECT_EQ(config.connections[0]->children[0].name, "last");
  EXPECT_EQ(config.connections[0]->children[1].name, "first");
}

// ---- Children and policies.

TEST(Config, ChildrenInheritWhatTheConnectionSays) {
  const Config config =
      good(std::string(kGood) +
           "replay_window = 256\ntcp_mss_clamp = false\nesp_proposals = \"aes128gcm16\"\n"
           "[connection.paris.child.a]\n[connection.paris.child.b]\nremote_ts = \"10.3.0.0/16\"\n"
           "replay_window = 64\n");
  const auto& children = config.connections.at(0)->children;
  ASSERT_EQ(children.size(), 2U);
  EXPECT_EQ(children[0].replay_window, 256U);
  EXPECT_EQ(children[1].replay_window, 64U);
  EXPECT_FALSE(children[1].tcp_mss_clamp);
  EXPECT_EQ(policy::to_text(children[0].remote_ts), "10.2.0.0/16");
  EXPECT_EQ(policy::to_text(children[1].remote_ts), "10.3.0.0/16");
  EXPECT_EQ(policy::to_text(children[1].local_ts), "10.1.0.0/16");
  EXPECT_EQ(children[0].proposals, children[1].proposals);
}

TEST(Config, ConnectionStartsAsItsMostEagerProtectingChild) {
  const std::string head = std::string(kGood) + "start = \"wait\"\n";
  EXPECT_EQ(good(head).connections.at(0)->start, policy::StartMode::kWait);
  EXPECT_EQ(good(head + "[connection.paris.child.a]\n[connection.paris.child.b]\nstart = \"on-traffic\"\n")
                .connections.at(0)
                ->start,
            policy::StartMode::kOnTraffic);
  EXPECT_EQ(
      good(head + "[connection.paris.child.a]\n[connection.paris.child.b]\naction = \"bypass\"\nstart = "
                  "\"always\"\n")
          .connections.at(0)
          ->start,
      policy::StartMode::kWait);
}

TEST(Config, PoliciesComeFirstInTheirOrder) {
  const Config config =
      good(std::string(kGood) +
           "[[policy]]\naction = \"bypass\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = "
           "\"10.2.7.0/24\"\n[[policy]]\naction = \"discard\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = "
           "\"10.2.8.0/24[tcp/25]\"\npriority = 7\n");
  ASSERT_EQ(config.connections.size(), 2U);
  const policy::Connection& policies = *config.connections[0];
  EXPECT_EQ(policies.name, kPolicyConnection);
  EXPECT_TRUE(policies.local_auth.empty());
  EXPECT_EQ(policies.start, policy::StartMode::kWait);
  EXPECT_EQ(policies.source, "merlon.toml:8");
  ASSERT_EQ(policies.children.size(), 2U);
  EXPECT_EQ(policies.children[0].action, policy::ChildAction::kBypass);
  EXPECT_EQ(policies.children[1].action, policy::ChildAction::kDiscard);
  EXPECT_EQ(policies.children[1].priority, 7U);
  EXPECT_NE(policies.children[0].name, policies.children[1].name);
}

TEST(Config, PolicyNeedsActionAndBothSelectors) {
  expect_error("[[policy]]\nlocal_ts = \"10.0.0.0/8\"\nremote_ts = \"10.0.0.0/8\"\n", 1, 0, "needs action");
  expect_error("[[policy]]\naction = \"bypass\"\nlocal_ts = \"10.0.0.0/8\"\n", 1, 0,
               "needs local_ts and remote_ts");
  expect_error("[[policy]]\naction = \"protect\"\nlocal_ts = \"10.0.0.0/8\"\nremote_ts = \"10.0.0.0/8\"\n", 2,
               10, "expected \"bypass\" or \"discard\"");
}

TEST(Config, NamesAreChecked) {
  expect_error("[connection.\"a b\"]\n", 1, 13, "is not a name");
  expect_error("[connection.\"(policy)\"]\n", 1, 13, "is not a name");
  expect_error("[connection.\"a.b\"]\n", 1, 13, "is not a name");
  expect_error("[connection." + std::string(65, 'a') + "]\n", 1, 13, "is not a name");
  expect_error(std::string(kGood) + "[connection.paris.child.\"\"]\n", 8, 0, "is not a name");
}

// ---- Contradictory and unsafe values.

TEST(Config, PskAndPskFileContradict) {
  expect_error(std::string(kGood) + "psk_file = \"a.psk\"\n", 1, 13,
               "psk and psk_file contradict each other");
}

TEST(Config, PskInAReadableFileIsRefused) {
  const LoadedConfig loaded = parse(kGood, true);
  EXPECT_FALSE(loaded.config);
  EXPECT_THAT(all(loaded), HasSubstr("merlon.toml:5:7: error: psk: "));
  EXPECT_THAT(all(loaded), HasSubstr("chmod 600"));
  // A file without secrets may be readable.
  EXPECT_TRUE(
      parse(replaced(kGood, "psk = \"correct horse battery staple\"", "psk_file = \"paris.psk\""), true)
          .config);
}

TEST(Config, NoDiagnosticHoldsTheSecret) {
  for (const char* more :
       {"psk_file = \"a\"\n", "auth = \"certificate\"\n", "nope = 1\n", "lifetime_soft = \"9d\"\n"}) {
    const LoadedConfig loaded = parse(kGood + std::string(more));
    EXPECT_THAT(all(loaded), Not(HasSubstr("horse"))) << more;
  }
  EXPECT_THAT(all(parse(kGood, true)), Not(HasSubstr("horse")));
  EXPECT_THAT(all(parse("[connection.a]\npsk = \"correct horse\nlocal_ts = 5\n")), Not(HasSubstr("horse")));
}

TEST(Config, PskThatNobodyUsesIsRefused) {
  expect_error_in_connection("auth = \"certificate\"\ncertificate = \"a\"\nprivate_key = \"b\"\nca = \"c\"\n",
                             "a pre-shared key is given, but neither");
  expect_error_in_connection("private_key = \"a.key\"\n", "private_key is given, but local_auth = \"psk\"");
  expect_error_in_connection("ca = \"ca.pem\"\n", "ca is given, but remote_auth");
}

TEST(Config, SidesMayProveThemselvesDifferently) {
  const Config config = good(
      "[connection.a]\nremote = \"vpn.example\"\nauth = \"psk\"\nlocal_auth = \"certificate\"\npsk = \"x y "
      "z\"\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\nremote_id = \"b.example\"\nlocal_ts = "
      "\"10.1.0.0/16\"\nremote_ts = \"10.2.0.0/16\"\n");
  EXPECT_EQ(config.connections.at(0)->local_auth[0].kind, policy::AuthKind::kCertificate);
  EXPECT_EQ(config.connections.at(0)->remote_auth[0].kind, policy::AuthKind::kPsk);
  EXPECT_EQ(config.connections.at(0)->local_auth[0].certificate_file, "/etc/merlon/a.pem");
}

// local_auth stands for more than auth, in whatever order they are written.
TEST(Config, LocalAuthBeforeAuth) {
  const Config config = good(
      "[connection.a]\nremote = \"vpn.example\"\nlocal_auth = \"certificate\"\nauth = \"psk\"\npsk = \"x y "
      "z\"\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\nremote_id = \"b.example\"\nlocal_ts = "
      "\"10.1.0.0/16\"\nremote_ts = \"10.2.0.0/16\"\n");
  EXPECT_EQ(config.connections.at(0)->local_auth[0].kind, policy::AuthKind::kCertificate);
  EXPECT_EQ(config.connections.at(0)->remote_auth[0].kind, policy::AuthKind::kPsk);
}

TEST(Config, CertificatesNeedCaAndRemoteId) {
  const std::string head =
      "[connection.a]\nremote = \"192.0.2.1\"\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\nlocal_ts = "
      "\"10.1.0.0/16\"\nremote_ts = \"10.2.0.0/16\"\n";
  EXPECT_THAT(all(parse(head + "remote_id = \"b.example\"\n")), HasSubstr("needs ca"));
  EXPECT_THAT(all(parse(head + "ca = \"ca.pem\"\n")), HasSubstr("remote_id is missing"));
  EXPECT_TRUE(parse(head + "ca = \"ca.pem\"\nremote_id = \"%any\"\n").config);
  EXPECT_FALSE(
      parse(replaced(head, "private_key = \"a.key\"\n", "") + "ca = \"ca.pem\"\nremote_id = \"%any\"\n")
          .config);
}

TEST(Config, RawKeysNeedANameAndTheOtherKey) {
  const std::string key =
      "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";  // RFC 8032 7.1, test 1
  const std::string head =
      "[connection.a]\nremote = \"192.0.2.1\"\nprivate_key = \"a.key\"\nlocal_ts = "
      "\"10.1.0.0/16\"\nremote_ts = "
      "\"10.2.0.0/16\"\n";
  const std::string remote_key = "remote_public_key = \"" + key + "\"\n";
  EXPECT_THAT(all(parse(head + remote_key)), HasSubstr("local_id is missing"));
  EXPECT_TRUE(parse(head + remote_key + "local_id = \"@a\"\nremote_id = \"@b\"\n").config);
  EXPECT_THAT(all(parse(head + "local_id = \"@a\"\nremote_id = \"@b\"\nremote_auth = \"public-key\"\n")),
              HasSubstr("needs remote_public_key"));
  EXPECT_THAT(all(parse(head + "local_id = \"@a\"\nremote_public_key = \"not base64!\"\n")),
              HasSubstr("expected a public key in base64"));
}

TEST(Config, NothingToProveOneselfWith) {
  EXPECT_THAT(all(parse("[connection.a]\nremote = \"192.0.2.1\"\nlocal_ts = \"10.1.0.0/16\"\nremote_ts = "
                        "\"10.2.0.0/16\"\n")),
              HasSubstr("nothing says how this side proves who it is"));
}

TEST(Config, SoftLimitsLieBelowHardOnes) {
  expect_error_in_connection("lifetime_soft = \"70m\"\nlifetime_hard = \"70m\"\n",
                             "lifetime_soft must be smaller");
  expect_error_in_connection("lifetime_soft_bytes = \"2GB\"\nlifetime_hard_bytes = \"1GB\"\n",
                             "lifetime_soft_bytes must be smaller");
  expect_error_in_connection("lifetime_soft_packets = 10\nlifetime_hard_packets = 10\n",
                             "lifetime_soft_packets must be smaller");
  expect_error_in_connection("ike_lifetime_soft = \"9h\"\nike_lifetime_hard = \"8h\"\n",
                             "ike_lifetime_soft must be smaller");
  expect_error_in_connection("lifetime_soft = \"5m\"\nlifetime_jitter = \"5m\"\n",
                             "lifetime_jitter must be smaller");
  // Zero means without limit.
  good(std::string(kGood) + "lifetime_soft = 0\nlifetime_hard = \"1h\"\n");
  good(std::string(kGood) + "lifetime_soft_bytes = \"1GB\"\n");
}

TEST(Config, OneLifetimeKeyIsEnough) {
  const auto lifetime = [](const std::string& more) {
    return good(kGood + more).connections.at(0)->children.at(0).lifetime;
  };
  // Neither a complaint about a limit nor about a jitter that nobody wrote.
  EXPECT_EQ(lifetime("lifetime_soft = \"2h\"\n").hard, std::chrono::minutes(140));
  EXPECT_EQ(lifetime("lifetime_soft = \"5m\"\n").jitter, std::chrono::seconds(30));
  EXPECT_EQ(lifetime("lifetime_soft = 0\n").hard, std::chrono::seconds(0));
  EXPECT_EQ(lifetime("lifetime_hard = \"3h\"\n").soft, std::chrono::hours(1));
}

TEST(Config, ForbiddenAlgorithmsAreRefusedAndWeakOnesWarned) {
  // RFC 8247 2.4: groups 1 (MUST NOT), 2 and 5 (SHOULD NOT); RFC 8221: MD5 MUST NOT.
  expect_error_in_connection("ike_proposals = \"aes128-md5-modp2048\"\n", "MUST NOT");
  const LoadedConfig weak = parse(std::string(kGood) + "ike_proposals = \"aes128-sha1-modp1024\"\n");
  EXPECT_THAT(all(weak), HasSubstr("modp1024"));
  EXPECT_THAT(all(weak), HasSubstr("warning: "));
  ASSERT_TRUE(weak.config) << all(weak);
}

TEST(Config, AlgorithmsWithASlipNameTheNearest) {
  expect_error_in_connection("esp_proposals = \"aes256gmc16\"\n", "aes256gcm16");
  expect_error_in_connection("ike_proposals = [\"aes256gcm16-prfsha384-x25518\"]\n", "x25519");
  // RFC 8221 5: NULL is for ESP only; never in IKE.
  expect_error_in_connection("ike_proposals = \"null-sha256-x25519\"\n", "ike_proposals");
  expect_error_in_connection("esp_proposals = []\n", "at least one proposal");
}

TEST(Config, SomebodyMustBeCallable) {
  const std::string without = replaced(kGood, "remote = \"192.0.2.1\"\n", "");
  EXPECT_THAT(all(parse(without)), HasSubstr("need an address or a name in remote"));
  EXPECT_TRUE(parse(without + "start = \"wait\"\n").config);
  for (const char* remote : {"10.0.0.0/8", "%any", "any", "0.0.0.0"})
    EXPECT_THAT(all(parse(replaced(kGood, "192.0.2.1", remote))), HasSubstr("need an address or a name"))
        << remote;
  EXPECT_TRUE(parse(replaced(kGood, "\"192.0.2.1\"", "[\"10.0.0.0/8\", \"vpn.example\"]")).config);
}

TEST(Config, RemoteIsChecked) {
  for (const char* remote :
       {"10.0.0.300", "10.0.0.0/33", "two words", "vpn.example:500", "http://vpn.example", "", "-x"})
    expect_error(replaced(kGood, "192.0.2.1", remote), 2, 10, "expected an address, a prefix, a host name");
  for (const char* remote :
       {"2001:db8::1", "vpn.example", "vpn-1.example.", "localhost", "xn--bcher-kva.example"})
    EXPECT_TRUE(parse(replaced(kGood, "192.0.2.1", remote)).config) << remote;
}

TEST(Config, FamiliesMustFit) {
  expect_error_in_connection("local = \"2001:db8::1\"\n", "no address in remote is of the same family");
  good(std::string(kGood) + "local = [\"2001:db8::1\", \"198.51.100.1\"]\n");
  EXPECT_THAT(all(parse(replaced(kGood, "10.2.0.0/16", "fd00::/8"))), HasSubstr("no packet can match"));
  EXPECT_THAT(all(parse(replaced(replaced(kGood, "10.2.0.0/16", "10.2.0.0/16[tcp/80]"), "10.1.0.0/16",
                                 "10.1.0.0/16[udp]"))),
              HasSubstr("no packet can match"));
  good(replaced(kGood, "\"10.2.0.0/16\"", "[\"fd00::/8\", \"10.2.0.0/16\"]"));
}

TEST(Config, MissingSelectors) {
  EXPECT_THAT(all(parse(replaced(kGood, "remote_ts = \"10.2.0.0/16\"\n", ""))),
              HasSubstr("remote_ts is missing"));
  expect_error_in_connection("[connection.paris.child]\n", "nothing would be protected");
}

TEST(Config, DurationsThatWouldBecomeNeverAreRefused) {
  for (const char* key : {"lifetime_soft", "ike_lifetime_hard", "liveness_interval", "keepalive_interval"})
    expect_error_in_connection(std::string(key) + " = \"500ms\"\n", "expected whole seconds");
  EXPECT_EQ(
      good(std::string(kGood) + "retransmit_initial = \"500ms\"\n").connections.at(0)->retransmit_initial,
      std::chrono::milliseconds(500));
}

TEST(Config, TimingMustMakeSense) {
  expect_error_in_connection("backoff_initial = 0\n", "backoff_initial");
  expect_error_in_connection("backoff_initial = \"10s\"\nbackoff_max = \"5s\"\n", "backoff_max");
  expect_error_in_connection("retransmit_initial = \"10ms\"\n", "retransmit_initial");
  expect_error_in_connection("retransmit_initial = \"10s\"\nretransmit_max = \"5s\"\n", "retransmit_max");
}

TEST(Config, UnsafeDaemonValues) {
  for (const char* table : {"253", "254", "255", "0"})
    EXPECT_FALSE(parse("[daemon]\nrouting_table = " + std::string(table) + "\n").config) << table;
  EXPECT_TRUE(parse("[daemon]\nrouting_table = 256\n").config);
  for (const char* name : {"", "merlon%d", "a/b", "..", "sixteen-letters-", "a b"})
    expect_error("[daemon]\ninterface = \"" + std::string(name) + "\"\n", 2, 13, "interface name");
  expect_error("[daemon]\nike_port = 4500\n", 1, 2, "ike_port and natt_port must differ");
  expect_error("[daemon]\nfwmark = 0\n", 2, 10, "expected a number from 1");
  for (const char* listen :
       {"9101", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "localhost:9101", "127.0.0.1:91x"})
    expect_error("[daemon]\nmetrics_listen = \"" + std::string(listen) + "\"\n", 2, 18,
                 "expected an address and a port");
  EXPECT_TRUE(parse("[daemon]\nmetrics_listen = \"127.0.0.1:9101\"\n").diagnostics.empty());
  EXPECT_TRUE(parse("[daemon]\nmetrics_listen = \"[::1]:9101\"\n").diagnostics.empty());
  const LoadedConfig open = parse("[daemon]\nmetrics_listen = \"0.0.0.0:9101\"\n");
  EXPECT_TRUE(open.config);
  EXPECT_THAT(all(open), HasSubstr("warning: metrics_listen"));
}

TEST(Config, RelativePathsAreSeenFromTheFolder) {
  const Config config = good("[daemon]\ncontrol_socket = \"m.sock\"\ncrl = \"/abs.crl\"\n");
  EXPECT_EQ(config.daemon.control_socket, "/etc/merlon/m.sock");
  EXPECT_THAT(config.daemon.crl_files, ElementsAre("/abs.crl"));
}

// ---- Whatever the text: an answer, never an exception; a configuration only without errors.
TEST(Config, AnyTextIsAnswered) {
  EXPECT_TRUE(rc::check("arbitrary bytes", [](const std::string& text) {
    const LoadedConfig loaded = parse(text);
    RC_ASSERT(loaded.config.has_value() == errors(loaded).empty());
  }));
  EXPECT_TRUE(rc::check("a good text with one byte changed", [] {
    std::string text =
        std::string(kGood) + "[[policy]]\naction = \"bypass\"\nlocal_ts = \"::/0\"\nremote_ts = \"::/0\"\n";
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    text[at] = *rc::gen::arbitrary<char>();
    const LoadedConfig loaded = parse(text);
    RC_ASSERT(loaded.config.has_value() == errors(loaded).empty());
    for (const Diagnostic& diagnostic : loaded.diagnostics)
      RC_ASSERT(diagnostic.line >= 1U && diagnostic.line <= 13U);
  }));
}

}  // namespace
}  // namespace merlon::control
