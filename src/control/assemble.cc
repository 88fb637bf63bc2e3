#include "control/assemble.h"

#include <algorithm>

namespace merlon::control {
namespace {

using policy::AuthKind;
using policy::ChildAction;
using policy::ChildConfig;
using policy::StartMode;
using std::chrono::seconds;
using Problems = std::vector<std::string>;

// A limit that no key gave: it follows from the soft one.
constexpr seconds kFollows{-1};

// One spelling serves both sides; the keys that are there tell which kind is meant.
void settle_auth(ConnectionDraft& draft) {
  policy::LocalAuth& local = draft.local_auth;
  policy::RemoteAuth& remote = draft.remote_auth;
  const bool psk = !local.psk.empty() || !local.psk_file.empty();
  if (local.kind == AuthKind::kNull)
    local.kind = psk                               ? AuthKind::kPsk
                 : !local.certificate_file.empty() ? AuthKind::kCertificate
                                                   : AuthKind::kRawPublicKey;
  if (remote.kind == AuthKind::kNull)
    remote.kind = !remote.public_keys.empty() ? AuthKind::kRawPublicKey
                  : psk                       ? AuthKind::kPsk
                                              : AuthKind::kCertificate;
}

void check_local_auth(const policy::LocalAuth& local, std::size_t local_addresses, Problems& problems) {
  switch (local.kind) {
    case AuthKind::kPsk:
      if (local.psk.empty() && local.psk_file.empty())
        problems.emplace_back("local_auth = \"psk\" needs psk or psk_file");
      if (!local.certificate_file.empty())
        problems.emplace_back("certificate is given, but local_auth = \"psk\" does not use it");
      if (!local.private_key_file.empty())
        problems.emplace_back("private_key is given, but local_auth = \"psk\" does not use it");
      // Nothing else tells what this side is called; the address that a route would choose is not known here.
      if (local.id_text.empty() && local_addresses != 1)
        problems.emplace_back(
            "local_id is missing: a pre-shared key has no name of its own, and there is not exactly one "
            "address in local");
      break;
    case AuthKind::kCertificate:
      if (local.certificate_file.empty())
        problems.emplace_back("local_auth = \"certificate\" needs certificate");
      if (local.private_key_file.empty())
        problems.emplace_back("local_auth = \"certificate\" needs private_key");
      break;
    default:
      if (local.private_key_file.empty())
        problems.emplace_back(
            "nothing says how this side proves who it is: expected psk, or certificate and private_key, or "
            "private_key alone");
      if (!local.certificate_file.empty())
        problems.emplace_back("certificate is given, but local_auth = \"public-key\" does not use it");
      if (local.id_text.empty())
        problems.emplace_back("local_id is missing: a raw public key has no name of its own");
  }
}

void check_remote_auth(const policy::RemoteAuth& remote, const DaemonConfig& daemon, Problems& problems) {
  switch (remote.kind) {
    case AuthKind::kPsk:
      if (remote.psk.empty() && remote.psk_file.empty())
        problems.emplace_back("remote_auth = \"psk\" needs psk or psk_file");
      break;
    case AuthKind::kCertificate:
      if (remote.ca_files.empty() && daemon.ca_files.empty())
        problems.emplace_back("remote_auth = \"certificate\" needs ca, here or in [daemon]");
      if (remote.id_text.empty())
        problems.emplace_back(
            "remote_id is missing: without it every certificate of the CA would be accepted; \"%any\" says "
            "that on purpose");
      break;
    default:
      if (remote.public_keys.empty())
        problems.emplace_back("remote_auth = \"public-key\" needs remote_public_key");
  }
  if (remote.kind != AuthKind::kRawPublicKey && !remote.public_keys.empty())
    problems.emplace_back("remote_public_key is given, but remote_auth does not use it");
  if (remote.kind != AuthKind::kCertificate && !remote.ca_files.empty())
    problems.emplace_back("ca is given, but remote_auth does not use it");
}

void check_psk(const ConnectionDraft& draft, Problems& problems) {
  const policy::LocalAuth& local = draft.local_auth;
  if (!local.psk.empty() && !local.psk_file.empty())
    problems.emplace_back("psk and psk_file contradict each other: keep one");
  const bool given = !local.psk.empty() || !local.psk_file.empty();
  if (given && local.kind != AuthKind::kPsk && draft.remote_auth.kind != AuthKind::kPsk)
    problems.emplace_back("a pre-shared key is given, but neither local_auth nor remote_auth is \"psk\"");
}

void check_addresses(const policy::Connection& connection, Problems& problems) {
  const auto callable = [](const std::string& text) {
    if (text == "any" || text == "%any") return false;
    if (const auto address = IpAddress::parse(text)) return !address->is_unspecified();
    return !IpPrefix::parse(text);
  };
  const bool can_initiate = std::ranges::any_of(connection.remote_addresses, callable);
  if (connection.start != StartMode::kWait && !can_initiate)
    problems.emplace_back(
        "start = \"always\" and \"on-traffic\" need an address or a name in remote; use start = \"wait\" to "
        "only answer");
  const auto family_of = [](const std::string& text) -> std::optional<IpFamily> {
    const auto prefix = IpPrefix::parse(text);
    return prefix ? std::optional(prefix->address.family()) : std::nullopt;
  };
  const auto fits = [&](const std::string& remote) {
    const auto family = family_of(remote);
    return !family || std::ranges::any_of(connection.local_addresses,
                                          [&](const auto& text) { return family_of(text) == family; });
  };
  if (!connection.local_addresses.empty() && !connection.remote_addresses.empty() &&
      std::ranges::none_of(connection.remote_addresses, fits))
    problems.emplace_back("no address in remote is of the same family (IPv4 or IPv6) as one in local");
}

void check_timing(const policy::Connection& connection, Problems& problems) {
  if (connection.backoff_initial.count() < 1) problems.emplace_back("backoff_initial must be at least 1s");
  if (connection.backoff_max < connection.backoff_initial)
    problems.emplace_back("backoff_max must not be smaller than backoff_initial");
  if (connection.retransmit_initial < std::chrono::milliseconds(100))
    problems.emplace_back("retransmit_initial must be at least 100ms");
  if (connection.retransmit_max < connection.retransmit_initial)
    problems.emplace_back("retransmit_max must not be smaller than retransmit_initial");
}

void check_lifetime(const std::string& where, const policy::SaLifetime& lifetime, Problems& problems) {
  const auto over = [](auto soft, auto hard) {
    return soft != decltype(soft){} && hard != decltype(hard){} && soft >= hard;
  };
  if (over(lifetime.soft, lifetime.hard))
    problems.push_back(where + "lifetime_soft must be smaller than lifetime_hard");
  if (over(lifetime.soft_bytes, lifetime.hard_bytes))
    problems.push_back(where + "lifetime_soft_bytes must be smaller than lifetime_hard_bytes");
  if (over(lifetime.soft_packets, lifetime.hard_packets))
    problems.push_back(where + "lifetime_soft_packets must be smaller than lifetime_hard_packets");
  if (lifetime.soft.count() != 0 && lifetime.jitter >= lifetime.soft)
    problems.push_back(where + "lifetime_jitter must be smaller than lifetime_soft");
}

void check_child(const ChildConfig& child, Problems& problems) {
  const std::string where = fmt::format("child \"{}\": ", child.name);
  if (child.local_ts.empty()) problems.push_back(where + "local_ts is missing");
  if (child.remote_ts.empty()) problems.push_back(where + "remote_ts is missing");
  if (!child.local_ts.empty() && !child.remote_ts.empty() && !can_match(child))
    problems.push_back(
        where + "no packet can match: local_ts and remote_ts have no address family and protocol in common");
  if (child.action == ChildAction::kProtect) check_lifetime(where, child.lifetime, problems);
}

// RFC 8221 and RFC 8247: what MUST NOT be used is refused; what SHOULD NOT be is a warning.
void check_not_forbidden(const policy::Connection& connection, Problems& problems) {
  const auto look = [&](const std::string& where, const policy::Proposals& proposals) {
    for (const policy::Proposal& proposal : proposals)
      for (const policy::WeakTransform& weak : policy::weak_transforms(proposal))
        if (weak.weakness == policy::Weakness::kMustNot) problems.push_back(where + weak.reason);
  };
  look("ike_proposals: ", connection.ike_proposals);
  for (const ChildConfig& child : connection.children)
    look(fmt::format("child \"{}\": ", child.name), child.proposals);
}

// `part`: the hard limit is the soft one and this part of it.
void settle_lifetime(policy::SaLifetime& lifetime, int part) {
  if (lifetime.hard == kFollows) lifetime.hard = lifetime.soft + lifetime.soft / part;
  if (lifetime.jitter == kFollows) lifetime.jitter = lifetime.soft / 10;
}

void settle_children(ConnectionDraft& draft) {
  for (ChildConfig& child : draft.connection.children) {
    if (child.proposals.empty()) child.proposals = policy::default_esp_proposals();
    settle_lifetime(child.lifetime, 6);
  }
  const auto some_start = [&](StartMode mode) {
    return std::ranges::any_of(draft.connection.children, [mode](const ChildConfig& child) {
      return child.action == ChildAction::kProtect && child.start == mode;
    });
  };
  // The connection starts as eagerly as its most eager child.
  draft.connection.start = StartMode::kWait;
  if (some_start(StartMode::kOnTraffic)) draft.connection.start = StartMode::kOnTraffic;
  if (some_start(StartMode::kAlways)) draft.connection.start = StartMode::kAlways;
}

}  // namespace

ConnectionDraft new_draft() {
  ConnectionDraft draft;
  draft.local_auth.kind = AuthKind::kNull;  // none chosen yet
  draft.remote_auth.kind = AuthKind::kNull;
  policy::SaLifetime& ike = draft.connection.ike_lifetime;
  ike.soft = std::chrono::hours(8);
  ike.hard = ike.jitter = kFollows;
  policy::SaLifetime& child = draft.child_defaults.lifetime;
  child.soft = std::chrono::minutes(60);
  child.hard = child.jitter = kFollows;
  return draft;
}

std::vector<std::string> check_daemon(const DaemonConfig& daemon) {
  Problems problems;
  if (daemon.ike_port == daemon.natt_port) problems.emplace_back("ike_port and natt_port must differ");
  return problems;
}

std::vector<std::string> warnings_of(const DaemonConfig& daemon) {
  std::vector<std::string> out;
  const std::string& listen = daemon.metrics_listen;
  if (!listen.empty() && !listen.starts_with("127.") && !listen.starts_with("[::1]:") &&
      !listen.starts_with("::1:"))
    out.push_back(fmt::format(
        "metrics_listen: {} can be reached by others, who learn the tunnels' names and traffic", listen));
  if (daemon.sequence_limit != 0)
    out.emplace_back("sequence_limit is for tests: tunnels rekey much too often");
  return out;
}

bool can_match(const ChildConfig& child) {
  const auto fits = [](const policy::TrafficSelector& local, const policy::TrafficSelector& remote) {
    return local.start_address.family() == remote.start_address.family() &&
           (local.protocol == 0 || remote.protocol == 0 || local.protocol == remote.protocol);
  };
  for (const auto& local : child.local_ts)
    for (const auto& remote : child.remote_ts)
      if (fits(local, remote)) return true;
  return false;
}

std::vector<std::string> check_connection(ConnectionDraft& draft, const DaemonConfig& daemon) {
  Problems problems;
  policy::Connection& connection = draft.connection;
  settle_auth(draft);
  settle_children(draft);
  settle_lifetime(connection.ike_lifetime, 8);
  if (connection.ike_proposals.empty()) connection.ike_proposals = policy::default_ike_proposals();
  check_local_auth(draft.local_auth, connection.local_addresses.size(), problems);
  check_psk(draft, problems);
  check_remote_auth(draft.remote_auth, daemon, problems);
  check_not_forbidden(connection, problems);
  check_lifetime("ike_", connection.ike_lifetime, problems);
  if (connection.children.empty())
    problems.emplace_back("no child and no local_ts and remote_ts: nothing would be protected");
  for (const ChildConfig& child : connection.children) check_child(child, problems);
  check_addresses(connection, problems);
  check_timing(connection, problems);
  return problems;
}

std::vector<std::string> warnings_of(const policy::Connection& connection) {
  std::vector<std::string> out;
  const auto look = [&](const std::string& where, const policy::Proposals& proposals) {
    for (const policy::Proposal& proposal : proposals)
      for (const policy::WeakTransform& weak : policy::weak_transforms(proposal))
        if (const std::string text = where + weak.reason; std::ranges::count(out, text) == 0)
          out.push_back(text);
  };
  look("ike_proposals: ", connection.ike_proposals);
  for (const ChildConfig& child : connection.children)
    look(fmt::format("child \"{}\": esp_proposals: ", child.name), child.proposals);
  return out;
}

policy::ConnectionPtr assemble(ConnectionDraft draft) {
  auto connection = std::make_shared<policy::Connection>(std::move(draft.connection));
  connection->local_auth.push_back(std::move(draft.local_auth));
  connection->remote_auth.push_back(std::move(draft.remote_auth));
  return connection;
}

void add_policy(Config& config, policy::ChildConfig entry, std::string source) {
  const auto at = std::ranges::find(config.connections, kPolicyConnection,
                                    [](const auto& c) { return std::string_view(c->name); });
  auto connection = std::make_shared<policy::Connection>();
  if (at != config.connections.end()) {
    *connection = **at;
    config.connections.erase(at);
  } else {
    connection->name = kPolicyConnection;
    connection->start = policy::StartMode::kWait;
    connection->source = std::move(source);
  }
  entry.name = fmt::format("policy-{}", connection->children.size() + 1);
  entry.start = policy::StartMode::kWait;
  connection->children.push_back(std::move(entry));
  // First, so that policies come before children of the same priority.
  config.connections.insert(config.connections.begin(), std::move(connection));
}

}  // namespace merlon::control
