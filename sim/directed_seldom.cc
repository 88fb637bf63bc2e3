#include <algorithm>

#include "sim/directed_parts.h"
#include "sim/stream.h"

namespace merlon::sim {
namespace {

using namespace std::chrono_literals;
using policy::Connection;

Duration milliseconds(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return std::chrono::milliseconds(between(rng, low, high));
}

// Requests come twice and answers damaged, so an initiator has several answers to IKE_SA_INIT, some with a public value
// that is no point of the curve.
Scenario damaged_answers(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  SeededRng rng(stream_seed(seed, "damaged answers"));
  for (LinkFaults& link : made.tunnels[0].links) {
    link.duplicate = 500;
    link.lateness = 400ms;
  }
  made.tunnels[0].links[1].corrupt = 600;
  change_both(made, [](Connection& connection) {
    connection.ike_proposals = {need(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256"))};
    connection.retransmit_initial = 200ms;
    connection.retransmit_factor = 1.1;
    connection.retransmit_tries = 6;
    connection.backoff_max = 1s;
  });
  change_end(made, 1, [](Connection& connection) { connection.start = policy::StartMode::kWait; });
  for (Duration at = 3s; at < 38s; at += milliseconds(rng, 700, 1500))
    happens(made, at, HappeningKind::kCrash, 0, 50ms);
  return made;
}

// Damage where it counts: the version of an IKE message (RFC 7296 3.1), or the sequence number of an ESP packet that is one
// of its SA's first (RFC 4303 2.2: 0 is none).
Scenario damaged_headers(std::uint64_t seed, std::size_t from, std::size_t within) {
  Scenario made = quiet_gateways(seed);
  for (LinkFaults& link : made.tunnels[0].links) {
    link.corrupt = 350;
    link.corrupt_from = from;
    link.corrupt_within = within;
  }
  change_both(made, [](Connection& connection) {
    connection.encapsulation = policy::PathProtocol::kAuto;
    connection.retransmit_initial = 200ms;
    connection.children[0].lifetime.soft = 1s;
  });
  set_interval(made, 50ms);
  return made;
}

// RFC 7296 2.21.1: the refusal comes in clear; nobody else answers in time.
Scenario other_proposals(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  change_end(made, 1, [](Connection& connection) {
    connection.ike_proposals = {need(policy::parse_ike_proposal("aes128-sha256-x25519"))};
  });
  made.tunnels[0].should_be_up = made.tunnels[0].may_be_up = false;
  return made;
}

// B closes a Child SA at the moment at which A begins to rekey it, and A does not hear of that; often while B rekeys the
// IKE SA with slow key exchanges.
Scenario closed_while_rekeyed(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  SeededRng rng(stream_seed(seed, "closed while rekeyed"));
  made.tunnels[0].links[1].loss = 300;
  made.hosts[1].slow_actions = 800ms;
  made.may_lose = true;
  made.faults_end = 120s;
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.retransmit_initial = 300ms;
      policy::SaLifetime& lifetime = connection.children[0].lifetime;
      (end == 0 ? lifetime.soft : lifetime.hard) = 9s;
      lifetime.jitter = 0s;
    });
  for (Duration at = 4s; at < 120s; at += milliseconds(rng, 800, 2000))
    happens(made, at, HappeningKind::kRekeyIke, 1);
  return made;
}

// B makes a Child SA and ends it before the path back to A is whole again; then its Delete is faster than its answer.
Scenario delete_before_answer(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  made.may_lose = true;
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      policy::SaLifetime& lifetime = connection.children[0].lifetime;
      lifetime.jitter = 0s;
      connection.liveness_interval = 0s;
      if (end == 0) {
        lifetime.soft = 2s;
        connection.retransmit_initial = 400ms;
        connection.retransmit_tries = 9;
      } else {
        lifetime.hard = 5s;
        connection.retransmit_initial = 100ms;
        connection.retransmit_factor = 1.0;
        connection.retransmit_tries = 200;
      }
    });
  for (const Duration at : {5s, 16s, 27s}) happens(made, at + seed * 130ms, HappeningKind::kCut, 1, 7600ms);
  return made;
}

