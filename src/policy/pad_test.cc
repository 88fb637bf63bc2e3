#include "policy/pad.h"

#include <memory>

#include "policy/test_support.h"

namespace merlon::policy {
namespace {

using test::ip;

Identity id(const std::string& text) {
  const auto parsed = Identity::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(Identity{});
}

struct Given {
  std::string name, remote_id, local_id = "a.example.com";
  std::vector<std::string> remote_addresses = {}, local_addresses = {};
};

ConnectionPtr connection(const Given& given) {
  auto out = std::make_shared<Connection>();
  out->name = given.name;
  out->source = "merlon.toml:" + std::to_string(given.name.size());
  out->remote_addresses = given.remote_addresses;
  out->local_addresses = given.local_addresses;
  LocalAuth local;
  local.id_text = given.local_id;
  if (!given.local_id.empty()) local.id = id(given.local_id);
  out->local_auth.push_back(local);
  RemoteAuth remote;
  remote.id_text = given.remote_id;
  if (given.remote_id.find('*') != std::string::npos) {
    remote.id_pattern = given.remote_id;
  } else if (!given.remote_id.empty() && given.remote_id != "%any") {
    remote.id = id(given.remote_id);
  }
  out->remote_auth.push_back(remote);
  out->children.emplace_back().name = "net";
  return out;
}

PadQuery query(const std::string& address, const std::string& remote_id, const std::string& local_id = "") {
  PadQuery out{.remote_address = ip(address),
               .local_address = ip("198.51.100.1"),
               .remote_id = std::nullopt,
               .local_id = std::nullopt};
  if (!remote_id.empty()) out.remote_id = id(remote_id);
  if (!local_id.empty()) out.local_id = id(local_id);
  return out;
}

std::string names(const std::vector<PadCandidate>& candidates) {
  std::string out;
  for (const PadCandidate& candidate : candidates)
    out += (out.empty() ? "" : " ") + candidate.connection->name;
  return out;
}

TEST(Pad, ExactIdentityBeforePatternBeforeAny) {
  const std::vector<ConnectionPtr> connections = {
      connection({.name = "any", .remote_id = "%any", .remote_addresses = {}, .local_addresses = {}}),
      connection(
          {.name = "pattern", .remote_id = "*.example.com", .remote_addresses = {}, .local_addresses = {}}),
      connection(
          {.name = "exact", .remote_id = "b.example.com", .remote_addresses = {}, .local_addresses = {}}),
      connection(
          {.name = "other", .remote_id = "c.example.com", .remote_addresses = {}, .local_addresses = {}})};
  PadHelpers helpers;
  helpers.pattern_matches = [](std::string_view pattern, const Identity& identity) {
    return as_text(identity.data).ends_with(pattern.substr(1));
  };
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "b.example.com"), helpers)),
            "exact pattern any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "B.EXAMPLE.com"), helpers)), "exact any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "b.example.com"))), "exact any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "bob@example.net"), helpers)), "any");
  // The type counts: the same text as a key id is somebody else.
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "keyid:b.example.com"))), "any");
}

TEST(Pad, AddressBeforePrefixBeforeAny) {
  const std::vector<ConnectionPtr> connections = {
      connection({.name = "any", .remote_id = "", .remote_addresses = {}, .local_addresses = {}}),
      connection(
          {.name = "prefix", .remote_id = "", .remote_addresses = {"192.0.2.0/24"}, .local_addresses = {}}),
      connection({.name = "address",
                  .remote_id = "",
                  .remote_addresses = {"203.0.113.1", "192.0.2.7"},
                  .local_addresses = {}}),
      connection({.name = "elsewhere",
                  .remote_id = "",
                  .remote_addresses = {"203.0.113.1"},
                  .local_addresses = {}})};
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", ""))), "address prefix any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.8", "x.example.com"))), "prefix any");
  EXPECT_EQ(names(find_connections(connections, query("203.0.113.1", ""))), "address elsewhere any");
  EXPECT_EQ(names(find_connections(connections, query("2001:db8::1", ""))), "any");
}

TEST(Pad, IdentityWeighsMoreThanAddress) {
  const std::vector<ConnectionPtr> connections = {
      connection(
          {.name = "here", .remote_id = "%any", .remote_addresses = {"192.0.2.7"}, .local_addresses = {}}),
      connection(
          {.name = "known", .remote_id = "b.example.com", .remote_addresses = {}, .local_addresses = {}})};
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "b.example.com"))), "known here");
}

TEST(Pad, HostNames) {
  const std::vector<ConnectionPtr> connections = {
      connection(
          {.name = "named", .remote_id = "", .remote_addresses = {"gw.example.net"}, .local_addresses = {}}),
      connection({.name = "any", .remote_id = "", .remote_addresses = {}, .local_addresses = {}})};
  PadHelpers helpers;
  helpers.resolve = [](std::string_view) { return std::vector{ip("192.0.2.7")}; };
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", ""), helpers)), "named any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.8", ""), helpers)), "any");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.8", ""))),
            "named any");  // not resolved: the identity decides
}

