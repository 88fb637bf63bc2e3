#include "policy/pad.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace merlon::policy {
namespace {

constexpr std::size_t kShown = 10;  // words of a list in a sentence

PadFit fit_of_address(const std::string& configured, const IpAddress& address, const PadHelpers& helpers) {
  if (configured == "any" || configured == "%any") return PadFit::kAny;
  if (const auto literal = IpAddress::parse(configured))
    return *literal == address ? PadFit::kExact : PadFit::kNone;
  if (const auto prefix = IpPrefix::parse(configured)) {
    if (!prefix->contains(address)) return PadFit::kNone;
    return prefix->length == address.bit_width() ? PadFit::kExact : PadFit::kPrefix;
  }
  // A name that does not resolve just now says nothing about the address: the identity decides.
  const auto resolved = helpers.resolve ? helpers.resolve(configured) : std::vector<IpAddress>{};
  if (resolved.empty()) return PadFit::kUnresolvedName;
  return std::ranges::find(resolved, address) != resolved.end() ? PadFit::kExact : PadFit::kNone;
}

PadFit fit_of_addresses(const std::vector<std::string>& configured, const IpAddress& address,
                        const PadHelpers& helpers) {
  if (configured.empty()) return PadFit::kAny;
  PadFit best = PadFit::kNone;
  for (const std::string& one : configured) best = std::max(best, fit_of_address(one, address, helpers));
  return best;
}

PadFit fit_of_remote_id(const Connection& connection, const std::optional<Identity>& id,
                        const PadHelpers& helpers) {
  if (!id) return PadFit::kAny;  // not known yet
  if (connection.remote_auth.empty()) return PadFit::kNone;
  const RemoteAuth& auth = connection.remote_auth.front();
  if (auth.id) return *auth.id == *id ? PadFit::kExact : PadFit::kNone;
  if (!auth.id_pattern.empty())
    return helpers.pattern_matches && helpers.pattern_matches(auth.id_pattern, *id) ? PadFit::kPattern
                                                                                    : PadFit::kNone;
  return PadFit::kAny;
}

PadFit fit_of_local_id(const Connection& connection, const std::optional<Identity>& id) {
  if (!id) return PadFit::kAny;  // the initiator takes whoever answers
  if (connection.local_auth.empty()) return PadFit::kNone;
  const LocalAuth& auth = connection.local_auth.front();
  if (auth.id.data.empty()) return PadFit::kAny;  // derived later, from a certificate or the address
  return auth.id == *id ? PadFit::kExact : PadFit::kNone;
}

bool can_answer(const Connection& connection, const PadQuery& query) {
  return connection.ike_version == query.ike_version &&
         std::ranges::any_of(connection.children,
                             [](const ChildConfig& child) { return child.action == ChildAction::kProtect; });
}

PadCandidate judge(const ConnectionPtr& connection, const PadQuery& query, const PadHelpers& helpers) {
  return {connection, fit_of_remote_id(*connection, query.remote_id, helpers),
          fit_of_local_id(*connection, query.local_id),
          fit_of_addresses(connection->remote_addresses, query.remote_address, helpers),
          fit_of_addresses(connection->local_addresses, query.local_address, helpers)};
}

bool is_complete(const PadCandidate& candidate) {
  return candidate.remote_id != PadFit::kNone && candidate.local_id != PadFit::kNone &&
         candidate.remote_address != PadFit::kNone && candidate.local_address != PadFit::kNone;
}

std::string remote_id_text(const Connection& connection) {
  if (connection.remote_auth.empty()) return "nobody";
  const RemoteAuth& auth = connection.remote_auth.front();
  if (auth.id) return fmt::format("'{}'", auth.id_text.empty() ? auth.id->to_string() : auth.id_text);
  return auth.id_pattern.empty() ? "any identity" : fmt::format("'{}'", auth.id_pattern);
}

std::string local_id_text(const Connection& connection) {
  if (connection.local_auth.empty()) return "nobody";
  const LocalAuth& auth = connection.local_auth.front();
  return fmt::format("'{}'", auth.id_text.empty() ? auth.id.to_string() : auth.id_text);
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < std::min(kShown, words.size()); ++i) out += (i == 0 ? "" : ", ") + words[i];
  if (words.size() > kShown) out += fmt::format(" and {} more", words.size() - kShown);
  return out;
}