// A is not heard, so B asks whether it lives; A replaces the IKE SA; and A is not heard again, so B's question on the old one
// is never answered.
Scenario silent_after_rekey(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  set_interval(made, 5s);
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.liveness_interval = end == 0 ? 0s : 1s;
      connection.retransmit_initial = 300ms;
      connection.retransmit_factor = 1.0;
      if (end == 1) connection.retransmit_tries = 6;
    });
  for (Duration at = 5s; at < 38s; at += 6s + seed * 100ms) {
    happens(made, at - 1600ms, HappeningKind::kCut, 0, 1599ms);
    happens(made, at, HappeningKind::kRekeyIke, 0);
    happens(made, at + 1ms, HappeningKind::kCut, 0, 2500ms);
  }
  return made;
}

// Sequence numbers end while no rekey comes through.
Scenario few_sequence_numbers(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  for (HostPlan& host : made.hosts) host.esp.sequence_limit = 150;
  set_interval(made, 30ms);
  for (const std::size_t host : {0U, 1U}) happens(made, 6s, HappeningKind::kCut, host, 12s);
  made.may_lose = true;
  return made;
}

// The clock of A goes beyond the end of B's certificate, and A looks at it again.
Scenario ended_certificates(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  for (const std::size_t end : {0U, 1U}) {
    change_end(made, end, [](Connection& connection) {
      connection.local_auth[0].kind = connection.remote_auth[0].kind = policy::AuthKind::kCertificate;
    });
    const HostKey own = host_key(KeyPlan::kEd25519, end, true);
    auto credentials = std::make_shared<ike::Credentials>();
    ike::ConnectionCredentials& entry = credentials->by_connection[made.tunnels[0].connection];
    entry.private_key = own.key;
    entry.certificates = {own.certificate};
    entry.trust = trust();
    made.hosts[end].credentials = std::move(credentials);
  }
  happens(made, 10s, HappeningKind::kClockStep, 0);
  made.happenings.back().step = std::chrono::hours(5);
  happens(made, 11s, HappeningKind::kReconfigure, 0);
  return made;
}

// Many begin at once at a gateway that takes a few at a time; it has asked some of them for another key exchange method when
// there are so many that it asks for cookies.
Scenario full_gateway(std::uint64_t seed) {
  Scenario made = pace_scenario(seed, 9);
  SeededRng rng(stream_seed(seed, "full gateway"));
  made.happenings.clear();
  made.faults_end = 20s;
  made.proof = 20s;
  for (std::size_t i = 1; i < made.hosts.size(); ++i) {
    made.hosts[i].starts_at = milliseconds(rng, 0, 30);
    if (i % 2 == 0) continue;
    change_end(made, i, [](Connection& connection) {
      connection.ike_proposals = {need(policy::parse_ike_proposal("aes256gcm16-prfsha256-ecp256-x25519"))};
    });
  }
  HostPlan& hub = made.hosts[0];
  hub.slow_actions = 50ms;
  hub.options.cookie_threshold = 2;
  hub.options.half_open_limit = 3;
  return made;
}

}  // namespace

std::vector<Directed> seldom_scenarios() {
  std::vector<Directed> made;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    made.push_back({"damaged answers", damaged_answers(seed)});
    made.push_back({"damaged versions", damaged_headers(seed, 17, 18)});
    made.push_back({"damaged sequence numbers", damaged_headers(seed, 7, 8)});
    made.push_back({"proposals that do not fit", other_proposals(seed)});
    made.push_back({"closed while it is rekeyed", closed_while_rekeyed(seed)});
    made.push_back({"a Delete before its answer", delete_before_answer(seed)});
    made.push_back({"silent after a rekey", silent_after_rekey(seed)});
    made.push_back({"few sequence numbers", few_sequence_numbers(seed)});
    made.push_back({"certificates that end", ended_certificates(seed)});
  }
  for (std::uint64_t seed = 1; seed <= 6; ++seed) made.push_back({"a full gateway", full_gateway(seed)});
  return made;
}

}  // namespace merlon::sim