TEST(Pad, LocalSide) {
  const std::vector<ConnectionPtr> connections = {
      connection({.name = "one",
                  .remote_id = "",
                  .local_id = "one.example.com",
                  .remote_addresses = {},
                  .local_addresses = {"198.51.100.9"}}),
      connection({.name = "two",
                  .remote_id = "",
                  .local_id = "two.example.com",
                  .remote_addresses = {},
                  .local_addresses = {"198.51.100.1"}}),
      connection(
          {.name = "unset", .remote_id = "", .local_id = "", .remote_addresses = {}, .local_addresses = {}})};
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "x"))), "two unset");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "x", "two.example.com"))), "two unset");
  EXPECT_EQ(names(find_connections(connections, query("192.0.2.7", "x", "three.example.com"))), "unset");
}

TEST(Pad, OnlyConnectionsThatCanAnswer) {
  auto old_version = std::make_shared<Connection>(
      *connection({.name = "v1", .remote_id = "", .remote_addresses = {}, .local_addresses = {}}));
  old_version->ike_version = 1;
  auto policies = std::make_shared<Connection>(
      *connection({.name = "(policy)", .remote_id = "", .remote_addresses = {}, .local_addresses = {}}));
  policies->children[0].action = ChildAction::kBypass;
  const std::vector<ConnectionPtr> connections = {old_version, policies};
  EXPECT_TRUE(find_connections(connections, query("192.0.2.7", "x")).empty());
  EXPECT_NE(explain_no_connection(connections, query("192.0.2.7", "x"))
                .find("no connection is configured for IKEv2 peers"),
            std::string::npos);
}

TEST(Pad, Explains) {
  const std::vector<ConnectionPtr> connections = {connection({.name = "office",
                                                              .remote_id = "b.example.com",
                                                              .remote_addresses = {"192.0.2.7"},
                                                              .local_addresses = {}}),
                                                  connection({.name = "home",
                                                              .remote_id = "h.example.com",
                                                              .remote_addresses = {"203.0.113.1"},
                                                              .local_addresses = {}})};
  EXPECT_EQ(explain_no_connection(connections, query("192.0.2.7", "x.example.com")),
            "no connection accepts identity 'x.example.com' from 192.0.2.7; configured remote ids are "
            "'b.example.com' (office, merlon.toml:6); "
            "change the remote id on this side or the local id on the peer's");
  const std::string address = explain_no_connection(connections, query("192.0.2.99", "h.example.com"));
  EXPECT_NE(address.find("it would be accepted from 203.0.113.1 to any address (home, merlon.toml:4)"),
            std::string::npos)
      << address;
  const std::string local =
      explain_no_connection(connections, query("192.0.2.7", "b.example.com", "z.example.com"));
  EXPECT_NE(local.find("asks for our identity 'z.example.com', but we are 'a.example.com' (office"),
            std::string::npos)
      << local;
  const std::string before_id = explain_no_connection(connections, query("192.0.2.99", ""));
  EXPECT_NE(before_id.find("from 192.0.2.99 to 198.51.100.1"), std::string::npos) << before_id;
  EXPECT_NE(explain_no_connection({}, query("192.0.2.99", "")).find("no connection is configured"),
            std::string::npos);
  // What a peer writes into its identity prints escaped.
  PadQuery hostile = query("192.0.2.7", "x");
  hostile.remote_id->data = {'a', '\n', 0x1b};
  EXPECT_EQ(explain_no_connection(connections, hostile).find('\n'), std::string::npos);
}

TEST(ExplainNoConnection, WhenOnlyTheWholeOfItFits) {
  const std::vector<ConnectionPtr> one = {
      connection({.name = "office", .remote_id = "%any", .remote_addresses = {"192.0.2.1"}})};
  // Whoever it is, and from wherever: nothing of it is known here.
  auto other = query("203.0.113.9", "");
  other.local_id = id("nobody.example.com");
  const auto text = explain_no_connection(one, other);
  EXPECT_NE(text.find("203.0.113.9"), std::string::npos) << text;
  // Somebody whose identity would do, if only he had asked for us.
  const auto wrong_us = explain_no_connection(one, query("192.0.2.1", "b.example.com", "z.example.com"));
  EXPECT_NE(wrong_us.find("z.example.com"), std::string::npos) << wrong_us;
}
TEST(ExplainNoConnection, WhereNobodyHasTheIdentityAndNobodyTheAddress) {
  const std::vector<ConnectionPtr> one = {
      connection({.name = "office", .remote_id = "b.example.com", .remote_addresses = {"192.0.2.1"}})};
  EXPECT_EQ(explain_no_connection(one, query("203.0.113.9", "c.example.com")),
            "no connection accepts identity 'c.example.com' from 203.0.113.9 to 198.51.100.1");
}

TEST(ExplainNoConnection, SaysThePatternThatDoesNotFit) {
  const std::vector<ConnectionPtr> one = {
      connection({.name = "office", .remote_id = "CN=*.example.com", .remote_addresses = {"203.0.113.9"}})};
  const auto text = explain_no_connection(one, query("203.0.113.9", "c.example.com"));
  EXPECT_NE(text.find("'CN=*.example.com'"), std::string::npos) << text;
}

}  // namespace
}  // namespace merlon::policy
