#include "daemon/event_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/overloaded.h"

namespace merlon::daemon {
namespace {

using nlohmann::json;

json spi_json(Spi spi) {
  return fmt::format("{}", spi);
}
json id_json(const IkeSaId& id) {
  return {{"spi_i", fmt::format("{}", id.initiator)}, {"spi_r", fmt::format("{}", id.responder)}};
}

json to_json_body(const ike::IkeSaEstablished& e) {
  return {{"event", e.rekeyed ? "ike-sa-rekeyed" : "ike-sa-established"},
          {"connection", e.connection},
          {"ike_sa", id_json(e.id)},
          {"initiator", e.initiator},
          {"local", e.local.to_string()},
          {"remote", e.remote.to_string()},
          {"natt", e.natt},
          {"local_id", e.local_id},
          {"remote_id", e.remote_id},
          {"algorithms", e.algorithms},
          {"local_auth", e.local_auth},
          {"remote_auth", e.remote_auth}};
}
json to_json_body(const ike::IkeSaClosed& e) {
  return {{"event", "ike-sa-closed"},
          {"connection", e.connection},
          {"ike_sa", id_json(e.id)},
          {"reason", failure_json(e.reason)}};
}
json to_json_body(const ike::ChildSaEstablished& e) {
  return {{"event", e.rekeyed ? "child-sa-rekeyed" : "child-sa-established"},
          {"connection", e.connection},
          {"child", e.child},
          {"ike_sa", id_json(e.ike_sa)},
          {"id", e.id.value},
          {"spi_in", spi_json(e.inbound_spi)},
          {"spi_out", spi_json(e.outbound_spi)},
          {"udp_encapsulation", e.udp_encapsulation},
          {"algorithms", e.algorithms},
          {"local_ts", e.local_ts},
          {"remote_ts", e.remote_ts}};
}
json to_json_body(const ike::ChildSaClosed& e) {
  return {{"event", "child-sa-closed"},
          {"connection", e.connection},
          {"child", e.child},
          {"id", e.id.value},
          {"spi_in", spi_json(e.inbound_spi)},
          {"spi_out", spi_json(e.outbound_spi)},
          {"replaced", e.replaced},
          {"reason", e.reason}};
}
json to_json_body(const ike::NegotiationFailed& e) {
  return {{"event", "negotiation-failed"},
          {"connection", e.connection},
          {"child", e.child},
          {"remote", e.remote.to_string()},
          {"failure", failure_json(e.failure)}};
}
json to_json_body(const ike::PeerMoved& e) {
  return {{"event", "peer-moved"},
          {"connection", e.connection},
          {"ike_sa", id_json(e.id)},
          {"from", e.from.to_string()},
          {"to", e.to.to_string()}};
}
json to_json_body(const ike::ErrorNotified& e) {
  return {{"event", e.sent ? "error-sent" : "error-received"},
          {"connection", e.connection},
          {"ike_sa", id_json(e.id)},
          {"failure", failure_json(e.failure)}};
}
json to_json_body(const ike::MessageTraced& e) {
  return {{"event", "message"},
          {"connection", e.connection},
          {"ike_sa", id_json(e.id)},
          {"sent", e.sent},
          {"retransmission", e.retransmission},
          {"local", e.local.to_string()},
          {"remote", e.remote.to_string()},
          {"lines", e.lines}};
}
// Keys never become JSON: daemon/key_trace.h writes them for root.
json to_json_body(const ike::IkeKeysTraced&) {
  return nullptr;
}
json to_json_body(const ike::ChildKeysTraced&) {
  return nullptr;
}

std::string child_name(const std::string& connection, const std::string& child) {
  return child.empty() || child == connection ? connection : connection + "." + child;
}

}  // namespace

json failure_json(const ike::Failure& failure) {
  return {{"kind", ike::name(failure.kind)},
          {"side", ike::name(failure.side)},
          {"notify", failure.notify_type},
          {"sentence", failure.sentence}};
}

json event_json(const ike::Event& event) {
  json body = std::visit([](const auto& e) { return to_json_body(e); }, event);
  if (body.is_object()) body["text"] = event_sentence(event);
  return body;
}

std::string event_sentence(const ike::Event& event) {
  return std::visit(
      Overloaded{
          [](const ike::IkeSaEstablished& e) {
            return fmt::format("{}: IKE SA {} with {} [{}], proved by {}, {}{}", e.connection,
                               e.rekeyed ? "rekeyed" : "established", e.remote, e.remote_id, e.remote_auth,
                               e.algorithms, e.natt ? ", behind a NAT" : "");
          },
          [](const ike::IkeSaClosed& e) {
            return fmt::format("{}: IKE SA closed: {}", e.connection, e.reason.sentence);
          },
          [](const ike::ChildSaEstablished& e) {
            return fmt::format("{}: Child SA {}, {} === {}, SPIs {} in {} out, {}{}",
                               child_name(e.connection, e.child), e.rekeyed ? "rekeyed" : "established",
                               e.local_ts, e.remote_ts, e.inbound_spi, e.outbound_spi, e.algorithms,
                               e.udp_encapsulation ? ", in UDP" : "");
          },
          [](const ike::ChildSaClosed& e) {
            return fmt::format("{}: Child SA {} closed: {}", child_name(e.connection, e.child), e.inbound_spi,
                               e.reason);
          },
          [](const ike::NegotiationFailed& e) {
            const std::string who =
                e.connection.empty() ? e.remote.to_string() : child_name(e.connection, e.child);
            return fmt::format("{}: {}", who, e.failure.sentence);
          },
          [](const ike::PeerMoved& e) {
            return fmt::format("{}: the peer moved from {} to {}", e.connection, e.from, e.to);
          },
          [](const ike::ErrorNotified& e) { return fmt::format("{}: {}", e.connection, e.failure.sentence); },
          [](const ike::MessageTraced& e) {
            std::string text = fmt::format("{} {} {}", e.connection.empty() ? "?" : e.connection,
                                           e.sent ? "-->" : "<--", e.remote);
            for (const std::string& line : e.lines) text += "\n    " + line;
            return text;
          },
          [](const auto&) { return std::string(); },
      },
      event);
}

json event_json(const WorkerStalled& event) {
  return {{"event", event.over ? "worker-recovered" : "worker-stalled"},
          {"worker", event.worker},
          {"seconds", event.silent.count()},
          {"text", event_sentence(event)}};
}

std::string event_sentence(const WorkerStalled& event) {
  return event.over
             ? fmt::format("data worker {} runs again, after {} seconds", event.worker, event.silent.count())
             : fmt::format(
                   "data worker {} has not moved for {} seconds: the packets of its SAs wait or are lost",
                   event.worker, event.silent.count());
}

bool is_failure(const ike::Event& event) {
  if (const auto* closed = std::get_if<ike::IkeSaClosed>(&event))
    return closed->reason.kind != ike::FailureKind::kDeletedByPeer &&
           closed->reason.kind != ike::FailureKind::kDeletedByUs;
  return std::holds_alternative<ike::NegotiationFailed>(event) ||
         std::holds_alternative<ike::ErrorNotified>(event);
}

std::string connection_of(const ike::Event& event) {
  return std::visit(
      [](const auto& e) -> std::string {
        if constexpr (requires { e.connection; }) return e.connection;
        return {};
      },
      event);
}

}  // namespace merlon::daemon
