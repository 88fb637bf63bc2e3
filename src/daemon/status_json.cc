#include "daemon/status_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/config.h"
#include "daemon/event_json.h"
#include "pki/certificate.h"

namespace merlon::daemon {
namespace {

using nlohmann::json;

const char* name(policy::StartMode mode) {
  switch (mode) {
    case policy::StartMode::kAlways:
      return "always";
    case policy::StartMode::kOnTraffic:
      return "on-traffic";
    default:
      return "wait";
  }
}
const char* name(policy::ChildAction action) {
  switch (action) {
    case policy::ChildAction::kProtect:
      return "protect";
    case policy::ChildAction::kBypass:
      return "bypass";
    default:
      return "discard";
  }
}

class Builder {
 public:
  explicit Builder(const StatusSources& sources) : sources_(sources) {}

  json build() {
    json out{{"connections", json::array()}, {"unconfigured_ike_sas", json::array()}, {"drops", drops()}};
    if (sources_.worker_watch != nullptr) out["workers"] = workers();
    for (const auto& connection : sources_.connections)
      out["connections"].push_back(connection_json(*connection));
    for (const ike::IkeSaStatus& sa : sources_.ike_sas) {
      const bool known =
          std::ranges::any_of(sources_.connections, [&](const auto& c) { return c->name == sa.connection; });
      if (!known) out["unconfigured_ike_sas"].push_back(ike_sa_json(sa));
    }
    return out;
  }

 private:
  json seconds_from_now(Instant at) const {
    if (at == kNever) return nullptr;
    return std::chrono::duration_cast<std::chrono::seconds>(at - sources_.now.monotonic).count();
  }
  json seconds_ago(Instant at) const {
    if (at == kNever || at == Instant{}) return nullptr;
    return std::max<std::int64_t>(
        0, std::chrono::duration_cast<std::chrono::seconds>(sources_.now.monotonic - at).count());
  }

  json connection_json(const policy::Connection& connection) {
    json out{{"name", connection.name},
             {"source", connection.source},
             {"remote", connection.remote_addresses},
             {"start", name(connection.start)},
             {"children", json::array()},
             {"ike_sas", json::array()}};
    for (const policy::ChildConfig& child : connection.children)
      out["children"].push_back({{"name", child.name},
                                 {"action", name(child.action)},
                                 {"start", name(child.start)},
                                 {"local_ts", policy::to_text(child.local_ts)},
                                 {"remote_ts", policy::to_text(child.remote_ts)}});
    for (const ike::IkeSaStatus& sa : sources_.ike_sas)
      if (sa.connection == connection.name) out["ike_sas"].push_back(ike_sa_json(sa));
    for (const ike::SupervisorStatus& supervised : sources_.supervised)
      if (supervised.connection == connection.name) add_supervised(out, supervised);
    return out;
  }

  void add_supervised(json& out, const ike::SupervisorStatus& supervised) {
    out["phase"] = ike::name(supervised.phase);
    out["attempts"] = supervised.attempts;
    out["next_attempt_in_s"] = seconds_from_now(supervised.next_attempt);
    out["children_up"] = supervised.children_up;
    out["children_missing"] = supervised.children_missing;
    if (!supervised.last_error) return;
    out["last_error"] = failure_json(*supervised.last_error);
    out["last_error"]["at"] = supervised.last_error_at.time_since_epoch().count();
    out["last_error"]["over"] = supervised.last_error_is_over;
  }

  json ike_sa_json(const ike::IkeSaStatus& sa) {
    json out{{"spi_i", fmt::format("{}", sa.id.initiator)},
             {"spi_r", fmt::format("{}", sa.id.responder)},
             {"connection", sa.connection},
             {"initiator", sa.initiator},
             {"phase", sa.phase},
             {"local", sa.local.to_string()},
             {"remote", sa.remote.to_string()},
             {"natt", sa.natt},
             {"local_behind_nat", sa.local_behind_nat},
             {"remote_behind_nat", sa.remote_behind_nat},
             {"local_id", sa.local_id},
             {"remote_id", sa.remote_id},
             {"algorithms", sa.algorithms},
             {"age_s", seconds_ago(sa.established)},
             {"rekey_in_s", seconds_from_now(sa.soft_expiry)},
             {"expires_in_s", seconds_from_now(sa.hard_expiry)},
             {"last_heard_s", seconds_ago(sa.last_inbound)},
             {"peer_window", sa.peer_window},
             {"child_sas", json::array()}};
    if (sa.peer_valid_until) out["peer_certificate_until"] = pki::utc_text(*sa.peer_valid_until);
    for (const ike::ChildSaStatus& child : sa.children) out["child_sas"].push_back(child_sa_json(child));
    return out;
  }

  json child_sa_json(const ike::ChildSaStatus& child) {
    json out{{"id", child.id.value},
             {"child", child.child},
             {"spi_in", fmt::format("{}", child.inbound_spi)},
             {"spi_out", fmt::format("{}", child.outbound_spi)},
             {"algorithms", child.algorithms},
             {"local_ts", child.local_ts},
             {"remote_ts", child.remote_ts},
             {"udp_encapsulation", child.udp_encapsulation},
             {"rekeying", child.rekeying},
             {"outbound_in_use", child.outbound_in_use},
             {"age_s", seconds_ago(child.established)},
             {"rekey_in_s", seconds_from_now(child.soft_expiry)},
             {"expires_in_s", seconds_from_now(child.hard_expiry)}};
    if (const auto stats = sources_.data_plane->stats(child.id)) {
      out["packets_in"] = stats->inbound.packets;
      out["bytes_in"] = stats->inbound.bytes;
      out["packets_out"] = stats->outbound.packets;
      out["bytes_out"] = stats->outbound.bytes;
      out["mtu"] = stats->inner_mtu;
      out["worker"] = stats->owner.value;
      out["last_in_s"] = seconds_ago(stats->inbound.last_used);
    }
    return out;
  }

  json drops() const {
    json out = json::object();
    for (std::size_t i = 0; i < esp::kDropReasons; ++i) {
      const auto reason = static_cast<esp::DropReason>(i);
      if (const std::uint64_t count = sources_.data_plane->drops(reason); count != 0)
        out[std::string(esp::name(reason))] = count;
    }
    const auto add = [&out](const char* name, std::uint64_t count) {
      if (count != 0) out[name] = count;
    };
    add("ike_receive_overflow", sources_.edge_drops.ike);
    add("receive_overflow", sources_.edge_drops.esp);
    add("tun_overflow", sources_.edge_drops.tun);
    return out;
  }

  json workers() const {
    json out = json::array();
    for (std::size_t i = 0; i < sources_.data_plane->worker_count(); ++i) {
      const auto stats = sources_.data_plane->worker_stats({static_cast<std::uint8_t>(i)});
      const auto silent = sources_.worker_watch->silent(sources_.now.monotonic, i).count();
      out.push_back({{"worker", i},
                     {"sas", stats.sas},
                     {"crossed_in", stats.crossed_in},
                     {"crossed_out", stats.crossed_out},
                     {"crossing_refused", stats.crossing_refused},
                     {"stalls", sources_.worker_watch->stalls(i)},
                     {"stalled_s", silent == 0 ? json() : json(silent)}});
    }
    return out;
  }

  const StatusSources& sources_;
};

}  // namespace

json status_json(const StatusSources& sources) {
  return Builder(sources).build();
}

}  // namespace merlon::daemon
