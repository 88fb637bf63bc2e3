#include "ike/counters.h"

#include <fmt/core.h>

#include "wire/ike/notify_type.h"

namespace merlon::ike {

namespace {

constexpr std::array<std::string_view, kCounterCount> kNames = {
    "messages_sent",
    "messages_received",
    "retransmissions_sent",
    "duplicates_answered",
    "duplicates_ignored",
    "drop_malformed",
    "drop_version",
    "drop_bad_icv",
    "drop_malformed_content",
    "drop_unknown_spi",
    "drop_wrong_phase",
    "drop_window",
    "drop_unprotected",
    "drop_unsupported_critical",
    "drop_ike_sa_limit",
    "drop_half_open_total",
    "drop_half_open_per_source",
    "drop_no_connection",
    "cookies_sent",
    "cookies_verified",
    "cookies_rejected",
    "cookies_returned",
    "invalid_ke_sent",
    "invalid_ke_retries",
    "candidates_kept",
    "candidates_discarded",
    "unprotected_errors_delayed",
    "fragments_sent",
    "fragments_received",
    "fragments_reassembled",
    "fragments_dropped",
    "ike_sas_established",
    "ike_sas_rekeyed",
    "ike_sas_closed",
    "child_sas_established",
    "child_sas_rekeyed",
    "child_sas_closed",
    "ike_deletes_sent",
    "ike_deletes_received",
    "child_deletes_sent",
    "child_deletes_received",
    "liveness_checks",
    "liveness_failures",
    "keepalives_sent",
    "authentication_failures",
    "initial_contacts_received",
    "peers_moved",
    "drop_memory_limit",
    "peer_certificates_ended",
    "reauthentications",
    "lost_child_sas_heard",
};
static_assert(!kNames.back().empty(), "a name is missing");

// The metrics' names, "ike_" before each counter's, made once since samples only view them.
const std::array<std::string, kCounterCount>& metric_names() {
  static const std::array<std::string, kCounterCount> names = [] {
    std::array<std::string, kCounterCount> made;
    for (std::size_t i = 0; i < kCounterCount; ++i) made[i] = fmt::format("ike_{}", kNames[i]);
    return made;
  }();
  return names;
}

template <class Enum>
Enum as(std::size_t value) {
  return static_cast<Enum>(value);
}

}  // namespace

std::string_view name(Counter counter) {
  const auto index = static_cast<std::size_t>(counter);
  return index < kCounterCount ? kNames[index] : "unknown";
}

std::string_view name(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::kIkeSaInit:
      return "IKE_SA_INIT";
    case ExchangeKind::kIkeAuth:
      return "IKE_AUTH";
    case ExchangeKind::kCreateChild:
      return "CREATE_CHILD_SA";
    case ExchangeKind::kRekeyChild:
      return "CREATE_CHILD_SA rekey of a Child SA";
    case ExchangeKind::kRekeyIkeSa:
      return "CREATE_CHILD_SA rekey of the IKE SA";
    case ExchangeKind::kDelete:
      return "INFORMATIONAL delete";
    case ExchangeKind::kLiveness:
      return "INFORMATIONAL liveness";
    case ExchangeKind::kOtherInformational:
      return "INFORMATIONAL";
    case ExchangeKind::kCount:
      break;
  }
  return "unknown";
}

std::string_view name(ExchangeRole role) {
  return role == ExchangeRole::kInitiator ? "initiator" : "responder";
}

std::string_view name(ExchangeResult result) {
  switch (result) {
    case ExchangeResult::kOk:
      return "ok";
    case ExchangeResult::kRefusedByPeer:
      return "refused by peer";
    case ExchangeResult::kRefusedByUs:
      return "refused by us";
    case ExchangeResult::kTimeout:
      return "timeout";
    case ExchangeResult::kProtocolError:
      return "protocol error";
    case ExchangeResult::kCount:
      break;
  }
  return "unknown";
}

void Counters::add_notify(NotifyCounts& counts, std::uint16_t type, std::uint64_t count) {
  const auto at = counts.find(type);
  if (at != counts.end()) {
    at->second += count;
    return;
  }
  counts[counts.size() < kMaxNotifyTypes ? type : std::uint16_t{0}] += count;
}

std::uint64_t Counters::find(const NotifyCounts& counts, std::uint16_t type) {
  const auto at = counts.find(type);
  return at == counts.end() ? 0 : at->second;
}

void Counters::merge(const Counters& from) {
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += from.values_[i];
  for (std::size_t i = 0; i < exchanges_.size(); ++i) exchanges_[i] += from.exchanges_[i];
  for (std::size_t i = 0; i < collisions_.size(); ++i) collisions_[i] += from.collisions_[i];
  for (std::size_t i = 0; i < rare_paths_.size(); ++i) rare_paths_[i] += from.rare_paths_[i];
  for (const auto& [type, count] : from.notifies_sent_) add_notify(notifies_sent_, type, count);
  for (const auto& [type, count] : from.notifies_received_) add_notify(notifies_received_, type, count);
}

void Counters::for_each(const std::function<void(const CounterSample&)>& visit) const {
  for (std::size_t i = 0; i < kCounterCount; ++i) visit({metric_names()[i], {}, values_[i]});

  for (std::size_t k = 0; k < static_cast<std::size_t>(ExchangeKind::kCount); ++k)
    for (std::size_t r = 0; r < kRoles; ++r)
      for (std::size_t e = 0; e < kResults; ++e) {
        const auto kind = as<ExchangeKind>(k);
        const auto role = as<ExchangeRole>(r);
        const auto result = as<ExchangeResult>(e);
        if (const auto count = value(kind, role, result); count != 0)
          visit({"ike_exchanges",
                 {{"kind", std::string(name(kind))},
                  {"role", std::string(name(role))},
                  {"result", std::string(name(result))}},
                 count});
      }

  const auto visit_notifies = [&](const NotifyCounts& counts, const char* direction) {
    for (const auto& [type, count] : counts)
      visit({"ike_notifies",
             {{"direction", direction}, {"type", wire::name(static_cast<wire::NotifyType>(type))}},
             count});
  };
  visit_notifies(notifies_sent_, "sent");
  visit_notifies(notifies_received_, "received");

  for (std::size_t row = 0; row < collisions_.size(); ++row)
    if (collisions_[row] != 0) visit({"ike_collisions", {{"row", fmt::format("{}", row)}}, collisions_[row]});
  for (std::size_t path = 0; path < rare_paths_.size(); ++path)
    if (rare_paths_[path] != 0)
      visit({"ike_rare_paths", {{"path", std::string(name(as<RarePath>(path)))}}, rare_paths_[path]});
}

}  // namespace merlon::ike