std::string addresses_text(const std::vector<std::string>& addresses) {
  return addresses.empty() ? "any address" : listed(addresses);
}

// "(connection 'office', merlon.toml:12)"
std::string where(const Connection& connection) {
  return fmt::format("({}{}{})", connection.name, connection.source.empty() ? "" : ", ", connection.source);
}

std::string explain_ids(const std::vector<PadCandidate>& by_address, const PadQuery& query) {
  std::vector<std::string> remote_ids;
  std::vector<std::string> local_ids;
  for (const PadCandidate& candidate : by_address) {
    const Connection& connection = *candidate.connection;
    if (candidate.remote_id == PadFit::kNone) {
      remote_ids.push_back(fmt::format("{} {}", remote_id_text(connection), where(connection)));
    } else {
      local_ids.push_back(fmt::format("{} {}", local_id_text(connection), where(connection)));
    }
  }
  if (!local_ids.empty())
    return fmt::format(
        "the peer '{}' from {} asks for our identity '{}', but we are {}; change the local id on this side "
        "or the remote id on the peer's",
        query.remote_id ? query.remote_id->to_string() : "?", query.remote_address,
        query.local_id ? query.local_id->to_string() : "?", listed(local_ids));
  return fmt::format(
      "no connection accepts identity '{}' from {}; configured remote ids are {}; change the remote id on "
      "this side or the local id on the peer's",
      query.remote_id ? query.remote_id->to_string() : "?", query.remote_address, listed(remote_ids));
}

}  // namespace

std::vector<PadCandidate> find_connections(std::span<const ConnectionPtr> connections, const PadQuery& query,
                                           const PadHelpers& helpers) {
  std::vector<PadCandidate> out;
  for (const ConnectionPtr& connection : connections) {
    if (!can_answer(*connection, query)) continue;
    PadCandidate candidate = judge(connection, query, helpers);
    if (is_complete(candidate)) out.push_back(std::move(candidate));
  }
  std::ranges::stable_sort(out, std::ranges::greater{}, [](const PadCandidate& candidate) {
    return std::tuple(candidate.remote_id, candidate.local_id, candidate.remote_address,
                      candidate.local_address);
  });
  return out;
}

std::string explain_no_connection(std::span<const ConnectionPtr> connections, const PadQuery& query,
                                  const PadHelpers& helpers) {
  std::vector<PadCandidate> by_address;
  std::vector<std::string> elsewhere;
  bool is_known_elsewhere = false;
  std::size_t usable = 0;
  for (const ConnectionPtr& connection : connections) {
    if (!can_answer(*connection, query)) continue;
    ++usable;
    PadCandidate candidate = judge(connection, query, helpers);
    if (candidate.remote_address != PadFit::kNone && candidate.local_address != PadFit::kNone) {
      if (!is_complete(candidate)) by_address.push_back(std::move(candidate));
    } else if (candidate.remote_id != PadFit::kNone) {
      // Who is known by name is more likely meant than a connection that takes anybody.
      is_known_elsewhere = is_known_elsewhere || candidate.remote_id != PadFit::kAny;
      elsewhere.push_back(fmt::format("{} to {} {}", addresses_text(connection->remote_addresses),
                                      addresses_text(connection->local_addresses), where(*connection)));
    }
  }
  if (usable == 0)
    return fmt::format("no connection is configured for IKEv{} peers such as {}", query.ike_version,
                       query.remote_address);
  const std::string who = query.remote_id ? fmt::format("identity '{}' ", query.remote_id->to_string()) : "";
  if (!by_address.empty() && !is_known_elsewhere) return explain_ids(by_address, query);
  if (!elsewhere.empty())
    return fmt::format(
        "no connection accepts {}from {} to {}; it would be accepted from {}; change remote_addresses or "
        "local_addresses on this side",
        who, query.remote_address, query.local_address, listed(elsewhere));
  return fmt::format("no connection accepts {}from {} to {}", who, query.remote_address, query.local_address);
}

}  // namespace merlon::policy
