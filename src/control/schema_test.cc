// Every key of the schema: accepts a valid value and refuses a wrong type; its own default, where it is a
// value, is accepted and changes nothing.
#include "control/schema.h"

#include <map>
#include <set>

#include "control/assemble.h"
#include "control/test_support.h"

namespace merlon::control {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What is written behind "key = ", by key where the type does not tell.
const std::map<std::string, std::string, std::less<>> kValues = {
    {"interface", "\"tun7\""},
    {"interface_mtu", "9000"},
    {"workers", "4"},
    {"metrics_listen", "\"127.0.0.1:9101\""},
    {"control_socket", "\"/run/m.sock\""},
    {"version", "2"},
    {"local", "[\"192.0.2.7\", \"2001:db8::7\"]"},
    {"remote", "[\"192.0.2.1\", \"vpn.example\", \"10.0.0.0/8\"]"},
    {"ike_proposals", "[\"aes256gcm16-prfsha384-x25519\"]"},
    {"esp_proposals", "[\"aes256gcm16-x25519-esn\", \"aes128-sha256\"]"},
    {"local_id", "\"O=Example, CN=gw\""},
    {"remote_id", "\"%any\""},
    {"psk", "\"secret\""},
    {"remote_public_key", "\"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\""},
    {"local_auth", "\"psk\""},
    {"remote_auth", "\"certificate\""},
    {"retransmit_factor", "1.5"},
    {"fragment_size", "1400"},
    {"mtu", "1400"},
    {"replay_window", "128"},
    {"parallel", "4"},
    {"routing_table", "77"},
    {"rule_priority", "1000"},
};

std::string first_choice(std::string_view type) {
  return std::string(type.substr(0, type.find(" |")));
}

std::string valid_value(std::string_view name, std::string_view type) {
  if (const auto at = kValues.find(name); at != kValues.end()) return at->second;
  if (type == "duration") return "\"90s\"";
  if (type == "size") return "\"64GiB\"";
  if (type == "number" || type == "port" || type == "bytes" || type == "packets") return "100";
  if (type == "selector or list") return "[\"10.1.0.0/16\", \"fd00::/8[tcp/443]\"]";
  if (type == "-") return "1";
  if (type.starts_with("path")) return "\"file\"";
  return first_choice(type);  // "true | false", "\"a\" | \"b\""
}

bool not_available(std::string_view help) {
  return help.find("Not available in this version") != std::string_view::npos;
}

template <class T>
Result<> set(const Key<T>& key, T& target, const std::string& value) {
  const toml::table table = toml::parse("v = " + value);
  return key.set(target, *table.get("v"), SchemaContext{"/etc/merlon", false});
}

template <class T>
void check_keys(std::span<const Key<T>> keys) {
  std::set<std::string_view> names;
  for (const Key<T>& key : keys) {
    SCOPED_TRACE(std::string(key.name));
    EXPECT_TRUE(names.insert(key.name).second) << "stands twice in the schema";
    EXPECT_FALSE(key.help.empty());
    EXPECT_FALSE(key.default_text.empty());
    T target{};
    const auto accepted = set(key, target, valid_value(key.name, key.type));
    EXPECT_EQ(accepted.has_value(), !not_available(key.help)) << (accepted ? "" : accepted.error().message);
    // A date and a table are the value of no key.
    for (const char* wrong : {"1979-05-27", "{a = 1}"}) {
      const auto refused = set(key, target, wrong);
      ASSERT_FALSE(refused) << wrong;
      if (!not_available(key.help)) {
        EXPECT_THAT(refused.error().message, AllOf(HasSubstr("expected"), HasSubstr("got"))) << wrong;
      }
    }
    const bool is_text = valid_value(key.name, key.type).find('"') != std::string::npos;
    const bool is_amount = key.type == "duration" || key.type == "size";
    if (is_text && !is_amount) {
      EXPECT_FALSE(set(key, target, "5"));
      EXPECT_FALSE(set(key, target, "[5]"));
      EXPECT_FALSE(set(key, target, "true"));
    } else if (!is_text) {
      EXPECT_FALSE(set(key, target, "\"words\""));
      EXPECT_FALSE(set(key, target, "[1]"));
    } else {
      EXPECT_FALSE(set(key, target, "\"words\""));
      EXPECT_FALSE(set(key, target, "-1"));
      EXPECT_FALSE(set(key, target, "1.5"));
    }
  }
}

TEST(Schema, DaemonKeys) {
  check_keys(daemon_keys());
}
TEST(Schema, ConnectionKeys) {
  check_keys(connection_keys());
}
TEST(Schema, ChildKeys) {
  check_keys(child_keys());
}
TEST(Schema, PolicyKeys) {
  check_keys(policy_keys());
}

// A connection may hold the keys of a child: no name may mean two things.
TEST(Schema, ConnectionAndChildKeysDiffer) {
  std::set<std::string_view> names{"child"};
  for (const auto& key : connection_keys()) EXPECT_TRUE(names.insert(key.name).second) << key.name;
  for (const auto& key : child_keys()) EXPECT_TRUE(names.insert(key.name).second) << key.name;
}

bool is_value(std::string_view text) {
  return text == "true" || text == "false" || (text.starts_with('"') && text.ends_with('"')) ||
         (!text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos);
}

// The defaults that the documentation states are those that the code has.
TEST(Schema, StatedDefaultsAreTheDefaults) {
  for (const auto& key : daemon_keys()) {
    if (!is_value(key.default_text)) continue;
    DaemonConfig daemon;
    ASSERT_TRUE(set(key, daemon, std::string(key.default_text))) << key.name;
    const DaemonConfig fresh;
    EXPECT_TRUE(daemon.interface == fresh.interface && daemon.interface_mtu == fresh.interface_mtu &&
                daemon.ike_port == fresh.ike_port && daemon.natt_port == fresh.natt_port &&
                daemon.offload == fresh.offload && daemon.fwmark == fresh.fwmark &&
                daemon.routing_table == fresh.routing_table && daemon.rule_priority == fresh.rule_priority &&
                daemon.control_socket == fresh.control_socket && daemon.log_level == fresh.log_level &&
                daemon.cookie_threshold == fresh.cookie_threshold &&
                daemon.half_open_limit == fresh.half_open_limit &&
                daemon.half_open_limit_per_source == fresh.half_open_limit_per_source &&
                daemon.guard == fresh.guard && daemon.keep_guard_on_stop == fresh.keep_guard_on_stop)
        << key.name;
  }
  for (const auto& key : connection_keys()) {
    if (!is_value(key.default_text)) continue;
    ConnectionDraft draft = new_draft();
    ASSERT_TRUE(set(key, draft, std::string(key.default_text))) << key.name;
    EXPECT_EQ(draft.connection, new_draft().connection) << key.name;
  }
  for (const auto& key : child_keys()) {
    if (!is_value(key.default_text)) continue;
    ConnectionDraft draft = new_draft();
    ASSERT_TRUE(set(key, draft.child_defaults, std::string(key.default_text))) << key.name;
    EXPECT_EQ(draft.child_defaults, new_draft().child_defaults) << key.name;
  }
}

TEST(Schema, NumbersHaveTheirLimits) {
  using namespace test;
  for (const char* wrong : {"63", "65", "100", "8192", "0"})
    expect_error_in_connection(std::string("replay_window = ") + wrong + "\n", "replay_window: expected a");
  for (const char* good_value : {"64", "128", "1024", "4096"})
    good(kGood + std::string("replay_window = ") + good_value + "\n");
  for (const char* wrong : {"0", "65", "\"all\""})
    expect_error_in_connection(std::string("parallel = ") + wrong + "\n", "parallel: expected a");
  for (const char* good_value : {"1", "64", "\"auto\""})
    good(kGood + std::string("parallel = ") + good_value + "\n");
  expect_error_in_connection("mtu = 1279\n", "1280 to 65535");
  good(std::string(kGood) + "mtu = 0\n");
  expect_error_in_connection("fragment_size = 575\n", "576");
  expect_error_in_connection("retransmit_factor = 0.5\n", "from 1 to 10");
  expect_error_in_connection("retransmit_factor = nan\n", "from 1 to 10");
  expect_error_in_connection("version = 1\n", "IKEv1 is not available");
  expect_error_in_connection("mode = \"transport\"\n", "only \"tunnel\" mode");
  expect_error_in_connection("local = \"not-an-address\"\n", "local");
}

}  // namespace
}  // namespace merlon::control
