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

// Damage where it counts: the version of an IKE message, the sequence number of an ESP packet that is one of the first.
Scenario damaged_headers(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  for (LinkFaults& link : made.tunnels[0].links) {
    link.corrupt = 250;
    link.corrupt_within = 20;
  }
  change_both(made, [](Connection& connection) {
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
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.retransmit_initial = 300ms;
      policy::SaLifetime& lifetime = connection.children[0].lifetime;
      (end == 0 ? lifetime.soft : lifetime.hard) = 4s;
      lifetime.jitter = 0s;
    });
  for (Duration at = 4s; at < 40s; at += milliseconds(rng, 800, 2000))
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

// A replaces the IKE SA and is not heard any more, while B still waits for an answer on the old one.
Scenario silent_after_rekey(std::uint64_t seed) {
  Scenario made = quiet_gateways(seed);
  SeededRng rng(stream_seed(seed, "silent after a rekey"));
  made.tunnels[0].links[0].loss = 450;
  set_interval(made, 5s);
  for (const std::size_t end : {0U, 1U})
    change_end(made, end, [&](Connection& connection) {
      connection.liveness_interval = end == 0 ? 0s : 1s;
      connection.retransmit_initial = 300ms;
      connection.retransmit_factor = 1.0;
      if (end == 1) connection.retransmit_tries = 5;
    });
  for (Duration at = 4s; at < 38s; at += milliseconds(rng, 4000, 5000)) {
    happens(made, at, HappeningKind::kRekeyIke, 0);
    happens(made, at + 1ms, HappeningKind::kCut, 0, 3s);
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

// Many begin at once at gateways that take two at a time, and ask some for a cookie after they have asked for another key
// exchange method.
Scenario full_gateways(std::uint64_t seed) {
  Scenario made = draw_scenario(seed, 9, Repertoire::kFirst);
  for (std::uint64_t other = seed; made.summary.find("INVALID_KE") == std::string::npos;)
    made = draw_scenario(other += 100, 9, Repertoire::kFirst);
  SeededRng rng(stream_seed(seed, "full gateways"));
  for (HostPlan& host : made.hosts) {
    host.starts_at = milliseconds(rng, 0, 60);
    host.slow_actions = 20ms;
    host.options.cookie_threshold = seed % 3;
    host.options.half_open_limit = seed % 2 == 0 ? 2 : 64;
  }
  return made;
}

}  // namespace

std::vector<Directed> seldom_scenarios() {
  std::vector<Directed> made;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    made.push_back({"damaged answers", damaged_answers(seed)});
    made.push_back({"damaged headers", damaged_headers(seed)});
    made.push_back({"proposals that do not fit", other_proposals(seed)});
    made.push_back({"closed while it is rekeyed", closed_while_rekeyed(seed)});
    made.push_back({"a Delete before its answer", delete_before_answer(seed)});
    made.push_back({"silent after a rekey", silent_after_rekey(seed)});
    made.push_back({"few sequence numbers", few_sequence_numbers(seed)});
    made.push_back({"certificates that end", ended_certificates(seed)});
  }
  for (std::uint64_t seed = 1; seed <= 6; ++seed) made.push_back({"full gateways", full_gateways(seed)});
  return made;
}

}  // namespace merlon::sim
